// Command goworkers accepts connections of which it closes none; one thread is refused, another ends
// the process.
package main

import (
	"net"
	"os"
	"sync/atomic"
	"time"
)

var kept, clients []net.Conn

func main() {
	l, err := net.Listen("unix", "w.sock")
	if err != nil {
		os.Exit(9)
	}
	var failed atomic.Bool
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				failed.Store(true)
				time.Sleep(10 * time.Second)
			}
			kept = append(kept, c)
		}
	}()
	for range 28 {
		c, err := net.Dial("unix", "w.sock")
		if err != nil {
			break
		}
		clients = append(clients, c)
	}
	for !failed.Load() {
		if c, err := net.Dial("unix", "w.sock"); err == nil {
			clients = append(clients, c)
		}
	}
	os.Exit(5)
}
