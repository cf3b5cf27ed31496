//go:build linux

package probe

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// What the maps of a node take, empty and with what is bounded by it.
func TestMapMemory(t *testing.T) {
	g := newGrounds(t, "")
	w := openNode(t, g, Node{})
	var all uint64
	for name, m := range w.env.maps {
		info, err := m.Info()
		if err != nil {
			t.Fatal(err)
		}
		n, ok := info.Memlock()
		if !ok {
			t.Skip("needs a kernel that tells what a map takes")
		}
		all += n
		if n > 1<<20 {
			t.Logf("%s: %d KiB, at most %d entries of %d bytes", name, n>>10, m.MaxEntries(), m.KeySize()+m.ValueSize())
		}
	}
	t.Logf("all: %d KiB", all>>10)
	if all > 40<<20 {
		t.Errorf("the maps take %d MiB", all>>20)
	}
}

// Each layout: what is watched is the same.
var layouts = map[string][]string{
	"v2":     {""},
	"v1":     {"cpuset", "memory", "pids"},
	"hybrid": {"cpuset", "memory", "name=systemd", ""},
}

// feed gives a cpuset its processors: it begins without, and takes no process.
func (g *grounds) feed(path string) {
	for _, h := range g.dirs {
		if h.name != "cpuset" {
			continue
		}
		dir := h.dir
		for part := range strings.SplitSeq("./"+path, "/") {
			dir = filepath.Join(dir, part)
			for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
				b, _ := os.ReadFile(filepath.Join(filepath.Dir(dir), f))
				_ = os.WriteFile(filepath.Join(dir, f), b, 0o644)
			}
		}
	}
}

func TestContainers(t *testing.T) {
	for name, in := range layouts {
		t.Run(name, func(t *testing.T) {
			g := newGrounds(t, in...)
			w := openNode(t, g, Node{})
			w.need("probe/container")
			w.need("probe/exec")
			path := g.mkdir("kubepods/burstable/" + podUID + "/" + newID())
			k := g.sh(path, "/bin/true; (exit 3); exec /bin/sh -c 'exit 7'")
			outside := g.shell("/bin/true")
			outside.run()
			for _, st := range w.Status() {
				if without := name == "v1"; st.Name == "probe/drop" && (st.Missing != "") != without {
					t.Errorf("while a container runs: %+v", st)
				}
			}
			k.run()
			if st := k.end(); st.ExitStatus() != 7 {
				t.Fatalf("ended with %v", st)
			}
			empty := w.container(evidence.ContainerEmpty, path)
			g.remove(path)
			w.container(evidence.ContainerRemoved, path)
			w.flushed()

			all := w.ofSubject(empty.Subject)
			if got := strings.Join(actionsOf(all), " "); got != "started main empty removed" {
				t.Errorf("the container: %s", got)
			}
			first := all[0].Detail
			if d, ok := first.(*evidence.Container); !ok || d.Action != evidence.ContainerStarted || int(all[0].PID) != k.pid {
				t.Errorf("first of all came %T %+v of %d", first, first, all[0].PID)
			} else if st := new(unix.Stat_t); unix.Stat(filepath.Join(g.dirs[0].dir, path), st) == nil && st.Ino != d.CgroupID {
				t.Errorf("cgroup %d, want %d", d.CgroupID, st.Ino)
			}
			exits := 0
			for _, o := range all {
				if o.Kind() == evidence.KindExit {
					exits++
				}
			}
			if exits < 2 || exits > 3 { // some shells make no process for a subshell at their end
				t.Errorf("%d exits", exits)
			}
			if got := w.container(evidence.ContainerMain, path).PID; int(got) != k.pid {
				t.Errorf("main process %d, want %d", got, k.pid)
			}
			for _, o := range w.all(func(o *evidence.Observation) bool { return o.Subject != empty.Subject }) {
				t.Errorf("not of the container: %+v %+v", o, o.Detail)
			}
			if got := w.exitsOf(k.pid); got != 1 {
				t.Errorf("the main process ended %d times", got)
			}
		})
	}
}

