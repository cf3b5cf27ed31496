// Command gogate is a server whose accept loop waits for a place that nobody frees; it watches itself.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"syscall"
	"time"
)

func main() {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		log.Fatal(err)
	}
	a := &net.TCPAddr{}
	if a, err = net.ResolveTCPAddr("tcp4", os.Args[1]); err != nil {
		log.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: a.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		log.Fatal(err)
	}
	if err := syscall.Listen(fd, 1); err != nil {
		log.Fatal(err)
	}
	l, err := net.FileListener(os.NewFile(uintptr(fd), "gate"))
	if err != nil {
		log.Fatal(err)
	}
	places, first := make(chan bool, 1), make(chan bool, 1)
	go func() {
		for {
			places <- true
			if _, err := l.Accept(); err != nil {
				log.Fatal(err)
			}
			first <- true
		}
	}()
	fmt.Println("ready")
	<-first
	time.Sleep(1500 * time.Millisecond)
	if c, err := net.DialTimeout("tcp", os.Args[1], 1500*time.Millisecond); err != nil {
		log.Fatalf("liveness: %v", err)
	} else {
		c.SetDeadline(time.Now().Add(time.Second))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			log.Fatalf("liveness: %v", err)
		}
	}
}
