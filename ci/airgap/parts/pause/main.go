// The first process of a pod's sandbox: it holds the namespaces, reaps what is
// orphaned to it, and ends when told to.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		// Signals are merged, so one may stand for several dead.
		for {
			if dead, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != nil || dead <= 0 {
				break
			}
		}
	}
}
