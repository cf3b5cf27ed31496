package container

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// server is a CRI runtime by grpc-go and Kubernetes' own types: what descry's small client must understand.
type server struct {
	v1.UnimplementedRuntimeServiceServer

	mu        sync.Mutex
	release   string
	boxes     []*v1.PodSandboxStatus
	statuses  []*v1.ContainerStatus
	box       map[string]string // of each container
	verbose   map[string]string
	events    []*v1.ContainerEventResponse
	listeners int
	fails     map[string]error
}

func (s *server) Version(context.Context, *v1.VersionRequest) (*v1.VersionResponse, error) {
	return &v1.VersionResponse{Version: "0.1.0", RuntimeName: "containerd", RuntimeVersion: s.release, RuntimeApiVersion: "v1"}, nil
}

func (s *server) ListPodSandbox(context.Context, *v1.ListPodSandboxRequest) (*v1.ListPodSandboxResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &v1.ListPodSandboxResponse{}
	for _, b := range s.boxes {
		out.Items = append(out.Items, &v1.PodSandbox{Id: b.Id, Metadata: b.Metadata, State: b.State, CreatedAt: b.CreatedAt, Labels: b.Labels, Annotations: b.Annotations})
	}
	return out, nil
}

func (s *server) ListContainers(context.Context, *v1.ListContainersRequest) (*v1.ListContainersResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &v1.ListContainersResponse{}
	for _, c := range s.statuses {
		out.Containers = append(out.Containers, &v1.Container{Id: c.Id, PodSandboxId: s.box[c.Id], Metadata: c.Metadata,
			Image: &v1.ImageSpec{Image: "sha256:" + strings.Repeat("1", 64)}, ImageRef: c.ImageRef, State: c.State, CreatedAt: c.CreatedAt, Labels: c.Labels, Annotations: c.Annotations})
	}
	return out, nil
}

func (s *server) ContainerStatus(_ context.Context, r *v1.ContainerStatusRequest) (*v1.ContainerStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fails[r.ContainerId]; err != nil {
		return nil, err
	}
	for _, c := range s.statuses {
		if c.Id == r.ContainerId {
			out := &v1.ContainerStatusResponse{Status: c}
			if v := s.verbose[c.Id]; r.Verbose && v != "" {
				out.Info = map[string]string{"info": v, "other": "x"}
			}
			return out, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "an error occurred when try to find container %q: not found", r.ContainerId)
}

func (s *server) PodSandboxStatus(_ context.Context, r *v1.PodSandboxStatusRequest) (*v1.PodSandboxStatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.boxes {
		if b.Id == r.PodSandboxId {
			return &v1.PodSandboxStatusResponse{Status: b, Info: map[string]string{"info": `{"pid": 77}`}}, nil
		}
	}
	return nil, status.Error(codes.NotFound, "not found")
}

func (s *server) GetContainerEvents(_ *v1.GetEventsRequest, stream v1.RuntimeService_GetContainerEventsServer) error {
	s.mu.Lock()
	s.listeners++
	events := slices.Clone(s.events)
	s.mu.Unlock()
	for _, e := range events {
		if err := stream.Send(e); err != nil {
			return err
		}
	}
	<-stream.Context().Done()
	s.mu.Lock()
	s.listeners--
	s.mu.Unlock()
	return nil
}

// socket gives a path that is short enough.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "descry")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// serve serves until the test ends, or the function is called.
func serve(t *testing.T, s *server, path string) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	v1.RegisterRuntimeServiceServer(g, s)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	return g.Stop
}

const applied = `{"apiVersion":"v1","kind":"Pod","spec":{"initContainers":[{"name":"setup","image":"x"}],"containers":[{"name":"app"}]}}`

