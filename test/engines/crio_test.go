package engines

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// crio is a node with CRI-O, and who asks it what a kubelet asks.
type crio struct {
	*node
	cri.RuntimeServiceClient
}

const podUID = "11111111-2222-3333-4444-555555555555"

func newCRIO(n *node) *crio {
	n.t.Helper()
	for _, p := range []string{"crio", "pinns", "conmon", "runc"} {
		need(n.t, p)
	}
	podman(n) // its store is CRI-O's, and this brings an image in
	n.file("/etc/crio/crio.conf", `[crio]
storage_driver = "overlay"
[crio.api]
listen = "/run/crio/crio.sock"
[crio.runtime]
cgroup_manager = "cgroupfs"
conmon_cgroup = "pod"
default_runtime = "runc"
pinns_path = "`+need(n.t, "pinns")+`"
selinux = false
[crio.runtime.runtimes.runc]
runtime_path = "`+need(n.t, "runc")+`"
monitor_path = "`+need(n.t, "conmon")+`"
[crio.image]
pause_image = "`+image+`"
pause_command = "/programs/null"
signature_policy = "/etc/containers/policy.json"
[crio.network]
network_dir = "/etc/cni/net.d"
`)
	n.daemon("crio", "crio", "--config", "/etc/crio/crio.conf")
	at := fmt.Sprintf("/proc/%d/root/run/crio/crio.sock", n.pid)
	n.until("CRI-O listens", func() bool { return exists(at) })
	conn, err := grpc.NewClient("unix://"+at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	return &crio{n, cri.NewRuntimeServiceClient(conn)}
}

func (c *crio) ctx() context.Context {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	c.t.Cleanup(stop)
	return ctx
}

func (c *crio) sandbox() (string, *cri.PodSandboxConfig) {
	c.t.Helper()
	labels := map[string]string{"io.kubernetes.pod.name": "cart", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": podUID, "team": "checkout"}
	config := &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: "cart", Namespace: "shop", Uid: podUID}, Labels: labels,
		LogDirectory: "/var/log/pods/shop_cart_" + podUID,
		Linux: &cri.LinuxPodSandboxConfig{CgroupParent: "/kubepods/besteffort/pod" + podUID,
			SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER}}},
	}
	r, err := c.RunPodSandbox(c.ctx(), &cri.RunPodSandboxRequest{Config: config})
	if err != nil {
		c.t.Fatal(err)
	}
	return r.PodSandboxId, config
}

// begin makes a container of a pod and starts it.
func (c *crio) begin(sandbox string, pod *cri.PodSandboxConfig, name string, attempt uint32, memory int64, script string) string {
	c.t.Helper()
	config := &cri.ContainerConfig{
		Metadata: &cri.ContainerMetadata{Name: name, Attempt: attempt}, Image: &cri.ImageSpec{Image: image, UserSpecifiedImage: image}, Command: []string{"/bin/sh", "-c", script},
		Labels:      map[string]string{"io.kubernetes.container.name": name, "io.kubernetes.pod.name": "cart", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": podUID},
		Annotations: map[string]string{"io.kubernetes.container.restartCount": fmt.Sprint(attempt)},
		Mounts:      []*cri.Mount{{ContainerPath: "/usr", HostPath: "/usr", Readonly: true}},
		LogPath:     fmt.Sprintf("%s/%d.log", name, attempt),
		Linux:       &cri.LinuxContainerConfig{Resources: &cri.LinuxContainerResources{MemoryLimitInBytes: memory}, SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: pod.Linux.SecurityContext.NamespaceOptions}},
	}
	c.run("mkdir", "-p", pod.LogDirectory+"/"+name)
	r, err := c.CreateContainer(c.ctx(), &cri.CreateContainerRequest{PodSandboxId: sandbox, Config: config, SandboxConfig: pod})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.StartContainer(c.ctx(), &cri.StartContainerRequest{ContainerId: r.ContainerId}); err != nil {
		c.t.Fatal(err)
	}
	return r.ContainerId
}

func TestCRIO(t *testing.T) {
	c := newCRIO(newNode(t, "hybrid"))
	a := newAgent(c.node)
	a.watch()
	sandbox, pod := c.sandbox()
	c.begin(sandbox, pod, "fails", 0, 0, fails)
	c.begin(sandbox, pod, "fails", 1, 0, fails)
	c.begin(sandbox, pod, "hog", 0, 32<<20, hogs)
	c.begin(sandbox, pod, "null", 0, 0, "exec /programs/null")
	for name, want := range map[string]struct {
		code  int32
		cause string
		lives int
	}{"fails": {3, "exit-error", 2}, "hog": {137, "memory-limit", 1}, "null": {139, "invalid-access", 1}} {
		for i := range want.lives {
			x := a.death(name, i)
			if s := x.Subject; s.Pod != "cart" || s.Namespace != "shop" || s.PodUID != podUID || s.Image != image || s.Labels["team"] != "checkout" {
				t.Errorf("%s: %+v", name, s)
			}
			if x.Death.ExitCode != want.code || len(x.Findings) == 0 || x.Findings[0].Cause != want.cause || outputOf(x).Missing != "" {
				t.Error(show(x))
			}
			if name == "fails" && (x.LastOutput == nil || !strings.Contains(string(x.LastOutput.Stderr), "no such key")) {
				t.Error(show(x), x.LastOutput)
			}
		}
	}
	if counts := a.deaths("fails"); counts[0].Subject.RestartCount+counts[1].Subject.RestartCount != 1 {
		t.Error("restarts:", show(counts[0]), show(counts[1]))
	}
	beyond := c.begin(sandbox, pod, "beyond", 0, 0, waits)
	a.named("beyond")
	a.end(syscall.SIGKILL)
	a.watch()
	a.until("it is named again", func() bool { return a.subject("beyond") != nil })
	a.touch("beyond")
	if x := a.death("beyond", 0); x.Death.ExitCode != 7 || x.Subject.ContainerID != beyond {
		t.Error(show(x))
	}
	a.none()
}
