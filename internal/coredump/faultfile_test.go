package coredump

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// mappedHere maps a file of the test's own, and gives the address of its page 10 and a head that tells of SIGBUS there.
func mappedHere(t *testing.T, path string) *dumpHead {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(65536); err != nil {
		t.Fatal(err)
	}
	p, err := unix.MmapPtr(int(f.Fd()), 0, nil, 65536, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.MunmapPtr(p, 65536) }) //nolint:errcheck // the test is over
	h := &dumpHead{}
	h.signal.number, h.signal.code, h.signal.address = int32(unix.SIGBUS), busAdrErr, uint64(uintptr(p))+40960
	return h
}

func TestFaultFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a b\n(deleted)")
	h := mappedHere(t, name)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Truncate(name, 100))
	for _, proc := range []string{"/proc/self", "/proc/thread-self"} {
		proc, err := filepath.EvalSymlinks(proc)
		must(err)
		f := faultFile(h, proc)
		if f == nil || f.File.Path != name || f.File.Size != 100 || f.File.Offset != 40960 || f.Mode != "r--s" || f.File.Deleted || f.File.Changed == 0 || !f.File.PastEnd() {
			t.Errorf("%s: %+v", proc, f)
		}
	}
	must(os.Remove(name))
	must(os.WriteFile(name, make([]byte, 65536), 0o644))
	if f := faultFile(h, "/proc/self"); f != nil && (f.File.Size != 100 || !f.File.Deleted || f.File.Path != name) {
		t.Errorf("replaced: %+v", f)
	}
	for _, code := range []int32{0, 1, 4} { // sent, not aligned, broken memory
		h := *h
		if h.signal.code = code; faultFile(&h, "/proc/self") != nil {
			t.Errorf("si_code %d tells of a file", code)
		}
	}
}

func TestMappedAt(t *testing.T) {
	const maps = "1000-3000 r--s 00002000 fe:01 77 /a b (deleted)\n4000-5000 rw-p 00000000 00:00 0 \n5000-6000 rw-p 0 0:0 0 [heap]\n6000-7000"
	if f := mappedAt(maps, 0x2010); f == nil || f.File.Offset != 0x3010 || f.Inode != 77 || f.Device != "fe:01" || f.File.Path != "/a b (deleted)" {
		t.Errorf("%+v", f)
	}
	for _, addr := range []uint64{0, 0x3000, 0x4000, 0x5000, 0x6000, 1 << 63} {
		if f := mappedAt(maps, addr); f != nil {
			t.Errorf("%#x: %+v", addr, f)
		}
	}
}

func TestStartedAt(t *testing.T) {
	before := time.Now().UnixNano()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	after := time.Now().UnixNano()
	defer cmd.Wait()         //nolint:errcheck // killed
	defer cmd.Process.Kill() //nolint:errcheck // it may be over
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	if at := startedAt(string(b)); at < before-12e6 || at > after+1e6 {
		t.Errorf("began %d ns after the test, which took %d ns", at-before, after-before)
	}
	for _, s := range []string{"", "1 (x)", "1 (x) S", "1 (x) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 x"} {
		if startedAt(s) != 0 {
			t.Errorf("%q began", s)
		}
	}
}
