// Load is what the pods of the cluster's tests run: it serves, or dies in one of several ways.
//
//	load                 prints a line each second until SIGTERM
//	load crash N WORDS   writes WORDS to its log and the termination log, and exits with N
//	load oom             fills memory, 512 MiB at the most
//	load open N          opens N files and holds them, or says which error stopped it
//	load abort           dies of SIGABRT
//	load http            serves on port 8080
//	load lines N KB      writes N numbered lines to each of stdout and stderr, KB kilobytes a second, then serves
package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	word, args := "serve", []string(nil)
	if len(os.Args) > 1 {
		word, args = os.Args[1], os.Args[2:]
	}
	number := 0
	if len(args) > 0 {
		number, _ = strconv.Atoi(args[0])
	}
	switch word {
	case "crash":
		words := strings.Join(args[1:], " ")
		fmt.Println("load: about to crash:", words)
		_ = os.WriteFile("/dev/termination-log", []byte(words), 0o644)
		os.Exit(number)
	case "abort":
		signal.Reset(syscall.SIGABRT)
		_ = syscall.Kill(os.Getpid(), syscall.SIGABRT)
		time.Sleep(time.Minute)
	case "oom":
		fill()
	case "open":
		open(number)
		serve()
	case "lines":
		rate := 1000
		if len(args) > 1 {
			rate, _ = strconv.Atoi(args[1])
		}
		lines(number, rate)
		serve()
	case "http":
		host, _ := os.Hostname()
		fmt.Println(http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello from", host) })))
		os.Exit(1)
	default:
		serve()
	}
}

func serve() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	tick := time.NewTicker(time.Second)
	for i := 0; ; i++ {
		select {
		case <-end:
			fmt.Println("bye")
			return
		case <-tick.C:
			fmt.Println("tick", i)
		}
	}
}

// lines writes each line in one go; every hundredth is longer than the runtime's lines, which are split then.
func lines(n, rate int) {
	written, from := 0, time.Now()
	for i := range n {
		text := strings.Repeat("x", 80)
		if i%100 == 99 {
			text = strings.Repeat("y", 40_000)
		}
		line := fmt.Sprintf("line %d %s\n", i, text)
		os.Stdout.WriteString(line)
		os.Stderr.WriteString(line)
		written += 2 * len(line)
		if ahead := time.Duration(written)*time.Millisecond/time.Duration(rate) - time.Since(from); ahead > 5*time.Millisecond {
			time.Sleep(ahead)
		}
	}
}

func open(n int) {
	for i := range n {
		if _, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0); err != nil {
			fmt.Printf("opening failed after %d: %v\n", i, err)
			return
		}
	}
	fmt.Println("holding", n)
}

var held [][]byte

func fill() {
	for range 512 { // no more, should no limit be in force
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = 1
		}
		held = append(held, b)
	}
	fmt.Println("load: 512 MiB, and not killed")
	os.Exit(4)
}
