package coredump

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func ptr(p *[4]uint64) unsafe.Pointer { return unsafe.Pointer(p) }

// ways are those that this kernel has.
func ways() []Way {
	switch BestWay() {
	case WayRequest:
		return []Way{WayRequest, WaySocket, WayPipe}
	case WaySocket:
		return []Way{WaySocket, WayPipe}
	}
	return []Way{WayPipe}
}

func eachWay(t *testing.T, f func(t *testing.T, w Way)) {
	for _, w := range ways() {
		t.Run(map[Way]string{WayRequest: "request", WaySocket: "socket", WayPipe: "pipe"}[w], func(t *testing.T) {
			machineWide(t)
			f(t, w)
		})
	}
}

// testDir is a directory that only root may write to.
func testDir(t testing.TB) string {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// receiving is a Serve that runs.
type receiving struct {
	*Installed
	k    *writer
	mu   sync.Mutex
	kept []*Kept
	said []string
	end  func() string
}

// receive installs for the test's time; what is mine is told by pids that the test adds.
func receive(t testing.TB, o InstallOptions, k *writer, mine func(pid int) bool) *receiving {
	t.Helper()
	if o.Dir == "" {
		o.Dir = testDir(t)
	}
	if k == nil {
		k = &writer{}
	}
	if k.dir == "" {
		k.dir = t.TempDir()
	}
	i, err := Install(o)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiving{Installed: i, k: k}
	served := make(chan error, 1)
	go func() {
		served <- i.Serve(context.Background(), ServeOptions{
			Keeper: k, Mine: func(pid int, _ *os.File) bool { return mine(pid) },
			Kept: func(k *Kept) { r.mu.Lock(); r.kept = append(r.kept, k); r.mu.Unlock() },
			Said: func(w string) { r.mu.Lock(); r.said = append(r.said, w); r.mu.Unlock() },
		})
	}()
	r.end = sync.OnceValue(func() string {
		words, err := i.Close()
		if err != nil {
			t.Error(err)
		}
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Serve does not end")
		}
		return words
	})
	t.Cleanup(func() {
		if words := r.end(); words != "" {
			t.Logf("words at the end: %s", words)
		}
	})
	return r
}

// keeps waits until n dumps were taken.
func (r *receiving) keeps(t testing.TB, n int) []*Kept {
	t.Helper()
	var got []*Kept
	defer func() {
		if len(got) < n {
			t.Logf("%d dumps are kept; words: %q", len(got), r.said)
		}
	}()
	until(t, fmt.Sprintf("%d dumps are kept", n), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		got = slices.Clone(r.kept)
		return len(got) >= n
	})
	return got
}

func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func limitCore(n uint64) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		n := map[bool]string{true: "unlimited", false: fmt.Sprint(n / 1024)}[n == unlimited]
		c.Args = append([]string{"sh", "-c", `ulimit -c ` + n + `; exec "$0" "$@"`, c.Path}, c.Args[1:]...)
		c.Path = "/bin/sh"
	}
}

func TestReceive(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way) {
		asBefore(t)
		for _, limit := range []uint64{0, unlimited} {
			v := newVictim(t, unix.SIGSEGV, 1, limitCore(limit))
			r := receive(t, InstallOptions{Way: w}, nil, func(pid int) bool { return pid == v.pid })
			if r.Way != w || r.Former != "core" {
				t.Errorf("it receives by %q, formerly %q", r.Way, r.Former)
			}
			ws := v.dies(t)
			if ws.Signal() != unix.SIGSEGV || !ws.CoreDump() {
				t.Errorf("it ended with %v, core %v", ws.Signal(), ws.CoreDump())
			}
			k := r.keeps(t, 1)[0]
			if k.Err != nil {
				t.Fatal(k.Err)
			}
			d := r.k.seen[0]
			if int(d.PID) != v.pid || int(d.TID) != v.tid || d.Signal != 11 || d.PIDFD == nil {
				t.Errorf("process %d thread %d signal %d, want %d %d 11; pidfd %v", d.PID, d.TID, d.Signal, v.pid, v.tid, d.PIDFD)
			}
			if time.Since(d.At) > time.Minute {
				t.Errorf("it died at %v", d.At)
			}
			if !strings.Contains(r.k.text[d.PID], "CoreDumping:\t1") {
				t.Errorf("status while the kernel waits: %q", r.k.text[d.PID])
			}
			f, err := os.Open(k.Entry.File)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			c, err := Open(f, k.Entry.CoreBytes)
			if err != nil {
				t.Fatal(err)
			}
			if int(c.PID) != v.pid || len(c.Threads) < 2 {
				t.Errorf("the core is of process %d with %d threads", c.PID, len(c.Threads))
			}
			r.end()
		}
	})
}

