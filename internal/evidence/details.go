package evidence

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// The kinds of observations.
const (
	KindFork           Kind = "process.fork"
	KindExec           Kind = "process.exec"
	KindExecFailed     Kind = "exec.failed"
	KindExit           Kind = "process.exit"
	KindSignalSent     Kind = "signal.sent"
	KindSignalFatal    Kind = "signal.fatal"
	KindSignalCaught   Kind = "signal.caught"
	KindOOM            Kind = "oom.victim"
	KindFDRefused      Kind = "fd.refused"
	KindFDGrown        Kind = "fd.grown"
	KindInotifyRefused Kind = "inotify.refused"
	KindAddressRefused Kind = "address.refused"
	KindThreadFailures Kind = "thread.failures"
	KindSelectBeyond   Kind = "select.beyond"
	KindStdio          Kind = "stdio.changed"
	KindWriteShort     Kind = "write.short"
	KindWriteRefused   Kind = "write.refused"
	KindLimitRefused   Kind = "limit.refused"
	KindProcess        Kind = "sample.process"
	KindDrop           Kind = "socket.drop"
	KindSockets        Kind = "sample.sockets"
	KindNetwork        Kind = "sample.network"
	KindMachine        Kind = "sample.machine"
	KindCgroup         Kind = "sample.cgroup"
	KindDNSAnswered    Kind = "dns.answered"
	KindDNSFailed      Kind = "dns.failed"
	KindDNSUnanswered  Kind = "dns.unanswered"
	KindGarbled        Kind = "output.garbled"
	KindOutputStalled  Kind = "output.stalled"
	KindOutputHeld     Kind = "output.held"
	KindConnectFailed  Kind = "connect.failed"
	KindConnectMade    Kind = "connect.made"
	KindConnectionLost Kind = "connection.lost"
	KindHeadroom       Kind = "headroom"
	KindLost           Kind = "lost"
	KindContainer      Kind = "container"
	KindRunStarted     Kind = "run.started"
	KindRunEnded       Kind = "run.ended"
	KindStep           Kind = "ladder"
)

// All lists the kinds that this version knows. Decisive kinds are rare and decide a judgement.
var All = []struct {
	Kind     Kind
	Decisive bool
	New      func() Detail
}{
	{KindFork, false, func() Detail { return new(Fork) }},
	{KindExec, false, func() Detail { return new(Exec) }},
	{KindExecFailed, true, func() Detail { return new(ExecFailed) }},
	{KindExit, true, func() Detail { return new(Exit) }},
	{KindSignalSent, true, func() Detail { return new(SignalSent) }},
	{KindSignalFatal, true, func() Detail { return new(SignalFatal) }},
	{KindSignalCaught, true, func() Detail { return new(SignalCaught) }},
	{KindOOM, true, func() Detail { return new(OOM) }},
	{KindFDRefused, true, func() Detail { return new(FDRefused) }},
	{KindFDGrown, true, func() Detail { return new(FDGrown) }},
	{KindInotifyRefused, true, func() Detail { return new(InotifyRefused) }},
	{KindAddressRefused, true, func() Detail { return new(AddressRefused) }},
	{KindFileRefused, true, func() Detail { return new(FileRefused) }},
	{KindFileLooked, true, func() Detail { return new(FileLooked) }},
	{KindThreadFailures, true, func() Detail { return new(ThreadFailures) }},
	{KindSelectBeyond, true, func() Detail { return new(SelectBeyond) }},
	{KindStdio, true, func() Detail { return new(Stdio) }},
	{KindWriteShort, false, func() Detail { return new(WriteShort) }},
	{KindWriteRefused, false, func() Detail { return new(WriteRefused) }},
	{KindLimitRefused, true, func() Detail { return new(LimitRefused) }},
	{KindProcess, false, func() Detail { return new(Process) }},
	{KindDrop, true, func() Detail { return new(Drop) }},
	{KindSockets, false, func() Detail { return new(Sockets) }},
	{KindNetwork, false, func() Detail { return new(Network) }},
	{KindMachine, false, func() Detail { return new(Machine) }},
	{KindCgroup, false, func() Detail { return new(Cgroup) }},
	{KindDNSAnswered, false, func() Detail { return new(DNSAnswered) }},
	{KindDNSFailed, true, func() Detail { return new(DNSFailed) }},
	{KindDNSUnanswered, true, func() Detail { return new(DNSUnanswered) }},
	{KindGarbled, true, func() Detail { return new(Garbled) }},
	{KindWritten, true, func() Detail { return new(Written) }},
	{KindForeign, true, func() Detail { return new(Foreign) }},
	{KindTorn, true, func() Detail { return new(Torn) }},
	{KindOutputStalled, true, func() Detail { return new(OutputStalled) }},
	{KindOutputHeld, true, func() Detail { return new(OutputHeld) }},
	{KindConnectFailed, true, func() Detail { return new(ConnectFailed) }},
	{KindConnectMade, false, func() Detail { return new(ConnectMade) }},
	{KindConnectionLost, true, func() Detail { return new(ConnectionLost) }},
	{KindHeadroom, true, func() Detail { return new(Headroom) }},
	{KindLost, true, func() Detail { return new(Lost) }},
	{KindContainer, true, func() Detail { return new(Container) }},
	{KindRunStarted, true, func() Detail { return new(RunStarted) }},
	{KindRunEnded, true, func() Detail { return new(RunEnded) }},
	{KindStep, true, func() Detail { return new(Step) }},
}

