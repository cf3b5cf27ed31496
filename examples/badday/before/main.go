// Command cart is the checkout service of a small shop, as it was on the bad day.
//
// It answers POST /checkout on a loopback port: for each it reserves the goods in the database and
// writes a line of the day's index. The shop around it (the database and the customers) is a second
// process, `cart shop`, which it starts itself, so that nothing else is needed to see the day again.
//
// There are three mistakes in it, none of which a test on a developer's desk finds:
//
//   - loop.go: a database connection that the database has closed stays open (read() returned 0,
//     which is taken for "nothing there yet");
//   - store.go: one index file in four stays open;
//   - fdwait: an fd_set has room for the descriptors 0 to 1023, and nobody looks.
//
// After a few seconds descriptor 1024 is opened, and each look at the sets overwrites a piece of
// what lies behind them: first the head of the log's lines, then a pointer.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "shop" {
		openShop()
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "cart:", err)
		os.Exit(1)
	}
}

func run() error {
	l, address, err := listen()
	if err != nil {
		return err
	}
	shop := exec.Command("/proc/self/exe", "shop", address)
	shop.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the service
	tell, err := shop.StdinPipe()                          // its end tells the shop to close
	if err != nil {
		return err
	}
	answer, err := shop.StdoutPipe()
	if err != nil {
		return err
	}
	if err := shop.Start(); err != nil {
		return fmt.Errorf("start the shop: %w", err)
	}
	defer tell.Close()
	var database string
	if _, err := fmt.Fscanln(answer, &database); err != nil {
		return fmt.Errorf("ask the shop for its database: %w", err)
	}
	st, err := openStore()
	if err != nil {
		return err
	}
	return serve(l, database, st)
}
