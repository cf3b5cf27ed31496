// Command gocrash ends in one of the ways in which Go's runtime ends a program.
package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

var stock map[string]int // never made

type invoice struct{ lines []int }

func (i *invoice) total(n int) int { return i.lines[n] }

func main() {
	switch os.Args[1] {
	case "index":
		fmt.Println((&invoice{[]int{1, 2}}).total(7))
	case "nil":
		var i *invoice
		fmt.Println(i.total(0))
	case "custom":
		panic(fmt.Errorf("close books of %d: %w", 2025, errors.New("journal is not sorted")))
	case "deadlock":
		var mu sync.Mutex
		mu.Lock()
		mu.Lock()
	case "unlock":
		var mu sync.Mutex
		mu.Unlock()
	case "goroutine":
		done := make(chan bool)
		go func() {
			stock["anvil"] = 1
		}()
		<-done
	case "recovered":
		func() {
			defer func() { fmt.Fprintln(os.Stderr, "panic: in a plugin, recovered:", recover()) }()
			fmt.Println((&invoice{}).total(0))
		}()
		os.Exit(3)
	}
}
