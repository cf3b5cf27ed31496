//go:build linux

package probe

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		s, err := Open(Config{})
		if errors.Is(err, ErrNotSupported) {
			b.Skip("needs eBPF: ", err)
		}
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	ents, err := os.ReadDir("/proc/self/fd")
	must(err)
	return len(ents)
}

func TestCloseLeavesNoDescriptor(t *testing.T) {
	open := func(cfg Config) {
		s, err := Open(cfg)
		if err != nil {
			if errors.Is(err, ErrNotSupported) && len(cfg.Without) == 0 {
				t.Skip("needs eBPF: ", err)
			}
			return
		}
		go func() { _ = s.Run(nil) }()
		_ = s.Sweep(nil)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error("closed twice: ", err)
		}
	}
	open(Config{}) // the runtime's own, and what the library keeps
	before := descriptors(t)
	open(Config{})
	open(Config{Way: SysExit})
	open(Config{Without: []string{"tp_btf"}})
	open(Config{Without: []string{"btf"}})
	runtime.GC()
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestWithout(t *testing.T) {
	missing := func(w *watch) (names []string) {
		for _, st := range w.Status() {
			if st.Cost == "" {
				t.Errorf("%s: what it costs is not said", st.Name)
			}
			if (st.By == "") != (st.Missing != "") {
				t.Errorf("%+v: neither there nor missing", st)
			}
			if st.Missing != "" {
				names = append(names, st.Name)
			}
		}
		return names
	}
	w := open(t, Config{})
	if names := missing(w); len(names) > 0 {
		t.Errorf("missing with everything there: %v: %+v", names, w.Status())
	}
	w = open(t, Config{Without: []string{"iter"}})
	if got := strings.Join(missing(w), " "); got != "probe/sockets probe/sweep" {
		t.Errorf("missing without iterators: %s", got)
	}
	if err := w.Sweep(nil); !errors.Is(err, ErrNotSupported) {
		t.Errorf("sweep without iterators: %v", err)
	}
	if err := w.Sockets(nil); !errors.Is(err, ErrNotSupported) {
		t.Errorf("sockets without iterators: %v", err)
	}
	if _, err := w.Table(1); !errors.Is(err, ErrNotSupported) {
		t.Errorf("table without iterators: %v", err)
	}
	w = open(t, Config{Without: []string{"probe/signal"}})
	if got := strings.Join(missing(w), " "); got != "probe/signal" {
		t.Errorf("missing: %s", got)
	}
	k := w.start("forks", "1")
	k.line()
	k.end()
	w.exitOf(k.pid)
	for _, f := range []string{"btf", "ringbuf"} {
		_, err := Open(Config{Without: []string{f}})
		var n *NotSupportedError
		if !errors.Is(err, ErrNotSupported) || !errors.As(err, &n) || n.Feature == "" {
			t.Errorf("without %s: %v", f, err)
		}
	}
}

func TestWithoutRights(t *testing.T) {
	const inside = "DESCRY_PROBE_NOBODY"
	if os.Getenv(inside) != "" {
		_, err := Open(Config{})
		if !errors.Is(err, ErrNotSupported) || !strings.Contains(err.Error(), "needs root") {
			t.Fatalf("without rights: %v", err)
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, to give it up")
	}
	self, err := os.ReadFile("/proc/self/exe")
	must(err)
	// The folder of the test binary may not be open to others.
	fd, err := unix.MemfdCreate("test", 0)
	must(err)
	f := os.NewFile(uintptr(fd), "test")
	defer f.Close()
	_, err = f.Write(self)
	must(err)
	must(f.Chmod(0o755))
	c := exec.Command("/proc/self/fd/3", "-test.run=^TestWithoutRights$", "-test.v")
	c.ExtraFiles = []*os.File{f}
	c.Dir = "/"
	c.Env = append(os.Environ(), inside+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := c.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("PASS")) {
		t.Errorf("%v\n%s", err, out)
	}
}
