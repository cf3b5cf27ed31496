// Pause holds the namespaces of a pod.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	go func() { // the orphans of a pod that shares its pid namespace
		for {
			if pid, err := syscall.Wait4(-1, nil, 0, nil); pid <= 0 || err != nil {
				child := make(chan os.Signal, 1)
				signal.Notify(child, syscall.SIGCHLD)
				<-child
				signal.Stop(child)
			}
		}
	}()
	<-end
}
