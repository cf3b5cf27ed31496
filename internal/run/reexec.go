package run

import (
	"os"
	"strconv"
)

// The arguments by which the binary knows that it was executed again.
const (
	reexecName   = "descry"
	roleLauncher = "@launcher"
	roleRelay    = "@relay"
)

// Reexec is to be called first of all in main. In a process that this package has started it does
// not return. Else it remembers what the process was started with.
func Reexec() {
	if len(os.Args) == 3 && os.Args[0] == reexecName {
		switch os.Args[1] {
		case roleLauncher:
			if fd, err := strconv.Atoi(os.Args[2]); err == nil {
				launch(fd)
			}
		case roleRelay:
			relay(os.Args[2])
		}
	}
	atStart.capture()
}
