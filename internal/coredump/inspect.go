package coredump

import (
	"path/filepath"
	"strings"
)

// Inspection is how the machine hands cores over.
type Inspection struct {
	Way      Way    // the best that this kernel has
	Pattern  string // core_pattern
	Former   string // what it was before descry, "" where it does not point to one
	Dir      string // of the descry that it points to
	Living   bool   // whose supervisor lives
	CanNot   error  // why cores cannot be received here
	LeftOver bool   // core_pattern was left behind by a descry that was killed
}

// Inspect looks, and changes nothing.
func Inspect(dir string) (in Inspection) {
	if dir == "" {
		dir = DefaultDir
	}
	in.Way = BestWay()
	in.CanNot = canReceive(filepath.Clean(dir), in.Way)
	in.Pattern, _ = readSysctl("core_pattern")
	if in.Dir = dirOf(in.Pattern); in.Dir == "" {
		return in
	}
	in.Living = living(in.Dir)
	in.LeftOver = !in.Living
	if s, err := readState(in.Dir); err == nil {
		in.Former = s.Former
	}
	return in
}

// By says in words how the kernel hands cores over.
func (w Way) By() string {
	switch w {
	case WayRequest:
		return "a socket that is asked first (@@)"
	case WaySocket:
		return "a socket (@)"
	case WayPipe:
		return "a program that the kernel starts (|)"
	}
	return strings.TrimSpace("a file " + string(w))
}
