package coredump

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"golang.org/x/sys/unix"
)

// The kernel runs the test itself as the handler of core_pattern's pipe, with these words.
func init() {
	if len(os.Args) == 6 && os.Args[1] == "hand-over-core" {
		handOver(os.Args[2], os.Args[3:])
		os.Exit(0)
	}
}

// handOver gives the pipe to the test, and the core of any other process to where it would have gone.
func handOver(socket string, args []string) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer conn.Close()
	conn.(*net.UnixConn).WriteMsgUnix([]byte(strings.Join(args, " ")), unix.UnixRights(0), nil) //nolint:errcheck // the test notices
}

// waiting starts a program that dies, and gives its dump while the kernel waits. What else dies on the
// machine meanwhile loses its core. core_pattern is as before when it returns.
func waiting(t testing.TB, env []string, argv ...string) *Dump {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("core dumps: setting core_pattern takes root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "dc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// The pattern has room for 127 bytes.
	link := filepath.Join(dir, "h")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	lock, err := os.OpenFile(lockPath(), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(corePattern)
	if err != nil {
		t.Skipf("core dumps: %v", err)
	}
	// The lock's file has what was there before, for the next one where a test is killed.
	if left, err := os.ReadFile(lock.Name()); err == nil && len(left) > 0 && strings.Contains(string(old), " hand-over-core ") {
		old = left
	}
	if err := os.WriteFile(lock.Name(), old, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(corePattern, []byte("|"+link+" hand-over-core "+filepath.Join(dir, "s")+" %P %I %s"), 0); err != nil {
		t.Skipf("core dumps: core_pattern cannot be set: %v", err)
	}
	defer func() {
		os.WriteFile(corePattern, old, 0) //nolint:errcheck // asserted
		if now, _ := os.ReadFile(corePattern); string(now) != string(old) {
			t.Errorf("core_pattern is %q and not %q as before", now, old)
		}
		lock.Truncate(0) //nolint:errcheck // what is left there is used with a left pattern only
	}()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() }) //nolint:errcheck // it dies of its signal
	listener.(*net.UnixListener).SetDeadline(time.Now().Add(time.Minute))
	for {
		conn, err := listener.Accept()
		if err != nil {
			t.Fatalf("%v: the kernel hands over no core: %v", argv, err)
		}
		d, err := handedOver(conn.(*net.UnixConn))
		conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		if !descends(int(d.PID), cmd.Process.Pid) { // of others
			d.Core.Close()
			continue
		}
		t.Cleanup(func() { d.Core.Close() })
		return d
	}
}

func descends(pid, from int) bool {
	for range 8 {
		if pid == from {
			return true
		}
		e := new(Entry)
		readProcess(e, procOf(pid), procOf(pid))
		pid = int(e.Process.ParentPID)
	}
	return false
}

func handedOver(conn *net.UnixConn) (*Dump, error) {
	b, oob := make([]byte, 256), make([]byte, 256)
	n, on, _, _, err := conn.ReadMsgUnix(b, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:on])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("no descriptor came with %q: %v", b[:n], err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	unix.SetNonblock(fds[0], true) // so that closing ends a read
	word := strings.Fields(string(b[:n]))
	number := func(i int) int32 { v, _ := strconv.Atoi(word[i]); return int32(v) }
	return &Dump{
		PID: number(0), TID: number(1), Signal: evidence.Signal(number(2)), Proc: "/proc/" + word[0],
		Core: os.NewFile(uintptr(fds[0]), "core"), At: time.Now(),
	}, nil
}
