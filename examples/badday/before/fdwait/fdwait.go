// Package fdwait waits for many descriptors with select(2). It was ported line by line from the C
// library that the shop's services used before, so that both behave the same.
package fdwait

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Set is C's fd_set.
type Set = unix.FdSet

const bits = 8 * int(unsafe.Sizeof(uintptr(0)))

// word is the machine word of s that has fd's bit: &__FDS_BITS(s)[__FD_ELT(fd)].
func word(s *Set, fd int) *uintptr {
	return (*uintptr)(unsafe.Add(unsafe.Pointer(s), fd/bits*int(unsafe.Sizeof(uintptr(0)))))
}

// Zero is FD_ZERO.
func Zero(s *Set) { *s = Set{} }

// Put is FD_SET.
func Put(fd int, s *Set) { *word(s, fd) |= 1 << (fd % bits) }

// Has is FD_ISSET.
func Has(fd int, s *Set) bool { return *word(s, fd)&(1<<(fd%bits)) != 0 }

// Look says which descriptors below n of the two sets can be read or written at this moment. It
// does not wait.
func Look(n int, read, write *Set) error {
	_, err := unix.Select(n, read, write, nil, new(unix.Timeval))
	return err
}
