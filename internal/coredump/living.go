package coredump

import (
	"os"
	"path/filepath"
	"strconv"
)

// livingProc is where the memory, the files and the names of a process can be read: proc ("/proc/PID"), or
// the folder of one of its threads (with the same files) where the first one has ended before the others
// and /proc/PID shows no more than a zombie. Without any it is proc.
func livingProc(proc string) string {
	if hasMemory(proc) {
		return proc
	}
	tids, err := numbers(filepath.Join(proc, "task"))
	if err != nil {
		return proc
	}
	for _, tid := range tids {
		if dir := filepath.Join(proc, "task", strconv.Itoa(tid)); hasMemory(dir) {
			return dir
		}
	}
	return proc
}

// hasMemory says whether a process or thread has not yet given up what it runs in.
func hasMemory(dir string) bool {
	_, err := os.Readlink(filepath.Join(dir, "exe"))
	return err == nil
}