// Fork is a new process of the tree; the observation's PID is the parent's.
type Fork struct {
	Child   int32          `json:"child"`
	Unknown jsontext.Value `json:",embed"`
}

// Exec is a program that was started by execve.
type Exec struct {
	Path    string         `json:"path"`           // as the kernel resolved it
	Args    []string       `json:"args,omitempty"` // the first 256 bytes of them
	Unknown jsontext.Value `json:",embed"`

	Parent  int32 `json:"parent,omitzero"`  // process; 0: outside descry's pid namespace, or not told
	Outside bool  `json:"outside,omitzero"` // it came from outside of its container: a runtime started it, no process there
}

// ExecFailed is an execve or execveat that the kernel refused.
type ExecFailed struct {
	Path    string         `json:"path"`
	Errno   Errno          `json:"errno"`
	Count   int64          `json:"count,omitzero"` // alike ones up to now; whole observations are bounded
	Unknown jsontext.Value `json:",embed"`
}

// Exit is the end of a process of the tree, seen while it still had its descriptor table.
type Exit struct {
	ExitCode     int32          `json:"exitCode"`            // 0 to 255; 128+n for a signal
	Signal       Signal         `json:"signal,omitzero"`     // that ended it
	CoreDumped   bool           `json:"coreDumped,omitzero"` //
	Parent       int32          `json:"parent,omitzero"`     // process
	EnderTID     int32          `json:"enderTID,omitzero"`   // thread that called exit_group or died of the signal; 0: not known
	StartNanos   int64          `json:"startNanos,omitzero"` // CLOCK_BOOTTIME
	UserNanos    int64          `json:"userNanos,omitzero"`
	SystemNanos  int64          `json:"systemNanos,omitzero"`
	MaxRSSBytes  int64          `json:"maxRSSBytes,omitzero"`
	MinorFaults  int64          `json:"minorFaults,omitzero"`
	MajorFaults  int64          `json:"majorFaults,omitzero"`
	FDs          *FDTable       `json:"fds,omitzero"`          // nil where it could not be walked
	SelectCalls  int64          `json:"selectCalls,omitzero"`  // select and pselect6 with any nfds
	RefusedFDs   int64          `json:"refusedFDs,omitzero"`   // exact, EMFILE and ENFILE
	HighestEver  int32          `json:"highestEver,omitzero"`  // highest descriptor number ever allocated, where seen
	OutOfKernel  bool           `json:"outOfKernel,omitzero"`  // from wait4 alone: no probe saw it
	GroupExiting bool           `json:"groupExiting,omitzero"` // exit_group or a fatal signal ended all threads
	Unknown      jsontext.Value `json:",embed"`

	Stdio []StdioTurned `json:"stdio,omitempty"` // descriptors 0 to 2 that are something else than when its program began
	AtEnd *AtEnd        `json:"atEnd,omitzero"`  // nil: not known
}

