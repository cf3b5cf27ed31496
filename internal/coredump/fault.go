package coredump

import "github.com/descry-dev/descry/internal/evidence"

var codeNames = map[evidence.Signal][]string{
	sigILL:  {"", "ILL_ILLOPC", "ILL_ILLOPN", "ILL_ILLADR", "ILL_ILLTRP", "ILL_PRVOPC", "ILL_PRVREG", "ILL_COPROC", "ILL_BADSTK"},
	sigFPE:  {"", "FPE_INTDIV", "FPE_INTOVF", "FPE_FLTDIV", "FPE_FLTOVF", "FPE_FLTUND", "FPE_FLTRES", "FPE_FLTINV", "FPE_FLTSUB"},
	sigSEGV: {"", "SEGV_MAPERR", "SEGV_ACCERR", "SEGV_BNDERR", "SEGV_PKUERR", "SEGV_ACCADI", "SEGV_ADIDERR", "SEGV_ADIPERR", "SEGV_MTEAERR", "SEGV_MTESERR"},
	sigBUS:  {"", "BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR", "BUS_MCEERR_AR", "BUS_MCEERR_AO"},
	sigTRAP: {"", "TRAP_BRKPT", "TRAP_TRACE", "TRAP_BRANCH", "TRAP_HWBKPT", "TRAP_UNK"},
	sigSYS:  {"", "SYS_SECCOMP", "SYS_USER_DISPATCH"},
}

// codeName is si_code's name, empty where it has none.
func codeName(s evidence.Signal, code int32) string {
	switch code {
	case siUser:
		return "SI_USER"
	case siKernel:
		return "SI_KERNEL"
	case siTKill:
		return "SI_TKILL"
	case -1:
		return "SI_QUEUE"
	}
	if names := codeNames[s]; code > 0 && int(code) < len(names) {
		return names[code]
	}
	return ""
}
