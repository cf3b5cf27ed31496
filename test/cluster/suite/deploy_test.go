//go:build cluster

package suite

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	deployNS    = "descry-deploy"
	deployState = "/var/lib/descry-deploy"
	bpffs       = "/sys/fs/bpf"
)

// chart renders the chart as a user would, but for a scope: the test's cluster is not alone on its machine.
func chart(t *testing.T, sets ...string) string {
	t.Helper()
	helm := os.Getenv("CLUSTER_HELM")
	if helm == "" {
		t.Fatal("CLUSTER_HELM is not set: this test is run by go run ./test/cluster")
	}
	args := []string{"template", "descry", os.Getenv("CLUSTER_CHART"), "--namespace", deployNS, "--kube-version", "1.34.0",
		"--set", "createNamespace=true,image.tag=" + os.Getenv("CLUSTER_DESCRY_TAG") + ",image.pullPolicy=Never,agent.logLevel=debug,paths.state=" + deployState +
			",agent.scope=" + os.Getenv("CLUSTER_SCOPE") + ",paths.cgroup=" + os.Getenv("CLUSTER_MACHINE_CGROUPS")}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	out, err := command(t, "", helm, args...)
	if err != nil {
		t.Fatalf("render the chart: %v", err)
	}
	return out
}

// applied applies a manifest again and again: a namespace that was made just now is not known everywhere.
func applied(t *testing.T, manifest string, args ...string) {
	t.Helper()
	var err error
	for range 20 {
		if _, err = command(t, manifest, "kubectl", append([]string{"apply", "-f", "-"}, args...)...); err == nil {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Fatalf("apply: %v\n%s", err, manifest)
}

func ofAgent(t *testing.T, path string) func() string {
	return func() string {
		out, _ := try(t, "-n", deployNS, "get", "pods", "-l", "app.kubernetes.io/name=descry", "-o", "jsonpath={.items[*]"+path+"}")
		return out
	}
}

// install installs the chart on the node, and removes all of it at the end.
func install(t *testing.T, sets ...string) {
	t.Helper()
	if out, err := command(t, "", "ctr", "-n", "k8s.io", "images", "import", os.Getenv("CLUSTER_DESCRY_IMAGE")); err != nil {
		t.Fatalf("import the image: %v\n%s", err, out)
	}
	if err := unix.Mount("bpf", bpffs, "bpf", 0, ""); err != nil {
		t.Fatalf("mount a bpffs on the node: %v", err)
	}
	t.Cleanup(func() {
		_ = exec.Command("kubectl", "delete", "namespace", deployNS, "--timeout=90s").Run()
		if err := unix.Unmount(bpffs, 0); err != nil {
			t.Errorf("the bpffs is in use after all was removed: %v", err)
		}
		_ = os.RemoveAll(deployState)
	})
	applied(t, chart(t, sets...))
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("kubectl", "-n", deployNS, "logs", "ds/descry", "--tail=50").CombinedOutput()
			t.Logf("the agent: %s", out)
		}
	})
	until(t, "True", ofAgent(t, `.status.conditions[?(@.type=="Ready")].status`))
}

// page gets a page of the agent's server, from the node.
func page(t *testing.T, path string) string {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + ofAgent(t, ".status.podIP")() + ":9477" + path)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d\n%s", resp.StatusCode, b)
}

