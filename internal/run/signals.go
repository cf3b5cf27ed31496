package run

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Signals are the command's. One that the terminal or somebody sent to the whole process group has
// reached the command already; one that was sent to this process alone is passed on. Go does not
// tell who sent a signal, but the relay is in the group too and counts what it gets: in shared
// memory, and until then its pending signals show in /proc.

const (
	groupWait    = 20 * time.Millisecond // for the relay to get the signal too
	groupWaitMax = time.Second           // while it is pending there
)

// signalLog is what signals have come.
type signalLog struct {
	mu       sync.Mutex
	group    [maxSignal + 1]int
	alone    [maxSignal + 1]int
	counted  [maxSignal + 1]uint32    // of the relay's count, up to here
	lastTime [maxSignal + 1]time.Time // a group's signal
	stopTime time.Time                // SIGTSTP
}

func (l *signalLog) list(t *Tap) (seen []SignalSeen, interrupted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for sig := 1; sig <= maxSignal; sig++ {
		n := l.group[sig] + l.alone[sig]
		if t.mem != nil {
			n += int(t.mem.typed[sig].Load())
		}
		if n == 0 {
			continue
		}
		seen = append(seen, SignalSeen{syscall.Signal(sig), n - l.alone[sig], l.alone[sig]})
		switch syscall.Signal(sig) {
		case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP:
			interrupted = true
		}
	}
	return seen, interrupted
}

func (c *Command) followSignals() {
	for {
		select {
		case <-c.stopSig:
			return
		case <-c.swallow:
		case s := <-c.signals:
			sig := s.(syscall.Signal)
			if sig == syscall.SIGTSTP {
				c.seen.mu.Lock()
				c.seen.stopTime = time.Now()
				c.seen.mu.Unlock()
			}
			group := c.groupGot(sig)
			c.seen.mu.Lock()
			if group {
				c.seen.group[sig]++
			} else {
				c.seen.alone[sig]++
			}
			c.seen.mu.Unlock()
			// With a terminal of its own the command is in another group, and the relay sees to the
			// window's size.
			if !group || c.cfg.TTY && sig != syscall.SIGWINCH {
				c.Signal(sig)
			}
			c.giveUp(sig)
		}
	}
}

// giveUp ends a wait for the mere reader of a dead command's output.
func (c *Command) giveUp(sig syscall.Signal) {
	switch sig {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
	default:
		return
	}
	select {
	case <-c.dead:
		c.giveOnce.Do(func() { close(c.give) })
	default:
	}
}

// groupGot says whether a signal that came was the whole group's.
func (c *Command) groupGot(sig syscall.Signal) bool {
	realtime := sig >= 32 // each counts, where of others a second one may merge with the first
	l := &c.seen
	begin := time.Now()
	for {
		if n := c.tap.mem.signals[sig].Load(); n != l.counted[sig] {
			if realtime {
				l.counted[sig]++
			} else {
				l.counted[sig] = n
			}
			l.lastTime[sig] = time.Now()
			return true
		}
		if !realtime && time.Since(l.lastTime[sig]) < groupWait {
			return true // the same, which merged in the relay: timeout(1) sends to its child and its group
		}
		waited := time.Since(begin)
		if waited > groupWaitMax || waited > groupWait && !pendingIn(c.relay, sig) {
			return false
		}
		select {
		case <-c.stopSig:
			return true
		case <-c.relayGone:
			// Nobody left to ask: what a terminal sends, it sends to the group.
			return c.fromTerminal(sig)
		case <-time.After(time.Millisecond):
		}
	}
}

// fromTerminal guesses that a signal was the terminal's.
func (c *Command) fromTerminal(sig syscall.Signal) bool {
	switch sig {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGWINCH, syscall.SIGHUP, syscall.SIGCONT:
	default:
		return false
	}
	tty, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(tty)
	fg, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	return err == nil && fg == unix.Getpgrp()
}

// pendingIn says whether a process has got a signal that it has not handled yet.
func pendingIn(pid int, sig syscall.Signal) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	_, rest, ok := bytes.Cut(b, []byte("\nShdPnd:\t"))
	if !ok {
		return false
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	set, err := strconv.ParseUint(string(line), 16, 64)
	return err == nil && set&sigBit(int(sig)) != 0
}

// stopWith stops this process after the command was stopped by job control, so that the shell sees
// its job stopped. It does so only if SIGTSTP came here too: who stops the command by its pid alone
// will also continue only that.
func (c *Command) stopWith(sig syscall.Signal) {
	if c.cfg.TTY || sig != syscall.SIGTSTP && sig != syscall.SIGSTOP {
		return
	}
	for range 100 { // the command may stop before we have heard
		c.seen.mu.Lock()
		recent := !c.seen.stopTime.IsZero() && time.Since(c.seen.stopTime) < 5*time.Second
		c.seen.mu.Unlock()
		if !isStopped(c.pid) {
			return // continued already
		}
		if recent {
			c.seen.mu.Lock()
			c.seen.stopTime = time.Time{}
			c.seen.mu.Unlock()
			stopSelf(sig)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// stopSelf stops this process by sig and returns when it continues.
func stopSelf(sig syscall.Signal) {
	// To this very thread, so that it has happened when the call returns.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// signal.Reset would leave the runtime's handler.
	caught, err := getSigaction(int(syscall.SIGTSTP))
	if err != nil {
		return
	}
	setHandler(int(syscall.SIGTSTP), sigDefault)
	unix.Tgkill(os.Getpid(), unix.Gettid(), sig)
	setSigaction(int(syscall.SIGTSTP), &caught)
}

func isStopped(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	i := bytes.LastIndexByte(b, ')')
	return i >= 0 && len(b) > i+2 && b[i+2] == 'T'
}
