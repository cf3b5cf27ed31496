package guest

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/coredump"
)

// Children of the tests are this binary, told by GUEST_CHILD which of these to be. With "wait " before
// the name, they wait for the end of standard input and start themselves anew without.
var children = map[string]func() int{
	"pass":        func() int { return 0 },
	"descriptors": childDescriptors,
	"files":       childFiles,
	"inotify":     childInotify,
	"memory":      childMemory,
	"hog":         childHog,
	"spare":       childSpare,
	"as-nobody":   func() int { return become(becomeNobody) },
}

func TestMain(m *testing.M) {
	coredump.Reexec()
	name := os.Getenv("GUEST_CHILD")
	if name == "" {
		os.Exit(m.Run())
	}
	if then, wait := strings.CutPrefix(name, "wait "); wait {
		os.Stdin.Read(make([]byte, 1))
		os.Setenv("GUEST_CHILD", then)
		err := syscall.Exec("/proc/self/exe", os.Args, os.Environ())
		os.Stderr.WriteString(err.Error())
		os.Exit(99)
	}
	os.Exit(children[name]())
}

func child(name string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "GUEST_CHILD="+name)
	return cmd
}

// exitCode runs a command and wants it to end by itself.
func exitCode(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && (!errors.As(err, &exit) || !exit.Exited()) {
		t.Fatalf("%s: %v", cmd.Env[len(cmd.Env)-1], err)
	}
	return cmd.ProcessState.ExitCode()
}

// childDescriptors uses its 20 descriptors up and is refused one more.
func childDescriptors() int {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 20, Max: 20}); err != nil {
		return 10
	}
	for range 20 {
		if _, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); errors.Is(err, unix.EMFILE) {
			return 24
		}
	}
	return 11
}

// nobody is a user without rights: root is exempt from some limits.
const nobody = 65534

func becomeNobody() error {
	if os.Getuid() != 0 {
		return nil
	}
	if err := syscall.Setgid(nobody); err != nil {
		return err
	}
	return syscall.Setuid(nobody)
}

// childFiles opens files until the machine has no more, and tries five times in all.
func childFiles() int {
	if err := becomeNobody(); err != nil {
		return 9
	}
	refused := 0
	for range 100_000 {
		_, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENFILE) {
			refused++
		} else if err != nil {
			return 10
		}
		if refused == 5 {
			return 23
		}
	}
	return 11
}

// childInotify makes inotify instances until one is refused, then watches until one is refused.
func childInotify() int {
	if err := becomeNobody(); err != nil {
		return 9
	}
	fd := -1
	for {
		next, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if errors.Is(err, unix.EMFILE) {
			break
		}
		if err != nil {
			return 10
		}
		fd = next
	}
	for _, dir := range []string{"/", "/dev", "/proc", "/sys", "/tmp", "/run", "/etc", "/bin"} {
		_, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE)
		if errors.Is(err, unix.ENOSPC) {
			return 28
		}
		if err != nil {
			return 11
		}
	}
	return 12
}

// become turns into another program.
func become(user func() error) int {
	if err := user(); err != nil {
		return 9
	}
	os.Unsetenv("GUEST_CHILD")
	err := syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	os.Stderr.WriteString(err.Error())
	return 126
}

// childMemory takes memory until it is killed, before any other.
func childMemory() int { return takeMemory("1000") }

// childHog takes memory until others are killed.
func childHog() int { return takeMemory("0") }

func takeMemory(score string) int {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte(score), 0); err != nil {
		return 9
	}
	var all [][]byte
	for range 1 << 16 {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		all = append(all, b)
	}
	return len(all) % 2
}

// childSpare is the first whom the kernel takes of those that nobody needs, and the last before it gives up: a machine
// whose only processes must not be killed panics, also while the memory of one that was killed is still on its way back.
func childSpare() int {
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1"), 0); err != nil {
		return 9
	}
	os.Stdin.Read(make([]byte, 1)) // until the test ends
	return 0
}
