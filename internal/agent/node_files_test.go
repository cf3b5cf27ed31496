package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// What is found of files that last words name: no room, a read-only mount, a mode that forbids, nothing at all.
func TestFileView(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a volume") // the kernel escapes the blank
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(dir, 0o755))
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=0755"); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	root, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	must(err)
	defer unix.Close(root)
	must(os.WriteFile(dir+"/key", nil, 0o600))
	must(os.Mkdir(dir+"/closed", 0o700))
	must(os.WriteFile(dir+"/closed/in", nil, 0o644))
	must(os.Symlink("../../../../../../etc/passwd", dir+"/out"))
	view := func() *fileView {
		f, err := os.Open("/proc/self/mountinfo")
		must(err)
		defer f.Close()
		return &fileView{root: root, mounts: readMounts(f, 1<<16), user: &evidence.AtEnd{UID: 4711, GID: 4711}}
	}
	look := func(v *fileView, name string, e evidence.Errno) *evidence.FileLooked {
		t.Helper()
		d := v.look(dir+"/"+name, e)
		if d == nil || d.Path != dir+"/"+name || d.Errno != e || d.FSType != "tmpfs" || d.Mount != dir || d.UID != 4711 {
			t.Fatalf("%s: %+v", name, d)
		}
		return d
	}
	v := view()
	if d := look(v, "new", evidence.ENOSPC); d.Space == nil || d.Space.TotalBytes != 256<<10 || d.Space.FreeBytes == 0 || d.ReadOnly || !d.Missing {
		t.Errorf("there is room yet: %+v, %+v", d, d.Space)
	}
	_ = os.WriteFile(dir+"/filler", make([]byte, 1<<20), 0o600)
	if d := look(v, "new", evidence.ENOSPC); d.Space == nil || d.Space.FreeBytes != 0 {
		t.Errorf("there is no room: %+v, %+v", d, d.Space)
	}
	if d := look(v, "key", evidence.EACCES); d.Forbids != dir+"/key" || d.Mode != 0o600 || d.Owner != 0 || d.Missing {
		t.Errorf("%+v, want the key's mode", d)
	}
	if d := look(v, "closed/in", evidence.EACCES); d.Forbids != dir+"/closed" || d.Mode != 0o700 {
		t.Errorf("%+v, want the directory's mode", d)
	}
	if d := look(v, "none/at/all", evidence.ENOENT); !d.Missing {
		t.Errorf("%+v", d)
	}
	if d := look(v, "out", evidence.ENOENT); !d.Missing { // a link leads nowhere outside
		t.Errorf("%+v", d)
	}
	for _, user := range []*evidence.AtEnd{{UID: 0}, {UID: 4711, Caps: 1 << unix.CAP_DAC_OVERRIDE}} {
		v.user = user
		if d := v.look(dir+"/key", evidence.EACCES); d == nil || d.Forbids != "" {
			t.Errorf("%+v may: %+v", user, d)
		}
	}
	must(unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	if d := look(view(), "new", evidence.EROFS); !d.ReadOnly {
		t.Errorf("%+v, want a read-only mount", d)
	}
}

func FuzzReadMounts(f *testing.F) {
	f.Add("36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root ro,errors=continue\n", "/mnt 2/x")
	f.Add("1 2 3 4 5 6 - a b c", "5")
	f.Fuzz(func(t *testing.T, text, name string) {
		if m := mountAt(readMounts(strings.NewReader(text), 8), name); m != nil {
			if _, ok := below(name, m.point); !ok {
				t.Errorf("%q is not below %q", name, m.point)
			}
		}
	})
}
