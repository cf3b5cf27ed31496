package coredump

import (
	"context"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// sleeper is a process that lives until the test ends.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "300")
	cmd.Env = []string{"ONE_NAME=its value"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

func procOf(pid int) string { return "/proc/" + strconv.Itoa(pid) }

func TestNone(t *testing.T) {
	s, err := NewStore(t.TempDir()+"/cores", Bounds{}, Policy{Keep: None})
	if err != nil {
		t.Fatal(err)
	}
	cmd := sleeper(t)
	e, err := s.Take(context.Background(), &Dump{
		PID: int32(cmd.Process.Pid), Signal: evidence.SIGSEGV, Proc: procOf(cmd.Process.Pid),
		Core: io.NopCloser(strings.NewReader("")), At: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(e.ID[:20])
	if err != nil {
		t.Fatal(err)
	}
	p := got.Process
	if got.Kept != None || got.Comm != "sleep" || len(got.Command) != 2 || p == nil || len(p.Limits) < 15 || len(p.Descriptors) < 3 ||
		p.FDTable.SoftLimit == 0 || len(p.Environment) != 1 || p.Environment[0] != "ONE_NAME" || len(p.Threads) != 1 || p.UID != int64(os.Getuid()) {
		t.Errorf("the entry lacks what /proc tells: %+v, process %+v", got, p)
	}
	if _, _, _, err := s.OpenCore(got); err == nil {
		t.Error("a core opened of which nothing was kept")
	}
	st, err := os.Stat(s.Dir() + "/" + e.ID + ".json")
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("entry: %v, mode %v, want 0600", err, st.Mode())
	}
	if st, err := os.Stat(s.Dir()); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, mode %v, want 0700", err, st.Mode())
	}
	if err := s.Remove(e.ID); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("after removing it: %v, %v", list, err)
	}
}
