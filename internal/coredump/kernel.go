package coredump

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sysctls is where core_pattern and its like are read and set.
var sysctls = ownSysctls

const ownSysctls = "/proc/sys/kernel/"

// UseProc has core_pattern read and set in another mount of /proc: in a container its own is read-only. It is to be
// called before anything else of this package.
//
// From there the kernel takes no socket (only from the machine's own mounts, Linux 6.17), but a program, which it starts in the
// machine's mounts: it finds descry's below /proc/PID/root.
func UseProc(dir string) { sysctls = filepath.Join(dir, "sys/kernel") + "/" }

// inContainer says whether UseProc was called.
func inContainer() bool { return sysctls != ownSysctls }

func readSysctl(name string) (string, error) {
	b, err := os.ReadFile(sysctls + name)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(b), "\n"), nil
}

// writeSysctl sets a sysctl, and makes sure that the kernel took it whole.
func writeSysctl(name, value string) error {
	if err := os.WriteFile(sysctls+name, []byte(value+"\n"), 0); err != nil {
		return fmt.Errorf("set kernel.%s to %q: %w", name, value, err)
	}
	is, err := readSysctl(name)
	if err == nil && is != value {
		err = fmt.Errorf("it is %q then", is)
	}
	if err != nil {
		return fmt.Errorf("set kernel.%s to %q: %w", name, value, err)
	}
	return nil
}

// kernelVersion is what a release begins with.
type kernelVersion struct{ major, minor int }

func (v kernelVersion) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

func parseVersion(release string) kernelVersion {
	var v kernelVersion
	first, rest, _ := strings.Cut(release, ".")
	v.major, _ = strconv.Atoi(first)
	if i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		rest = rest[:i]
	}
	v.minor, _ = strconv.Atoi(rest)
	return v
}

func runningKernel() kernelVersion {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return kernelVersion{}
	}
	return parseVersion(unix.ByteSliceToString(u.Release[:]))
}

// BestWay is how this kernel hands cores over best.
func BestWay() Way {
	v := runningKernel()
	if inContainer() || !v.atLeast(6, 16) || !tellsOfCores() {
		return WayPipe
	}
	if v.atLeast(6, 17) {
		return WayRequest
	}
	return WaySocket
}

// tellsOfCores says whether pidfds know of core dumps, which came with the socket (Linux 6.16): what
// an older kernel makes of a pattern that begins with @ is a file's name.
func tellsOfCores() bool {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	_, err = coreInfo(fd)
	return err == nil
}

// coreInfo is what a pidfd says of its process's core dump: bits PIDFD_COREDUMP_* (Linux 6.16).
func coreInfo(pidfd int) (mask uint32, err error) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_PID | unix.PIDFD_INFO_COREDUMP}
	if err := unix.IoctlPidfdInfo(pidfd, &info); err != nil {
		return 0, err
	}
	if info.Mask&unix.PIDFD_INFO_COREDUMP == 0 {
		return 0, errors.ErrUnsupported
	}
	return info.Coredump_mask, nil
}

// initPIDNamespace is the inode of the machine's first pid namespace, the same on all machines.
const initPIDNamespace = 4026531836

// canReceive says why cores cannot come to a directory, nil where they can.
func canReceive(dir string, w Way) error {
	if unix.Geteuid() != 0 {
		return errors.New("receive core dumps: only root may set kernel.core_pattern; run it with sudo")
	}
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &ns); err != nil {
		return fmt.Errorf("receive core dumps: find the pid namespace: %w", err)
	}
	if ns.Ino != initPIDNamespace {
		return errors.New("receive core dumps: descry is in a pid namespace (a container?) of its own, and core_pattern is the whole machine's; run it in the machine's (hostPID)")
	}
	f, err := os.OpenFile(sysctls+"core_pattern", os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("receive core dumps: %w", err)
	}
	f.Close()
	if _, err := ourPattern(dir, w); err != nil {
		return fmt.Errorf("receive core dumps: %w", err)
	}
	// The kernel looks for it from the machine's own root.
	var here, there unix.Stat_t
	if unix.Stat(dir, &here) == nil {
		switch err := unix.Stat("/proc/1/root"+dir, &there); {
		case err == unix.ENOENT, err == nil && (here.Dev != there.Dev || here.Ino != there.Ino):
			return fmt.Errorf("receive core dumps: %s is not the same directory in the machine's own mounts, where the kernel looks", dir)
		}
	}
	return nil
}
