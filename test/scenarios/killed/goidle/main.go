// Command goidle waits for a signal that it does not handle.
package main

import "fmt"

func main() {
	fmt.Println("ready")
	c := make(chan bool)
	go func() { <-c }()
	fmt.Scanln()
	<-c
}
