package casebook

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
	"golang.org/x/sys/unix"
)

// childFill runs in a mount namespace of its own.
func childFill(dir string) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=700"); err != nil {
		fmt.Println("skip:", err)
		return
	}
	b := New(dir, Bounds{})
	for i := range 3 {
		if _, err := b.Put(numbered(i - 5)); err != nil {
			fmt.Println("error:", err)
			return
		}
	}
	big := numbered(2)
	big.LastOutput = &evidence.LastOutput{Stdout: make([]byte, 1<<20)}
	_, err := b.Put(big)
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), dir) {
		fmt.Println("error: put on a full disk:", err)
		return
	}
	entries, problems, err := b.List()
	left, _ := os.ReadDir(dir)
	if err != nil || len(problems) != 0 || len(entries) != 3 || len(left) != 3 {
		fmt.Println("error: after a full disk:", entries, problems, err, left)
		return
	}
	// Others that fit in place of the oldest are kept, at its cost; with no more dropped than that takes.
	dropped := 0
	for i := range 20 {
		c := numbered(10 + i)
		c.LastOutput = &evidence.LastOutput{Stdout: make([]byte, 30_000)}
		n, err := b.Put(c)
		if err != nil {
			fmt.Println("error: put in place of the oldest:", err)
			return
		}
		dropped += n
	}
	entries, problems, err = b.List()
	if err != nil || len(problems) != 0 || len(entries) < 4 || len(entries)+dropped != 23 || entries[0].ID[:8] != numbered(29).ID[:8] {
		fmt.Println("error: in place of the oldest:", len(entries), dropped, problems, err)
		return
	}
	fmt.Println("fine")
}

func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a file system of its own is mounted")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "DESCRY_CASEBOOK_FILL="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.Output()
	switch {
	case err != nil && len(out) == 0:
		t.Skipf("needs a mount namespace: %v", err)
	case strings.HasPrefix(string(out), "skip:"):
		t.Skipf("needs to mount a tmpfs: %s", out)
	case err != nil || string(out) != "fine\n":
		t.Errorf("%v: %s", err, out)
	}
}
