//go:build cluster

package suite

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestNode(t *testing.T) {
	out := kubectl(t, "get", "nodes", "-o", "wide")
	if !strings.Contains(out, " Ready ") || !strings.Contains(out, "containerd://2") {
		t.Errorf("the node is not as it should be:\n%s", out)
	}
	group, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(group)) {
		if !strings.HasSuffix(strings.TrimSpace(line), ":/") {
			t.Errorf("this test is not in the root of the node's cgroups: %s", line)
		}
	}
}

func TestLogsAndExec(t *testing.T) {
	pod(t, "talks", `args: ["serve"]`)
	until(t, "tick 1", func() string { out, _ := try(t, "logs", "talks"); return out })
	if out, err := command(t, "hi\n", "kubectl", "exec", "-i", "talks", "--", "cat"); err != nil || out != "hi\n" {
		t.Errorf("exec cat gave %q, %v", out, err)
	}
	if _, err := try(t, "exec", "talks", "--", "sh", "-c", "exit 7"); err == nil || !strings.Contains(err.Error(), "7") {
		t.Errorf("exec exit 7 gave %v", err)
	}
	logs, err := filepath.Glob("/var/log/pods/default_talks_*/c/0.log")
	if err != nil || len(logs) != 1 {
		t.Errorf("the log of the container: %v, %v", logs, err)
	}
}

func TestCrash(t *testing.T) {
	pod(t, "crasher", `args: ["crash", "3", "boom"]`)
	until(t, "3 Error boom", field(t, "crasher",
		".status.containerStatuses[0].lastState.terminated.exitCode} {.status.containerStatuses[0].lastState.terminated.reason} {.status.containerStatuses[0].lastState.terminated.message"))
	until(t, "CrashLoopBackOff", field(t, "crasher", ".status.containerStatuses[0].state.waiting.reason"))
	until(t, "Back-off restarting failed container", func() string {
		return kubectl(t, "get", "events", "--field-selector", "reason=BackOff")
	})
}

func TestOutOfMemory(t *testing.T) {
	pod(t, "oomer", `args: ["oom"], resources: {limits: {memory: 32Mi}}`)
	until(t, "OOMKilled", field(t, "oomer", ".status.containerStatuses[0].lastState.terminated.reason"))
}

// A container's processes are in cgroups of their own, in every hierarchy, and named by its id there.
func TestCgroups(t *testing.T) {
	pod(t, "grouped", `args: ["serve"]`)
	until(t, "true", field(t, "grouped", ".status.containerStatuses[0].ready"))
	id := field(t, "grouped", ".status.containerStatuses[0].containerID")()
	_, id, _ = strings.Cut(id, "://")
	uid := field(t, "grouped", ".metadata.uid")()
	out := kubectl(t, "exec", "grouped", "--", "cat", "/proc/1/cgroup")
	for line := range strings.Lines(out) {
		if strings.HasSuffix(strings.TrimSpace(line), "/") {
			continue // it has a cgroup namespace of its own, and reads it so
		}
		if !strings.Contains(line, id) {
			t.Errorf("the cgroup does not name the container %s: %s", id, line)
		}
	}
	found, err := filepath.Glob("/sys/fs/cgroup/unified/kubepods/*/pod" + uid + "/" + id)
	if err != nil || len(found) != 1 {
		t.Errorf("cgroup2 of container %s of pod %s: %v, %v", id, uid, found, err)
	}
}

func TestPodReachesTheAPI(t *testing.T) {
	pod(t, "asks", `command: ["sh", "-c", "wget -q -O - --no-check-certificate https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/version; sleep 1000"]`)
	until(t, "gitVersion", func() string { out, _ := try(t, "logs", "asks"); return out })
}

// The runtime can be restarted under running pods.
func TestRuntimeRestarted(t *testing.T) {
	pod(t, "survivor", `args: ["serve"]`)
	until(t, "true", field(t, "survivor", ".status.containerStatuses[0].ready"))
	before := field(t, "survivor", ".status.containerStatuses[0].containerID")()
	pid, err := os.ReadFile(filepath.Join(os.Getenv("CLUSTER_RUN"), "containerd.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("kill", "-9", strings.TrimSpace(string(pid))).CombinedOutput(); err != nil {
		t.Fatalf("kill containerd: %v: %s", err, out)
	}
	until(t, "bin", func() string { out, _ := try(t, "exec", "survivor", "--", "ls", "/"); return out })
	if after := field(t, "survivor", ".status.containerStatuses[0].containerID")(); after != before {
		t.Errorf("the container is another one now: %s, then %s", before, after)
	}
}
