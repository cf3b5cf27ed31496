// Gokey reads a key that belongs to another.
package main

import (
	"log"
	"os"
)

func main() {
	if _, err := os.ReadFile(os.Args[1]); err != nil {
		log.Fatalf("gokey: %v", err)
	}
}
