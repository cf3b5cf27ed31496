// Command gonil recovers from a nil pointer, as servers do for each request, and ends for another reason.
package main

import (
	"fmt"
	"os"
)

type cart struct{ items int }

func serve(c *cart) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("request failed: %v", p)
		}
	}()
	c.items++
	return nil
}

func main() {
	for range 5 {
		fmt.Println(serve(nil))
	}
	fmt.Fprintln(os.Stderr, "license has expired")
	os.Exit(64)
}