// SignalFatal is a signal that is about to end its process: delivered with the default action.
type SignalFatal struct {
	Signal  Signal  `json:"signal"`
	Code    int32   `json:"code,omitzero"` // si_code
	Address uint64  `json:"address,omitzero"`
	Sender  int32   `json:"sender,omitzero"` // si_pid of kill, tgkill and sigqueue
	Self    bool    `json:"self,omitzero"`   // the process sent it to itself: abort, raise
	Syscall string  `json:"syscall,omitzero"`
	SP      uint64  `json:"sp,omitzero"`
	PC      uint64  `json:"pc,omitzero"`
	Fault   string  `json:"fault,omitzero"`    // what the address is: "null page", "stack guard", "not mapped", "read-only", "not executable"
	Where   string  `json:"where,omitzero"`    // mapping or neighbourhood of the address
	StackLo uint64  `json:"stackLow,omitzero"` // bounds of the stack's mapping that SP lies in, where known
	StackHi uint64  `json:"stackHigh,omitzero"`
	StackRL int64   `json:"stackLimit,omitzero"` // RLIMIT_STACK, bytes; -1 unlimited
	Trace   []Frame `json:"backtrace,omitempty"`
	TraceBy string  `json:"traceBy,omitzero"` // "eh_frame", "frame pointers", "scan"

	Context *Context       `json:"-"`
	Unknown jsontext.Value `json:",embed"`

	Mapped *MappedFile `json:"mapped,omitzero"` // of a SIGBUS, the file mapped at Address
}

// SignalCaught is a fault (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTRAP) or SIGABRT that was
// delivered to a handler. Runtimes such as Java's use faults in health.
type SignalCaught struct {
	SignalFatal
	Count int64 `json:"count,omitzero"`
}

// OOM is a process of the tree that the kernel chose to kill for memory.
type OOM struct {
	Global      bool           `json:"global,omitzero"` // not a cgroup's limit; only where told
	GlobalKnown bool           `json:"globalKnown,omitzero"`
	RSSBytes    int64          `json:"rssBytes,omitzero"`
	Unknown     jsontext.Value `json:",embed"`

	// The cgroup whose limit was reached, at that moment; empty where it is none.
	Cgroup string `json:"cgroup,omitzero"` // its last name or two: "pod/app"
	Used   int64  `json:"used,omitzero"`   // bytes
	Max    int64  `json:"max,omitzero"`    // bytes
	Above  int32  `json:"above,omitzero"`  // levels above the process's own cgroup
}

// FDRefused is a system call that was refused a descriptor with EMFILE or ENFILE.
type FDRefused struct {
	Call      string  `json:"call"` // system call
	Errno     Errno   `json:"errno"`
	Count     int64   `json:"count"`              // of this process, call and error up to now, exact
	Path      string  `json:"path,omitzero"`      // of open and its like
	Peer      string  `json:"peer,omitzero"`      //
	Open      int64   `json:"open,omitzero"`      //
	SoftLimit int64   `json:"softLimit,omitzero"` //
	InMessage bool    `json:"inMessage,omitzero"` // lost from a UNIX socket's message (SCM_RIGHTS): the call itself succeeded
	Trace     []Frame `json:"backtrace,omitempty"`
	TraceBy   string  `json:"traceBy,omitzero"`

	// FDs is the table right after the first refusal of the process: runtimes close what they held
	// before they exit, and then the table at death shows nothing.
	FDs *FDTable `json:"fds,omitzero"`

	Context *Context       `json:"-"`
	Unknown jsontext.Value `json:",embed"`
}

