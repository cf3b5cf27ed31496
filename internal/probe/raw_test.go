//go:build linux

package probe

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// resetHandler gives a signal its default action behind the back of Go's runtime, which keeps a
// handler for all of them.
func resetHandler(sig unix.Signal) {
	var act struct {
		handler, flags, restorer uintptr
		mask                     uint64
	}
	if _, _, e := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0); e != 0 {
		panic(e)
	}
}

func ptr(b []byte) unsafe.Pointer { return unsafe.Pointer(&b[0]) }
