package scenarios

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// launchEnv carries a launch to this test binary started again: what a shell's ulimit, exec and
// unshare would do before a program starts, and nothing of it remains in the program.
const launchEnv = "SCENARIO_LAUNCH"

type launch struct {
	Join   int    // process whose network and mount namespaces are joined; 0: none
	Dir    string // in them
	NetNS  bool   // with Hold: a new network namespace too
	NoFile uint64
	Limits map[string]uint64
	Close  []int
	UID    uint32            // 0: stays
	Hold   map[string]string // make namespaces usable: mounts private, loopback up, these sysctls; then wait for the end of stdin
	Argv   []string          // Argv[0] is looked up in PATH
}

var limitNames = map[string]int{
	"stack": unix.RLIMIT_STACK, "core": unix.RLIMIT_CORE, "fsize": unix.RLIMIT_FSIZE,
	"cpu": unix.RLIMIT_CPU, "as": unix.RLIMIT_AS, "nproc": unix.RLIMIT_NPROC, "data": unix.RLIMIT_DATA,
	"memlock": unix.RLIMIT_MEMLOCK,
}

func doLaunch(text string) {
	err := func() error {
		var l launch
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return err
		}
		runtime.LockOSThread() // setns counts for one thread, and execve goes on with it
		if l.Hold != nil {
			return l.hold()
		}
		return l.exec()
	}()
	fmt.Fprintln(os.Stderr, "scenario launcher:", err)
	os.Exit(125)
}

func (l *launch) exec() error {
	if l.Join != 0 {
		fd, err := unix.PidfdOpen(l.Join, 0)
		if err != nil {
			return fmt.Errorf("pidfd_open %d: %w", l.Join, err)
		}
		// A thread that shares its root and working directory with others may not change mounts.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare(CLONE_FS): %w", err)
		}
		if err := unix.Setns(fd, unix.CLONE_NEWNET|unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("join the namespaces of %d: %w", l.Join, err)
		}
		unix.Close(fd)
		if err := os.Chdir(l.Dir); err != nil {
			return err
		}
	}
	if l.UID != 0 {
		if err := syscall.Setgroups(nil); err != nil {
			return err
		}
		if err := syscall.Setgid(int(l.UID)); err != nil {
			return err
		}
		if err := syscall.Setuid(int(l.UID)); err != nil {
			return err
		}
	}
	set := func(what int, soft uint64) error {
		var r syscall.Rlimit
		if err := syscall.Getrlimit(what, &r); err != nil {
			return err
		}
		r.Cur = soft
		return syscall.Setrlimit(what, &r) // package syscall's, which then leaves it alone at Exec
	}
	if l.NoFile != 0 {
		if err := set(unix.RLIMIT_NOFILE, l.NoFile); err != nil {
			return fmt.Errorf("set the limit of descriptors to %d: %w", l.NoFile, err)
		}
	}
	for name, v := range l.Limits {
		what, ok := limitNames[name]
		if !ok {
			return fmt.Errorf("no limit is named %q here", name)
		}
		if err := set(what, v); err != nil {
			return fmt.Errorf("set limit %s to %d: %w", name, v, err)
		}
	}
	path, err := exec.LookPath(l.Argv[0])
	if err != nil {
		path = l.Argv[0] // execve says what is wrong with it
	}
	for _, fd := range l.Close {
		unix.Close(fd)
	}
	signal.Reset()
	err = syscall.Exec(path, l.Argv, os.Environ())
	fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
	if err == syscall.ENOENT { // as env, nohup and shells have it
		os.Exit(127)
	}
	os.Exit(126)
	return nil
}

func (l *launch) hold() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if l.NetNS {
		if err := l.network(); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
	return nil
}

func (l *launch) network() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("loopback up: %w", err)
	}
	for name, v := range l.Hold {
		if err := os.WriteFile("/proc/sys/"+name, []byte(v), 0); err != nil {
			return err
		}
	}
	return nil
}