// FDGrown is a descriptor higher than any before in its process, seen at growing distances: the
// stack shows the code that opens what is not closed.
type FDGrown struct {
	Call    string  `json:"call"`
	FD      int32   `json:"fd"`
	FDKind  FDKind  `json:"fdKind,omitzero"`
	State   string  `json:"state,omitzero"`
	Peer    string  `json:"peer,omitzero"`
	Path    string  `json:"path,omitzero"`
	Trace   []Frame `json:"backtrace,omitempty"`
	TraceBy string  `json:"traceBy,omitzero"`

	Context *Context       `json:"-"`
	Unknown jsontext.Value `json:",embed"`
}

// InotifyRefused is inotify_init (EMFILE) or inotify_add_watch (ENOSPC) refused: the user's limits
// of instances or watches, not the descriptor table.
type InotifyRefused struct {
	Call         string         `json:"call"`
	Errno        Errno          `json:"errno"`
	Count        int64          `json:"count"`
	Path         string         `json:"path,omitzero"`
	MaxInstances int64          `json:"maxInstances,omitzero"` // fs.inotify.max_user_instances, 0 where not read
	MaxWatches   int64          `json:"maxWatches,omitzero"`   // fs.inotify.max_user_watches
	Open         int64          `json:"open,omitzero"`         // descriptors of the process
	SoftLimit    int64          `json:"softLimit,omitzero"`
	Unknown      jsontext.Value `json:",embed"`
}

// AddressRefused is a bind, listen or connect refused for its address: EADDRINUSE, EADDRNOTAVAIL.
type AddressRefused struct {
	Call          string         `json:"call"`
	Errno         Errno          `json:"errno"`
	Address       string         `json:"address,omitzero"` // that was asked for: "127.0.0.1:80", a path
	Protocol      FDKind         `json:"protocol,omitzero"`
	Count         int64          `json:"count"`
	Holder        int32          `json:"holder,omitzero"` // process that has the address, where found
	HolderCommand string         `json:"holderCommand,omitzero"`
	PortRange     string         `json:"portRange,omitzero"` // net.ipv4.ip_local_port_range
	PortsUsed     int64          `json:"portsUsed,omitzero"` // local ports in use in its network namespace, where counted
	ByState       []StateCount   `json:"byState,omitempty"`  // sockets of the network namespace, most first
	ByPeer        []StateCount   `json:"byPeer,omitempty"`
	Unknown       jsontext.Value `json:",embed"`
}

// StateCount is a count by name.
type StateCount struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

func (s *StateCount) walk(c *codec) {
	c.str(&s.Name)
	c.i64(&s.Count)
}

// FailedCall is one failed system call of a thread.
type FailedCall struct {
	BootNanos int64  `json:"bootNanos"`
	Call      string `json:"call"`
	Errno     Errno  `json:"errno"`
	FD        int32  `json:"fd,omitzero"`    // first argument where that is a descriptor, else -1
	Path      string `json:"path,omitzero"`  // path or address that was asked for, cut at 95 bytes
	Arg       uint64 `json:"arg,omitzero"`   // second argument: flags, length
	Count     int64  `json:"count,omitzero"` // alike calls in a row that this one stands for
}

// Searching says whether the call looked for a file where it need not be, as loaders, locales, shells
// and interpreters do along their search paths: healthy programs meet it all the time.
func (f *FailedCall) Searching() bool {
	if f.Errno != ENOENT && f.Errno != 20 /* ENOTDIR */ {
		return false
	}
	switch f.Call {
	case "access", "faccessat", "faccessat2", "stat", "lstat", "newfstatat", "statx", "readlink", "readlinkat":
		return true
	}
	for _, s := range []string{"/locale/", "/locale-langpack/", "/__pycache__/", "/.pyenv/", "/node_modules/", "/gconv/"} {
		if strings.Contains(f.Path, s) {
			return true
		}
	}
	name := f.Path[strings.LastIndexByte(f.Path, '/')+1:]
	return strings.Contains(name, ".so") || strings.HasPrefix(f.Path, "/sys/") || strings.HasPrefix(f.Path, "/proc/")
}

func (f *FailedCall) walk(c *codec) {
	c.i64(&f.BootNanos)
	c.str(&f.Call)
	c.i32((*int32)(&f.Errno))
	c.i32(&f.FD)
	c.str(&f.Path)
	c.u64(&f.Arg)
	c.i64(&f.Count)
}

