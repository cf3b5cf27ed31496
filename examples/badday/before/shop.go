package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

const customers = 12

// openShop is the world around the service: a database that answers one request per connection and
// closes it, and customers who buy something ten times a second. It closes with its standard input.
func openShop() {
	l, err := net.Listen("tcp", "127.0.0.1:5432")
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answer(c)
		}
	}()
	fmt.Println(l.Addr())
	for n := range customers {
		go buy(os.Args[2], n)
	}
	io.Copy(io.Discard, os.Stdin)
}

// answer says OK to one reservation, and closes.
func answer(c net.Conn) {
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil {
		fmt.Fprintf(c, "order %s reserved\n", strings.TrimSpace(strings.TrimPrefix(line, "RESERVE ")))
	}
}

func buy(address string, who int) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	in := bufio.NewReader(c)
	next := time.Now().Add(time.Duration(who) * 100 * time.Millisecond / customers)
	for n := 1; ; n++ {
		time.Sleep(time.Until(next))
		next = next.Add(100 * time.Millisecond)
		fmt.Fprintf(c, "POST /checkout/%d-%d\n", who, n)
		for range 4 { // status, length, empty line, body
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
		}
	}
}
