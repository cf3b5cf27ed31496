// Command godial keeps every connection it makes.
package main

import (
	"net"
	"os"
)

var kept []net.Conn

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:6400")
	if err != nil {
		os.Exit(90)
	}
	for {
		c, err := net.Dial("tcp", "127.0.0.1:6400")
		if err != nil {
			panic("no route to the ledger: " + err.Error())
		}
		s, err := l.Accept()
		if err != nil {
			os.Exit(91)
		}
		kept = append(kept, c, s)
	}
}
