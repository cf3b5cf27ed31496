package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Config says what to run and how.
type Config struct {
	// Args is the command and its arguments. Without a slash the command is looked up in PATH of
	// Env. Needed.
	Args []string
	// Env is the command's environment; nil: that of this process, byte for byte.
	Env []string
	// Stdin, Stdout and Stderr are where the command's input comes from and its output goes to;
	// nil: descriptors 0, 1 and 2 of this process, and closed where those were closed.
	Stdin, Stdout, Stderr *os.File
	// TTY gives the command a pseudo-terminal and a session of its own, else it stays in the
	// session and process group of this process and writes to pipes.
	TTY bool
	// Leaf is the cgroup to start the command in, nil: that of this process.
	Leaf *Leaf
	// Release lets Go give up this process's own copies of what the command reads, writes and
	// inherited, so that whoever is at the other end sees what the command does with it:
	// descriptors 0 and 1 become /dev/null, those inherited from 3 on are closed. Descriptor 2
	// stays.
	Release bool
	// HoldTime is how long Wait waits for output that other processes still hold after the
	// command's end; 0: two seconds.
	HoldTime time.Duration
}

// Command is a command that is prepared, running or over.
type Command struct {
	cfg     Config
	pid     int
	tap     *Tap
	reasons []string
	control int        // socket to the launcher, -1 when closed
	life    *os.File   // socket to the relay
	relay   int        // its pid
	outer   *outerTerm // with TTY

	signals   chan os.Signal
	swallow   chan os.Signal
	heard     chan os.Signal
	stopSig   chan struct{}
	seen      signalLog
	launched  usage
	answers   chan struct{} // of the relay
	relayGone chan struct{} // the relay has ended or was killed
	over      chan struct{} // the output has ended, or the relay
	dead      chan struct{} // the command has ended: death is set
	death     Result
	following sync.WaitGroup
	give      chan struct{} // a signal came while only the output was waited for
	giveOnce  sync.Once

	mu      sync.Mutex // guards reaped and result's start
	reaped  bool
	started bool
	failure *StartError
	at      [2]int64 // start: boot time and wall time
}

// StartError says that the command could not be executed.
type StartError struct {
	Errno syscall.Errno
	Path  string // the file that could not be executed, or the command as given where none was found
}

func (e *StartError) Error() string {
	if e.Errno == syscall.ENOENT && exists(e.Path) {
		return fmt.Sprintf("execute %s: its interpreter or loader does not exist", e.Path)
	}
	return fmt.Sprintf("execute %s: %v", e.Path, e.Errno)
}

func (e *StartError) Unwrap() error { return e.Errno }

// ExitCode is 127 where the command was not found, else 126.
func (e *StartError) ExitCode() int { return exitCode(e.Errno) }

// Prepare starts the processes that the command needs, up to the execution of the command itself:
// it has its pid and waits for Go. From here on signals to this process are the command's. Close
// must be called at the end.
func Prepare(cfg Config) (_ *Command, err error) {
	raiseLimits()
	if !atStart.known {
		return nil, errors.New("start a command: run.Reexec was not called at the start of main")
	}
	if len(cfg.Args) == 0 {
		return nil, errors.New("start a command: there is none")
	}
	if cfg.HoldTime == 0 {
		cfg.HoldTime = 2 * time.Second
	}
	c := &Command{
		cfg: cfg, control: -1, signals: make(chan os.Signal, 256), swallow: make(chan os.Signal, 1), heard: make(chan os.Signal, 256),
		stopSig: make(chan struct{}), answers: make(chan struct{}, 1), relayGone: make(chan struct{}), over: make(chan struct{}),
		dead: make(chan struct{}), give: make(chan struct{}),
	}
	signal.Notify(c.signals, forwarded()...)
	signal.Notify(c.swallow, swallowed...)
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	io, err := c.plumb()
	defer io.close()
	if err != nil {
		return nil, fmt.Errorf("prepare the output of %s: %w", cfg.Args[0], err)
	}
	// Both start at the same time.
	if err := c.startRelay(&io); err != nil {
		return nil, fmt.Errorf("start the process that relays the output: %w", err)
	}
	if err := c.startLauncher(&io); err != nil {
		return nil, fmt.Errorf("start the process that becomes %s: %w", cfg.Args[0], err)
	}
	io.close() // the ends that are theirs, or the pipes would never end
	go c.wait()
	if err := c.expectReady(); err != nil {
		return nil, err
	}
	c.following.Go(c.followRelay)
	c.following.Go(c.hearSignals)
	c.following.Go(c.followSignals)
	return c, nil
}

