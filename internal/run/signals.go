package run

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Signals are the command's. One that the terminal or somebody sent to the whole process group has
// reached the command already; one that was sent to this process alone is passed on. Go does not
// tell who sent a signal, but the relay is in the group too, and the watcher asks it whether it has
// got the signal as well.

// groupWait is how long after a signal came here it may still come to others of the group.
const groupWait = 20 * time.Millisecond

// askAfter are the times to ask at, summing to groupWait.
var askAfter = [...]time.Duration{0, 2 * time.Millisecond, 6 * time.Millisecond, 12 * time.Millisecond}

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

// hearSignals takes note of signals at once; what to do about them may take a moment.
func (c *Command) hearSignals() {
	for {
		select {
		case <-c.stopSig:
			return
		case <-c.swallow:
		case s := <-c.signals:
			if s == syscall.SIGTSTP {
				c.seen.mu.Lock()
				c.seen.stopTime = time.Now()
				c.seen.mu.Unlock()
			}
			select {
			case c.heard <- s:
			case <-c.stopSig:
				return
			}
		}
	}
}

func (c *Command) followSignals() {
	for {
		select {
		case <-c.stopSig:
			return
		case s := <-c.heard:
			sig := s.(syscall.Signal)
			group := c.groupGot(sig)
			c.seen.mu.Lock()
			if group {
				c.seen.group[sig]++
			} else {
				c.seen.alone[sig]++
			}
			c.seen.mu.Unlock()
			// With a terminal of its own the relay sees to the window's size.
			if !group && !(c.cfg.TTY && sig == syscall.SIGWINCH) {
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
	if c.cfg.TTY {
		return false // whoever got it, the command did not
	}
	realtime := sig >= 32 // each counts, where of others a second one may merge with the first
	l := &c.seen
	for _, wait := range askAfter {
		if wait > 0 {
			time.Sleep(wait)
		}
		if !c.askRelay() {
			return c.fromTerminal(sig)
		}
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
	}
	return false
}

// askRelay lets the relay count the signals that it has got, and says whether it has done so.
func (c *Command) askRelay() bool {
	select {
	case <-c.answers: // to an older question
	default:
	}
	if _, err := c.life.Write([]byte{askSignals}); err != nil {
		return false
	}
	late := time.NewTimer(time.Second) // it is stopped
	defer late.Stop()
	select {
	case <-c.answers:
		return true
	case <-c.relayGone:
	case <-c.stopSig:
	case <-late.C:
	}
	return false
}

// fromTerminal guesses, without a relay, that a signal was the terminal's.
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

// stopWith stops this process after the command was stopped by job control, so that the shell sees
// its job stopped. It does so only if SIGTSTP came here too: who stops the command by its pid alone
// will also continue only that.
func (c *Command) stopWith(sig syscall.Signal) {
	if c.cfg.TTY || sig != syscall.SIGTSTP && sig != syscall.SIGSTOP {
		return
	}
	for range 1000 { // the command may stop before we have heard
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
	// signal.Reset would leave the runtime's handler. A second Ctrl-Z before the handler is back stops
	// this process at once, as it does the rest of the group.
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
