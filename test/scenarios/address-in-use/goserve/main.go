// Command goserve serves HTTP where it is told to.
package main

import (
	"log"
	"net/http"
	"os"
)

func main() {
	log.SetFlags(0)
	if err := http.ListenAndServe(os.Args[1], nil); err != nil {
		log.Fatal("server stopped")
	}
}
