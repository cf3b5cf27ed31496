// Command gomap reads a mapped file over and over.
package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

func main() {
	f, err := os.Open("data.bin")
	if err != nil {
		panic(err)
	}
	st, _ := f.Stat()
	m, err := syscall.Mmap(int(f.Fd()), 0, int(st.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	fmt.Println("serving")
	sum := 0
	for range 4000 {
		for i := 0; i < len(m); i += 4096 {
			sum += int(m[i])
		}
		time.Sleep(5 * time.Millisecond)
	}
	fmt.Println(sum)
}
