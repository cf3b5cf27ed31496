package guest

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/coredump"
)

// keeper holds the begin of each core.
type keeper struct {
	mu    sync.Mutex
	dumps []*coredump.Dump
	begin [][]byte
	proc  []string
}

func (k *keeper) Take(_ context.Context, d *coredump.Dump) (*coredump.Entry, error) {
	defer d.Core.Close()
	b := make([]byte, 64)
	n, err := io.ReadFull(d.Core, b)
	io.Copy(io.Discard, d.Core) // to its end; the process still waits
	status, _ := os.ReadFile(d.Proc + "/status")
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dumps, k.begin, k.proc = append(k.dumps, d), append(k.begin, b[:n]), append(k.proc, string(status))
	return &coredump.Entry{PID: d.PID}, err
}

// crash is a shell that dies of a signal, as nobody and with a limit of its core where that is asked for.
func crash(t *testing.T, dir string, nobody bool) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "ulimit -c unlimited; kill -SEGV $$")
	cmd.Dir = dir
	if nobody {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return cmd
}

// The kernel hands cores over in the way that it has, what is nobody's becomes the file that it would
// have been, and all is as before in the end.
func TestCores(t *testing.T) {
	needMachine(t)
	settings := func() string {
		a, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
		b, _ := os.ReadFile("/proc/sys/kernel/core_pipe_limit")
		return string(a) + string(b)
	}
	before := settings()
	i, err := coredump.Install(coredump.InstallOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("cores come by %s: %s", i.Way.By(), strings.ReplaceAll(settings(), "\n", " "))
	k := new(keeper)
	kept := make(chan *coredump.Kept, 8)
	served := make(chan error, 1)
	root := os.Getpid()
	var others atomic.Bool
	go func() {
		served <- i.Serve(t.Context(), coredump.ServeOptions{
			Keeper: k, Kept: func(k *coredump.Kept) { kept <- k },
			Mine: func(pid int, _ *os.File) bool {
				return !others.Load() && coredump.Within(pid, root)
			},
		})
	}()

	cmd := crash(t, t.TempDir(), false)
	cmd.Run()
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if e := <-kept; e.Err != nil || int(e.PID) != cmd.Process.Pid || ws.Signal() != unix.SIGSEGV {
		t.Errorf("kept %+v of process %d, which ended with %v", e, cmd.Process.Pid, ws)
	}
	if d := k.dumps[0]; d.Signal != 11 || int(d.TID) != cmd.Process.Pid || !bytes.HasPrefix(k.begin[0], []byte("\x7fELF")) || !strings.Contains(k.proc[0], "CoreDumping:\t1") {
		t.Errorf("dump %+v, core %q, status %q", d, k.begin[0], k.proc[0])
	}

	others.Store(true)
	for _, nobody := range []bool{false, true} {
		dir := t.TempDir()
		uid := 0
		if nobody {
			uid = 65534
			for d := dir; d != os.TempDir(); d = filepath.Dir(d) {
				os.Chmod(d, 0o755)
			}
		}
		if err := os.Chown(dir, uid, uid); err != nil {
			t.Fatal(err)
		}
		crash(t, dir, nobody).Run()
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, "core"), &st); err != nil || int(st.Uid) != uid || st.Mode != unix.S_IFREG|0o600 || st.Size < 4096 {
			t.Errorf("the core of user %d: %v, uid %d, mode %o, %d bytes", uid, err, st.Uid, st.Mode, st.Size)
		}
	}

	if words, err := i.Close(); words != "" || err != nil {
		t.Error(words, err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if now := settings(); now != before {
		t.Errorf("the machine has %q and had %q", now, before)
	}
}
