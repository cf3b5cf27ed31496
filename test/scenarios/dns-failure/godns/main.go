// Command godns connects to a database by its name, with Go's own resolver.
package main

import (
	"context"
	"log"
	"net"
	"os"
	"time"
)

func main() {
	net.DefaultResolver.PreferGo = true
	d := net.Dialer{Timeout: 15 * time.Second}
	c, err := d.DialContext(context.Background(), "tcp", os.Args[1])
	if err != nil {
		if len(os.Args) > 2 {
			panic(err)
		}
		log.Fatal(err)
	}
	log.Print("connected to ", c.RemoteAddr())
}
