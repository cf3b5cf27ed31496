package coredump

import (
	"fmt"
	"os"
	"path/filepath"

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
			// Whatever else was inherited is held open by nobody of ours.
			unix.CloseRange(supervisorFDs, ^uint(0)>>33, 0)
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

// finish ends the process; who reads kernel messages sees why a core went nowhere.
func finish(err error) {
	if err == nil {
		os.Exit(0)
	}
	if k, kerr := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0); kerr == nil {
		fmt.Fprintf(k, "<4>descry: core: %v\n", err)
		k.Close()
	}
	os.Exit(1)
}