// startLauncher starts the process that becomes the command, and tells it the plan.
func (c *Command) startLauncher(io *plumbing) error {
	p := plan{
		args: c.cfg.Args, env: c.cfg.Env, inherited: atStart.inherited, closed: io.closed,
		rlimits: atStart.rlimits, limitSet: atStart.limitSet,
	}
	if p.env == nil {
		p.env = environ()
	}
	var ok bool
	if p.path, ok = lookupEnv(p.env, "PATH"); !ok {
		p.path = defaultPath
	}
	var reason string
	if p.ignored, p.blocked, reason = atStart.signals(); reason != "" {
		c.reasons = append(c.reasons, reason)
	}

	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	c.control = pair[0]
	files, theirs, err := launcherFiles(io.command, pair[1], atStart.inherited)
	unix.Close(pair[1])
	if err != nil {
		return err
	}
	defer unix.Close(theirs)
	attr := &syscall.ProcAttr{
		Files: files,
		Env:   []string{"GOMAXPROCS=1", "GOGC=off"}, // of the launcher's own short life
		Sys:   &syscall.SysProcAttr{},
	}
	if c.cfg.TTY {
		attr.Sys.Setsid, attr.Sys.Setctty, attr.Sys.Ctty = true, true, 0
	}
	if c.cfg.Leaf != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(c.cfg.Leaf.dir.Fd())
	}
	argv := []string{reexecName, roleLauncher, strconv.Itoa(len(files) - 1)}
	c.pid, err = syscall.ForkExec("/proc/self/exe", argv, attr)
	if err != nil && c.cfg.Leaf != nil {
		c.reasons = append(c.reasons, fmt.Sprintf("the command is in no cgroup of its own: %v", err))
		attr.Sys.UseCgroupFD = false
		c.pid, err = syscall.ForkExec("/proc/self/exe", argv, attr)
	}
	if err != nil {
		return fmt.Errorf("execute own binary: %w", err)
	}
	return writeFull(c.control, p.encode())
}

// launcherFiles lays out the launcher's descriptors: the command's standard ones, and the control
// socket under the lowest number that is no inherited one's. Inherited descriptors reach it under
// their own numbers by themselves, if ForkExec does not use those numbers meanwhile: it moves its
// own pipe behind the highest of files, so the control socket is put where there is room behind.
func launcherFiles(std [3]int, control int, inherited []int) (files []uintptr, high int, err error) {
	taken := make(map[int]bool, len(inherited))
	for _, fd := range inherited {
		taken[fd] = true
	}
	files = []uintptr{fileOf(std[0]), fileOf(std[1]), fileOf(std[2])}
	for taken[len(files)] {
		files = append(files, uintptr(len(files)))
	}
	const room = 4
	low := max(len(files)+1, std[0]+1, std[1]+1, std[2]+1)
	for {
		high, err = unix.FcntlInt(uintptr(control), unix.F_DUPFD_CLOEXEC, low)
		if err != nil {
			return nil, -1, fmt.Errorf("no room for a descriptor beside those inherited: %w", err)
		}
		free := true
		for fd := high + 1; fd <= high+room; fd++ {
			if taken[fd] {
				free, low = false, fd+1
			}
		}
		if free {
			return append(files, uintptr(high)), high, nil
		}
		unix.Close(high)
	}
}

func fileOf(fd int) uintptr {
	if fd < 0 {
		return ^uintptr(0) // closed
	}
	return uintptr(fd)
}

