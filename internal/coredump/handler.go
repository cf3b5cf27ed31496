package coredump

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// handle is the life of the program that the kernel starts for a core with WayPipe. Its standard
// input is the core; the kernel keeps the process until it ends. It has no environment.
func handle(dir string, args []string) error {
	d, err := parseHandled(args)
	if err != nil {
		return err
	}
	// Whoever hangs at the other side does not hold the process longer than this.
	time.AfterFunc(maxBound+answerTime, func() { os.Exit(1) })
	pidfd, err := unix.PidfdOpen(d.PID, 0) // the process waits, so it is that one
	if err == nil {
		defer unix.Close(pidfd)
	}
	say, s, err := ask(dir, d, pidfd)
	if err == nil && say == saySend {
		return sendCore(s)
	}
	if s != nil {
		s.UnixConn.Close()
	}
	if err != nil { // who reads kernel messages sees that it was not asked
		err = fmt.Errorf("ask whose process %d is: %w", d.PID, err)
		tellKernel(err)
	}
	return formerHere(dir, d)
}

// parseHandled reads what ourPattern asks the kernel to say.
func parseHandled(args []string) (*dying, error) {
	if len(args) != 5 {
		return nil, fmt.Errorf("receive a core: the kernel gave %d arguments, not 5", len(args))
	}
	var n [5]int64
	for i, a := range args {
		v, err := strconv.ParseInt(a, 10, 64)
		if err != nil || v < 0 {
			return nil, fmt.Errorf("receive a core: argument %d is %q", i+1, a)
		}
		n[i] = v
	}
	if n[0] == 0 || n[0] > 1<<30 || n[1] > 1<<30 || n[2] > 64 {
		return nil, fmt.Errorf("receive a core: there is no process %d, thread %d or signal %d", n[0], n[1], n[2])
	}
	return &dying{PID: int(n[0]), TID: int(n[1]), Signal: int(n[2]), At: time.Unix(n[3], 0), Dumpable: int(n[4])}, nil
}

// ask tells the supervisor who dies, and gives its answer.
func ask(dir string, d *dying, pidfd int) (say string, s *stream, err error) {
	c, err := net.DialTimeout("unix", filepath.Join(dir, handlerSocket), answerTime)
	if err != nil {
		return "", nil, err
	}
	s = &stream{c.(*net.UnixConn)}
	var files []int
	if pidfd >= 0 {
		files = append(files, pidfd)
	}
	l := link{s.UnixConn}
	m := message{Say: sayDump, PID: d.PID, TID: d.TID, Signal: d.Signal, At: d.At.UnixNano(), Dumpable: d.Dumpable}
	if err := l.say(m, files...); err != nil {
		return "", s, err
	}
	s.SetReadDeadline(time.Now().Add(2 * holdTime))
	m, f, err := l.hear()
	if f != nil {
		f.Close()
	}
	s.SetReadDeadline(time.Time{})
	return m.Say, s, err
}

// sendCore passes the kernel's pipe on, and returns when the other side has done with it.
func sendCore(s *stream) error {
	defer s.Close()
	gone := make(chan struct{})
	go func() {
		io.Copy(io.Discard, s)
		close(gone)
	}()
	sent := make(chan error, 1)
	go func() {
		sent <- splice(s)
		s.CloseWrite()
	}()
	select {
	case <-gone: // it has read enough, or is dead
		return nil
	case err := <-sent:
		<-gone
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
			return nil
		}
		return err
	}
}

// splice moves standard input, a pipe, into s without copying where the kernel can.
func splice(s *stream) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	moved := false
	err = raw.Write(func(fd uintptr) bool {
		for {
			n, err := unix.Splice(0, nil, int(fd), nil, 1<<20, 0)
			switch {
			case err == unix.EINTR:
				continue
			case err == unix.EAGAIN:
				return false
			case err == unix.EINVAL && !moved:
				done = errors.ErrUnsupported
				return true
			case err != nil:
				done = err
				return true
			case n == 0:
				return true
			}
			moved = true
		}
	})
	if errors.Is(done, errors.ErrUnsupported) {
		_, done = io.Copy(s, os.Stdin)
	}
	return errors.Join(err, done)
}

// formerHere does what was done with cores before ours, in this process.
func formerHere(dir string, d *dying) error {
	st, err := readState(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // put back in this moment
	}
	if err != nil {
		return err
	}
	f := &former{Pattern: st.Former, Limit: st.FormerLimit, dying: *d}
	d.complete()
	switch way, rest := wayOf(f.Pattern, runningKernel()); way {
	case WayPipe:
		argv, err := f.command(rest)
		if err != nil {
			return err
		}
		if hasSpecifier(rest, 'F') {
			if fd, err := unix.PidfdOpen(d.PID, 0); err == nil {
				unix.Dup3(fd, formerPIDFD, 0)
			}
		}
		if err := syscall.Exec(argv[0], argv, []string{}); err != nil {
			return fmt.Errorf("start the former handler: %w", err)
		}
		return nil
	case WaySocket, WayRequest:
		return errors.New("the former server of cores wants a socket, and this is a pipe")
	}
	if !f.wants() {
		return nil
	}
	return f.file(os.Stdin)
}