// shop is a pod with an init container that has ended, and an app in its third life.
func shop() *server {
	labels := func(name string) map[string]string {
		return map[string]string{labelContainer: name, labelPod: "cart-7d9f", labelNamespace: "shop", labelUID: uid}
	}
	s := &server{release: "v2.1.4", box: map[string]string{}, verbose: map[string]string{}, fails: map[string]error{}}
	s.boxes = []*v1.PodSandboxStatus{{
		Id: nth(1), Metadata: &v1.PodSandboxMetadata{Name: "cart-7d9f", Namespace: "shop", Uid: uid, Attempt: 0}, State: v1.PodSandboxState_SANDBOX_READY,
		CreatedAt: noon.UnixNano(), Labels: map[string]string{"app": "cart", labelPod: "cart-7d9f", labelNamespace: "shop", labelUID: uid},
		Annotations: map[string]string{"descry.dev/nofile": "1000", noteApplied: applied, "kubernetes.io/config.source": "api"},
	}}
	s.statuses = []*v1.ContainerStatus{
		{Id: nth(2), Metadata: &v1.ContainerMetadata{Name: "setup"}, State: v1.ContainerState_CONTAINER_EXITED, CreatedAt: noon.Add(1e9).UnixNano(),
			StartedAt: noon.Add(2e9).UnixNano(), FinishedAt: noon.Add(3e9).UnixNano(), Reason: "Completed", Labels: labels("setup"),
			Image: &v1.ImageSpec{Image: "docker.io/library/busybox:1"}, LogPath: "/var/log/pods/shop_cart-7d9f_" + uid + "/setup/0.log"},
		{Id: nth(3), Metadata: &v1.ContainerMetadata{Name: "app", Attempt: 2}, State: v1.ContainerState_CONTAINER_RUNNING, CreatedAt: noon.Add(4e9).UnixNano(),
			StartedAt: noon.Add(5e9).UnixNano(), Labels: labels("app"), Annotations: map[string]string{noteRestarts: "12"},
			Image:   &v1.ImageSpec{Image: "sha256:" + strings.Repeat("2", 64), UserSpecifiedImage: "registry.example/cart:1.2"},
			LogPath: "/var/log/pods/shop_cart-7d9f_" + uid + "/app/12.log", Mounts: []*v1.Mount{{ContainerPath: "/x"}}},
	}
	s.box[nth(2)], s.box[nth(3)] = nth(1), nth(1)
	s.verbose[nth(3)] = `{"sandboxID":"` + nth(1) + `","pid":4242,"config":{"image":{"image":"x"}},"runtimeSpec":{"process":{"args":["a","a"]},"linux":{"cgroupsPath":"/kubepods/podX/` + nth(3) + `"}}}`
	return s
}

