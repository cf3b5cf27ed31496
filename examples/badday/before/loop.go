package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/examples/badday/before/fdwait"
)

const tick = 15 * time.Millisecond

// state is all that the loop works on, in one place as in the C service that it came from.
var state struct {
	readable, writable fdwait.Set
	log                logger
}

// conn is a customer's connection or one to the database.
type conn struct {
	fd       int
	customer *conn  // of a database connection: who asked
	in, out  []byte // what was read, what is still to be written
}

// serve runs the loop: look which descriptors are ready, handle them, rest until the next tick.
func serve(listener int, database string, st *store) error {
	runtime.LockOSThread() // the C library kept its state per thread
	db, err := netip.ParseAddrPort(database)
	if err != nil {
		return err
	}
	peer := &unix.SockaddrInet4{Port: int(db.Port()), Addr: db.Addr().As4()}
	state.log.counts = new(counts)
	state.log.printf("serving, database %s", database)

	var conns []*conn
	for ; ; time.Sleep(tick) {
		highest := listener
		fdwait.Zero(&state.readable)
		fdwait.Zero(&state.writable)
		fdwait.Put(listener, &state.readable)
		for _, c := range conns {
			fdwait.Put(c.fd, &state.readable)
			fdwait.Put(c.fd, &state.writable)
			highest = max(highest, c.fd)
		}
		if err := fdwait.Look(highest+1, &state.readable, &state.writable); err != nil {
			if errors.Is(err, unix.EINTR) {
				continue
			}
			return fmt.Errorf("select: %w", err)
		}
		if fdwait.Has(listener, &state.readable) {
			fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err == nil {
				conns = append(conns, &conn{fd: fd})
			} else if !errors.Is(err, unix.EAGAIN) {
				return fmt.Errorf("accept: %w", err)
			}
		}
		for _, c := range conns {
			if fdwait.Has(c.fd, &state.readable) {
				c.read()
			}
			if len(c.out) > 0 && fdwait.Has(c.fd, &state.writable) {
				c.write()
			}
			line, ok := c.line()
			switch {
			case !ok:
			case c.customer == nil: // a checkout
				d, err := connect(peer)
				if err != nil {
					return fmt.Errorf("connect to the database: %w", err)
				}
				order := strings.TrimPrefix(line, "POST /checkout/")
				conns = append(conns, &conn{fd: d, customer: c, out: fmt.Appendf(nil, "RESERVE %s\n", order)})
			default: // the database's answer
				state.log.counts.checkouts++
				if err := st.record(line); err != nil {
					return err
				}
				c.customer.out = fmt.Appendf(c.customer.out, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s\n", len(line)+1, line)
				if n := state.log.counts.checkouts; n%20 == 0 {
					state.log.printf("%d checkouts, last: %s", n, line)
				}
			}
		}
	}
}

func (c *conn) read() {
	var b [512]byte
	n, err := unix.Read(c.fd, b[:])
	if err != nil || n == 0 {
		return // nothing there yet
	}
	c.in = append(c.in, b[:n]...)
}

func (c *conn) write() {
	n, err := unix.Write(c.fd, c.out)
	if err == nil {
		c.out = c.out[n:]
	}
}

// line takes the next line that is complete.
func (c *conn) line() (string, bool) {
	i := bytes.IndexByte(c.in, '\n')
	if i < 0 {
		return "", false
	}
	l := string(bytes.TrimSuffix(c.in[:i], []byte("\r")))
	c.in = c.in[i+1:]
	return l, true
}

// connect begins a connection; it can be written to once it stands.
func connect(to unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// listen opens the service's own port, any that is free.
func listen() (fd int, address string, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, "", err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return -1, "", fmt.Errorf("bind: %w", err)
	}
	if err := unix.Listen(fd, 64); err != nil {
		return -1, "", fmt.Errorf("listen: %w", err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return -1, "", err
	}
	return fd, "127.0.0.1:" + strconv.Itoa(sa.(*unix.SockaddrInet4).Port), nil
}