// ThreadFailures are the last 16 failed system calls of a thread at its process's end, oldest
// first. Errors that are no news are left out: EAGAIN of what does not block, EINTR, EINPROGRESS,
// time-outs of waits, ENOTTY, restarts.
type ThreadFailures struct {
	Ender   bool           `json:"ender,omitzero"` // this thread ended the process
	Calls   []FailedCall   `json:"calls"`
	Unknown jsontext.Value `json:",embed"`
}

// SelectBeyond is a select or pselect6 that reaches or shows bits beyond FD_SETSIZE, 1024.
type SelectBeyond struct {
	Call      string    `json:"call"`
	NFDs      int32     `json:"nfds"`
	Sets      [3]uint64 `json:"sets"`                // addresses: read, write, except; 0: none
	Where     [3]string `json:"where,omitzero"`      // "stack", "heap", "data", "other"; empty: none
	Distance  int64     `json:"distance,omitzero"`   // bytes between the two closest sets, 0: fewer than two
	ChunkSize [3]int64  `json:"chunkSize,omitzero"`  // usable bytes by the malloc header before the set, 0: no such header
	Highest   int64     `json:"highest,omitzero"`    // highest open descriptor
	BitFD     int32     `json:"bitFD,omitzero"`      // an open descriptor of 1024 or more whose bit is set beyond byte 128 while nfds is 1024
	Proof     string    `json:"proof,omitzero"`      // "sets overlap", "heap block too small", "bit beyond the set"; empty: not proven
	Count     int64     `json:"count"`               // of this process up to now
	Trace     []Frame   `json:"backtrace,omitempty"` //
	TraceBy   string    `json:"traceBy,omitzero"`

	Context *Context       `json:"-"`
	Unknown jsontext.Value `json:",embed"`
}

// Stdio is a change of descriptor 0, 1 or 2 after the program started.
type Stdio struct {
	FD      int32   `json:"fd"`
	Action  string  `json:"action"` // "closed", "replaced" (dup2, dup3), "allocated" (lowest free)
	Call    string  `json:"call"`
	Was     FDKind  `json:"was,omitzero"` // kind before, where known
	Is      FDKind  `json:"is,omitzero"`  // kind after, empty when closed
	Path    string  `json:"path,omitzero"`
	Peer    string  `json:"peer,omitzero"`
	From    int32   `json:"from,omitzero"` // source descriptor of a dup2
	Trace   []Frame `json:"backtrace,omitempty"`
	TraceBy string  `json:"traceBy,omitzero"`

	Context *Context       `json:"-"`
	Unknown jsontext.Value `json:",embed"`
}

// WriteShort is a write to descriptor 1 or 2 that took fewer bytes than were given.
type WriteShort struct {
	FD      int32          `json:"fd"`
	FDKind  FDKind         `json:"fdKind,omitzero"`
	Asked   int64          `json:"asked"`
	Written int64          `json:"written"`
	Count   int64          `json:"count"`
	Lost    int64          `json:"lostBytes,omitzero"` // bytes not taken, summed
	Unknown jsontext.Value `json:",embed"`
}

// WriteRefused is a write to descriptor 1 or 2 that failed: EAGAIN, EPIPE, EIO, EBADF, ENOSPC.
type WriteRefused struct {
	FD      int32          `json:"fd"`
	FDKind  FDKind         `json:"fdKind,omitzero"`
	Errno   Errno          `json:"errno"`
	Asked   int64          `json:"asked"`
	Count   int64          `json:"count"`
	Lost    int64          `json:"lostBytes,omitzero"` // bytes not taken, summed
	Unknown jsontext.Value `json:",embed"`
}

// Lost counts what could not be recorded.
type Lost struct {
	By      string         `json:"by"` // "probe/fd", "recorder"
	Count   int64          `json:"count"`
	Why     string         `json:"why,omitzero"`
	Unknown jsontext.Value `json:",embed"`
}
