//go:build cluster

package suite

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	runtimes "github.com/descry-dev/descry/internal/container"
)

// named are pods as Kubernetes knows them.
type named struct {
	Items []struct {
		Metadata struct {
			Name, Namespace, UID string
			Labels               map[string]string
		}
		Spec struct {
			Containers, InitContainers []struct{ Name, Image string }
		}
		Status struct {
			ContainerStatuses, InitContainerStatuses []namedContainer
		}
	}
}

type namedContainer struct {
	Name, ContainerID string
	RestartCount      uint32
	State, LastState  struct {
		Running    *struct{ StartedAt time.Time }
		Terminated *namedEnd
	}
}

type namedEnd struct {
	ContainerID string
	ExitCode    int32
	Reason      string
	FinishedAt  time.Time
}

func pods(t *testing.T) (all named) {
	t.Helper()
	if err := json.Unmarshal([]byte(kubectl(t, "get", "pods", "-A", "-o", "json")), &all, json.MatchCaseInsensitiveNames(true)); err != nil {
		t.Fatal(err)
	}
	return all
}

// registry asks the runtimes of this node until the test ends.
func registry(t *testing.T) (r *runtimes.Registry, said func() string) {
	t.Helper()
	var (
		mu    sync.Mutex
		lines strings.Builder
	)
	r = runtimes.New(runtimes.Options{Log: func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&lines, format+"\n", args...)
	}})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	t.Cleanup(func() { stop(); <-done })
	select {
	case <-r.Synced():
	case <-time.After(time.Minute):
		t.Fatalf("no runtime has told of its containers: %+v", r.Status())
	}
	return r, func() string { mu.Lock(); defer mu.Unlock(); return lines.String() }
}

// agrees waits until the registry agrees.
func agrees(t *testing.T, r *runtimes.Registry, id, what string, is func(runtimes.Info) bool) runtimes.Info {
	t.Helper()
	// The kubelet removes what is dead once a minute.
	for limit := time.Now().Add(3 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		info, _ := r.Get(id)
		if is(info) {
			return info
		}
		if time.Now().After(limit) {
			t.Fatalf("%s: not %s within three minutes: %+v", id, what, info)
		}
	}
}

const namedPods = `apiVersion: v1
kind: Pod
metadata:
  name: named
  labels: {app: named, tier: "1"}
  annotations: {descry.dev/nofile: "1000", long: %[2]q}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - {name: first, image: %[1]q, imagePullPolicy: Never, command: ["sh", "-c", "exit 0"]}
  - {name: second, image: %[1]q, imagePullPolicy: Never, command: ["sh", "-c", "sleep 0.2"]}
  containers:
  - {name: app, image: %[1]q, imagePullPolicy: Never, args: ["serve"]}
  - {name: dies, image: %[1]q, imagePullPolicy: Never, command: ["sh", "-c", "sleep 1; exit 42"]}
---
apiVersion: v1
kind: Pod
metadata: {name: same, namespace: kube-public, labels: {app: same}}
spec:
  terminationGracePeriodSeconds: 1
  hostNetwork: true
  containers:
  - {name: app, image: %[1]q, imagePullPolicy: Never, args: ["serve"]}
`

