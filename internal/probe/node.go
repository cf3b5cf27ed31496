//go:build linux

package probe

import (
	"errors"
)

// Node makes a Set watch every container of a machine in place of one tree. Each is a subject, with a
// number that is given once and never again as long as the machine, or what is pinned, lives; all its
// processes have it from the moment they come there, and observations carry it.
type Node struct {
	Scope      string // path of a cgroup, as /proc/PID/cgroup has it: only what is below is watched; "": all
	Standalone bool   // also cgroups that are no container's: units (*.service, *.scope), and others that processes are put into
	Pins       string // directory in a bpffs where links, maps and the ring outlive the process; "": they end with it
	NoCalls    bool   // step 1 is forbidden: no program on system calls, ever
	Ring       int    // bytes of the ring of events, a power of two; 0: 16 MiB
}

// errNode is for what only a Set of a Node has.
var errNode = errors.New("only a whole node has subjects")

// Look switches step 1 of a subject on or off: what is seen at system calls. The programs are loaded once
// and attached while at least one subject is looked at. The error is ErrNotSupported where the kernel, or
// Node.NoCalls, does not allow it; os.ErrNotExist for a subject that is not known, or was forgotten.
func (s *Set) Look(subject uint32, closer bool) error { return errNode }

// Adopt takes up the containers that run already: their processes belong to subjects from then on, and
// each subject that is new, or was pinned and still has processes, comes as a Container observation
// through Run. No process is missed, nor told twice, however many start meanwhile.
func (s *Set) Adopt() error { return errNode }

// Forget lets go of what is kept of a subject whose last observation was read.
func (s *Set) Forget(subject uint32) {}

// SubjectCounters are the counters of one subject, as Counters gives those of the tree.
func (s *Set) SubjectCounters(subject uint32) map[string]int64 { return map[string]int64{} }

// Unpin removes all that a Set has pinned in a directory, and says what that was. An error wraps
// ErrPinsInUse while a Set uses them, and os.ErrNotExist where there are none.
func Unpin(dir string) (removed []string, err error) { return nil, errNode }

// ErrPinsInUse is what errors wrap where another process holds the pins.
var ErrPinsInUse = errors.New("the pinned probes are in use by another process")