func TestReceiveClosedEarly(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way) {
		asBefore(t)
		v := newVictim(t, unix.SIGABRT, 512, nil)
		r := receive(t, InstallOptions{Way: w}, &writer{part: 64 << 10}, func(pid int) bool { return pid == v.pid })
		from := time.Now()
		ws := v.dies(t)
		t.Logf("a process of 512 MiB is gone after %v", time.Since(from))
		if ws.Signal() != unix.SIGABRT {
			t.Errorf("it ended with %v", ws)
		}
		if k := r.keeps(t, 1)[0]; k.Err != nil || k.Entry.CoreBytes != 64<<10 {
			t.Errorf("kept %+v", k)
		}
	})
}

// A keeper that hangs does not hold the process beyond the bound.
func TestReceiveHangs(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way) {
		asBefore(t)
		v := newVictim(t, unix.SIGABRT, 0, nil)
		let := make(chan struct{})
		r := receive(t, InstallOptions{Way: w, Bound: time.Second}, &writer{wait: func(context.Context, *Dump) { <-let }}, func(pid int) bool { return pid == v.pid })
		from := time.Now()
		v.dies(t)
		if took := time.Since(from); took < 900*time.Millisecond || took > 5*time.Second {
			t.Errorf("the process waited %v for a keeper that hangs, bound 1s", took)
		}
		close(let)
		r.keeps(t, 1)
	})
}

// A keeper that takes its time gets the core whole.
func TestReceiveSlowly(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way) {
		asBefore(t)
		v := newVictim(t, unix.SIGABRT, 16, nil)
		r := receive(t, InstallOptions{Way: w}, &writer{wait: func(context.Context, *Dump) { time.Sleep(1500 * time.Millisecond) }}, func(pid int) bool { return pid == v.pid })
		v.dies(t)
		k := r.keeps(t, 1)[0]
		if k.Err != nil {
			t.Fatal(k.Err)
		}
		f, err := os.Open(k.Entry.File)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if c, err := Open(f, k.Entry.CoreBytes); err != nil || len(c.Damage) > 0 {
			t.Errorf("the core: %v", err)
		}
	})
}

// Fifty processes die at once; none is lost.
func TestReceiveMany(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way) {
		asBefore(t)
		var victims []*victim
		mine := map[int]bool{}
		for range 50 {
			v := newVictim(t, unix.SIGSEGV, 0, nil)
			victims = append(victims, v)
			mine[v.pid] = true
		}
		r := receive(t, InstallOptions{Way: w}, &writer{part: 4096}, func(pid int) bool { return mine[pid] })
		var all sync.WaitGroup
		for _, v := range victims {
			all.Go(func() { v.dies(t) })
		}
		all.Wait()
		for _, k := range r.keeps(t, 50) {
			if k.Err != nil {
				t.Error(k.Err)
			}
			delete(mine, int(k.PID))
		}
		if len(mine) > 0 {
			t.Errorf("lost: %v", mine)
		}
	})
}

// A process of other namespaces is told by its pid in ours.
func TestReceiveNamespaces(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way) {
		asBefore(t)
		for name, flags := range map[string]uintptr{
			"pid and mount": unix.CLONE_NEWPID | unix.CLONE_NEWNS, "user": unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		} {
			t.Run(name, func(t *testing.T) {
				v := newVictim(t, unix.SIGSEGV, 0, func(c *exec.Cmd) {
					c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
					if flags&unix.CLONE_NEWUSER != 0 {
						c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: 65534, Size: 1}}
						c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: 65534, Size: 1}}
					}
				})
				r := receive(t, InstallOptions{Way: w}, nil, func(pid int) bool { return pid == v.Process.Pid })
				v.in.Close()
				k := r.keeps(t, 1)[0]
				v.Wait()
				if k.Err != nil || int(k.PID) != v.Process.Pid || k.Entry.Signal != 11 || r.k.seen[0].TID == 0 {
					t.Errorf("kept %+v (%+v) of pid %d, which is %d inside", k, k.Entry, v.Process.Pid, v.pid)
				}
				if b, err := os.ReadFile(k.Entry.File); err != nil || !bytes.HasPrefix(b, []byte("\x7fELF")) {
					t.Errorf("the core begins %q: %v", b[:min(len(b), 8)], err)
				}
				r.end()
			})
		}
	})
}
