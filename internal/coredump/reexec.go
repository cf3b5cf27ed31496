package coredump

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// The arguments by which the binary knows that it was executed again.
const (
	reexecName     = "descry"
	roleSupervisor = "@cores"
	roleFormer     = "@former"
	supervisorFDs  = 4 // standard ones, and that which tells that it is ready
)

// Reexec is to be called early in main. In a process that this package or the kernel, for a core, has
// started it does not return.
func Reexec() {
	if len(os.Args) > 3 && filepath.Base(os.Args[0]) == handlerLink && os.Args[1] == "core" && os.Args[2] == "receive" {
		finish(handle(filepath.Dir(os.Args[0]), os.Args[3:]))
	}
	if len(os.Args) != 3 || os.Args[0] != reexecName {
		return
	}
	switch os.Args[1] {
	case roleSupervisor:
		var o superviseOptions
		err := json.Unmarshal([]byte(os.Args[2]), &o)
		if err == nil {
			closeInherited()
			err = supervise(o, os.NewFile(supervisorFDs-1, "ready"))
		}
		finish(err)
	case roleFormer:
		var f former
		err := json.Unmarshal([]byte(os.Args[2]), &f)
		if err == nil {
			err = f.passOn()
		}
		finish(err)
	}
}

// closeInherited closes what else was inherited: a pipe's reader waits for its end. What the runtime has
// opened for itself stays.
func closeInherited() {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, f := range fds {
		fd, err := strconv.Atoi(f.Name())
		what, lerr := os.Readlink("/proc/self/fd/" + f.Name())
		if err == nil && lerr == nil && fd >= supervisorFDs && !strings.HasPrefix(what, "anon_inode:[event") {
			unix.Close(fd)
		}
	}
}

// finish ends the process; who reads kernel messages sees why a core went nowhere.
func finish(err error) {
	if err == nil {
		os.Exit(0)
	}
	tellKernel(err)
	os.Exit(1)
}

// tellKernel says what went wrong where nobody else listens.
func tellKernel(err error) {
	if k, kerr := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); kerr == nil {
		fmt.Fprintf(k, "<4>descry: core: %v\n", err)
		k.Close()
	}
}