// What runs already is taken up whole, while it forks as fast as it can.
func TestAdopt(t *testing.T) {
	for name, in := range layouts {
		t.Run(name, func(t *testing.T) {
			g := newGrounds(t, in...)
			path, quiet := g.mkdir("kubepods/"+podUID+"/"+newID()), g.mkdir("system.slice/docker-"+newID()+".scope")
			// Each child is the parent of the next; they end when the file is there.
			stop := filepath.Join(t.TempDir(), "stop")
			k := g.sh(path, "n=0; while [ ! -e "+stop+" ]; do (:); n=$((n+1)); done; exit 9")
			k.run()
			q := g.sh(quiet, "sleep 1000 & wait")
			q.run()
			g.sh(g.mkdir("no/container"), "exit 1")
			for { // the sleep is there
				b, _ := os.ReadFile(filepath.Join(g.dirs[0].dir, quiet, "cgroup.procs"))
				if len(strings.Fields(string(b))) == 2 {
					break
				}
				time.Sleep(time.Millisecond)
			}
			w := openNode(t, g, Node{})
			w.need("probe/adopt")
			for range 3 {
				if err := w.Adopt(); err != nil {
					t.Fatal(err)
				}
			}
			found, quietFound := w.container(evidence.ContainerFound, path), w.container(evidence.ContainerFound, quiet)
			if main := w.container(evidence.ContainerMain, path); int(main.PID) != k.pid || main.Subject != found.Subject {
				t.Errorf("main process %d of subject %d, want %d of %d", main.PID, main.Subject, k.pid, found.Subject)
			}
			if main := w.container(evidence.ContainerMain, quiet); int(main.PID) != q.pid {
				t.Errorf("main process %d, want %d", main.PID, q.pid)
			}
			must(os.WriteFile(stop, nil, 0o600))
			if st := k.end(); st.ExitStatus() != 9 {
				t.Fatalf("ended with %v", st)
			}
			w.container(evidence.ContainerEmpty, path)
			w.flushed()
			all := w.ofSubject(found.Subject)
			if got := strings.Join(actionsOf(all), " "); got != "found main empty" {
				t.Errorf("the container: %s", got)
			}
			if all[0] != found {
				t.Errorf("first of all came %+v", all[0])
			}
			swept := map[int32]*evidence.Process{}
			must(w.Sweep(func(o *evidence.Observation) {
				if o.Subject == quietFound.Subject {
					swept[o.PID] = o.Detail.(*evidence.Process)
				}
			}))
			if len(swept) != 2 || swept[int32(q.pid)] == nil || !swept[int32(q.pid)].Outside || int(swept[int32(q.pid)].Parent) != os.Getpid() {
				t.Errorf("swept %+v", swept)
			}
			for pid, p := range swept {
				if int(pid) != q.pid && (p.Outside || int(p.Parent) != q.pid) {
					t.Errorf("the child: %+v", p)
				}
			}
		})
	}
}

// One that moves from one container to another, and out of both, is always whose it is at the time.
func TestMoves(t *testing.T) {
	g := newGrounds(t, "")
	w := openNode(t, g, Node{})
	w.need("probe/container")
	a, b := g.mkdir("docker/"+newID()), g.mkdir("docker/"+newID())
	below := g.mkdir(a + "/init.scope/more")
	ka, kb := g.sh(a, "exit 1"), g.sh(b, "exit 2")
	mover, exec := g.shell("exit 3"), g.shell("(exit 5); exit 4")
	g.put(a, mover.pid)
	g.put(below, mover.pid) // the same container
	g.put(b, mover.pid)
	g.put(".", mover.pid)
	g.put(b, mover.pid)
	g.put(below, exec.pid) // as kubectl exec does where a container has cgroups of its own
	for _, k := range []*kid{ka, kb, mover, exec} {
		k.run()
		k.end()
	}
	sa, sb := w.container(evidence.ContainerEmpty, a).Subject, w.container(evidence.ContainerEmpty, b).Subject
	w.flushed()
	if got := strings.Join(but(actionsOf(w.ofSubject(sa)), "main"), " "); got != "started joined left joined empty" {
		t.Errorf("the first: %s", got)
	}
	if got := strings.Join(but(actionsOf(w.ofSubject(sb)), "main"), " "); got != "started joined left joined empty" {
		t.Errorf("the second: %s", got)
	}
	for k, want := range map[*kid]uint32{ka: sa, kb: sb, mover: sb, exec: sa} {
		if o, _ := w.exitOf(k.pid); o.Subject != want {
			t.Errorf("%d ended in subject %d, want %d", k.pid, o.Subject, want)
		}
	}
	if n := len(w.all(func(o *evidence.Observation) bool {
		e, ok := o.Detail.(*evidence.Exit)
		return ok && e.ExitCode == 5 && o.Subject == sa
	})); n > 1 {
		t.Errorf("%d ends of a child", n)
	}
}

