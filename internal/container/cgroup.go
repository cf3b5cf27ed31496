// Package container tells which container a process belongs to.
package container

import (
	"path"
	"strings"
)

// Ref is what a cgroup's path tells of the container whose it is.
type Ref struct {
	ID      string // 64 hex digits
	Runtime string // "containerd", "cri-o", "docker", "podman" where the path names it, else ""
	PodUID  string // of Kubernetes, with dashes; of a static pod the hash in its place; "" outside of a pod
	QoS     string // "guaranteed", "burstable", "besteffort"; "" outside of a pod
}

// Short is the id as people write it.
func (r Ref) Short() string { return r.ID[:min(12, len(r.ID))] }

// prefixes are what runtimes put before the id where systemd makes the cgroup.
var prefixes = []struct{ prefix, runtime string }{
	{"cri-containerd-", "containerd"},
	{"nerdctl-", "containerd"},
	{"crio-", "cri-o"},
	{"docker-", "docker"},
	{"libpod-", "podman"},
}

// Of reads the text of /proc/PID/cgroup, of cgroup v1, v2 and both together. ok is false where the
// process is in no container, as far as the paths tell.
func Of(text []byte) (r Ref, ok bool) {
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		if q, found := Parse(f[2]); found && (!ok || q.PodUID != "" && r.PodUID == "") {
			r, ok = q, true
		}
	}
	return r, ok
}

// Parse reads the path of a cgroup as the cgroupfs and systemd drivers of container runtimes make it:
//
//	/kubepods/burstable/podUID/ID
//	/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope
//	/system.slice/docker-ID.scope
//
// Below one container there may be others, and above it the container that a whole node runs in: in a
// pod it is the first one below the pod's cgroup, which is the one that Kubernetes knows; elsewhere
// the innermost one.
func Parse(path string) (r Ref, ok bool) {
	for part := range strings.SplitSeq(path, "/") {
		if pod, qos, is := podOf(part); is {
			if q := r.QoS; qos == "" && q != "" && r.PodUID == "" {
				qos = q // of the folder above
			}
			r, ok = Ref{PodUID: pod, QoS: qos}, false
			if r.QoS == "" {
				r.QoS = "guaranteed"
			}
		} else if qos := qosOf(part); qos != "" && r.PodUID == "" {
			r.QoS = qos
		}
		// "…-podUID.slice:cri-containerd:ID": a path of the systemd driver, used by the other.
		if slice, rest, is := strings.Cut(part, ":"); is {
			runtime, id, _ := strings.Cut(rest, ":")
			if pod, qos, is := podOf(slice); is && isID(id) {
				r, ok = Ref{ID: id, PodUID: pod, QoS: qos, Runtime: runtimeNames[runtime]}, true
				if r.QoS == "" {
					r.QoS = "guaranteed"
				}
				continue
			}
		}
		if id, runtime, is := idOf(part); is && (!ok || r.PodUID == "") {
			r.ID, r.Runtime, ok = id, runtime, true
		}
	}
	if !ok {
		return Ref{}, false
	}
	if r.PodUID == "" {
		r.QoS = ""
	}
	return r, true
}

var runtimeNames = map[string]string{"cri-containerd": "containerd", "crio": "cri-o", "docker": "docker", "libpod": "podman", "nerdctl": "containerd"}

// idOf is the container that a part of a path names.
func idOf(part string) (id, runtime string, ok bool) {
	part = strings.TrimSuffix(part, ".scope")
	for _, p := range prefixes {
		if rest, is := strings.CutPrefix(part, p.prefix); is {
			return rest, p.runtime, isID(rest) // "crio-conmon-ID" is its monitor's
		}
	}
	return part, "", isID(part)
}

func isID(s string) bool {
	if len(s) != 64 {
		return false
	}
	return isHex(s)
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// podOf is the pod that a part of a path names: "podUID", or "kubepods-burstable-podUID.slice", with
// underscores for dashes, below any other slice ("kubelet-kubepods-…").
func podOf(part string) (uid, qos string, ok bool) {
	if slice, is := strings.CutSuffix(part, ".slice"); is {
		at := strings.LastIndex(slice, "-pod")
		if at < 0 || !strings.Contains(slice[:at], "kubepods") {
			return "", "", false
		}
		uid = strings.ReplaceAll(slice[at+len("-pod"):], "_", "-")
		for _, q := range []string{"burstable", "besteffort"} {
			if strings.HasSuffix(slice[:at], "-"+q) {
				qos = q
			}
		}
		return uid, qos, isUID(uid)
	}
	uid, is := strings.CutPrefix(part, "pod")
	return uid, "", is && isUID(uid)
}

// qosOf is the class of pods that a folder above theirs is for.
func qosOf(part string) string {
	if part == "burstable" || part == "besteffort" {
		return part
	}
	return ""
}

// isUID knows 8-4-4-4-12 hex digits, and the 32 of a static pod's hash.
func isUID(s string) bool {
	if len(s) == 32 {
		return isHex(s)
	}
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return false
			}
		} else if !isHex(s[i : i+1]) {
			return false
		}
	}
	return true
}

// specCgroup is the path of a cgroup that an OCI specification names: by its path, or for systemd as
// "kubepods-besteffort.slice:cri-containerd:ID". "" where it names none.
func specCgroup(s string) string {
	f := strings.Split(s, ":")
	switch {
	case strings.HasPrefix(s, "/"):
		return path.Clean(s)
	case len(f) != 3 || f[2] == "" || strings.Contains(s, "/"):
		return ""
	}
	slice, ok := strings.CutSuffix(f[0], ".slice")
	if !ok && f[0] != "" {
		return ""
	}
	if f[0] == "" {
		slice = "system" // as runc has it
	}
	out := "/"
	for i := 0; i <= len(slice) && slice != "-"; i++ { // each dash is a level
		if i == len(slice) || slice[i] == '-' {
			out = path.Join(out, slice[:i]+".slice")
		}
	}
	name := f[2] + ".scope"
	if f[1] != "" {
		name = f[1] + "-" + name
	}
	return path.Join(out, name)
}