func TestCRI(t *testing.T) {
	s, path := shop(), socket(t)
	serve(t, s, path)
	r := running(t, Options{Endpoints: []string{path}})
	<-r.Synced()
	until(t, "all details", func() bool { i, _ := r.Get(nth(3)); j, _ := r.Get(nth(2)); return i.PID != 0 && j.LogPath != "" })
	got, _ := r.Get(nth(3))
	want := Info{Ref: Ref{ID: nth(3), Runtime: "containerd", PodUID: uid}, Namespace: "shop", Pod: "cart-7d9f", Container: "app",
		Image: "registry.example/cart:1.2", Labels: map[string]string{"app": "cart"}, Annotations: map[string]string{"descry.dev/nofile": "1000"},
		Attempt: 12, LogPath: "/var/log/pods/shop_cart-7d9f_" + uid + "/app/12.log", PID: 4242, CreatedAt: noon.Add(4e9), StartedAt: noon.Add(5e9),
		State: StateRunning, SandboxID: nth(1), Cgroup: "/kubepods/podX/" + nth(3)}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if i, _ := r.Get(nth(2)); !i.Init || i.State != StateExited || i.Reason != "Completed" || !i.FinishedAt.Equal(noon.Add(3e9)) || i.Image != "docker.io/library/busybox:1" {
		t.Errorf("the init container: %+v", i)
	}
	until(t, "the sandbox's pid", func() bool { i, _ := r.Get(nth(1)); return i.PID == 77 })
	if i, _ := r.Get(nth(1)); !i.Sandbox || i.Container != "" || i.Pod != "cart-7d9f" || i.State != StateRunning {
		t.Errorf("the sandbox: %+v", i)
	}
	// One of a new pod is asked for at once, sandbox and all.
	s.mu.Lock()
	s.boxes = append(s.boxes, &v1.PodSandboxStatus{Id: nth(11), Metadata: &v1.PodSandboxMetadata{Name: "new", Namespace: "n", Uid: static}, Labels: map[string]string{"app": "new"}})
	s.statuses = append(s.statuses, &v1.ContainerStatus{Id: nth(12), Metadata: &v1.ContainerMetadata{Name: "c"}, Labels: map[string]string{labelPod: "new"}})
	s.box[nth(12)], s.verbose[nth(12)] = nth(11), `{"sandboxID":"`+nth(11)+`"}`
	s.mu.Unlock()
	i, ok := r.Wait(t.Context(), Ref{ID: nth(12)})
	if !ok || i.Pod != "new" || i.Labels["app"] != "new" || i.State != StateCreated || i.Container != "c" {
		t.Errorf("the new one: %+v", i)
	}
	if i, ok := r.Wait(t.Context(), Ref{ID: nth(11)}); !ok || !i.Sandbox || i.PodUID != static {
		t.Errorf("its sandbox: %+v", i)
	}
	if st := r.Status(); len(st) != 1 || !st[0].Connected || st[0].Runtime != "containerd v2.1.4" || st[0].Events {
		t.Errorf("%+v", st)
	}
}

// What was removed while nobody looked is still named by the events that containerd 2 has kept; nobody goes on
// listening.
func TestCRIHistory(t *testing.T) {
	s, path := shop(), socket(t)
	gone := &v1.ContainerStatus{Id: nth(20), Metadata: &v1.ContainerMetadata{Name: "app", Attempt: 1}, State: v1.ContainerState_CONTAINER_EXITED, ExitCode: 139,
		StartedAt: noon.UnixNano(), FinishedAt: noon.Add(1e9).UnixNano(), Reason: "Error", Labels: map[string]string{labelPod: "was", labelContainer: "app"}}
	box := &v1.PodSandboxStatus{Id: nth(19), Metadata: &v1.PodSandboxMetadata{Name: "was"}, Labels: map[string]string{"app": "was"}}
	s.events = []*v1.ContainerEventResponse{
		{ContainerId: nth(20), ContainerEventType: v1.ContainerEventType_CONTAINER_STOPPED_EVENT, PodSandboxStatus: box, ContainersStatuses: []*v1.ContainerStatus{gone}},
		{ContainerId: nth(20), ContainerEventType: v1.ContainerEventType_CONTAINER_DELETED_EVENT, PodSandboxStatus: box},
		{ContainerId: nth(19), ContainerEventType: v1.ContainerEventType_CONTAINER_DELETED_EVENT, PodSandboxStatus: box},
	}
	serve(t, s, path)
	r := running(t, Options{Endpoints: []string{path}})
	until(t, "what is gone", func() bool { i, _ := r.Get(nth(20)); return i.Removed })
	if i, _ := r.Get(nth(20)); i.State != StateExited || i.ExitCode != 139 || i.Pod != "was" || i.Labels["app"] != "was" || i.Attempt != 1 {
		t.Errorf("%+v", i)
	}
	<-r.Synced()
	if died, _ := r.DiedSince(noon); len(died) != 2 {
		t.Errorf("died: %+v", died)
	}
	until(t, "the end of listening", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.listeners == 0 })
	// An older one is not listened to at all.
	old, path := shop(), socket(t)
	old.release = "1.7.28"
	old.events = s.events
	serve(t, old, path)
	r = running(t, Options{Endpoints: []string{path}})
	<-r.Synced()
	until(t, "details", func() bool { i, _ := r.Get(nth(3)); return i.PID != 0 })
	if _, ok := r.Get(nth(20)); ok {
		t.Error("events of an old containerd were taken from somebody")
	}
}

