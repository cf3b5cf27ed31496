// Command gostall logs from one goroutine while another watches that the first gets on.
package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

func main() {
	var beat atomic.Int64
	go func() {
		for n := 0; ; n++ {
			fmt.Println("tick", n, "of the replication stream: nothing to do, 0 rows behind the primary")
			beat.Store(int64(n))
		}
	}()
	last := int64(-1)
	for same := 0; same < 25; time.Sleep(100 * time.Millisecond) {
		if now := beat.Load(); now == last {
			same++
		} else {
			last, same = now, 0
		}
	}
	fmt.Fprintln(os.Stderr, "replication does not make progress")
	os.Exit(7)
}