// startRelay starts the process that passes the output on.
func (c *Command) startRelay(io *plumbing) error {
	fd, err := memfd("descry-output", sharedSize)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	c.tap = &Tap{merged: io.merged, inode: io.inode, rdev: io.rdev, wake: make(chan struct{}, 1), over: c.over}
	if c.tap.mem, c.tap.raw, err = mapShared(fd); err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pair[1])
	unix.SetNonblock(pair[0], true)
	c.life = os.NewFile(uintptr(pair[0]), "relay")
	c.relay, err = syscall.ForkExec("/proc/self/exe", []string{reexecName, roleRelay, io.mode}, &syscall.ProcAttr{
		Files: []uintptr{
			fileOf(io.outer[0]), fileOf(io.outer[1]), fileOf(io.outer[2]), fileOf(io.relay[0]), fileOf(io.relay[1]),
			uintptr(fd), uintptr(pair[1]),
		},
		Env: []string{"GOMAXPROCS=2", "GOGC=10", "GOTRACEBACK=none"},
	})
	if err != nil {
		return fmt.Errorf("execute own binary: %w", err)
	}
	go func() {
		waitFor(c.relay, 0, nil)
		close(c.relayGone)
	}()
	return nil
}

// expectReady waits until launcher and relay have come as far as they should.
func (c *Command) expectReady() error {
	var b [1]byte
	if _, err := io.ReadFull(c.life, b[:]); err != nil {
		return errors.New("the process that relays the output ended at once")
	}
	if n, err := readFull(c.control, b[:]); err != nil || n == 0 || b[0] != saidReady {
		return fmt.Errorf("the process that is to become %s ended at once", c.cfg.Args[0])
	}
	return nil
}

// PID is that of the command, also while it waits for Go.
func (c *Command) PID() int { return c.pid }

// RelayPID is that of the process which passes the output on.
func (c *Command) RelayPID() int { return c.relay }

// Tap is the view of the command's output. It can be read until Close.
func (c *Command) Tap() *Tap { return c.tap }

// Reasons says what could not be made as it should, in whole sentences without a full stop.
func (c *Command) Reasons() []string { return c.reasons }

// RawTerminal says that the user's terminal does not turn "\n" into "\r\n" while the command runs.
func (c *Command) RawTerminal() bool { return c.outer != nil }

// Go lets the command be executed and returns when it is. A *StartError says that it could not be;
// Wait then gives the exit code.
func (c *Command) Go() error {
	if c.control < 0 {
		return errors.New("start a command: it was started before")
	}
	defer func() {
		unix.Close(c.control)
		c.control = -1
	}()
	if c.cfg.Release {
		release()
	}
	if err := writeFull(c.control, []byte{goAhead}); err != nil {
		return fmt.Errorf("start %s: it has ended already: %w", c.cfg.Args[0], err)
	}
	said, err := c.hear()
	if err != nil {
		return fmt.Errorf("start %s: %w", c.cfg.Args[0], err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if said != nil {
		c.failure = said
		return said
	}
	c.started = true
	c.at = [2]int64{bootNanos(), time.Now().UnixNano()}
	return nil
}

// hear reads what the launcher says until it has become the command.
func (c *Command) hear() (*StartError, error) {
	var b [usageSize]byte
	if n, err := readFull(c.control, b[:1]); err != nil || n == 0 || b[0] != saidExec {
		return nil, errors.New("the process that was to become it has ended")
	}
	if n, err := readFull(c.control, b[:]); err != nil || n < len(b) {
		return nil, errors.New("the process that was to become it has ended")
	}
	c.launched = decodeUsage(b[:])
	if n, err := readFull(c.control, b[:1]); err != nil || n == 0 {
		return nil, err // the socket ended by execve
	}
	f, err := readFailure(c.control)
	if err != nil {
		return nil, err
	}
	return &StartError{f.errno, f.path}, nil
}

// release gives up what is the command's, see Config.Release.
func release() {
	if null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
		unix.Dup3(null, 0, 0)
		unix.Dup3(null, 1, 0)
		unix.Close(null)
	}
	for _, fd := range atStart.inherited {
		unix.Close(fd)
	}
}

// Signal sends a signal to the command, and does nothing after its end.
func (c *Command) Signal(sig syscall.Signal) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reaped {
		return nil
	}
	return syscall.Kill(c.pid, sig)
}