// Every container of every pod is named as Kubernetes names it.
func TestNames(t *testing.T) {
	image := os.Getenv("CLUSTER_LOAD_IMAGE")
	apply(t, fmt.Sprintf(namedPods, image, strings.Repeat("long ", 1000)))
	t.Cleanup(func() {
		_ = exec.Command("kubectl", "delete", "pod", "named", "--grace-period=1", "--wait=false").Run()
		_ = exec.Command("kubectl", "delete", "pod", "same", "-n", "kube-public", "--grace-period=1", "--wait=false").Run()
	})
	begun := time.Now()
	r, said := registry(t)
	until(t, "42", field(t, "named", ".status.containerStatuses[?(@.name=='dies')].lastState.terminated.exitCode"))
	until(t, "true", func() string {
		out, _ := try(t, "get", "pod", "same", "-n", "kube-public", "-o", "jsonpath={.status.containerStatuses[0].ready}")
		return out
	})
	checked := 0
	for _, p := range pods(t).Items {
		image := map[string]string{}
		for _, c := range append(p.Spec.Containers, p.Spec.InitContainers...) {
			image[c.Name] = c.Image
		}
		inits := map[string]bool{}
		for _, c := range p.Spec.InitContainers {
			inits[c.Name] = true
		}
		for _, c := range append(p.Status.ContainerStatuses, p.Status.InitContainerStatuses...) {
			_, id, ok := strings.Cut(c.ContainerID, "://")
			if !ok {
				continue
			}
			state := runtimes.StateExited
			if c.State.Running != nil {
				state = runtimes.StateRunning
			}
			i := agrees(t, r, id, string(state), func(i runtimes.Info) bool {
				return (i.State == state || i.State == runtimes.StateExited) && i.LogPath != ""
			})
			if i.Namespace != p.Metadata.Namespace || i.Pod != p.Metadata.Name || i.PodUID != p.Metadata.UID || i.Container != c.Name || i.Image != image[c.Name] ||
				i.Attempt != c.RestartCount || i.Labels["app"] != p.Metadata.Labels["app"] || i.Sandbox || i.Init != inits[c.Name] {
				t.Errorf("%s/%s %s: %+v", p.Metadata.Namespace, p.Metadata.Name, c.Name, i)
			}
			if _, err := os.Stat(i.LogPath); err != nil {
				t.Errorf("%s: the log: %v", c.Name, err)
			}
			if i.State == runtimes.StateRunning {
				group, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", i.PID))
				if !strings.Contains(string(group), id) && err == nil {
					t.Errorf("%s: its pid %d is in %s", c.Name, i.PID, group)
				}
			}
			if box, ok := r.Get(i.SandboxID); !ok || !box.Sandbox || box.Pod != i.Pod || box.Container != "" {
				t.Errorf("%s: its sandbox %+v", c.Name, box)
			}
			checked++
		}
	}
	if checked < 5 {
		t.Errorf("%d containers were looked at: this shows nothing", checked)
	}
	for _, p := range pods(t).Items {
		if p.Metadata.Name != "named" {
			continue
		}
		all := r.Pod(p.Metadata.UID)
		if len(all) < 6 { // the sandbox, two, one, and two of the one that dies
			t.Errorf("the pod has %d: %+v", len(all), all)
		}
		for _, i := range all {
			if i.Annotations["descry.dev/nofile"] != "1000" || len(i.Annotations["long"]) > 1024 {
				t.Errorf("annotations of %s: %v", i.Container, i.Annotations)
			}
		}
	}
	died, _ := r.DiedSince(begun)
	found := false
	for _, i := range died {
		found = found || i.Container == "dies" && i.ExitCode == 42 && i.Reason == "Error"
	}
	if !found {
		t.Errorf("died since the test began: %+v", died)
	}
	if s := said(); strings.Count(s, "\n") != 1 || !strings.Contains(s, "containerd") {
		t.Errorf("said %q", s)
	}
}