// A cgroup that is used again is another subject, and so is one with the same name.
func TestSameCgroupAgain(t *testing.T) {
	g := newGrounds(t, "")
	w := openNode(t, g, Node{})
	w.need("probe/container")
	path := g.mkdir("docker/" + newID())
	seen := map[uint32]bool{}
	for i := range 6 {
		k := g.sh(path, "exit "+strconv.Itoa(i))
		k.run()
		k.end()
		o, e := w.exitOf(k.pid)
		if seen[o.Subject] || o.Subject == 0 || int(e.ExitCode) != i {
			t.Errorf("life %d was subject %d: %+v", i, o.Subject, e)
		}
		seen[o.Subject] = true
		w.await("its end", func(e *evidence.Observation) bool {
			d, ok := e.Detail.(*evidence.Container)
			return ok && d.Action == evidence.ContainerEmpty && e.Subject == o.Subject
		})
		if i%2 == 1 {
			g.remove(path)
			g.mkdir(path)
		}
		w.Forget(o.Subject)
	}
	for _, m := range []string{"subjects", "names", "tree"} {
		if err := w.env.maps[m].NextKey(nil, make([]byte, w.env.maps[m].KeySize())); !errors.Is(err, ebpf.ErrKeyNotExist) {
			t.Errorf("something is left in %s: %v", m, err)
		}
	}
}

// A child may be made in another cgroup than its parent's.
func TestForkInto(t *testing.T) {
	g := newGrounds(t, "")
	w := openNode(t, g, Node{})
	w.need("probe/container")
	path := g.mkdir("crio-" + newID() + ".scope")
	dir, err := os.Open(filepath.Join(g.dirs[0].dir, path))
	must(err)
	defer dir.Close()
	c := exec.Command("/bin/sh", "-c", "(exit 1); exit 6")
	c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	if err := c.Start(); err != nil {
		t.Skip("needs CLONE_INTO_CGROUP: ", err)
	}
	_ = c.Wait()
	empty := w.container(evidence.ContainerEmpty, path)
	w.flushed()
	all := w.ofSubject(empty.Subject)
	if got := strings.Join(actionsOf(all), " "); got != "started main empty" || int(all[0].PID) != c.Process.Pid {
		t.Errorf("the container: %s of %d", got, all[0].PID)
	}
	if o, e := w.exitOf(c.Process.Pid); o.Subject != empty.Subject || e.ExitCode != 6 {
		t.Errorf("its end: %+v", o)
	}
}

// Thousands of short lives in several containers at once: each is told with its own, and the counts agree.
func TestManyShortLives(t *testing.T) {
	n := 2000
	if os.Getenv("DESCRY_VM") != "" {
		n = 100
	}
	g := newGrounds(t, "")
	w := openNode(t, g, Node{})
	w.need("probe/container")
	const containers = 4
	var kids [containers]*kid
	var paths [containers]string
	for i := range kids {
		paths[i] = g.mkdir("docker/" + newID())
		kids[i] = command(t, "forks", strconv.Itoa(n))
		kids[i].before = func(pid int) { g.put(paths[i], pid) }
		kids[i].untracked = true
		w.run(kids[i])
	}
	for _, k := range kids {
		k.line()
		k.end()
	}
	for i, k := range kids {
		subject := w.container(evidence.ContainerEmpty, paths[i]).Subject
		w.flushed()
		ends := 0
		for _, o := range w.ofSubject(subject) {
			if e, ok := o.Detail.(*evidence.Exit); ok && int(o.PID) != k.pid {
				ends++
				if int(e.Parent) != k.pid {
					t.Fatalf("a child of %d is told with %d's container", e.Parent, k.pid)
				}
			}
		}
		if ends < n || ends > n+2 {
			t.Errorf("%d ends in container %d, want %d; lost %v", ends, i, n, w.Lost())
		}
		if got := w.SubjectCounters(subject)[evidence.CountForks]; got < int64(n) || got > int64(n)+2 {
			t.Errorf("%d forks counted in container %d, want %d", got, i, n)
		}
		must(w.Counts(func(*evidence.Observation) {}))
		if got := w.SubjectCounters(subject)[evidence.CountForks]; got < int64(n) || got > int64(n)+2 {
			t.Errorf("%d forks counted in container %d, want %d", got, i, n)
		}
		w.Forget(subject)
		if got := w.SubjectCounters(subject); len(got) != 0 {
			t.Errorf("after all is forgotten: %v", got)
		}
	}
}

