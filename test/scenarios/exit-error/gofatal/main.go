// Command gofatal ends by log.Fatal, for a reason that no system call knows of.
package main

import "log"

func main() {
	log.SetFlags(0)
	log.Fatal("feature flag checkout-v3 is unknown")
}
