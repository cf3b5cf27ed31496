package run

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// origin is what this process was started with, as far as the Go runtime or later code would hide
// or change it.
type origin struct {
	known     bool
	inherited []int   // descriptors from 3 on that were inherited
	closed    [3]bool // descriptors 0 to 2 that were closed
	ignored   uint64  // signals seen ignored at the start of main; the runtime has hidden others
	blocked   uint64  // signals seen blocked at the start of main; likewise
	rlimits   [16]unix.Rlimit
	limitSet  [16]bool
}

// atStart is filled once by Reexec, before anything is opened or changed.
var atStart origin

func (o *origin) capture() {
	if o.known {
		return
	}
	o.known = true
	o.inherited, _ = openDescriptors(3)
	for fd := range o.closed {
		o.closed[fd] = wasClosed(fd)
	}
	for sig := 1; sig <= maxSignal; sig++ {
		if sa, err := getSigaction(sig); err == nil && sa.handler == sigIgnore {
			o.ignored |= sigBit(sig)
		}
	}
	o.blocked = getMask()
	for i := range o.rlimits {
		// The runtime has already raised RLIMIT_NOFILE; package syscall keeps what it was, and
		// gives it back to what it executes.
		if i != unix.RLIMIT_NOFILE {
			o.limitSet[i] = unix.Getrlimit(i, &o.rlimits[i]) == nil
		}
	}
}

// shells open /dev/null for reading or for writing, never for both unless told with <>.
var shells = " sh bash dash ash busybox zsh ksh ksh93 mksh fish "

// wasClosed says whether standard descriptor fd was closed when this process started. The Go
// runtime then opened /dev/null for it, read-write and for it alone. Python and Node.js give their
// children the same on purpose, hence the look at the parent: to close what was /dev/null would be
// worse than to open what was closed.
func wasClosed(fd int) bool {
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return true
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
		return false
	}
	fl, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || fl&(unix.O_ACCMODE|unix.O_APPEND|unix.O_NONBLOCK) != unix.O_RDWR {
		return false
	}
	for other := range 3 {
		if other != fd {
			if same, _ := sameFile(fd, other); same {
				return false
			}
		}
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", os.Getppid()))
	name := strings.TrimPrefix(string(bytes.TrimSpace(comm)), "-") // "-bash": a login shell
	return err == nil && strings.Contains(shells, " "+name+" ")
}

// signals gives the ignored and the blocked signals that this process was started with. The Go
// runtime replaces ignored ones by handlers of its own and unblocks some; what was stands in two
// variables of it, which are found by the binary's symbol table. Where there is none, or it does
// not look as expected, reason says so and the result is what could be seen without.
func (o *origin) signals() (ignored, blocked uint64, reason string) {
	ignored, blocked = o.ignored, o.blocked
	const fwdSize, maskSize = (maxSignal + 1) * 8, 8
	at, err := runtimeVariables(map[string]uint64{"runtime.fwdSig": fwdSize, "runtime.initSigmask": maskSize})
	if err != nil {
		return ignored, blocked, fmt.Sprintf("signals that were ignored at the start are not all known: %v", err)
	}
	fwd := (*[maxSignal + 1]uintptr)(at["runtime.fwdSig"])
	for sig := 1; sig <= maxSignal; sig++ {
		switch fwd[sig] {
		case sigDefault:
		case sigIgnore:
			ignored |= sigBit(sig)
		default: // execve leaves nothing else
			return o.ignored, o.blocked, "signals that were ignored at the start are not all known: the Go runtime keeps them in another way"
		}
	}
	return ignored, *(*uint64)(at["runtime.initSigmask"]), ""
}

// environ is the environment of this process as it was given, with duplicates, empty strings and
// strings without "=", which os.Environ drops.
func environ() []string {
	b, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return os.Environ()
	}
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// lookupEnv is getenv over env: the first one counts.
func lookupEnv(env []string, name string) (string, bool) {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v, true
		}
	}
	return "", false
}

// prlimit of this process; syscall.Setrlimit would make package syscall forget the original
// RLIMIT_NOFILE.
func prlimit(resource int, set, old *unix.Rlimit) error {
	_, _, e := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, uintptr(resource), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// raiseLimits takes from this process and its relay the soft limits that are meant for the command:
// of file size (the shared memory is a file), processor time and memory. The launcher gives the
// command back what this process was started with.
func raiseLimits() {
	for _, resource := range []int{unix.RLIMIT_FSIZE, unix.RLIMIT_CPU, unix.RLIMIT_AS, unix.RLIMIT_DATA} {
		var l unix.Rlimit
		if prlimit(resource, nil, &l) == nil && l.Cur < l.Max {
			l.Cur = l.Max
			prlimit(resource, &l, nil)
		}
	}
}
