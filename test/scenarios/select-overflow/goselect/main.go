// Command goselect waits with x/sys's FdSet, whose Set indexes an array of 1024 bits.
package main

import (
	"golang.org/x/sys/unix"
)

func main() {
	for {
		fd, err := unix.Dup(0)
		if err != nil {
			return
		}
		var set unix.FdSet
		set.Set(fd)
		unix.Select(fd+1, &set, nil, nil, &unix.Timeval{})
	}
}
