// Command gopush sends a dump to a client, with a deadline for each write.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"time"
)

func main() {
	l, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	c, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	b := make([]byte, 256<<10)
	c.Read(b)
	for {
		c.SetWriteDeadline(time.Now().Add(4 * time.Second))
		if _, err := c.Write(b); err != nil {
			log.Fatalf("dump: %v", err)
		}
	}
}
