package probe

import "strconv"

// callName is the name of a system call of this architecture, "syscall 999" where there is none.
func callName(nr uint32) string {
	if nr < uint32(len(callNames)) && callNames[nr] != "" {
		return callNames[nr]
	}
	return "syscall " + strconv.FormatUint(uint64(nr), 10)
}

// callNumber is the inverse, -1 for a call that this architecture does not have.
func callNumber(name string) int {
	for nr, n := range callNames {
		if n == name {
			return nr
		}
	}
	return -1
}
