package probe

import (
	"runtime"
	"slices"
	"strconv"

	"github.com/descry-dev/descry/internal/evidence"
)

// callName is the name of a system call of this architecture, "syscall 999" where there is none.
func callName(nr uint32) string {
	if name := evidence.CallName(runtime.GOARCH, nr); name != "" {
		return name
	}
	return "syscall " + strconv.FormatUint(uint64(nr), 10)
}

// callNumber is the inverse, -1 for a call that this architecture does not have.
func callNumber(name string) int { return slices.Index(evidence.CallNames(runtime.GOARCH), name) }
