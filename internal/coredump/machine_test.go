package coredump

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What this binary is when it is started again, beside what Reexec makes of it.
const (
	dieEnv    = "DESCRY_TEST_DIE"    // die: signal, MiB of memory
	recordEnv = "DESCRY_TEST_RECORD" // record: directory, way, where cores go, pid that is mine (0: children of the starter), mode
	faultEnv  = "DESCRY_TEST_KILL_AT"
)

func TestMain(m *testing.M) {
	if at := os.Getenv(faultEnv); at != "" {
		fault = func(here string) {
			if here == at {
				unix.Kill(os.Getpid(), unix.SIGKILL)
				select {}
			}
		}
	}
	Reexec()
	if how := os.Getenv(dieEnv); how != "" {
		die(how)
	}
	if how := os.Getenv(recordEnv); how != "" {
		record(strings.Fields(how))
	}
	before := settledSettings()
	code := m.Run()
	if now := settledSettings(); now != before {
		fmt.Printf("the tests left %s, and it was %s\n", now, before)
		code = 1
	}
	os.Exit(code)
}

// settledSettings are the machine's settings while no test has changed them: whoever does holds the lock. A
// worker of a fuzz test does not wait for the test that started it.
func settledSettings() string {
	if slices.Contains(os.Args, "-test.fuzzworker") {
		return ""
	}
	lock, err := os.OpenFile(lockPath(), os.O_RDWR|os.O_CREATE, 0o666)
	if err == nil {
		defer lock.Close() //nolint:errcheck // gives up the lock
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return err.Error()
	}
	return machineSettings()
}

func lockPath() string { return filepath.Join(os.TempDir(), "descry-core-pattern.lock") }

func machineSettings() string {
	var all []string
	for _, name := range []string{"core_pattern", "core_pipe_limit", "core_uses_pid"} {
		v, err := readSysctl(name)
		all = append(all, fmt.Sprintf("%s=%s (%v)", name, v, err))
	}
	return strings.Join(all, " ")
}

// machineWide lets the test change core_pattern and its like: nobody else who keeps to the lock does so
// meanwhile. At the test's end they are as they were, or the test has failed.
func machineWide(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("core dumps: needs root, which alone may set core_pattern")
	}
	lock, err := os.OpenFile(lockPath(), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	before := map[string]string{}
	for _, name := range []string{"core_pattern", "core_pipe_limit", "core_uses_pid"} {
		v, err := readSysctl(name)
		if err == nil {
			err = writeSysctl(name, v)
		}
		if err != nil {
			t.Skipf("core dumps: %v", err)
		}
		before[name] = v
	}
	t.Cleanup(func() {
		for name, v := range before {
			if now, err := readSysctl(name); err != nil || now != v {
				if err := writeSysctl(name, v); err != nil {
					t.Error(err)
				}
			}
		}
		lock.Close() //nolint:errcheck // gives up the lock
	})
}

// asBefore asserts that the settings are as they were when it was called, once the test has done all
// that it does at its end.
func asBefore(t *testing.T) {
	t.Helper()
	before := machineSettings()
	t.Cleanup(func() {
		if now := machineSettings(); now != before {
			t.Errorf("the machine has %s\nand had %s", now, before)
		}
	})
}

// die is the life of a process that dies.
func die(how string) {
	var sig, mib int
	fmt.Sscan(how, &sig, &mib)
	if mib > 0 {
		mem, err := unix.Mmap(-1, 0, mib<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			panic(err)
		}
		for i := 0; i < len(mem); i += 4096 {
			mem[i] = byte(i>>12) | 1
		}
	}
	signal.Reset()
	runtime.LockOSThread()
	done := make(chan struct{})
	go func() { // a thread that is not the first
		runtime.LockOSThread()
		fmt.Println(os.Getpid(), unix.Gettid())
		if in := bufio.NewReader(os.Stdin); strings.Contains(how, "wait") {
			in.ReadString('\n')
		}
		var def [4]uint64 // SIG_DFL
		syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(ptr(&def)), 0, 8, 0, 0)
		if sig == int(unix.SIGSEGV) { // by a fault: the first process of a pid namespace ignores it from itself
			null := (*[1]int)(nil)
			fmt.Sscan("7", &null[0])
		}
		unix.Tgkill(os.Getpid(), unix.Gettid(), syscall.Signal(sig))
		time.Sleep(10 * time.Second)
		close(done)
	}()
	<-done
	os.Exit(7)
}

