// Command goidle waits for a signal that it does not handle.
package main

import (
	"fmt"
	"time"
)

func main() {
	go func() { time.Sleep(time.Hour) }()
	fmt.Println("ready")
	for {
		time.Sleep(time.Hour)
	}
}
