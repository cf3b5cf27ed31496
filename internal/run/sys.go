package run

import (
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxSignal is the highest signal number of Linux.
const maxSignal = 64

const (
	sigDefault = 0
	sigIgnore  = 1
)

// sigaction is the kernel's struct sigaction of amd64 and arm64, not libc's.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

func getSigaction(sig int) (sigaction, error) {
	var sa sigaction
	_, _, e := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), 0, uintptr(unsafe.Pointer(&sa)), 8, 0, 0)
	if e != 0 {
		return sa, e
	}
	return sa, nil
}

// setHandler sets a disposition to sigDefault or sigIgnore behind the Go runtime's back, which is
// only right in a process that is about to execute something else.
func setHandler(sig int, handler uintptr) {
	setSigaction(sig, &sigaction{handler: handler})
}

func setSigaction(sig int, sa *sigaction) {
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(sa)), 0, 8, 0, 0)
}

// setMask sets the calling thread's blocked signals.
func setMask(mask uint64) {
	const setmask = 2
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setmask, uintptr(unsafe.Pointer(&mask)), 0, 8, 0, 0)
}

func getMask() uint64 {
	var mask uint64
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, 0, 0, uintptr(unsafe.Pointer(&mask)), 8, 0, 0)
	return mask
}

func sigBit(sig int) uint64 { return 1 << (sig - 1) }

// openDescriptors lists the descriptors of this process from low on that survive an execve. Those
// of the Go runtime and of Go libraries do not: they are opened close-on-exec.
func openDescriptors(low int) ([]int, error) {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	d.Close()
	if err != nil {
		return nil, err
	}
	var fds []int
	for _, n := range names {
		fd, err := strconv.Atoi(n)
		if err != nil || fd < low {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			fds = append(fds, fd)
		}
	}
	return fds, nil
}

func bootNanos() int64 {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return ts.Nano()
}

// readFull reads len(b) bytes from a blocking descriptor; io.EOF's place is taken by n < len(b).
func readFull(fd int, b []byte) (n int, err error) {
	for n < len(b) {
		m, err := syscall.Read(fd, b[n:])
		if err == syscall.EINTR {
			continue
		}
		if err != nil || m == 0 {
			return n, err
		}
		n += m
	}
	return n, nil
}

// writeFull writes all of b to a blocking socket, without a SIGPIPE when the peer is gone.
func writeFull(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(fd, b, nil, nil, unix.MSG_NOSIGNAL)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// sameFile says whether two descriptors are one open file, and not merely the same inode.
func sameFile(a, b int) (same, known bool) {
	// Exact and needs no privilege, since Linux 6.10.
	if n, err := unix.FcntlInt(uintptr(a), unix.F_DUPFD_QUERY, b); err == nil {
		return n == 1, true
	}
	return kcmp(a, b)
}

func kcmp(a, b int) (same, known bool) {
	const kcmpFile = 0
	pid := uintptr(os.Getpid())
	n, _, e := syscall.RawSyscall6(unix.SYS_KCMP, pid, pid, kcmpFile, uintptr(a), uintptr(b), 0)
	return e == 0 && n == 0, e == 0
}

// oneOutput says whether what is written to descriptors a and b lands in one sequence, so that the
// order between the two can be seen: they are one open file, or one pipe or terminal opened twice,
// or one file that both append to.
func oneOutput(a, b int) bool {
	same, known := sameFile(a, b)
	if same {
		return true
	}
	var sa, sb unix.Stat_t
	if unix.Fstat(a, &sa) != nil || unix.Fstat(b, &sb) != nil || sa.Dev != sb.Dev || sa.Ino != sb.Ino {
		return false
	}
	fa, _ := unix.FcntlInt(uintptr(a), unix.F_GETFL, 0)
	fb, _ := unix.FcntlInt(uintptr(b), unix.F_GETFL, 0)
	switch sa.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return true
	case unix.S_IFCHR:
		return isTerminal(a)
	case unix.S_IFREG:
		if fa&fb&unix.O_APPEND != 0 {
			return true
		}
		if known {
			return false
		}
		// Without kcmp: one open file has one offset and one set of flags.
		pa, e1 := unix.Seek(a, 0, 1)
		pb, e2 := unix.Seek(b, 0, 1)
		return fa == fb && pa == pb && e1 == nil && e2 == nil
	}
	return false
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

func writable(fd int) bool {
	fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return err == nil && fl&unix.O_ACCMODE != unix.O_RDONLY && fl&unix.O_PATH == 0
}

func memfd(name string, size int64) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return -1, err
	}
	if err := unix.Ftruncate(fd, size); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