// victim is a process that is about to die.
type victim struct {
	*exec.Cmd
	pid, tid int // 0 where it is in another pid namespace
	in       io.WriteCloser
}

// newVictim starts a process that dies of sig once it is told to; change may alter how it is started.
func newVictim(t testing.TB, sig syscall.Signal, mib int, change func(*exec.Cmd)) *victim {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{Cmd: exec.Command(exe)}
	v.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d wait", dieEnv, sig, mib))
	if v.in, err = v.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := v.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(v.Cmd)
	}
	if err := v.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		v.Process.Kill()
		v.Wait()
	})
	if _, err := fmt.Fscan(out, &v.pid, &v.tid); err != nil {
		t.Fatalf("the victim does not live: %v", err)
	}
	return v
}

// dies lets it die and gives how it ended.
func (v *victim) dies(t testing.TB) syscall.WaitStatus {
	t.Helper()
	v.in.Close()
	v.Wait()
	return v.ProcessState.Sys().(syscall.WaitStatus)
}

// writer is a Keeper that writes each core to a file.
type writer struct {
	dir  string
	wait func(ctx context.Context, d *Dump) // before the core is read
	part int64                              // bytes to read; 0: all

	mu   sync.Mutex
	seen []*Dump
	text map[int32]string // stat of the process, read while the kernel waits
}

func (w *writer) Take(ctx context.Context, d *Dump) (*Entry, error) {
	defer d.Core.Close()
	w.mu.Lock()
	w.seen = append(w.seen, d)
	w.mu.Unlock()
	if w.wait != nil {
		w.wait(ctx, d)
	}
	f, err := os.Create(filepath.Join(w.dir, strconv.Itoa(int(d.PID))))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := io.Copy(f, io.LimitReader(d.Core, cmpOr(w.part, 1<<40)))
	// All of it was read, and the process still waits.
	stat, serr := os.ReadFile(d.Proc + "/status")
	if serr != nil {
		return nil, serr
	}
	w.mu.Lock()
	if w.text == nil {
		w.text = map[int32]string{}
	}
	w.text[d.PID] = string(stat)
	w.mu.Unlock()
	return &Entry{PID: d.PID, Signal: d.Signal, CoreBytes: n, File: f.Name(), Kept: Full}, err
}

func cmpOr(a, b int64) int64 {
	if a != 0 {
		return a
	}
	return b
}

// record is the life of a descry of its own that records until it is told to end, by a line or the
// end of its input.
func record(arg []string) {
	mine, _ := strconv.Atoi(arg[3])
	o := InstallOptions{Dir: arg[0], Way: Way(arg[1])}
	if arg[4] == "hang" {
		o.Bound = time.Second
	}
	i, err := Install(o)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	k := &writer{dir: arg[2]}
	if arg[4] == "hang" {
		k.wait = func(context.Context, *Dump) {
			fmt.Println("hangs")
			select {}
		}
	}
	served := make(chan error)
	go func() {
		served <- i.Serve(context.Background(), ServeOptions{
			Keeper: k, Mine: func(pid int, _ *os.File) bool { return pid == mine || within("/proc", pid, mine) },
			Kept: func(k *Kept) { fmt.Println("kept", k.PID, k.Err) }, Said: func(w string) { fmt.Println("said", w) },
		})
	}()
	fmt.Println("ready", i.Way, i.Former)
	io.Copy(io.Discard, os.Stdin)
	words, err := i.Close()
	fmt.Println("closed", words, err)
	<-served
	os.Exit(0)
}
