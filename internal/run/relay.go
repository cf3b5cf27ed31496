package run

import (
	"bytes"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The relay's descriptors.
const (
	relayIn     = 0 // the outer terminal's or pipe's input, with a pseudo-terminal
	relayOut    = 1
	relayErr    = 2
	relayPipe   = 3 // the command's stdout, or the pseudo-terminal's master
	relayPipe2  = 4 // the command's stderr
	relayShared = 5
	relayLife   = 6 // socket to the watcher; it ends when the watcher does
	relayFDs    = 7
)

// What the relay is told as its argument: which streams there are.
const (
	withStdout   = 'o'
	withStderr   = 'e'
	withTerminal = 't' // a pseudo-terminal in place of both
)

// forwarded are the signals that the watcher passes on to the command, and that the relay counts so
// that the watcher can tell those that the whole process group got. Not among them: what is about
// the receiving process itself (SIGCHLD, SIGPIPE, SIGXCPU, SIGXFSZ), what the Go runtime uses
// (SIGURG, SIGPROF), and SIGTTIN and SIGTTOU, which stop relay and watcher like any process of a
// background job.
func forwarded() []os.Signal {
	list := []os.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGABRT, syscall.SIGBUS,
		syscall.SIGFPE, syscall.SIGUSR1, syscall.SIGSEGV, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGTERM, syscall.SIGSTKFLT,
		syscall.SIGCONT, syscall.SIGTSTP, syscall.SIGVTALRM, syscall.SIGWINCH, syscall.SIGIO, syscall.SIGPWR, syscall.SIGSYS,
	}
	for sig := syscall.Signal(35); sig <= maxSignal; sig++ {
		list = append(list, sig)
	}
	return list
}

// swallowed are signals that would end watcher or relay and concern only themselves: a failed write
// is reported by its error.
var swallowed = []os.Signal{syscall.SIGPIPE, syscall.SIGXFSZ, syscall.SIGXCPU}

