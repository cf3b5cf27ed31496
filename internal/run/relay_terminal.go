package run

import (
	"bytes"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// relayTerminal joins the outer terminal with the command's pseudo-terminal, whose master is
// relayPipe.
type relayTerminal struct {
	mem   *shared
	outer bool // relayIn is a terminal

	mu    sync.Mutex
	over  bool
	saved *unix.Termios // settings of the outer terminal before they were changed, nil: they were not
	raw   unix.Termios
}

func newRelayTerminal(mem *shared) *relayTerminal {
	t := &relayTerminal{mem: mem, outer: isTerminal(relayIn)}
	// Its settings are to be restored also when a killed watcher's shell has taken it back.
	signal.Ignore(syscall.SIGTTOU)
	t.enter()
	return t
}

// enter makes the outer terminal raw, unless this is a background job: then it is another's.
func (t *relayTerminal) enter() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if fg, err := unix.IoctlGetInt(relayIn, unix.TIOCGPGRP); !t.outer || t.over || err != nil || fg != unix.Getpgrp() {
		return
	}
	now, err := unix.IoctlGetTermios(relayIn, unix.TCGETS)
	if err != nil {
		return
	}
	raw := *now
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if unix.IoctlSetTermios(relayIn, unix.TCSETS, &raw) != nil {
		return
	}
	if t.saved == nil {
		t.saved = now
	}
	t.raw = raw
	if now, err := unix.IoctlGetTermios(relayIn, unix.TCGETS); err == nil {
		t.raw = *now // as the terminal took it
	}
}

// restore gives the outer terminal its settings back, unless somebody else has changed them since.
func (t *relayTerminal) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.saved == nil {
		return
	}
	if now, err := unix.IoctlGetTermios(relayIn, unix.TCGETS); err == nil && *now == t.raw {
		unix.IoctlSetTermios(relayIn, unix.TCSETSW, t.saved)
	}
	t.saved = nil
}

func (t *relayTerminal) followSignals(signals chan os.Signal) {
	for s := range signals {
		switch s {
		case syscall.SIGWINCH:
			t.resize()
		case syscall.SIGCONT:
			t.enter() // fg: the shell had it in between
		}
	}
}

// resize makes the command's terminal as large as the outer one.
func (t *relayTerminal) resize() {
	for _, fd := range []int{relayIn, relayOut} {
		if ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil {
			unix.IoctlSetWinsize(relayPipe, unix.TIOCSWINSZ, ws)
			return
		}
	}
}

// input passes what is typed on to the command.
func (t *relayTerminal) input() {
	buf := make([]byte, 4096)
	last := byte('\n')
	for {
		n, err := unix.Read(relayIn, buf)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			unix.Poll([]unix.PollFd{{Fd: relayIn, Events: unix.POLLIN}}, -1)
			continue
		}
		if n <= 0 || err != nil {
			break
		}
		t.countTyped(buf[:n])
		if !writeTerminal(buf[:n]) {
			return
		}
		last = buf[n-1]
	}
	if t.outer {
		return // hung up, or no longer ours to read
	}
	// The input was no terminal and has ended: say so as a user would.
	if tio, err := unix.IoctlGetTermios(relayPipe, unix.TCGETS); err == nil && tio.Lflag&unix.ICANON != 0 {
		eof := []byte{tio.Cc[unix.VEOF]}
		if last != '\n' {
			writeTerminal(eof) // the first only ends the unfinished line
		}
		writeTerminal(eof)
	}
}

// countTyped notes interrupts that the user typed: the terminal's line discipline makes them
// signals for the command alone.
func (t *relayTerminal) countTyped(b []byte) {
	tio, err := unix.IoctlGetTermios(relayPipe, unix.TCGETS)
	if err != nil || tio.Lflag&unix.ISIG == 0 {
		return
	}
	for sig, c := range map[syscall.Signal]byte{syscall.SIGINT: tio.Cc[unix.VINTR], syscall.SIGQUIT: tio.Cc[unix.VQUIT]} {
		if c != 0 {
			t.mem.typed[sig].Add(uint32(bytes.Count(b, []byte{c})))
		}
	}
}

func writeTerminal(b []byte) bool {
	for len(b) > 0 {
		n, err := unix.Write(relayPipe, b)
		switch err {
		case nil:
			b = b[n:]
		case unix.EINTR:
		default:
			return false
		}
	}
	return true
}
