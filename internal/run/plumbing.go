package run

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// plumbing is who gets which descriptor; -1 is none.
type plumbing struct {
	command [3]int  // the command's standard descriptors
	closed  [3]bool // those of them that were closed in this process
	outer   [3]int  // this process's own, for the relay
	relay   [2]int  // the relay's ends of the command's output
	mode    string
	merged  bool
	inode   [streams]uint64
	rdev    uint64 // of the command's terminal
	own     []int  // to be closed here once both have theirs
}

func (io *plumbing) close() {
	for _, fd := range io.own {
		unix.Close(fd)
	}
	io.own = nil
}

// plumb decides what the command's input and output are.
func (c *Command) plumb() (io plumbing, err error) {
	io.relay, io.outer = [2]int{-1, -1}, [3]int{-1, -1, -1}
	var std [3]int
	for i, f := range []*os.File{c.cfg.Stdin, c.cfg.Stdout, c.cfg.Stderr} {
		switch {
		case f != nil:
			std[i] = int(f.Fd())
		case atStart.closed[i]:
			std[i] = -1
		default:
			std[i] = i
		}
	}
	if c.cfg.TTY {
		err = c.plumbTerminal(&io, std)
		return io, err
	}
	io.command = std
	for i, fd := range std {
		io.closed[i] = fd < 0
	}
	// What cannot be written to is not output, and the command shall see just that.
	out, err2 := std[1] >= 0 && writable(std[1]), std[2] >= 0 && writable(std[2])
	io.merged = out && err2 && oneOutput(std[1], std[2])
	if out {
		io.outer[1] = std[1]
		io.mode += string(withStdout)
		if io.command[1], io.relay[0], io.inode[Stdout], err = io.pipe(); err != nil {
			return io, err
		}
	}
	if io.merged {
		io.command[2], io.inode[Stderr] = io.command[1], io.inode[Stdout]
	} else if err2 {
		io.outer[2] = std[2]
		io.mode += string(withStderr)
		if io.command[2], io.relay[1], io.inode[Stderr], err = io.pipe(); err != nil {
			return io, err
		}
	}
	if io.mode == "" {
		io.mode = "-"
	}
	return io, nil
}

// pipe is one for output, of the size that a container's has.
func (io *plumbing) pipe() (w, r int, inode uint64, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return -1, -1, 0, fmt.Errorf("make a pipe: %w", err)
	}
	io.own = append(io.own, p[0], p[1])
	var st unix.Stat_t
	if err := unix.Fstat(p[0], &st); err != nil {
		return -1, -1, 0, err
	}
	return p[1], p[0], st.Ino, nil
}

// plumbTerminal makes a pseudo-terminal that is set like the outer one, where there is one.
func (c *Command) plumbTerminal(io *plumbing, std [3]int) error {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a pseudo-terminal: %w", err)
	}
	io.own = append(io.own, master)
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("unlock a pseudo-terminal: %w", err)
	}
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC
	n, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, flags)
	slave := int(n)
	if e != 0 { // before Linux 4.13
		n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
		if err != nil {
			return fmt.Errorf("find a pseudo-terminal's name: %w", err)
		}
		if slave, err = unix.Open(fmt.Sprintf("/dev/pts/%d", n), flags, 0); err != nil {
			return fmt.Errorf("open a pseudo-terminal: %w", err)
		}
	}
	io.own = append(io.own, slave)
	var st unix.Stat_t
	if unix.Fstat(slave, &st) == nil {
		io.inode, io.rdev = [streams]uint64{st.Ino, st.Ino}, st.Rdev
	}

	size := &unix.Winsize{Row: 24, Col: 80}
	for _, fd := range std {
		if ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); fd >= 0 && err == nil {
			size = ws
			break
		}
	}
	unix.IoctlSetWinsize(slave, unix.TIOCSWINSZ, size)
	if tio, err := unix.IoctlGetTermios(std[0], unix.TCGETS); std[0] >= 0 && err == nil {
		unix.IoctlSetTermios(slave, unix.TCSETS, tio)
		c.outer = &outerTerm{fd: std[0], saved: tio}
		// This process may release its descriptor.
		if fd, err := unix.FcntlInt(uintptr(std[0]), unix.F_DUPFD_CLOEXEC, 3); err == nil {
			c.outer.fd, c.outer.own = fd, true
		}
	}
	io.command = [3]int{slave, slave, slave}
	io.outer = [3]int{std[0], std[1], -1}
	io.relay[0] = master
	io.mode, io.merged = string(withTerminal), true
	return nil
}

// outerTerm is the user's terminal. The relay changes its settings and puts them back; this is for
// the case that the relay was killed.
type outerTerm struct {
	fd    int
	own   bool
	saved *unix.Termios
}

func (t *outerTerm) restore() {
	if t == nil {
		return
	}
	if now, err := unix.IoctlGetTermios(t.fd, unix.TCGETS); err == nil && *now != *t.saved {
		if fg, err := unix.IoctlGetInt(t.fd, unix.TIOCGPGRP); err == nil && fg == unix.Getpgrp() {
			unix.IoctlSetTermios(t.fd, unix.TCSETSW, t.saved)
		}
	}
}

func (t *outerTerm) close() {
	if t != nil && t.own {
		unix.Close(t.fd)
		t.own = false
	}
}
