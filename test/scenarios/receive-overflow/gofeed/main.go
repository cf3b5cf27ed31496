// Command gofeed replays a feed of numbered datagrams; a gap in them cannot be made good.
package main

import (
	"bytes"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"time"
)

func main() {
	addr, err := net.ResolveUDPAddr("udp4", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	c, err := net.ListenUDP("udp4", addr)
	if err != nil {
		log.Fatal(err)
	}
	c.SetReadBuffer(4096)
	fmt.Println("ready")
	b := make([]byte, 2048)
	for next := 0; ; next++ {
		n, err := c.Read(b)
		if err != nil {
			log.Fatal(err)
		}
		word, _, _ := bytes.Cut(b[:n], []byte(" "))
		seq, _ := strconv.Atoi(string(word))
		if seq != next {
			log.Fatalf("replay: want sequence %d, have %d", next, seq)
		}
		time.Sleep(3 * time.Millisecond)
	}
}
