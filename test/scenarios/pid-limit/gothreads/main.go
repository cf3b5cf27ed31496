// Command gothreads blocks a thread for each of its goroutines.
package main

import (
	"fmt"
	"syscall"
)

func main() {
	fmt.Println("serving")
	for range 2000 {
		go func() {
			var p [2]int
			syscall.Pipe(p[:])
			syscall.Read(p[0], make([]byte, 1))
		}()
	}
	select {}
}