// Step 1 of one container sees nothing of another's system calls, and ends when it is told to.
func TestLookCloser(t *testing.T) {
	g := newGrounds(t, "")
	w := openNode(t, g, Node{})
	a, b := g.mkdir("docker/"+newID()), g.mkdir("docker/"+newID())
	script := "exec 2>/dev/null; while read line; do /no/such/program; cat /no/such/file; done"
	ka, kb := g.sh(a, script), g.sh(b, script)
	ka.run()
	kb.run()
	sa, sb := w.container(evidence.ContainerStarted, a).Subject, w.container(evidence.ContainerStarted, b).Subject
	failed := func(subject uint32) int {
		return len(w.all(func(o *evidence.Observation) bool { return o.Subject == subject && o.Kind() == evidence.KindExecFailed }))
	}
	step := func() {
		forks := func(s uint32) int64 { return w.SubjectCounters(s)[evidence.CountForks] }
		wantA, wantB := forks(sa)+1, forks(sb)+1
		ka.run()
		kb.run()
		for until := time.Now().Add(patience); forks(sa) < wantA || forks(sb) < wantB; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatal("the shells do nothing")
			}
		}
		w.flushed()
	}
	step()
	if err := w.Look(1<<31, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking at nobody: %v", err)
	}
	if err := w.Look(sa, true); err != nil {
		t.Fatal(err)
	}
	step()
	ka.run()
	w.await("a failed exec", func(o *evidence.Observation) bool { return o.Subject == sa && o.Kind() == evidence.KindExecFailed })
	if err := w.Look(sb, true); err != nil {
		t.Fatal(err)
	}
	if err := w.Look(sa, false); err != nil {
		t.Fatal(err)
	}
	w.flushed()
	before := failed(sa)
	ka.run()
	kb.run()
	w.await("a failed exec", func(o *evidence.Observation) bool { return o.Subject == sb && o.Kind() == evidence.KindExecFailed })
	step()
	if n := failed(sa); n != before {
		t.Errorf("%d failed execs while nobody looked", n-before)
	}
	w.Forget(sb)
	if len(w.look.links) != 0 {
		t.Error("programs on system calls are attached for nobody")
	}
}

func TestNoCalls(t *testing.T) {
	g := newGrounds(t, "")
	w := openNode(t, g, Node{NoCalls: true})
	path := g.mkdir("docker/" + newID())
	g.sh(path, "exit 1")
	s := w.container(evidence.ContainerStarted, path).Subject
	if err := w.Look(s, true); !errors.Is(err, ErrNotSupported) {
		t.Errorf("looking though it is forbidden: %v", err)
	}
	for _, st := range w.Status() {
		if st.Name == "probe/syscall" && (st.By != "" || !strings.Contains(st.Missing, "forbidden")) {
			t.Errorf("%+v", st)
		}
	}
}

// Without a runtime units are subjects, and other cgroups.
func TestStandalone(t *testing.T) {
	g := newGrounds(t, "")
	w := openNode(t, g, Node{Standalone: true})
	for path, is := range map[string]string{
		"system.slice/nginx.service":                 "system.slice/nginx.service",
		"user.slice/u@1.service/app.slice/a.scope/x": "user.slice/u@1.service/app.slice/a.scope",
		"batch/one":    "batch/one",
		"system.slice": "",
	} {
		k := g.sh(g.mkdir(path), "exit 1")
		k.run()
		k.end()
		if is != "" {
			w.container(evidence.ContainerEmpty, is)
			continue
		}
		w.flushed()
		if w.exitsOf(k.pid) != 0 {
			t.Errorf("what is in %s is watched", path)
		}
	}
}

// Of a node, a sweep tells what has changed, and of who has not changed nothing.
func TestSweepTellsChanges(t *testing.T) {
	g := newGrounds(t, "")
	w := openNode(t, g, Node{})
	w.need("probe/sweep")
	path := g.mkdir("docker/" + newID())
	k := g.sh(path, "read more; exec 6</dev/null; read more")
	k.run()
	open := func() (n int64, told bool) {
		must(w.Sweep(func(o *evidence.Observation) {
			if int(o.PID) == k.pid {
				n, told = o.Detail.(*evidence.Process).Open, true
			}
		}))
		return n, told
	}
	until := time.Now().Add(patience)
	wait := func(want int64) {
		t.Helper()
		for last := int64(0); last != want; {
			if time.Now().After(until) {
				t.Fatalf("%d descriptors, want %d", last, want)
			}
			if n, told := open(); told {
				last = n
			}
		}
	}
	n, silent := int64(0), 0
	for silent < 3 { // the pages that it touches at first count as changes
		if time.Now().After(until) {
			t.Fatal("told again and again of what has not changed")
		}
		now, told := open()
		if silent++; told {
			n, silent = now, 0
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n == 0 {
		t.Fatal("never told of")
	}
	k.run()
	wait(n + 1)
}

func (w *watch) exitsOf(pid int) int {
	return len(w.all(func(o *evidence.Observation) bool { return int(o.PID) == pid && o.Kind() == evidence.KindExit }))
}