func TestCRIRestarts(t *testing.T) {
	s, path := shop(), socket(t)
	stop := serve(t, s, path)
	said := &lines{}
	r := running(t, Options{Endpoints: []string{path}, Log: said.log})
	<-r.Synced()
	stop()
	r.Need(Ref{ID: nth(30)})
	until(t, "it to be noticed", func() bool { return !r.Status()[0].Connected })
	if _, ok := r.Get(nth(3)); !ok {
		t.Error("what runs was forgotten")
	}
	s.mu.Lock()
	s.statuses = s.statuses[1:]
	s.mu.Unlock()
	serve(t, s, path)
	until(t, "it to be back, and one to be gone", func() bool { i, _ := r.Get(nth(2)); return r.Status()[0].Connected && i.Removed })
	if n := len(said.get()); n != 3 {
		t.Errorf("said %q", said.get())
	}
}

// One container that cannot be asked for does not end anything.
func TestCRIBrokenContainer(t *testing.T) {
	s, path := shop(), socket(t)
	s.fails[nth(2)] = status.Error(codes.Unknown, "failed to get task: \xe2\x80\xa6 "+strings.Repeat("long ", 1000))
	serve(t, s, path)
	said := &lines{}
	r := running(t, Options{Endpoints: []string{path}, Log: said.log})
	until(t, "the others", func() bool { i, _ := r.Get(nth(3)); return i.PID != 0 })
	i, ok := r.Get(nth(2))
	if !ok || i.Container != "setup" || i.State != StateExited || len(said.get()) != 1 {
		t.Errorf("%+v, said %q", i, said.get())
	}
}

// Whoever listens at the socket need not be a runtime.
func TestNoRuntimeAtTheSocket(t *testing.T) {
	for name, answer := range map[string]func(net.Conn){
		"closes at once":   func(c net.Conn) { c.Close() },
		"says nothing":     func(net.Conn) {},
		"speaks HTTP/1":    func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") },
		"sends noise":      func(c net.Conn) { _, _ = c.Write([]byte(strings.Repeat("\x00\xff\x10garbage", 10_000))) },
		"speaks half of 2": func(c net.Conn) { _, _ = c.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x04\x01")) },
	} {
		for _, docker := range []bool{false, true} {
			t.Run(fmt.Sprint(name, docker), func(t *testing.T) {
				t.Parallel()
				path := socket(t)
				l, err := net.Listen("unix", path)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { l.Close() })
				go func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						t.Cleanup(func() { c.Close() })
						answer(c)
					}
				}()
				if rt, err := openRuntime(endpoint{path: path, docker: docker}); err == nil {
					name, version := rt.about()
					t.Errorf("it is %q %q", name, version)
				}
			})
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openRuntime(endpoint{path: file}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a plain file: %v", err)
	}
	if _, err := openRuntime(endpoint{path: file + "x"}); !errors.Is(err, ErrAbsent) {
		t.Errorf("nothing: %v", err)
	}
	path := socket(t)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer() // containerd of a Docker has no CRI
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	if _, err := openRuntime(endpoint{path: path}); err == nil || !strings.Contains(err.Error(), "CRI") {
		t.Errorf("gRPC without the CRI: %v", err)
	}
}

// More containers than one HTTP/2 window holds.
func TestCRIManyContainers(t *testing.T) {
	s, path := shop(), socket(t)
	for n := range 2000 {
		s.statuses = append(s.statuses, &v1.ContainerStatus{Id: nth(1000 + n), Metadata: &v1.ContainerMetadata{Name: strings.Repeat("x", 3000)}})
	}
	serve(t, s, path)
	rt := newCRI(endpoint{path: path})
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	all, _, err := rt.list(ctx)
	if err != nil || len(all) != 2003 {
		t.Errorf("%d, %v", len(all), err)
	}
}
