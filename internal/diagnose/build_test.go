package diagnose

import (
	"path"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// builder makes cases as the probes give them, until recorded ones take their place.
type builder struct {
	c     *evidence.Case
	exit  *evidence.Exit
	endNS int64
}

const (
	mainPID  = int32(4242)
	bootBase = int64(1000) * second
	never    = int32(0)
)

var wallBase = time.Date(2026, 11, 22, 7, 0, 0, 0, time.UTC).UnixNano()

var sources = []string{"probe/process", "probe/signal", "probe/syscall", "probe/oom", "sample", "output"}

// mk begins a case of a command that lives for 60 seconds.
func mk(command ...string) *builder {
	b := &builder{c: &evidence.Case{
		ID: "01JDMADE", Kind: evidence.CaseDeath, Descry: "made", Host: evidence.Host{Kernel: "6.18.0", Arch: "amd64"},
		Subject: evidence.Subject{Command: command, PID: mainPID}, Findings: []evidence.Finding{}, Counters: map[string]int64{},
	}}
	b.ends(60)
	b.c.Death = &evidence.Death{PID: mainPID, Comm: path.Base(command[0])}
	for _, s := range sources {
		b.c.Coverage = append(b.c.Coverage, evidence.Coverage{Source: s, By: "made", From: time.Unix(0, wallBase).UTC()})
	}
	b.exit = &evidence.Exit{Parent: 4000, EnderTID: mainPID, StartNanos: bootBase}
	b.c.LastOutput = &evidence.LastOutput{}
	b.at(0, mainPID, &evidence.Exec{Path: "/usr/bin/" + path.Base(command[0]), Args: command})
	return b
}

func (b *builder) ends(sec float64) *builder { b.endNS = bootBase + int64(sec*1e9); return b }

// at adds an observation of the main process, sec seconds after the start.
func (b *builder) at(sec float64, tid int32, d evidence.Detail) *builder {
	return b.of(sec, mainPID, tid, path.Base(b.c.Subject.Command[0]), d)
}

func (b *builder) of(sec float64, pid, tid int32, comm string, d evidence.Detail) *builder {
	src := evidence.SourceKernel
	switch d.(type) {
	case *evidence.Process, *evidence.Headroom:
		src = evidence.SourceSample
	case *evidence.Garbled, *evidence.OutputStalled:
		src = evidence.SourceOutput
	}
	b.c.Timeline = append(b.c.Timeline, evidence.Observation{BootNanos: bootBase + int64(sec*1e9), WallNanos: wallBase + int64(sec*1e9),
		Source: src, PID: pid, TID: tid, Comm: comm, Detail: d})
	return b
}

// before is a time in seconds after the start, that many seconds before the end.
func (b *builder) before(sec float64) float64 { return float64(b.endNS-bootBase)/1e9 - sec }

// fails adds the failed calls of a thread; ender: the one that ended the process.
func (b *builder) fails(tid int32, ender bool, calls ...evidence.FailedCall) *builder {
	for i := range calls {
		calls[i].BootNanos = b.endNS - calls[i].BootNanos
	}
	if ender {
		b.exit.EnderTID = tid
	}
	return b.at(b.before(0), tid, &evidence.ThreadFailures{Ender: ender, Calls: calls})
}

// call is a failed call, ms milliseconds before the end.
func call(ms float64, name string, e evidence.Errno, fd int32, p string) evidence.FailedCall {
	return evidence.FailedCall{BootNanos: int64(ms * 1e6), Call: name, Errno: e, FD: fd, Path: p, Count: 1}
}

// samples sweeps n times from second a to second z.
func (b *builder) samples(a, z float64, n int, soft int64, open func(float64) int64) *builder {
	for i := range n {
		t := a + (z-a)*float64(i)/float64(n-1)
		o := open(t)
		b.at(t, never, &evidence.Process{Open: o, Highest: o - 1, SoftLimit: soft, HardLimit: soft, RSSBytes: 20 << 20, Threads: 1})
	}
	return b
}

// table is the descriptor table at death.
func (b *builder) table(open, soft, hard int64, groups ...evidence.FDGroup) *builder {
	t := &evidence.FDTable{PID: mainPID, Open: open, SoftLimit: soft, HardLimit: hard, Highest: open - 1, Groups: groups, ByKind: map[evidence.FDKind]int64{}}
	rest := open
	for _, g := range groups {
		t.ByKind[g.Kind] += g.Count
		rest -= g.Count
	}
	if rest > 0 {
		t.ByKind[evidence.FDOther] = rest
	}
	b.exit.FDs = t
	b.c.FDTable = t
	return b
}

func (b *builder) stderr(s string) *builder {
	b.c.LastOutput.Stderr = []byte(s)
	b.c.LastOutput.StderrBytes = int64(len(s))
	return b
}

func (b *builder) stdout(s string) *builder {
	b.c.LastOutput.Stdout = []byte(s)
	b.c.LastOutput.StdoutBytes = int64(len(s))
	return b
}

// missing says that a source did not watch.
func (b *builder) missing(source string) *builder {
	for i := range b.c.Coverage {
		if b.c.Coverage[i].Source == source {
			b.c.Coverage[i].Missing = "needs root"
		}
	}
	return b
}

// exits ends it with a code.
func (b *builder) exits(code int32) *evidence.Case {
	b.exit.ExitCode = code
	b.c.Death.ExitCode = code
	return b.done()
}

// dies ends it with a signal.
func (b *builder) dies(f *evidence.SignalFatal) *evidence.Case {
	tid := b.exit.EnderTID
	b.at(b.before(0.0002), tid, f)
	b.exit.Signal, b.exit.ExitCode = f.Signal, 128+int32(f.Signal)
	b.c.Death.Signal, b.c.Death.ExitCode = f.Signal, 128+int32(f.Signal)
	if f.Sender != 0 && !f.Self {
		b.c.Death.SentBy = &evidence.Sender{PID: f.Sender}
	}
	return b.done()
}

func (b *builder) done() *evidence.Case {
	b.at(b.before(0), b.exit.EnderTID, b.exit)
	b.c.Death.At = time.Unix(0, wallBase+b.endNS-bootBase).UTC()
	b.c.Death.BootNanos = b.endNS
	b.c.Death.UptimeSeconds = float64(b.endNS-bootBase) / 1e9
	b.c.OpenedAt = b.c.Death.At
	for i := range b.c.Coverage {
		b.c.Coverage[i].To = b.c.Death.At
	}
	return b.c
}

// Signals as the kernel gives them.

func segv(addr uint64, fault string, trace ...evidence.Frame) *evidence.SignalFatal {
	return &evidence.SignalFatal{Signal: evidence.SIGSEGV, Code: 1, Address: addr, Fault: fault, SP: 0x7ffd10002000, PC: 0x401234,
		StackLo: 0x7ffd10000000, StackHi: 0x7ffd10021000, StackRL: 8 << 20, Trace: trace, TraceBy: "eh_frame"}
}

func abrt(trace ...evidence.Frame) *evidence.SignalFatal {
	return &evidence.SignalFatal{Signal: evidence.SIGABRT, Code: -6, Sender: mainPID, Self: true, Trace: trace, TraceBy: "eh_frame"}
}

func outside(s evidence.Signal, pid int32) *evidence.SignalFatal {
	return &evidence.SignalFatal{Signal: s, Code: 0, Sender: pid}
}

func sent(s evidence.Signal, pid int32, comm, command string) *evidence.SignalSent {
	return &evidence.SignalSent{Signal: s, Sender: pid, SenderComm: comm, SenderCommand: command, Count: 1}
}

func libc(fn string) evidence.Frame {
	return evidence.Frame{PC: 0x7f0000001000, Function: fn, Offset: 0x41, Module: "/usr/lib/x86_64-linux-gnu/libc.so.6"}
}

func mine(fn string) evidence.Frame {
	return evidence.Frame{PC: 0x401000, Function: fn, Offset: 0x5c, Module: "/srv/cart", Own: true}
}

func closeWait(n int64) evidence.FDGroup {
	return evidence.FDGroup{Kind: evidence.FDTCP, State: "CLOSE_WAIT", Peer: "10.0.3.7:5432", Count: n, Lowest: 9, Highest: 8 + int32(n), OpenedBy: "db_connect+0x5c"}
}

func sameFile(n int64) evidence.FDGroup {
	return evidence.FDGroup{Kind: evidence.FDFile, Path: "/var/lib/cart/idx", Count: n, Lowest: 5, Highest: 4 + int32(n)}
}

func refusedFD(callName string, count, limit int64) *evidence.FDRefused {
	return &evidence.FDRefused{Call: callName, Errno: evidence.EMFILE, Count: count, Open: limit, SoftLimit: limit}
}
