package container

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Answers in the shapes of Docker's Engine API, v1.47, as its documentation has them. test/engines runs real ones.
const (
	dockerVersion = `{"Platform":{"Name":"Docker Engine - Community"},"Components":[{"Name":"Engine","Version":"27.3.1","Details":{"ApiVersion":"1.47"}}],"Version":"27.3.1","ApiVersion":"1.47","MinAPIVersion":"1.24","Os":"linux","Arch":"amd64"}`

	dockerListWeb = `{"Id":"%s","Names":["/web"],"Image":"nginx:1.27","ImageID":"sha256:aa","Command":"/docker-entrypoint.sh nginx","Created":1732276800,"Ports":[{"PrivatePort":80,"Type":"tcp"}],"Labels":{"com.docker.compose.project":"shop"},"State":"running","Status":"Up 2 minutes","HostConfig":{"NetworkMode":"bridge"},"Mounts":[]}`

	dockerInspectWeb = `{"Id":"` + dockerWebID + `","Created":"2024-11-22T12:00:00.123456789Z","Path":"/docker-entrypoint.sh","Args":["nginx"],
"State":{"Status":"running","Running":true,"Paused":false,"Restarting":false,"OOMKilled":false,"Dead":false,"Pid":4242,"ExitCode":0,"Error":"","StartedAt":"2024-11-22T12:00:01.5Z","FinishedAt":"0001-01-01T00:00:00Z"},
"Image":"sha256:aa","LogPath":"/var/lib/docker/containers/` + dockerWebID + `/` + dockerWebID + `-json.log","Name":"/web","RestartCount":2,"Driver":"overlay2",
"Config":{"Hostname":"x","Env":["PATH=/bin"],"Image":"nginx:1.27","Labels":{"com.docker.compose.project":"shop","team":"web"}}}`

	dockerInspectDead = `{"Id":"%s","Created":"2024-11-22T12:00:00Z","State":{"Status":"exited","Running":false,"OOMKilled":true,"Dead":false,"Pid":0,"ExitCode":137,"Error":"","StartedAt":"2024-11-22T12:00:01Z","FinishedAt":"2024-11-22T12:00:09Z"},"Image":"sha256:bb","Name":"/worker","RestartCount":0,"Config":{"Image":"","Labels":{}}}`

	// As cri-dockerd makes it.
	dockerInspectPod = `{"Id":"%s","Created":"2024-11-22T12:00:00Z","State":{"Status":"running","Pid":7,"StartedAt":"2024-11-22T12:00:01Z","FinishedAt":"0001-01-01T00:00:00Z"},"Image":"sha256:cc","Name":"/k8s_app_cart_shop_uid_4","LogPath":"/var/lib/docker/x.log","Config":{"Image":"cart@sha256:cc","Labels":{"annotation.io.kubernetes.container.restartCount":"4","io.kubernetes.container.logpath":"/var/log/pods/x/app/4.log","io.kubernetes.container.name":"app","io.kubernetes.docker.type":"container","io.kubernetes.pod.name":"cart","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"` + uid + `","io.kubernetes.sandbox.id":"s"}}}`

	dockerDie = `{"status":"die","id":"` + dockerGoneID + `","from":"busybox","Type":"container","Action":"die","Actor":{"ID":"` + dockerGoneID + `","Attributes":{"execDuration":"3","exitCode":"42","image":"busybox","name":"brief","team":"x"}},"scope":"local","time":1732276830,"timeNano":1995276830500000000}`

	dockerDestroy = `{"Type":"container","Action":"destroy","Actor":{"ID":"` + dockerGoneID + `","Attributes":{"image":"busybox","name":"brief","team":"x"}},"scope":"local","time":1732276831,"timeNano":1995276831000000000}`

	dockerWebID  = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	dockerGoneID = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// engine answers as Docker's does.
type engine struct {
	mu      sync.Mutex
	list    []string
	inspect map[string]string
	past    []string // events that it kept
	live    chan string
	since   []string
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch path := r.URL.Path; {
	case path == "/version":
		fmt.Fprintln(w, dockerVersion)
	case path == "/containers/json" && r.URL.Query().Get("all") == "1":
		fmt.Fprintf(w, "[%s]\n", strings.Join(e.list, ","))
	case path == "/events":
		e.since = append(e.since, r.URL.Query().Get("since"))
		for _, p := range e.past {
			fmt.Fprintln(w, p)
		}
		w.(http.Flusher).Flush()
		e.mu.Unlock()
		defer e.mu.Lock()
		for {
			select {
			case line := <-e.live:
				if line == "" {
					return
				}
				fmt.Fprintln(w, line)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	default:
		id := strings.TrimSuffix(strings.TrimPrefix(path, "/containers/"), "/json")
		if text, ok := e.inspect[id]; ok {
			fmt.Fprintln(w, text)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"message":"No such container: %s"}`, id)
	}
}

func TestDocker(t *testing.T) {
	e := &engine{live: make(chan string), inspect: map[string]string{}}
	e.list = []string{fmt.Sprintf(dockerListWeb, dockerWebID), fmt.Sprintf(strings.ReplaceAll(dockerListWeb, "running", "exited"), nth(5)), fmt.Sprintf(dockerListWeb, nth(6))}
	e.inspect[dockerWebID] = dockerInspectWeb
	e.inspect[nth(5)], e.inspect[nth(6)] = fmt.Sprintf(dockerInspectDead, nth(5)), fmt.Sprintf(dockerInspectPod, nth(6))
	e.past = []string{dockerDie, dockerDestroy}
	path := socket(t)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: e}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	said := &lines{}
	r := running(t, Options{Endpoints: []string{"docker://" + path}, Log: said.log})
	<-r.Synced()
	got, _ := r.Get(dockerWebID)
	want := Info{Ref: Ref{ID: dockerWebID, Runtime: "docker"}, Container: "web", Image: "nginx:1.27", Labels: map[string]string{"com.docker.compose.project": "shop", "team": "web"},
		Attempt: 2, LogPath: "/var/lib/docker/containers/" + dockerWebID + "/" + dockerWebID + "-json.log", PID: 4242,
		CreatedAt: time.Date(2024, 11, 22, 12, 0, 0, 123456789, time.UTC), StartedAt: time.Date(2024, 11, 22, 12, 0, 1, 5e8, time.UTC), State: StateRunning}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if i, _ := r.Get(nth(5)); i.ExitCode != 137 || i.Reason != "OOMKilled" || i.State != StateExited || i.Image != "sha256:bb" || i.FinishedAt.Second() != 9 {
		t.Errorf("the dead: %+v", i)
	}
	if i, _ := r.Get(nth(6)); i.Pod != "cart" || i.Container != "app" || i.Namespace != "shop" || i.Attempt != 4 || i.PodUID != uid || i.LogPath != "/var/log/pods/x/app/4.log" || len(i.Labels) != 1 {
		t.Errorf("one of a pod: %+v", i)
	}
	// What was removed meanwhile is named by the events that the engine kept.
	until(t, "what is gone", func() bool { i, _ := r.Get(dockerGoneID); return i.Removed })
	if i, _ := r.Get(dockerGoneID); i.ExitCode != 42 || i.Container != "brief" || i.Image != "busybox" || i.State != StateExited || i.FinishedAt.IsZero() {
		t.Errorf("what is gone: %+v", i)
	}
	// It dies and is started again under the same id.
	e.mu.Lock()
	e.inspect[dockerWebID] = strings.NewReplacer(`"Status":"running"`, `"Status":"exited"`, `"Pid":4242,"ExitCode":0`, `"Pid":0,"ExitCode":1`, "0001-01-01T00:00:00Z", "2024-11-22T12:01:00Z").Replace(dockerInspectWeb)
	e.mu.Unlock()
	e.live <- strings.ReplaceAll(dockerDie, dockerGoneID, dockerWebID)
	until(t, "its death", func() bool { i, _ := r.Get(dockerWebID); return i.State == StateExited && i.ExitCode == 1 })
	e.mu.Lock()
	e.inspect[dockerWebID] = strings.NewReplacer("12:00:01.5Z", "12:01:01Z", "0001-01-01T00:00:00Z", "2024-11-22T12:01:00Z", "4242", "4243").Replace(dockerInspectWeb)
	e.mu.Unlock()
	e.live <- strings.NewReplacer(dockerGoneID, dockerWebID, `"Action":"die"`, `"Action":"start"`).Replace(dockerDie)
	until(t, "its next life", func() bool {
		i, _ := r.Get(dockerWebID)
		return i.State == StateRunning && i.PID == 4243 && i.ExitCode == 0
	})
	// The stream ends, and begins anew where it ended.
	e.live <- ""
	until(t, "a new stream", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return len(e.since) == 2 })
	if e.since[1] != "1995276831.000000000" {
		t.Errorf("it begins at %v", e.since)
	}
	if i, ok := r.Wait(t.Context(), Ref{ID: nth(6)}); !ok || i.PID != 7 {
		t.Errorf("%+v", i)
	}
}

// What engines say of a container that they start again, and of where its output goes: Docker 20.10, Podman 4.3.
func TestDockerLives(t *testing.T) {
	for _, c := range []struct {
		what, text string
		want       Info
	}{
		{"Docker counts the life that is to come", `{"Id":"x","State":{"Status":"restarting","Running":true,"Restarting":true,"Pid":0,"ExitCode":3,"StartedAt":"2026-11-23T03:33:55Z","FinishedAt":"2026-11-23T03:33:56Z"},"Name":"/again","RestartCount":1,"HostConfig":{"LogConfig":{"Type":"json-file","Config":{}}},"Config":{"Image":"i"}}`,
			Info{Attempt: 0, State: StateExited, ExitCode: 3, Reason: "Error", LogDriver: "json-file"}},
		{"and that which runs", `{"Id":"x","State":{"Status":"running","Running":true,"Pid":7,"StartedAt":"2026-11-23T03:33:55Z","FinishedAt":"2026-11-23T03:33:54Z"},"Name":"/again","RestartCount":1,"HostConfig":{"LogConfig":{"Type":"local"}},"Config":{"Image":"i"}}`,
			Info{Attempt: 1, State: StateRunning, LogDriver: "local"}},
		{"the last one is over", `{"Id":"x","State":{"Status":"exited","ExitCode":3,"StartedAt":"2026-11-23T03:33:55Z","FinishedAt":"2026-11-23T03:33:56Z"},"Name":"/again","RestartCount":2,"HostConfig":{"LogConfig":{"Type":"none"}},"Config":{"Image":"i"}}`,
			Info{Attempt: 2, State: StateExited, ExitCode: 3, Reason: "Error", LogDriver: "none"}},
	} {
		got, err := readDockerContainer(strings.NewReader(c.text), "docker")
		if err != nil || got.Attempt != c.want.Attempt || got.State != c.want.State || got.ExitCode != c.want.ExitCode || got.Reason != c.want.Reason || got.LogDriver != c.want.LogDriver {
			t.Errorf("%s: %+v, %v", c.what, got, err)
		}
	}
	// Somebody starts it by hand: the count begins anew.
	at := func(s int) time.Time { return time.Date(2026, 11, 23, 3, 0, s, 0, time.UTC) }
	if i := merge(Info{Attempt: 5, State: StateExited, StartedAt: at(1), FinishedAt: at(2)}, Info{State: StateRunning, StartedAt: at(3)}); i.Attempt != 0 || i.State != StateRunning {
		t.Errorf("%+v", i)
	}
}
