// Godatabase needs its database at the start.
package main

import (
	"log"
	"net"
	"os"
	"time"
)

func main() {
	log.SetFlags(0)
	c, err := net.DialTimeout("tcp", os.Args[1], time.Second)
	if err != nil {
		if len(os.Args) > 2 {
			panic(err)
		}
		log.Fatalf("ledger: no database: %v", err)
	}
	c.Close()
}
