package run

import (
	"encoding/binary"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// launch is the launcher's whole life: it waits on its control socket, then becomes the command.
func launch(control int) {
	// From here on a signal does to this process what it would do to any that waits to be executed:
	// no Go handler that prints goroutines.
	for sig := 1; sig <= maxSignal; sig++ {
		switch syscall.Signal(sig) {
		case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGURG:
			continue // the runtime's own
		}
		if sa, err := getSigaction(sig); err == nil && sa.handler > sigIgnore {
			setHandler(sig, sigDefault)
		}
	}
	unix.CloseOnExec(control)

	var head [8]byte
	if n, err := readFull(control, head[:]); err != nil || n < len(head) {
		os.Exit(125)
	}
	body := make([]byte, binary.LittleEndian.Uint64(head[:]))
	if n, err := readFull(control, body); err != nil || n < len(body) {
		os.Exit(125)
	}
	p, err := decodePlan(body)
	if err != nil || len(p.args) == 0 {
		os.Exit(125)
	}
	if p.restoreDescriptors(control) != nil || writeFull(control, []byte{saidReady}) != nil {
		os.Exit(125)
	}
	if n, err := readFull(control, head[:1]); err != nil || n == 0 || head[0] != goAhead {
		os.Exit(125) // the watcher is gone: nobody wants this command any more
	}

	p.env = renamePID(p.env, os.Getppid(), os.Getpid())
	f := p.exec(control)
	writeFull(control, f.append([]byte{saidFailed}))
	os.Exit(exitCode(f.errno))
}

// renamePID makes the command the addressee of what a service manager addressed to the watcher by
// its pid: sockets that it passed, and the watchdog. The programs compare it with their own pid.
func renamePID(env []string, watcher, command int) []string {
	out := make([]string, 0, len(env))
	for _, e := range env {
		switch name, value, _ := strings.Cut(e, "="); {
		case (name == "LISTEN_PID" || name == "WATCHDOG_PID") && value == strconv.Itoa(watcher):
			e = name + "=" + strconv.Itoa(command)
		case name == "LISTEN_PIDFDID" && slices.Contains(env, "LISTEN_PID="+strconv.Itoa(watcher)):
			continue // the same as a pidfd's inode; optional
		}
		out = append(out, e)
	}
	return out
}

// exitCode of a command that could not be executed, as shells, env and nohup have it.
func exitCode(errno syscall.Errno) int {
	if errno == syscall.ENOENT {
		return 127
	}
	return 126
}

// restoreDescriptors leaves the command those descriptors that the watcher was started with.
func (p *plan) restoreDescriptors(control int) error {
	open, err := openDescriptors(0)
	if err != nil {
		return err
	}
	for _, fd := range open {
		keep := slices.Contains(p.inherited, fd)
		if fd < 3 {
			keep = !p.closed[fd] // what is closed is /dev/null here, by the Go runtime
		}
		if !keep && fd != control {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// exec becomes the command, or says why it cannot.
func (p *plan) exec(control int) failure {
	// The mask of blocked signals is the executing thread's.
	runtime.LockOSThread()
	for i := range p.rlimits {
		if p.limitSet[i] {
			var now unix.Rlimit
			if prlimit(i, nil, &now) == nil && now != p.rlimits[i] {
				prlimit(i, &p.rlimits[i], nil)
			}
		}
	}
	var ru syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	u := usage{ru.Utime.Nano() / 1e3, ru.Stime.Nano() / 1e3, ru.Maxrss}
	if writeFull(control, u.append([]byte{saidExec})) != nil {
		os.Exit(125)
	}
	for sig := 1; sig <= maxSignal; sig++ {
		want := uintptr(sigDefault)
		if p.ignored&sigBit(sig) != 0 {
			want = sigIgnore
		}
		// A handler becomes the default by execve itself; until then the runtime may need it.
		if sa, err := getSigaction(sig); err == nil && (want == sigIgnore || sa.handler == sigIgnore) {
			setHandler(sig, want)
		}
	}
	setMask(p.blocked)
	return executeWith(p.args[0], p.args, p.path, func(file string, args []string) syscall.Errno {
		// It restores the soft limit of descriptors that the runtime has raised.
		return asErrno(syscall.Exec(file, args, p.env))
	})
}
