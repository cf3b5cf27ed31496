//go:build linux

package probe

import (
	"embed"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() { children["pinner"] = childPinner }

// newBpffs mounts a bpffs of the test's own.
func newBpffs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Skip("needs to mount a bpffs: ", err)
	}
	t.Cleanup(func() {
		if _, err := Unpin(filepath.Join(dir, "pins")); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "pins")
}

// childPinner opens a Set and reads of it until it is killed.
func childPinner(args []string) {
	if len(args) > 2 { // without these capabilities, from an exec on
		runtime.LockOSThread()
		for _, a := range args[2:] {
			c, err := strconv.Atoi(a)
			must(err)
			must(unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0))
		}
		var env []string
		for _, e := range os.Environ() {
			if !strings.HasPrefix(e, childMode+"=") {
				env = append(env, e)
			}
		}
		must(syscall.Exec("/proc/self/exe", []string{"pinner"}, append(env, childMode+"=pinner "+args[0]+" "+args[1])))
	}
	s, err := Open(Config{Node: &Node{Scope: args[0], Pins: args[1]}})
	must(err)
	go func() { must(s.Run(func(*evidence.Observation) {})) }()
	os.Stdout.WriteString("pinned\n")
	forever()
}

// A process that is killed leaves the probes behind; the next one reads what happened meanwhile.
func TestTakeOver(t *testing.T) {
	g := newGrounds(t, "")
	dir := newBpffs(t)
	before, between, dies := g.mkdir("docker/"+newID()), g.mkdir("docker/"+newID()), g.mkdir("docker/"+newID())
	first := command(t, "pinner", g.path, dir)
	w0 := &watch{t: t}
	first.untracked = true
	w0.run(first)
	first.line()
	kb, kd := g.sh(before, "exit 1"), g.sh(dies, "exit 4")
	must(first.Process.Kill())
	_ = first.end()

	kd.run()
	kd.end()
	kn := g.sh(between, "(exit 3); exit 2")
	kn.run()
	kn.end()

	w := openNode(t, g, Node{Pins: dir})
	taken := w.Takeover()
	if taken == nil || !taken.Same || !taken.Events || len(taken.Dropped) > 0 || !slices.Contains(taken.Carried, "tree") {
		t.Fatalf("taken over: %+v", taken)
	}
	if err := w.Adopt(); err != nil {
		t.Fatal(err)
	}
	if o, e := w.exitOf(kn.pid); o.Subject != w.container(evidence.ContainerStarted, between).Subject || e.ExitCode != 2 {
		t.Errorf("who died meanwhile: %+v", o)
	}
	was := w.container(evidence.ContainerFound, dies)
	if o, e := w.exitOf(kd.pid); o.Subject != was.Subject || e.ExitCode != 4 {
		t.Errorf("who died meanwhile: %+v", o)
	}
	kb.run()
	kb.end()
	if o, _ := w.exitOf(kb.pid); o.Subject != w.container(evidence.ContainerFound, before).Subject {
		t.Errorf("who died after it: %+v", o)
	}
	w.container(evidence.ContainerEmpty, before)
	w.flushed()
	for _, k := range []*kid{kb, kn, kd} {
		if n := w.exitsOf(k.pid); n != 1 {
			t.Errorf("%d ended %d times", k.pid, n)
		}
	}
	for _, path := range []string{before, between, dies} {
		if n := len(w.all(func(o *evidence.Observation) bool {
			d, ok := o.Detail.(*evidence.Container)
			return ok && d.Action == evidence.ContainerEmpty && strings.HasSuffix(d.Cgroup, path)
		})); n != 1 {
			t.Errorf("%s became empty %d times", path, n)
		}
	}
	if _, err := Open(Config{Node: &Node{Scope: g.path, Pins: dir}}); !errors.Is(err, ErrPinsInUse) {
		t.Errorf("two at once: %v", err)
	}
	if _, err := Unpin(dir); !errors.Is(err, ErrPinsInUse) {
		t.Errorf("removing what is in use: %v", err)
	}
}

