//go:build linux

package probe

import (
	"strings"
	"testing"
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