// agentPID is the agent's process, as the node sees it.
func agentPID(t *testing.T) int {
	t.Helper()
	id := ofAgent(t, ".status.containerStatuses[0].containerID")()
	_, id, _ = strings.Cut(id, "://")
	found, err := filepath.Glob("/sys/fs/cgroup/unified/kubepods*/*/*/" + id + "/cgroup.procs")
	if err != nil || len(found) != 1 {
		t.Fatalf("the cgroup of the agent's container %q: %v, %v", id, found, err)
	}
	b, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(b) + " ")[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestDeployed(t *testing.T) {
	install(t)
	// All that the chart can give is accepted by the API server, but for the kinds of the Prometheus operator.
	dryRun := func(manifest string) {
		t.Helper()
		applied(t, manifest, "--dry-run=server")
	}
	dryRun(chart(t, "networkPolicy.enabled=true", "hostNetwork=true", "agent.cores=stacks", "metrics.annotations=true", "agent.noSyscalls=true"))
	dryRun(chart(t, "uninstall=true"))
	for _, name := range []string{"descry.yaml", "uninstall.yaml"} {
		b, err := os.ReadFile(filepath.Join(os.Getenv("CLUSTER_CHART"), "../../kubernetes", name))
		if err != nil {
			t.Fatal(err)
		}
		dryRun(strings.NewReplacer("namespace: descry\n", "namespace: "+deployNS+"\n", "  name: descry\n  labels", "  name: "+deployNS+"\n  labels").Replace(string(b)))
	}

	for _, path := range []string{"/healthz", "/readyz"} {
		until(t, "200\n", func() string { return page(t, path) })
	}
	pod(t, "watched", `args: ["serve"]`)
	pod(t, "dies", `args: ["crash", "3", "boom"]`, "  restartPolicy: Never")
	until(t, `descry_container_open_fds{namespace="default",pod="watched",container="c"}`, func() string { return page(t, "/metrics") })
	until(t, "dies", func() string {
		out, _ := try(t, "-n", deployNS, "exec", "ds/descry", "--", "descry", "cases")
		return out
	})
	until(t, `descry_container_last_death_timestamp_seconds{namespace="default",pod="dies",container="c",cause="`, func() string { return page(t, "/metrics") })
	if out := page(t, "/metrics"); strings.Contains(out, "descry_agent_probe_up{probe=\"probe/exit\",by=\"\"} 0") || !strings.Contains(out, `descry_agent_runtime_up{runtime="containerd"} 1`) {
		t.Errorf("the agent lacks a probe, or its runtime:\n%s", out)
	}

	// It may do what was asked for and nothing else.
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", agentPID(t)))
	if err != nil {
		t.Fatal(err)
	}
	caps := uint64(0)
	for _, c := range []int{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH, unix.CAP_NET_ADMIN} {
		caps |= 1 << c
	}
	for _, want := range []string{fmt.Sprintf("CapEff:\t%016x", caps), fmt.Sprintf("CapBnd:\t%016x", caps), "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("the agent's process has not %q:\n%s", want, status)
		}
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/root/var/run/secrets", agentPID(t))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the agent has a secret: %v", err)
	}
	if got := ofAgent(t, ".status.containerStatuses[0].restartCount")(); got != "0" {
		t.Errorf("the agent was restarted %s times", got)
	}
}

// An upgrade, then the end: nothing of what died meanwhile is missing, and nothing is left behind.
func TestDeployedUpgradeAndUninstall(t *testing.T) {
	install(t)
	before := ofAgent(t, ".metadata.name")()
	if pins, _ := filepath.Glob(bpffs + "/descry*/*"); pins == nil {
		t.Error("nothing is pinned")
	}
	kubectl(t, "-n", deployNS, "rollout", "restart", "ds/descry")
	pod(t, "mayfly", `args: ["crash", "5", "gone"]`, "  restartPolicy: Never")
	kubectl(t, "-n", deployNS, "rollout", "status", "ds/descry", "--timeout=55s")
	if after := ofAgent(t, ".metadata.name")(); after == before {
		t.Error("the agent was not restarted")
	}
	cases := func() string {
		out, _ := try(t, "-n", deployNS, "exec", "ds/descry", "--", "descry", "cases")
		return out
	}
	until(t, "mayfly", cases)
	if n := strings.Count(cases(), "mayfly"); n != 1 {
		t.Errorf("%d cases of one death:\n%s", n, cases())
	}
	applied(t, chart(t, "uninstall=true,pauseImage="+os.Getenv("CLUSTER_PAUSE_IMAGE")))
	kubectl(t, "-n", deployNS, "rollout", "status", "ds/descry", "--timeout=55s")
	until(t, "done True", ofAgent(t, `.spec.containers[0].name} {.items[*].status.conditions[?(@.type=="Ready")].status`))
	until(t, "none", func() string {
		left, _ := filepath.Glob(bpffs + "/descry*/*")
		if left == nil {
			return "none"
		}
		return "left: " + left[0]
	})
}