// Another build, or other settings, comes in while the old programs work.
func TestTakeOverByAnother(t *testing.T) {
	g := newGrounds(t, "")
	dir := newBpffs(t)
	path := g.mkdir("docker/" + newID())
	first := command(t, "pinner", g.path, dir)
	w0 := &watch{t: t}
	first.untracked = true
	w0.run(first)
	first.line()
	k := g.sh(path, "(exit 3); exit 2")
	must(first.Process.Kill())
	_ = first.end()
	all, err := os.ReadDir(dir)
	must(err)
	if len(all) != 1 {
		t.Fatalf("left behind: %v", all)
	}
	// As if it were of another build: a directory's name says so.
	f := strings.Split(all[0].Name(), "-")
	must(os.Rename(filepath.Join(dir, all[0].Name()), filepath.Join(dir, f[0]+"-0123456789abcdef-"+f[2])))
	must(os.Mkdir(filepath.Join(dir, "9-fedcba9876543210-"+f[2]), 0o700)) // somebody was killed over that

	w := openNode(t, g, Node{Pins: dir})
	taken := w.Takeover()
	if taken == nil || taken.Same || !taken.Events || !slices.Contains(taken.Carried, "tree") || !slices.Contains(taken.Carried, "events") {
		t.Fatalf("taken over: %+v", taken)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 || !strings.HasPrefix(all[0].Name(), "2-") {
		t.Errorf("there is %v", all)
	}
	k.run()
	k.end()
	if o, e := w.exitOf(k.pid); o.Subject != w.container(evidence.ContainerFound, path).Subject || e.ExitCode != 2 {
		t.Errorf("its end: %+v", o)
	}
	w.container(evidence.ContainerEmpty, path)
	w.flushed()
	if n := w.exitsOf(k.pid); n != 1 {
		t.Errorf("it ended %d times: old programs work on", n)
	}
}

// Who may not attach to cgroups pins the other half of what looks at names; the next one takes that over, whatever it may do.
func TestTakeOverWithoutNetAdmin(t *testing.T) {
	g := newGrounds(t, "")
	dir := newBpffs(t)
	for range 2 {
		k := command(t, "pinner", g.path, dir, strconv.Itoa(unix.CAP_NET_ADMIN), strconv.Itoa(unix.CAP_SYS_ADMIN)) // either allows it
		k.untracked = true
		w := &watch{t: t}
		w.run(k)
		if l := k.line(); l != "pinned" {
			t.Fatalf("it said %q", l)
		}
		must(k.Process.Kill())
		_ = k.end()
		if there, _ := filepath.Glob(filepath.Join(dir, "*", "link_dns_*")); len(there) != 1 {
			t.Fatalf("pinned without CAP_NET_ADMIN: %v", there)
		}
	}
	w := openNode(t, g, Node{Pins: dir})
	if taken := w.Takeover(); taken == nil || !taken.Same {
		t.Fatalf("taken over: %+v", taken)
	}
	w.need("probe/dns")
	if there, _ := filepath.Glob(filepath.Join(dir, "*", "link_dns_*")); len(there) != 3 {
		t.Errorf("pinned with it: %v", there)
	}
}

// Whoever is killed at whatever moment leaves something that the next one can use or remove.
func TestKilledWhilePinning(t *testing.T) {
	g := newGrounds(t, "")
	dir := newBpffs(t)
	n := 6
	for i := range n {
		c := exec.Command("/proc/self/exe")
		c.Env = append(os.Environ(), childMode+"=pinner "+g.path+" "+dir)
		null, err := os.Open(os.DevNull)
		must(err)
		c.ExtraFiles = []*os.File{null}
		must(c.Start())
		until := time.Now().Add(patience)
		// Killed once so many pins are there.
		for {
			var pins []string
			pins, _ = filepath.Glob(filepath.Join(dir, "*", "*"))
			if len(pins) > i*7 {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("%d pins and no more", len(pins))
			}
		}
		must(c.Process.Kill())
		_ = c.Wait()
		null.Close()
	}
	w := openNode(t, g, Node{Pins: dir})
	path := g.mkdir("docker/" + newID())
	k := g.sh(path, "exit 2")
	k.run()
	k.end()
	w.container(evidence.ContainerEmpty, path)
	if n := w.exitsOf(k.pid); n != 1 {
		t.Errorf("it ended %d times", n)
	}
}

func TestUnpin(t *testing.T) {
	dir := newBpffs(t)
	if _, err := Unpin(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("removing nothing: %v", err)
	}
	g := newGrounds(t, "")
	s, err := Open(Config{Node: &Node{Scope: g.path, Pins: dir}})
	if errors.Is(err, ErrNotSupported) {
		t.Skip("needs eBPF: ", err)
	}
	must(err)
	must(s.Close())
	removed, err := Unpin(dir)
	if err != nil || len(removed) < 20 {
		t.Errorf("removed %v: %v", removed, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is there: %v", err)
	}
	if _, err := Open(Config{Node: &Node{Scope: g.path, Pins: t.TempDir()}}); err == nil || !strings.Contains(err.Error(), "bpffs") {
		t.Errorf("pins in an ordinary directory: %v", err)
	}
}

//go:embed *.bpf.c *.bpf.h
var probeSources embed.FS // tests also run where no sources stand beside them

// Every event's type is known to the objects: a build that has made one longer must not read what another has written.
func TestEventShapes(t *testing.T) {
	e := &env{objects: []*object{processObject, signalObject, oomObject, tcpObject, dnsObject, dropObject, containerObject, socketsObject}}
	shapes := e.eventShapes()
	sources, err := probeSources.ReadDir(".")
	must(err)
	n := 0
	for _, source := range sources {
		name := source.Name()
		b, err := probeSources.ReadFile(name)
		must(err)
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) >= 3 && f[0] == "struct" && strings.HasSuffix(f[1], "_event") && f[2] == "{" && line[0] == 's' {
				n++
				if !strings.Contains("\n"+shapes, "\n"+f[1]) {
					t.Errorf("struct %s of %s is not among the types of an object: EVENT(%s) is missing", f[1], name, f[1])
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("%d events were looked at", n)
	}
}
