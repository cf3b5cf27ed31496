// Gofollow follows a feed to its end.
package main

import (
	"io"
	"log"
	"net"
	"os"
)

func main() {
	log.SetFlags(0)
	c, err := net.Dial("tcp", "127.0.0.1:7200")
	if err != nil {
		log.Fatal(err)
	}
	c.Write([]byte("feed\n"))
	if _, err := io.Copy(io.Discard, c); err != nil {
		log.Printf("follow: %v", err)
		os.Exit(3)
	}
}
