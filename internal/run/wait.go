package run

import (
	"bytes"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// Result is how a command ended.
type Result struct {
	Started    bool          // it was executed
	StartErrno syscall.Errno // else, what execve said
	StartPath  string        // and of which file
	// ExitCode as a shell has it: the command's own, 128+n for signal n, 127 not found, 126 not
	// executable.
	ExitCode   int
	Signal     syscall.Signal // 0: it exited
	CoreDumped bool

	// What the command used, without what its launcher used before it became the command.
	UserTime, SystemTime time.Duration
	MaxRSSBytes          int64 // of it and of the children that it waited for; 0: less than its launcher's

	StartedBoot, EndedBoot int64 // boot time in nanoseconds
	StartedAt, EndedAt     time.Time

	Interrupted bool // the user ended or interrupted it from the terminal: SIGINT, SIGQUIT, SIGHUP
	Signals     []SignalSeen

	// OutputHeld: when Wait returned, other processes still held the output. Holders are those that
	// could be seen. Their output is passed on as long as they live.
	OutputHeld bool
	Holders    []evidence.Holder
	GaveUp     bool // a signal came while only the reader of the output was waited for
	Stuck      bool // the output's reader takes nothing: the rest is passed on when it does
	RelayLost  bool // the relay was killed: what the command wrote after that is lost
}

// SignalSeen counts a signal that reached this process.
type SignalSeen struct {
	Signal syscall.Signal
	Group  int // times that the whole process group got it, and so the command
	Alone  int // times that it was sent to this process and passed on to the command
}

// Dead is closed when the command itself has ended; Wait may still wait for its output.
func (c *Command) Dead() <-chan struct{} { return c.dead }

// Death is how the command ended, once Dead is closed; what is about the output is not yet known.
func (c *Command) Death() Result {
	<-c.dead
	r := c.death
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Started = c.started
	if c.failure != nil {
		r.StartErrno, r.StartPath = c.failure.Errno, c.failure.Path
		r.ExitCode = c.failure.ExitCode()
	}
	if c.started {
		r.StartedBoot, r.StartedAt = c.at[0], time.Unix(0, c.at[1])
		r.UserTime = max(0, r.UserTime-time.Duration(c.launched.user)*time.Microsecond)
		r.SystemTime = max(0, r.SystemTime-time.Duration(c.launched.system)*time.Microsecond)
		if r.MaxRSSBytes <= c.launched.maxRSS<<10 {
			r.MaxRSSBytes = 0
		}
	}
	r.Signals, r.Interrupted = c.seen.list(c.tap)
	return r
}

// Wait waits for the command's end and until its output was passed on. Output that other processes
// still hold is waited for for Config.HoldTime. So is a reader that takes nothing at all: what it has
// not taken is passed on when it does, as what lies in a pipe would be. One that is merely slow is
// waited for until it goes away or a signal says to give up.
func (c *Command) Wait() Result {
	<-c.dead
	held := time.NewTimer(c.cfg.HoldTime)
	defer held.Stop()
	var holders []evidence.Holder
	outputHeld, gaveUp, stuck := false, false, false
	passed := c.passed()
	for waiting := true; waiting; {
		select {
		case <-c.over:
			waiting = false
		case <-c.give:
			gaveUp, waiting = true, false
		case <-held.C:
			holders = c.Holders()
			before := passed
			passed = c.passed()
			switch {
			case len(holders) > 0 || !c.draining():
				outputHeld, waiting = true, false
			case passed == before:
				stuck, waiting = true, false
			default:
				held.Reset(c.cfg.HoldTime)
			}
		}
	}
	r := c.Death()
	r.OutputHeld, r.Holders, r.GaveUp, r.Stuck = outputHeld, holders, gaveUp, stuck
	r.RelayLost = c.lostRelay()
	if gaveUp && len(c.Holders()) == 0 {
		// As it would be without us: what the reader has not taken is lost with its writer.
		syscall.Kill(c.relay, syscall.SIGKILL)
	}
	c.outer.restore()
	return r
}

// passed counts the bytes of both streams that were taken by what they go to.
func (c *Command) passed() int64 {
	return c.tap.Totals(Stdout).Passed + c.tap.Totals(Stderr).Passed
}

// draining says that the relay has output that it still passes on: its reader is slow.
func (c *Command) draining() bool {
	var passed [streams]int64
	for i := range 20 { // between two chunks nothing is stalled
		for s := range streams {
			n := c.tap.Totals(s).Passed
			if c.tap.Stalled(s) != 0 || i > 0 && n != passed[s] {
				return true
			}
			passed[s] = n
		}
		select {
		case <-c.over:
			return true
		case <-time.After(5 * time.Millisecond):
		}
	}
	return false
}

func (c *Command) lostRelay() bool {
	select {
	case <-c.relayGone:
		return !c.tap.Ended()
	default:
		return false
	}
}

// Close ends what Prepare began. A command that was not let go never starts; one that runs goes on.
// The Tap cannot be used any more.
func (c *Command) Close() {
	signal.Stop(c.signals)
	signal.Stop(c.swallow)
	select {
	case <-c.stopSig:
		return
	default:
		close(c.stopSig)
	}
	if c.control >= 0 {
		syscall.Close(c.control)
		c.control = -1
	}
	if c.life != nil {
		c.life.Close() // the relay ends when the output does
	}
	c.following.Wait()
	c.outer.restore()
	c.outer.close()
	if c.tap != nil {
		c.tap.close()
	}
}

// wait reaps the command, and stops this process with it when the user stops the job.
func (c *Command) wait() {
	var ru syscall.Rusage
	for {
		ws, ok := waitFor(c.pid, syscall.WUNTRACED, &ru)
		if ok && ws.Stopped() {
			c.stopWith(ws.StopSignal())
			continue
		}
		r := &c.death
		r.EndedBoot, r.EndedAt = bootNanos(), time.Now()
		c.mu.Lock()
		c.reaped = true
		c.mu.Unlock()
		switch {
		case !ok:
			r.ExitCode = 125
		case ws.Signaled():
			r.Signal, r.ExitCode, r.CoreDumped = ws.Signal(), 128+int(ws.Signal()), ws.CoreDump()
		default:
			r.ExitCode = ws.ExitStatus()
		}
		r.UserTime, r.SystemTime = time.Duration(ru.Utime.Nano()), time.Duration(ru.Stime.Nano())
		r.MaxRSSBytes = ru.Maxrss << 10
		close(c.dead)
		return
	}
}

func waitFor(pid, options int, ru *syscall.Rusage) (ws syscall.WaitStatus, ok bool) {
	for {
		got, err := syscall.Wait4(pid, &ws, options, ru)
		if err == syscall.EINTR {
			continue
		}
		return ws, err == nil && got == pid
	}
}

// followRelay hears the relay: each byte says that there is something to see in the shared memory.
func (c *Command) followRelay() {
	over := sync.OnceFunc(func() { close(c.over) })
	defer over()
	var b [64]byte
	for {
		n, err := c.life.Read(b[:])
		if c.tap.Ended() {
			over()
		}
		if bytes.IndexByte(b[:n], saidSignals) >= 0 {
			select {
			case c.answers <- struct{}{}:
			default:
			}
		}
		select {
		case c.tap.wake <- struct{}{}:
		default:
		}
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				<-c.relayGone
			}
			return
		}
	}
}
