// Package coredump receives core dumps from the kernel, keeps the right part of them in a bounded
// folder, and reads them.
package coredump

import (
	"io"
	"os"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// Dump is one process whose core the kernel is about to hand over: it waits, and Proc can be read,
// until Core is closed or read to its end.
type Dump struct {
	PID, TID int32           // in descry's own pid namespace; TID is the thread that died, 0: not known
	Signal   evidence.Signal // 0: not known
	PIDFD    *os.File        // nil where the kernel gave none
	Proc     string          // "/proc/PID"
	Core     io.ReadCloser   // the ELF core as the kernel writes it; closing it early ends the dump
	At       time.Time
}