// A container is known as soon as its cgroup is seen, and after it was removed.
func TestNamesComeAtOnceAndStay(t *testing.T) {
	r, _ := registry(t)
	before := groupsOf(t)
	pod(t, "brief", `command: ["sh", "-c", "sleep 2; exit 7"], `, "  restartPolicy: Never")
	ids := map[string]runtimes.Info{}
	for limit := time.Now().Add(time.Minute); len(ids) < 2 && time.Now().Before(limit); time.Sleep(time.Millisecond) {
		for id, path := range groupsOf(t) {
			if before[id] != "" || ids[id].ID != "" {
				continue
			}
			seen := time.Now()
			ref, ok := runtimes.Parse(path)
			if !ok {
				t.Fatalf("%s is no container's", path)
			}
			ctx, stop := context.WithTimeout(t.Context(), time.Minute)
			i, ok := r.Wait(ctx, ref)
			stop()
			if !ok {
				t.Errorf("%s has no name", path)
			}
			if i.Pod == "brief" {
				ids[id] = i
				t.Logf("%s%s was known %s after its cgroup", i.Container, map[bool]string{true: "the sandbox"}[i.Sandbox], time.Since(seen).Round(time.Millisecond))
			} else {
				before[id] = path // another test's
			}
		}
	}
	if len(ids) != 2 {
		t.Fatalf("%d of the pod's two were seen", len(ids))
	}
	until(t, "7", field(t, "brief", ".status.containerStatuses[0].state.terminated.exitCode"))
	kubectl(t, "delete", "pod", "brief", "--grace-period=1")
	for id, was := range ids {
		i := agrees(t, r, id, "removed", func(i runtimes.Info) bool { return i.Removed })
		if i.Pod != "brief" || i.State != runtimes.StateExited || !was.Sandbox && (i.ExitCode != 7 || i.FinishedAt.IsZero()) {
			t.Errorf("remembered: %+v", i)
		}
		r.Forget(id)
		if _, ok := r.Get(id); ok {
			t.Error("not forgotten")
		}
	}
	// Another one that comes now still hears of it: containerd keeps what has happened for five minutes.
	later, _ := registry(t)
	for id, was := range ids {
		if i, ok := later.Get(id); !ok || i.Pod != "brief" || !was.Sandbox && i.ExitCode != 7 {
			t.Errorf("from containerd's memory: %+v", i)
		}
	}
}

// containerd is killed, and is back with pods that came and went.
func TestNamesOverARestartOfTheRuntime(t *testing.T) {
	pod(t, "stays", `args: ["serve"]`)
	until(t, "true", field(t, "stays", ".status.containerStatuses[0].ready"))
	r, said := registry(t)
	_, id, _ := strings.Cut(field(t, "stays", ".status.containerStatuses[0].containerID")(), "://")
	agrees(t, r, id, "running", func(i runtimes.Info) bool { return i.State == runtimes.StateRunning && i.PID > 0 })
	pid, err := os.ReadFile(filepath.Join(os.Getenv("CLUSTER_RUN"), "containerd.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("kill", "-9", strings.TrimSpace(string(pid))).CombinedOutput(); err != nil {
		t.Fatalf("kill containerd: %v: %s", err, out)
	}
	r.Need(runtimes.Ref{ID: strings.Repeat("0", 64)}) // which nobody knows
	pod(t, "comes", `args: ["serve"]`)
	until(t, "true", field(t, "comes", ".status.containerStatuses[0].ready"))
	_, fresh, _ := strings.Cut(field(t, "comes", ".status.containerStatuses[0].containerID")(), "://")
	agrees(t, r, fresh, "running", func(i runtimes.Info) bool { return i.Pod == "comes" && i.State == runtimes.StateRunning })
	if i, ok := r.Get(id); !ok || i.Removed || i.State != runtimes.StateRunning || i.Pod != "stays" {
		t.Errorf("what ran over the restart: %+v", i)
	}
	if n := strings.Count(said(), "\n"); n != 3 {
		t.Errorf("said %q", said())
	}
}

// groupsOf are the cgroups of containers, by their ids.
func groupsOf(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	root := "/sys/fs/cgroup/unified"
	if _, err := os.Stat(root); err != nil {
		root = "/sys/fs/cgroup"
	}
	_ = filepath.WalkDir(filepath.Join(root, "kubepods"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && len(d.Name()) == 64 {
			out[d.Name()] = strings.TrimPrefix(path, root)
			return fs.SkipDir
		}
		return nil
	})
	return out
}
