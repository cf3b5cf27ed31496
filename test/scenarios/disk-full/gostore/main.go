// Gostore keeps a snapshot every moment.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
)

func main() {
	for i := range 1000 {
		name := filepath.Join(os.Args[1], fmt.Sprintf("snapshot-%d", i))
		if err := os.WriteFile(name, make([]byte, 30000), 0o644); err != nil {
			log.Fatal("keep a snapshot: ", err)
		}
	}
}
