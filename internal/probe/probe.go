// Package probe watches a tree of processes from inside the kernel.
//
// Each signal is a C file, a Go file and a test. The compiled objects for amd64 and arm64 are
// committed, so a build needs only Go; `make generate` makes them anew with clang. What a kernel
// cannot have is left out with a reason and never an error: see Set.Status and descry doctor.
package probe

import (
	"errors"
	"fmt"
)

// ErrNotSupported is what errors of a missing kernel feature wrap. Use errors.As with
// *NotSupportedError for the name and the least version.
var ErrNotSupported = errors.New("not supported by this kernel")

// NotSupportedError names a feature that the running kernel, or the privileges, do not give.
type NotSupportedError struct {
	Feature string // "BPF trampolines (fexit)"
	Since   string // least Linux version, "5.11"; empty where it is not a matter of the version
	Err     error  // what the kernel said
}

func (e *NotSupportedError) Error() string {
	s := e.Feature + " is not supported here"
	if e.Since != "" {
		s += " (Linux " + e.Since + " and newer have it)"
	}
	if e.Err != nil {
		s += fmt.Sprintf(": %v", e.Err)
	}
	return s
}

func (e *NotSupportedError) Unwrap() []error { return []error{ErrNotSupported, e.Err} }
