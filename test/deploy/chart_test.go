package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// helm is the one that make helm builds.
func helm(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/helm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs bin/helm: make helm builds it")
	}
	return path
}

func render(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, "", ".", append([]string{helm(t), "template", "descry", chart, "--namespace", "descry", "--kube-version", "1.34.0"}, args...)...)
}

// The plain manifests are what the chart gives.
func TestPlainManifests(t *testing.T) {
	for name, args := range map[string][]string{
		"descry.yaml":    {"--set", "createNamespace=true"},
		"uninstall.yaml": {"--set", "createNamespace=true", "--set", "uninstall=true"},
	} {
		got, err := os.ReadFile(filepath.Join("../../deploy/kubernetes", name))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(got), render(t, args...)); d != "" {
			t.Errorf("deploy/kubernetes/%s is not what the chart gives: run make deploy\n%s", name, d)
		}
	}
}

func TestChart(t *testing.T) {
	run(t, "", ".", helm(t), "lint", "--strict", chart)
	everything := "metrics.podMonitor.enabled=true,metrics.rules.enabled=true,networkPolicy.enabled=true,hostNetwork=true,agent.cores=stacks,metrics.annotations=true," +
		"agent.noSyscalls=true,agent.noDNS=true,agent.scope=/kubepods,seLinuxOptions.type=spc_t,image.digest=sha256:00,networkPolicy.from[0].podSelector.matchLabels.app=prometheus"
	run(t, "", ".", helm(t), "lint", "--strict", chart, "--set", everything)
	out := render(t, "--set", everything)
	for _, want := range []string{
		"kind: PodMonitor", "honorLabels: true", "alert: DescryDeath", "kind: NetworkPolicy", "hostNetwork: true", "--cores=stacks", "mountPath: /run/descry",
		`prometheus.io/port: "9477"`, "--no-syscalls", "--no-dns", "--scope=/kubepods", "type: spc_t", "descry@sha256:00", "drop: [ALL]",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the chart with everything lacks %q", want)
		}
	}
	least := render(t, "--set", "runtime=,paths.bpf=,paths.logs=,paths.cgroup=,resources=null,tolerations=null,priorityClassName=")
	for _, gone := range []string{"--pins", "--runtime-endpoint", "/var/log/pods", "/sys/fs/", "tolerations", "prometheus.io"} {
		if strings.Contains(least, gone) {
			t.Errorf("the chart with next to nothing has %q", gone)
		}
	}
	for runtime, socket := range map[string]string{
		"containerd": "/host/run/containerd/containerd.sock", "crio": "/host/run/crio/crio.sock", "k3s": "/host/run/k3s/containerd/containerd.sock", "docker": "/host/run/docker.sock",
	} {
		if out := render(t, "--set", "runtime="+runtime); !strings.Contains(out, "--runtime-endpoint="+socket+"\n") {
			t.Errorf("runtime %s does not use %s", runtime, socket)
		}
	}
	cmd := exec.CommandContext(t.Context(), helm(t), "template", chart, "--kube-version", "1.34.0", "--set", "runtime=podman")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), `"podman" is none of`) {
		t.Errorf("runtime podman gives %v: %s", err, out)
	}
	old := run(t, "", ".", helm(t), "template", "descry", chart, "--kube-version", "1.28.0")
	if !strings.Contains(old, "container.apparmor.security.beta.kubernetes.io/agent: unconfined") || strings.Contains(old, "appArmorProfile") {
		t.Error("Kubernetes before 1.30 has AppArmor in an annotation")
	}
}
