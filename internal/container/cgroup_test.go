package container

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var (
	id    = strings.Repeat("0123456789abcdef", 4)
	other = strings.Repeat("fedcba9876543210", 4)
)

const (
	uid    = "6f8a1c9e-0d43-4a6b-9a53-0d3a2a1f7c11"
	under  = "6f8a1c9e_0d43_4a6b_9a53_0d3a2a1f7c11"
	static = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		what, path string
		want       Ref
	}{
		{"cgroupfs", "/kubepods/burstable/pod" + uid + "/" + id, Ref{ID: id, PodUID: uid, QoS: "burstable"}},
		{"cgroupfs, guaranteed", "/kubepods/pod" + uid + "/" + id, Ref{ID: id, PodUID: uid, QoS: "guaranteed"}},
		{"a static pod", "/kubepods/besteffort/pod" + static + "/" + id, Ref{ID: id, PodUID: static, QoS: "besteffort"}},
		{"systemd", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + under + ".slice/cri-containerd-" + id + ".scope", Ref{ID: id, PodUID: uid, QoS: "burstable", Runtime: "containerd"}},
		{"systemd, guaranteed, CRI-O", "/kubepods.slice/kubepods-pod" + under + ".slice/crio-" + id + ".scope", Ref{ID: id, PodUID: uid, QoS: "guaranteed", Runtime: "cri-o"}},
		{"CRI-O, init of a nested systemd", "/kubepods.slice/kubepods-pod" + under + ".slice/crio-" + id + ".scope/init.scope", Ref{ID: id, PodUID: uid, QoS: "guaranteed", Runtime: "cri-o"}},
		{"dockershim", "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + under + ".slice/docker-" + id + ".scope", Ref{ID: id, PodUID: uid, QoS: "besteffort", Runtime: "docker"}},
		{"a path of one driver used by the other", "/system.slice/containerd.service/kubepods-besteffort-pod" + under + ".slice:cri-containerd:" + id, Ref{ID: id, PodUID: uid, QoS: "besteffort", Runtime: "containerd"}},
		{"a node that is a container (kind)", "/docker/" + other + "/kubelet/kubepods/besteffort/pod" + uid + "/" + id, Ref{ID: id, PodUID: uid, QoS: "besteffort"}},
		{"a node that is a container, systemd", "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + under + ".slice/cri-containerd-" + id + ".scope", Ref{ID: id, PodUID: uid, QoS: "burstable", Runtime: "containerd"}},
		{"a container within a pod's container", "/kubepods/besteffort/pod" + uid + "/" + id + "/docker/" + other, Ref{ID: id, PodUID: uid, QoS: "besteffort"}},
		{"Docker", "/system.slice/docker-" + id + ".scope", Ref{ID: id, Runtime: "docker"}},
		{"Docker, cgroupfs", "/docker/" + id, Ref{ID: id}},
		{"Docker within Docker", "/docker/" + other + "/docker/" + id, Ref{ID: id}},
		{"Podman", "/machine.slice/libpod-" + id + ".scope/container", Ref{ID: id, Runtime: "podman"}},
		{"as a cgroup namespace shows it", "/../../kubepods/besteffort/pod" + uid + "/" + id, Ref{ID: id, PodUID: uid, QoS: "besteffort"}},
	} {
		got, ok := Parse(c.path)
		if d := cmp.Diff(c.want, got); d != "" || !ok {
			t.Errorf("%s: ok %v, %s", c.what, ok, d)
		}
	}
	for _, path := range []string{
		"", "/", "/user.slice/user-0.slice/session-1.scope", "/system.slice/nginx.service",
		"/kubepods/besteffort/pod" + uid,                         // the pod itself
		"/kubepods.slice/crio-conmon-" + id + ".scope",           // a container's monitor
		"/machine.slice/libpod-conmon-" + id + ".scope",          //
		"/system.slice/docker-" + id[:63] + ".scope",             // too short
		"/docker/" + strings.ToUpper(id),                         //
		"/kubepods/besteffort/podinfo/" + id[:40],                // names that only look alike
		"/kubepods-burstable-pod" + under + ".slice:x:" + id[:9], //
	} {
		if got, ok := Parse(path); ok {
			t.Errorf("%q is %+v, want none", path, got)
		}
	}
}

func TestOf(t *testing.T) {
	hybrid := "12:pids:/kubepods/besteffort/pod" + uid + "/" + id + "\n1:name=systemd:/kubepods/besteffort/pod" + uid + "/" + id + "\n0::/system.slice/containerd.service\n"
	if r, ok := Of([]byte(hybrid)); !ok || r.ID != id || r.PodUID != uid {
		t.Errorf("hybrid: %+v, %v", r, ok)
	}
	// A hierarchy that Docker uses beside the pod's.
	if r, ok := Of([]byte("1:x:/docker/" + other + "\n0::/kubepods/pod" + uid + "/" + id + "\n")); !ok || r.ID != id {
		t.Errorf("two: %+v, %v", r, ok)
	}
	if r, ok := Of([]byte("0::/init.scope\n")); ok {
		t.Errorf("the host: %+v", r)
	}
	if r, ok := Of([]byte("0:\nx\n\n:::" + id)); ok {
		t.Errorf("no path: %+v", r)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("/kubepods/burstable/pod" + uid + "/" + id)
	f.Add("/kubepods.slice/kubepods-pod" + under + ".slice:cri-containerd:" + id)
	f.Fuzz(func(t *testing.T, path string) {
		r, ok := Parse(path)
		switch {
		case !ok && r != (Ref{}):
			t.Errorf("none, and yet %+v", r)
		case ok && (!isID(r.ID) || !strings.Contains(path, r.ID)):
			t.Errorf("the id %q", r.ID)
		case ok && r.PodUID != "" && (!isUID(r.PodUID) || r.QoS == ""):
			t.Errorf("the pod of %+v", r)
		}
	})
}

func TestSpecCgroup(t *testing.T) {
	for spec, want := range map[string]string{
		"/kubepods/besteffort/podX/1234":                     "/kubepods/besteffort/podX/1234",
		"kubepods-besteffort-podX.slice:cri-containerd:1234": "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podX.slice/cri-containerd-1234.scope",
		"system.slice:docker:1234":                           "/system.slice/docker-1234.scope",
		":crio:1234":                                         "/system.slice/crio-1234.scope",
		"-.slice:crio:1234":                                  "/crio-1234.scope",
		"a/b":                                                "", "": "", "::": "", "x:y:z": "", "a.slice:b:": "", "a:b": "",
	} {
		if got := specCgroup(spec); got != want {
			t.Errorf("%q is %q, want %q", spec, got, want)
		}
	}
}

func FuzzSpecCgroup(f *testing.F) {
	f.Add("kubepods-besteffort-podX.slice:cri-containerd:1234")
	f.Add("/a/../b")
	f.Fuzz(func(t *testing.T, s string) {
		if got := specCgroup(s); got != "" && got[0] != '/' {
			t.Errorf("%q is %q", s, got)
		}
	})
}