// relay is the relay's whole life. It ends when the output has ended and the watcher has no more
// need of it, never by a signal that can be caught.
func relay(mode string) {
	// Nobody reads it before the watcher asks; what does not fit is not sent.
	signals := make(chan os.Signal, 1024)
	signal.Notify(signals, forwarded()...)
	swallow := make(chan os.Signal, 1)
	signal.Notify(swallow, swallowed...)

	// Whatever else the watcher inherited is the command's alone: a pipe's reader waits for its end.
	if fds, err := openDescriptors(relayFDs); err == nil {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	os.WriteFile("/proc/self/comm", []byte("descry-relay"), 0)
	syscall.Chdir("/")

	mem, _, err := mapShared(relayShared)
	if err != nil {
		os.Exit(125)
	}
	var tty *relayTerminal
	if mode == string(withTerminal) {
		tty = newRelayTerminal(mem)
		go tty.followSignals(signals)
	}
	if writeFull(relayLife, []byte{saidReady}) != nil {
		os.Exit(125)
	}
	over := make(chan struct{}) // for the watcher
	go func() {
		defer close(over)
		followWatcher(mem, signals)
		if tty != nil {
			tty.restore()
		}
	}()

	var all sync.WaitGroup
	pump := func(s Stream, in, out int) {
		all.Go(func() { (&pump{s: &mem.stream[s], mem: mem, in: in, out: out}).run() })
	}
	switch mode {
	case string(withTerminal):
		go tty.input()
		unix.Close(relayErr)
		pump(Stdout, relayPipe, relayOut)
	default:
		// A stream's end must reach what it goes to, so nothing else is held open.
		unix.Close(relayIn)
		for s, fd := range map[Stream][2]int{Stdout: {relayPipe, relayOut}, Stderr: {relayPipe2, relayErr}} {
			if bytes.IndexByte([]byte(mode), "oe"[s]) >= 0 {
				pump(s, fd[0], fd[1])
			} else {
				unix.Close(fd[1])
			}
		}
	}
	all.Wait()
	if tty != nil {
		tty.restore()
	}
	mem.done.Store(1)
	unix.SendmsgN(relayLife, []byte{saidReady}, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	<-over // it still asks which signals the group got
	os.Exit(0)
}

// What watcher and relay say to each other, beside single bytes that only wake.
const (
	askSignals  = 'Q'
	saidSignals = 'A'
)

// followWatcher answers the watcher until it has ended: when asked it counts the signals that it
// has got. The answer is right for the time of the question, however late it is given.
func followWatcher(mem *shared, signals chan os.Signal) {
	var b [16]byte
	for {
		n, err := unix.Read(relayLife, b[:])
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return
		}
		settleSignals()
		for len(signals) > 0 {
			s := <-signals
			mem.signals[s.(syscall.Signal)].Add(1)
		}
		unix.SendmsgN(relayLife, bytes.Repeat([]byte{saidSignals}, bytes.Count(b[:n], []byte{askSignals})), nil, nil, unix.MSG_NOSIGNAL)
	}
}

// settleSignals returns when the signals that the kernel has for this process are in the channels
// that are notified of them.
func settleSignals() {
	var wanted uint64
	for _, s := range forwarded() {
		wanted |= sigBit(int(s.(syscall.Signal)))
	}
	wanted &^= getMask() // the watcher was started with these blocked
	for range 1000 {
		if pendingSignals()&wanted == 0 {
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	// To stop a channel is to wait until all that was caught has been delivered.
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	signal.Stop(c)
}

// pendingSignals are those sent to this process that no thread has taken yet.
func pendingSignals() uint64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(b, []byte("\nShdPnd:\t"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	set, _ := strconv.ParseUint(string(line), 16, 64)
	return set
}

// pump passes one stream on.
type pump struct {
	s       *sharedStream
	mem     *shared
	in, out int
	outPipe bool // out is a pipe
	watch   bool // poll tells when out's reader goes away
}

func (p *pump) run() {
	defer func() {
		unix.Close(p.out)
		p.s.ended.Store(1)
	}()
	var st unix.Stat_t
	if unix.Fstat(p.out, &st) == nil {
		p.outPipe = st.Mode&unix.S_IFMT == unix.S_IFIFO
	}
	p.watch = p.outPipe || isTerminal(p.out)
	buf := make([]byte, chunkMax)
	for {
		fds := [2]unix.PollFd{{Fd: int32(p.in), Events: unix.POLLIN}, {Fd: -1}}
		if p.watch {
			fds[1].Fd = int32(p.out)
		}
		if _, err := unix.Poll(fds[:], -1); err != nil {
			if err == unix.EINTR {
				continue
			}
			return
		}
		if fds[1].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
			p.readerGone(buf)
			return
		}
		n, err := unix.Read(p.in, buf)
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if n <= 0 || err != nil { // EIO: the last process closed the pseudo-terminal
			unix.Close(p.in)
			return
		}
		now := bootNanos()
		p.s.put(buf[:n], now)
		if p.mem.armed.Load() != 0 && p.mem.armed.Swap(0) != 0 {
			unix.SendmsgN(relayLife, []byte{saidExec}, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		}
		p.s.blocked.Store(now)
		gone := p.pass(buf[:n])
		p.s.blocked.Store(0)
		if gone {
			p.readerGone(buf)
			return
		}
	}
}

// readerGone lets the command meet what it would have met: nobody reads its output any more, so its
// next write gets SIGPIPE. What is still on its way is kept for the watcher.
func (p *pump) readerGone(buf []byte) {
	if n, err := unix.IoctlGetInt(p.in, unix.TIOCINQ); err == nil && n > 0 {
		if n, err := unix.Read(p.in, buf); err == nil && n > 0 {
			p.s.put(buf[:n], bootNanos())
			p.s.dropped.Add(int64(n))
		}
	}
	p.s.gone.Store(1)
	unix.Close(p.in)
}

// pass writes b to the outside and says whether the outside has gone. What a disk refuses (full,
// quota) is dropped and counted, and the command lives on: a pipe cannot tell it.
func (p *pump) pass(b []byte) (gone bool) {
	for len(b) > 0 {
		n, err := unix.Write(p.out, b[:p.atomic(b)])
		switch err {
		case nil:
			b = b[n:]
			p.s.passed.Add(int64(n))
		case unix.EINTR:
		case unix.EAGAIN: // somebody who shares the open file made it non-blocking
			unix.Poll([]unix.PollFd{{Fd: int32(p.out), Events: unix.POLLOUT}}, -1)
		case unix.ENOSPC, unix.EDQUOT:
			p.s.errno.Store(int32(err.(unix.Errno)))
			p.s.dropped.Add(int64(len(b)))
			return false
		default:
			p.s.errno.Store(int32(asErrno(err)))
			p.s.dropped.Add(int64(len(b)))
			return true
		}
	}
	return false
}

// pipeBuf is what a pipe takes in one piece. Lines that the command wrote one by one may reach the
// relay together; several programs write to one pipe without tearing each other's lines as long as
// no line is cut.
const pipeBuf = 4096

func (p *pump) atomic(b []byte) int {
	if !p.outPipe || len(b) <= pipeBuf {
		return len(b)
	}
	if i := bytes.LastIndexByte(b[:pipeBuf], '\n'); i >= 0 {
		return i + 1
	}
	if i := bytes.IndexByte(b, '\n'); i >= 0 { // a longer line, which no pipe keeps in one piece
		return i + 1
	}
	return len(b)
}
