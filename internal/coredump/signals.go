package coredump

import "github.com/descry-dev/descry/internal/evidence"

// Signals and codes (asm-generic/siginfo.h) that a core's meaning is told by.
const (
	sigILL  = 4
	sigTRAP = 5
	sigABRT = 6
	sigBUS  = 7
	sigFPE  = 8
	sigSEGV = 11
	sigSYS  = 31

	siUser   = 0
	siTKill  = -6
	siKernel = 0x80 // raised by the kernel; of SIGSEGV on amd64 without an address

	segvMapErr  = 1 // nothing is mapped there
	segvAccErr  = 2 // mapped, but not for this kind of access
	busAdrAln   = 1
	busAdrErr   = 2
	busMceErrAR = 4
	busMceErrAO = 5
)

// isFault tells the signals whose siginfo has an address when the kernel raises them.
func isFault(s evidence.Signal) bool {
	switch s {
	case sigILL, sigTRAP, sigBUS, sigFPE, sigSEGV:
		return true
	}
	return false
}
