package engines

import (
	"archive/tar"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

const image = "local.test/programs:1"

// engine is a node with Docker or Podman, whose commands take the same arguments.
type engine struct {
	*node
	command string
	daemon  *exec.Cmd
}

// dockerFlags: it has no network and needs no iptables; a machine may forbid to lower oom_score_adj.
var dockerFlags = []string{"--iptables=false", "--ip6tables=false", "--bridge=none", "--oom-score-adjust=0", "--storage-driver=overlay2", "--live-restore"}

// docker starts Docker's daemon.
func docker(n *node) *engine {
	n.t.Helper()
	for _, p := range []string{"dockerd", "containerd", "runc", "docker"} {
		need(n.t, p)
	}
	e := &engine{node: n, command: "docker"}
	e.start()
	e.run("docker", "import", e.image(), image)
	return e
}

func (e *engine) start() {
	e.t.Helper()
	e.daemon = e.node.daemon("dockerd", append([]string{"dockerd"}, dockerFlags...)...)
	e.until("Docker answers", func() bool { _, err := e.try("docker", "version"); return err == nil })
}

// podman starts the service that speaks Docker's API.
func podman(n *node) *engine {
	n.t.Helper()
	runtime := "crun"
	if n.layout == "v2" { // where crun sets a limit that root may not set here
		runtime = "runc"
	}
	for _, p := range []string{"podman", runtime} {
		need(n.t, p)
	}
	n.file("/etc/containers/policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
	n.file("/etc/containers/registries.conf", "")
	n.file("/etc/containers/storage.conf", `[storage]
driver = "overlay"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
`)
	// Its own defaults of limits are above what root may set here.
	n.file("/etc/containers/containers.conf", `[containers]
netns = "none"
log_driver = "k8s-file"
default_sysctls = []
pids_limit = 0
default_ulimits = ["nofile=1024:1024", "nproc=8192:8192"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "`+runtime+`"
`)
	e := &engine{node: n, command: "podman"}
	e.run("mkdir", "-p", "/run/podman")
	e.daemon = n.daemon("podman", "podman", "system", "service", "-t", "0", "unix:///run/podman/podman.sock")
	e.until("Podman answers", func() bool {
		_, err := e.try("podman", "--url", "unix:///run/podman/podman.sock", "version")
		return err == nil
	})
	e.run("podman", "import", e.image(), image)
	return e
}

// file writes a file of the node.
func (n *node) file(path, text string) {
	n.t.Helper()
	n.run("sh", "-c", `mkdir -p "$(dirname "$1")" && rm -f "$1" && printf %s "$2" >"$1"`, "sh", path, text)
}

// image is a tar of a root file system: one program, and links to where the machine's are mounted.
func (n *node) image() string {
	n.t.Helper()
	file := n.at("image.tar")
	f, err := os.Create(file)
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	null := read(filepath.Join(programs(n.t), "null"))
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "usr/", Mode: 0o755}, {Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, {Typeflag: tar.TypeDir, Name: "etc/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "programs/", Mode: 0o755}, {Typeflag: tar.TypeDir, Name: "scenarios/", Mode: 0o755},
		{Typeflag: tar.TypeSymlink, Name: "bin", Linkname: "usr/bin"}, {Typeflag: tar.TypeSymlink, Name: "lib", Linkname: "usr/lib"},
		{Typeflag: tar.TypeSymlink, Name: "lib64", Linkname: "usr/lib64"}, {Typeflag: tar.TypeReg, Name: "programs/null", Mode: 0o755, Size: int64(len(null))},
	} {
		if err := w.WriteHeader(&h); err != nil {
			n.t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(null)); err != nil {
				n.t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		n.t.Fatal(err)
	}
	return file
}

// box starts a container, which runs sh -c script unless script is another program's path.
func (e *engine) box(name, options, script string) {
	e.t.Helper()
	here, err := filepath.Abs("../scenarios")
	if err != nil {
		e.t.Fatal(err)
	}
	args := []string{e.command, "run", "-d", "--name", name, "--network", "none", "-v", "/usr:/usr:ro", "-v", here + ":/scenarios:ro"}
	args = append(append(args, strings.Fields(options)...), image)
	if strings.HasPrefix(script, "/") {
		args = append(args, script)
	} else {
		args = append(args, "sh", "-c", script)
	}
	e.run(args...)
}

const (
	fails = "sleep 0.3; echo working; echo 'no such key' >&2; exit 3"
	leaks = `exec python3 -c "import time
time.sleep(0.3)
kept = []
while True: kept.append(open('/etc/hosts'))"`
	hogs = `exec python3 -c "kept = []
while True: kept.append(bytes(1 << 20))"`
	waits = "while [ ! -e /tmp/go ]; do sleep 0.1; done; exit 7"
)

// end is a container that dies, and what its case has to say.
type end struct {
	name, options, script string
	code                  int32
	cause                 string
	log                   string // in its last output; "": none of it is read
	unread                string // why; "": it is read
	oom                   bool
}

var ends = []end{
	{name: "fds", options: "--label team=checkout --ulimit nofile=64:64 --ulimit nproc=1024:1024", script: leaks, code: 1, cause: "fd-limit", log: "Too many open files"},
	{name: "null", script: "/programs/null", code: 139, cause: "invalid-access", log: "orders loaded"},
	{name: "hog", options: "-m 32m", script: hogs, code: 137, cause: "memory-limit", oom: true},
	{name: "fails", script: fails, code: 3, cause: "exit-error", log: "no such key"},
	{name: "quick", script: "echo 'no such key' >&2; exit 3", code: 3, cause: "exit-error", log: "no such key"},
	{name: "removed", options: "--rm", script: fails, code: 3, cause: "exit-error", log: "no such key"},
	{name: "terminal", options: "-t", script: fails, code: 3, cause: "exit-error", log: "no such key"},
	{name: "unlogged", options: "--log-driver none", script: fails, code: 3, cause: "exit-error", unread: "log driver none"},
}

// die starts containers that die, and reads their cases.
func (e *engine) die(a *agent, ends []end) {
	e.t.Helper()
	for _, x := range ends {
		e.box(x.name, x.options, x.script)
	}
	for _, x := range ends {
		c := a.death(x.name, 0)
		if len(a.deaths(x.name)) != 1 || c.Death.ExitCode != x.code || c.Death.Unseen || c.Death.OOMKilled != x.oom || len(c.Findings) == 0 || c.Findings[0].Cause != x.cause {
			e.t.Errorf("%s: want exit code %d of %s\n%s", x.name, x.code, x.cause, show(c))
		}
		if s := c.Subject; s.Image != image || s.RestartCount != 0 || len(s.ContainerID) != 64 || s.Pod != "" || x.name == "fds" && s.Labels["team"] != "checkout" {
			e.t.Errorf("%s: %+v", x.name, s)
		}
		log := ""
		if c.LastOutput != nil {
			log = string(c.LastOutput.Stdout) + string(c.LastOutput.Stderr)
		}
		output := outputOf(c)
		if !strings.Contains(log, x.log) || x.unread == "" && (output.Missing != "" || output.By != "its log") || !strings.Contains(output.Missing, x.unread) {
			e.t.Errorf("%s: its log: %q, %+v", x.name, log, output)
		}
	}
}

// again is one that is started again by its engine, under the same id: each life has a case, its number, and the log goes on.
func (e *engine) again(a *agent) {
	e.t.Helper()
	e.box("again", "--restart on-failure:2", "sleep 0.3; date +life-%N; exit 4")
	const lives = 3
	a.death("again", lives-1)
	all := a.deaths("again")
	slices.SortFunc(all, func(x, y *evidence.Case) int { return x.Death.At.Compare(y.Death.At) }) // a slow engine's word is waited for, also beyond the next death
	for i, c := range all {
		if c.Subject.RestartCount != int64(i) || c.Death.ExitCode != 4 || c.LastOutput == nil || strings.Count(string(c.LastOutput.Stdout), "life-") != i+1 {
			e.t.Errorf("life %d: %s, %+v", i, show(c), c.LastOutput)
		}
	}
}

// lives is what stays: a command that is run in it and fails is no case, one that crashes is one of its own kind; and who is
// stopped or killed by its engine has none.
func (e *engine) lives(a *agent) {
	e.t.Helper()
	e.box("stays", "", "while sleep 0.1; do :; done")
	for _, command := range []string{"exit 9", "/programs/null"} {
		if _, err := e.try(e.command, "exec", "stays", "sh", "-c", command); err == nil {
			e.t.Errorf("%s was meant to fail", command)
		}
	}
	e.box("stopped", "", "trap 'exit 1' TERM; while sleep 0.1; do :; done")
	e.box("killed", "", "while sleep 0.1; do :; done")
	e.run(e.command, "stop", "stopped")
	e.run(e.command, "kill", "killed")
	e.until("the case of the command", func() bool {
		for _, c := range a.cases() {
			if c.Subject.Container == "stays" {
				return c.Kind == "child-death" && c.Death.ExitCode == 139
			}
		}
		return false
	})
}

// gap is a time without an agent: what died then is filled in from what the engine knows. Who lived through it is watched.
func (e *engine) gap(a *agent, more ...string) {
	e.t.Helper()
	e.box("before", "", waits)
	e.box("beyond", "", waits)
	a.named("beyond")
	a.end(syscall.SIGKILL)
	e.run(e.command, "exec", "before", "touch", "/tmp/go")
	e.box("within", "", fails)
	e.box("withinGone", "--rm", fails)
	for _, name := range more {
		e.box(name, "-m 32m", hogs)
	}
	e.run(append([]string{e.command, "wait", "before", "within"}, more...)...)
	time.Sleep(time.Second) // the one that is removed: there is nothing to wait for
	a.watch()
	codes := map[string]int32{"before": 7, "within": 3, "withinGone": 3}
	for _, name := range more {
		if e.run(e.command, "inspect", "-f", "{{.State.OOMKilled}}", name) == "true" { // engines miss it at times
			codes[name] = 137
		} else {
			e.t.Logf("%s does not say that %s was killed for memory", e.command, name)
		}
	}
	for name, code := range codes {
		if c := a.death(name, 0); !c.Death.Unseen || c.Death.ExitCode != code || c.Subject.Image != image || c.Death.OOMKilled != (code == 137) || outputOf(c).Missing == "" {
			e.t.Error(show(c))
		}
	}
	e.run(e.command, "exec", "beyond", "touch", "/tmp/go")
	if c := a.death("beyond", 0); c.Death.Unseen || c.Death.ExitCode != 7 || outputOf(c).Missing != "" {
		e.t.Error(show(c))
	}
}

// none says that these have no case of a death.
func (a *agent) none(names ...string) {
	a.t.Helper()
	for _, name := range names {
		for _, c := range a.deaths(name) {
			a.t.Errorf("a case of what is none: %s", show(c))
		}
	}
	for _, c := range a.cases() {
		if c.Subject.Container == "" {
			a.t.Errorf("a case without a name: %s", show(c))
		}
	}
}

func TestDocker(t *testing.T) {
	e := docker(newNode(t, "hybrid"))
	a := newAgent(e.node)
	a.watch()
	e.die(a, append(ends[:len(ends):len(ends)], end{name: "init", options: "--init", script: "sleep 0.3; kill -ABRT $$", code: 134, cause: "assertion"}, end{name: "local", options: "--log-driver local", script: fails, code: 3, cause: "exit-error", unread: `log driver "local"`}))
	e.again(a)
	e.lives(a)
	// Turned over many times within a moment, with a single old file kept; and once in a while.
	e.box("rotated", "--log-opt max-size=20k --log-opt max-file=2", "sleep 0.3; for i in $(seq 5000); do echo order $i is booked and paid; done; exit 5")
	e.box("turned", "--log-opt max-size=20k --log-opt max-file=2", "for j in 1 2 3 4 5 6 7; do sleep 0.3; for i in $(seq 40); do echo order $i is booked and paid; done; done; echo 'no more orders'; exit 5")
	c := a.death("rotated", 0)
	if v := outputOf(c); !strings.Contains(string(c.LastOutput.Stdout), "order 5000 is") || v.Lost == 0 || c.LastOutput.StdoutBytes >= 5000*20 {
		t.Errorf("a log that was turned over: %d bytes on stdout, %+v", c.LastOutput.StdoutBytes, v)
	}
	c = a.death("turned", 0)
	if v := outputOf(c); !strings.HasSuffix(string(c.LastOutput.Stdout), "no more orders\n") || v.Lost != 0 || c.LastOutput.StdoutBytes < 7*40*20 {
		t.Errorf("a log that was turned over: %d bytes on stdout, %+v", c.LastOutput.StdoutBytes, v)
	}
	a.none("stays", "stopped", "killed")
}

// An agent that is killed, and a daemon that is restarted.
func TestDockerGap(t *testing.T) {
	e := docker(newNode(t, "hybrid"))
	a := newAgent(e.node)
	a.watch()
	e.gap(a, "withinHog")
	// The daemon is restarted, and a container dies while there is none.
	e.box("orphan", "", waits)
	a.named("orphan")
	_ = e.daemon.Process.Signal(syscall.SIGTERM)
	_ = e.daemon.Wait()
	a.touch("orphan")
	if c := a.death("orphan", 0); c.Death.Unseen || c.Death.ExitCode != 7 {
		t.Error(show(c))
	}
	e.start()
	e.box("after", "", fails)
	if c := a.death("after", 0); c.Death.ExitCode != 3 || c.Subject.Image != image {
		t.Error(show(c))
	}
	a.none()
}

func TestPodman(t *testing.T) {
	e := podman(newNode(t, "hybrid"))
	a := newAgent(e.node)
	a.watch()
	e.die(a, ends)
	e.again(a)
	e.lives(a)
	e.gap(a) // without an OOM kill: Podman 4.3 never tells of it on cgroup v1
	a.none("stays", "stopped", "killed")
}

// The same on machines with one version of cgroups alone. On version 2 as it is here there are no limits.
func TestLayouts(t *testing.T) {
	for _, layout := range []string{"v1", "v2"} {
		for name, start := range map[string]func(*node) *engine{"docker": docker, "podman": podman} {
			t.Run(name+" "+layout, func(t *testing.T) {
				e := start(newNode(t, layout))
				a := newAgent(e.node)
				a.watch()
				for _, x := range ends {
					if x.name == "null" || x.name == "fails" || x.name == "hog" && layout == "v1" {
						e.die(a, []end{x})
					}
				}
				a.none()
			})
		}
	}
}
