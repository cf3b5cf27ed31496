// Goconf reads its configuration and says in its own words that it cannot.
package main

import (
	"fmt"
	"os"
)

func main() {
	f, err := os.Open(os.Args[1])
	if err != nil {
		panic(fmt.Errorf("load the price list: %w", err))
	}
	f.Close()
}
