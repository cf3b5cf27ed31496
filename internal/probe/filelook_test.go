//go:build linux

package probe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestReadMount(t *testing.T) {
	const text = `22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:28 / /mnt/my\040disk ro,nosuid - tmpfs my\134tmp rw,size=64k
`
	m, ok := readMount(strings.NewReader(text), 30)
	if want := (mountLine{"/mnt/my disk", "tmpfs", `my\tmp`}); !ok || m != want {
		t.Errorf("got %+v %v, want %+v", m, ok, want)
	}
	if _, ok := readMount(strings.NewReader(text), 31); ok {
		t.Error("found a mount that there is not")
	}
}

// TestSeeOfTheDead: of a process that is gone the groups are not known; a refusal says that it was of none that
// the mode allows.
func TestSeeOfTheDead(t *testing.T) {
	if !sameUsers() {
		t.Skip("in a user namespace owners cannot be compared")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root: gives a file to another group")
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(key, 0, 54340); err != nil {
		t.Fatal(err)
	}
	for p := dir; p != "/tmp" && p != "/"; p = filepath.Dir(p) {
		os.Chmod(p, 0o755)
	}
	var ns, root unix.Stat_t
	if err := errors.Join(unix.Stat("/proc/self/ns/mnt", &ns), unix.Stat("/", &root)); err != nil {
		t.Fatal(err)
	}
	a := &asked{pid: 1 << 30, mntNS: uint32(ns.Ino), rootIno: root.Ino, rootDev: root.Dev,
		d: &evidence.FileRefused{Call: "openat", Errno: evidence.EACCES, Path: key, FD: -1, UID: 65534, GID: 65534, Owner: -1, Group: -1}}
	a.see()
	if a.d.Forbids != key || a.d.Mode != 0o640 || a.d.Group != 54340 {
		t.Errorf("got %+v", a.d)
	}
	a.d.Forbids, a.d.GID = "", 54340
	a.see()
	if a.d.Forbids != "" {
		t.Errorf("the group may read it, and %s is said to forbid it", a.d.Forbids)
	}
}

// What a path of the kernel's list looks like is not ours to say: nothing may panic.
func FuzzReadMount(f *testing.F) {
	f.Add("30 22 0:28 / /a\\040b ro - tmpfs x rw\n", uint64(30))
	f.Add("30 22 0:28 / /a\\04 - \n30 - \\", uint64(30))
	f.Add("", uint64(0))
	f.Fuzz(func(t *testing.T, s string, id uint64) {
		if m, ok := readMount(strings.NewReader(s), id); ok && len(m.point) > len(s) {
			t.Errorf("%q is longer than its source", m.point)
		}
	})
}
