// Command gopipe writes to stdout until its reader is gone; Go makes that a SIGPIPE.
package main

import "fmt"

func main() {
	for n := 0; ; n++ {
		fmt.Println("offset", n)
	}
}
