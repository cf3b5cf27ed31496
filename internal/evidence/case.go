package evidence

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// CaseKind says what a case is about.
type CaseKind string

// The kinds of cases.
const (
	CaseDeath      CaseKind = "death"
	CaseWarning    CaseKind = "warning"
	CaseChildDeath CaseKind = "child-death" // a child died of a signal and the main process lived on, or ended well
)

// Confidence says how well a finding is shown.
type Confidence string

// The confidences, best first.
const (
	Certain  Confidence = "certain"  // the chain from cause to death was observed
	Likely   Confidence = "likely"   // the cause was observed, its link to the death is inferred
	Possible Confidence = "possible" // consistent, not observed
)

// Rank orders confidences: 3 certain, 2 likely, 1 possible, 0 anything else.
func (c Confidence) Rank() int {
	switch c {
	case Certain:
		return 3
	case Likely:
		return 2
	case Possible:
		return 1
	}
	return 0
}

// Case is what is kept of one death or one warning.
type Case struct {
	ID         string           `json:"id"` // ULID
	Kind       CaseKind         `json:"kind"`
	OpenedAt   time.Time        `json:"openedAt"`
	Descry     string           `json:"descry,omitzero"` // version that opened the case
	Host       Host             `json:"host,omitzero"`
	Subject    Subject          `json:"subject"`
	Death      *Death           `json:"death,omitzero"` // nil for a warning
	Findings   []Finding        `json:"findings"`       // the first is the answer; none: unexplained
	Symptoms   []Symptom        `json:"symptoms,omitempty"`
	RuledOut   []RuledOut       `json:"ruledOut,omitempty"`
	Timeline   []Observation    `json:"timeline"` // bounded, in order of time
	Counters   map[string]int64 `json:"counters,omitzero"`
	Coverage   []Coverage       `json:"coverage,omitempty"`
	FDTable    *FDTable         `json:"fdTable,omitzero"` // of the process that died, at its death or last seen
	LastOutput *LastOutput      `json:"lastOutput,omitzero"`
	Core       *Core            `json:"core,omitzero"`

	Unknown jsontext.Value `json:",embed"`

	More        *More     `json:"more,omitzero"`        // further ones like it, of the same workload
	WithdrawnAt time.Time `json:"withdrawnAt,omitzero"` // when a warning no longer held
	Limit       string    `json:"limit,omitzero"`       // of a warning: what runs out, as Headroom has it
}

// More are further deaths or warnings of the same workload that have no case of their own, so that one workload
// cannot push out the cases of all others.
type More struct {
	Count  int64     `json:"count"`
	LastAt time.Time `json:"lastAt,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

// Host is the machine that a case was opened on.
type Host struct {
	Kernel string `json:"kernel,omitzero"` // release
	Arch   string `json:"arch,omitzero"`   // runtime.GOARCH

	Unknown jsontext.Value `json:",embed"`
}

// Subject says whose case it is.
type Subject struct {
	Node        string   `json:"node,omitzero"`
	Namespace   string   `json:"namespace,omitzero"`
	Pod         string   `json:"pod,omitzero"`
	PodUID      string   `json:"podUID,omitzero"`
	Container   string   `json:"container,omitzero"`
	ContainerID string   `json:"containerID,omitzero"`
	Image       string   `json:"image,omitzero"`
	Command     []string `json:"command,omitempty"`
	PID         int32    `json:"pid,omitzero"` // main process
	Owner       *Owner   `json:"owner,omitzero"`

	Unknown jsontext.Value `json:",embed"`

	Labels       map[string]string `json:"labels,omitempty"`       // of the pod, bounded; outside of Kubernetes the container's
	Annotations  map[string]string `json:"annotations,omitempty"`  // of the pod, bounded
	RestartCount int64             `json:"restartCount,omitzero"`  // how often the container was restarted before this life
	Unit         string            `json:"unit,omitzero"`          // systemd unit, or another cgroup, of what is in no container
	Sandbox      string            `json:"sandbox,omitzero"`       // id of the pod's sandbox
	Init         bool              `json:"initContainer,omitzero"` // it is an init container
}

// Owner is the Kubernetes object that a pod belongs to.
type Owner struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Revision string `json:"revision,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

// Death is how the main process (or, in a child-death, the child) ended.
type Death struct {
	At            time.Time `json:"at"`
	BootNanos     int64     `json:"bootNanos,omitzero"`
	PID           int32     `json:"pid,omitzero"`
	Comm          string    `json:"comm,omitzero"`
	ExitCode      int32     `json:"exitCode"` // 128+n for a signal
	Signal        Signal    `json:"signal,omitzero"`
	SentBy        *Sender   `json:"sentBy,omitzero"`
	CoreDumped    bool      `json:"coreDumped,omitzero"`
	OOMKilled     bool      `json:"oomKilled"`
	UptimeSeconds float64   `json:"uptimeSeconds"`
	NotStarted    bool      `json:"notStarted,omitzero"` // the command itself could not be executed
	StartErrno    Errno     `json:"startErrno,omitzero"` // what execve of the command said, with NotStarted
	MaxRSSBytes   int64     `json:"maxRSSBytes,omitzero"`
	UserSeconds   float64   `json:"userSeconds,omitzero"`
	SystemSeconds float64   `json:"systemSeconds,omitzero"`
	Interrupted   bool      `json:"interrupted,omitzero"` // the user ended it from the terminal (SIGINT, SIGQUIT, SIGHUP to descry too)
	StartPath     string    `json:"startPath,omitzero"`   // the file that could not be executed, or the command's name where none was found
	StartWhy      string    `json:"startWhy,omitzero"`    // what that file shows, in words behind its name: "is a directory"

	Unknown jsontext.Value `json:",embed"`

	Restarted bool   `json:"restarted,omitzero"` // its runtime ended it on purpose, and started it again in the same pod
	Reason    string `json:"reason,omitzero"`    // that the runtime gives: "OOMKilled"
	Unseen    bool   `json:"unseen,omitzero"`    // nobody watched then: what is known of it is what the runtime tells
}

// Sender is who sent a signal.
type Sender struct {
	PID       int32  `json:"pid"` // 0: the kernel
	Comm      string `json:"comm"`
	Command   string `json:"command,omitzero"`
	Container string `json:"container,omitzero"` // id of its container, where that is another one than the subject's

	Unknown jsontext.Value `json:",embed"`
}

// Finding is a cause found in a case.
type Finding struct {
	Cause      string     `json:"cause"` // id in the catalogue
	Confidence Confidence `json:"confidence"`
	Title      string     `json:"title,omitzero"`     // a few words for a headline: "a select() overflow"
	Summary    string     `json:"summary"`            // one sentence, or a few
	Evidence   []int      `json:"evidence,omitempty"` // indexes into the timeline
	Advice     string     `json:"advice,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

// Symptom is what a user saw, kept apart from why.
type Symptom struct {
	Kind     string `json:"kind"`
	Summary  string `json:"summary"`
	Evidence []int  `json:"evidence,omitempty"`

	Unknown jsontext.Value `json:",embed"`
}

// RuledOut is a cause that the case shows to be absent.
type RuledOut struct {
	Cause   string `json:"cause"`
	Because string `json:"because"` // the figures that show it

	Unknown jsontext.Value `json:",embed"`
}

// Coverage says which source watched, from when to when, and what it lost. Only what was covered
// throughout can be ruled out.
type Coverage struct {
	Source  string    `json:"source"`        // "probe/syscall", "sample", "output"
	By      string    `json:"by,omitzero"`   // what it is made of: "tp_btf/sys_exit", "fexit", "iter/task", "/proc"
	From    time.Time `json:"from,omitzero"` // zero with Missing
	To      time.Time `json:"to,omitzero"`
	Lost    int64     `json:"lost"`
	Missing string    `json:"missing,omitzero"` // why this source did not watch; empty: it did

	Unknown jsontext.Value `json:",embed"`

	Partial string `json:"partial,omitzero"` // why it did not watch before From, or in between; empty: it watched throughout
}

// Covered says whether source watched the whole case and lost nothing. What it did not watch throughout may
// have happened unseen.
func (c *Case) Covered(source string) bool {
	for _, v := range c.Coverage {
		if v.Source == source {
			return v.Missing == "" && v.Partial == "" && v.Lost == 0
		}
	}
	return false
}

// LastOutput is the end of what the program wrote, raw.
type LastOutput struct {
	Stdout      []byte `json:"stdout,omitempty"`
	Stderr      []byte `json:"stderr,omitempty"`
	StdoutBytes int64  `json:"stdoutBytes,omitzero"` // written in all
	StderrBytes int64  `json:"stderrBytes,omitzero"`
	Merged      bool   `json:"merged,omitzero"`    // both were one open file: all stands in Stdout
	Truncated   bool   `json:"truncated,omitzero"` // there was more than is kept

	Unknown jsontext.Value `json:",embed"`

	FirstGarbage []FirstGarbage `json:"firstGarbage,omitempty"` // of each stream that had any
}

// FirstGarbage is the place where a stream first turned to what is no text.
type FirstGarbage struct {
	Stream string `json:"stream"`           // "stdout", "stderr"
	Offset int64  `json:"offset"`           // of the garbage, bytes from the stream's start
	Before []byte `json:"before,omitempty"` // the last bytes before it, 4 KiB at most
	Begin  []byte `json:"begin,omitempty"`  // its first bytes, 256 at most

	Unknown jsontext.Value `json:",embed"`
}

// InFirstLine says whether nothing but a piece of a line stands before the garbage: what begins so was
// hardly ever meant to be read.
func (g *FirstGarbage) InFirstLine() bool {
	return g.Offset == int64(len(g.Before)) && bytes.IndexByte(g.Before, '\n') < 0
}

// Counter names. Counters are whole: they count what the timeline only shows in part.
const (
	CountFDRefused      = "fd.refused"       // system calls refused with EMFILE or ENFILE
	CountFDRefusedTable = "fd.refusedEnfile" // those with ENFILE
	CountSelectBeyond   = "select.beyond"
	CountSelectCalls    = "select.calls"
	CountWriteShort     = "write.short"
	CountWriteRefused   = "write.refused"
	CountExecFailed     = "exec.failed"
	CountSyscallFailed  = "syscall.failed" // of the tree, without the errors that are no news
	CountAddrInUse      = "address.inUse"
	CountAddrNotAvail   = "address.notAvailable"
	CountInotifyRefused = "inotify.refused"
	CountSocketDrops    = "socket.drops"         // packets that the subject's sockets had no room for
	CountSocketMemory   = "socket.memoryRefused" // buffers refused because the protocol's or cgroup's memory was used up
	CountConnected      = "connect.made"         // TCP connections that the tree made
	CountConnectFailed  = "connect.failed"       // with an error, of any protocol
	CountConnectGivenUp = "connect.givenUp"      // closed before there was an answer
	CountAccepted       = "tcp.accepted"
	CountReset          = "tcp.reset"       // established connections that the peer reset
	CountTimedOut       = "tcp.timedOut"    // established connections lost to retransmission, or to an error of the way
	CountStalled        = "tcp.stalled"     // that the program closed while nothing was acknowledged any more
	CountAborted        = "tcp.aborted"     // that the program itself reset
	CountSegments       = "tcp.segments"    // sent by connections that have ended
	CountResent         = "tcp.resent"      // of those, sent again
	CountForksRefused   = "process.refused" // forks and clones refused for a limit
	CountMemoryRefused  = "memory.refused"  // mappings refused: also what runtimes only try
	CountForks          = "process.forks"
	CountSignals        = "signal.sent"
	CountOOM            = "oom.victims"
	CountGarbled        = "output.garbledBytes"
	CountOutput         = "output.bytes"
	CountDropped        = "timeline.dropped" // observations that the recording had no room for
)

// Counters of questions to name servers.
const (
	CountDNSAsked      = "dns.asked"        // questions on port 53, repetitions apart
	CountDNSAnswered   = "dns.answered"     // of these, whatever the answer said
	CountDNSFailed     = "dns.failed"       // answered with an error
	CountDNSNoName     = "dns.nxdomain"     // of these
	CountDNSServFail   = "dns.servfail"     //
	CountDNSRefused    = "dns.refused"      //
	CountDNSEmpty      = "dns.empty"        // answered well, with nothing: the name has no such record
	CountDNSUnanswered = "dns.unanswered"   // asked and not answered, up to the end
	CountDNSRetried    = "dns.retried"      // packets that repeat a question
	CountDNSSlowest    = "dns.slowestNanos" // longest wait for an answer
	CountDNSEncrypted  = "dns.encrypted"    // packets to port 853 (DNS over TLS or QUIC): their names are unseen
	CountDNSMulticast  = "dns.multicast"    // packets to port 5353: likewise
)

// WriteCase writes c as indented JSON.
func WriteCase(w io.Writer, c *Case) error {
	b, err := json.Marshal(c, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("write case %s: %w", c.ID, err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// ReadCase reads one case. Anything but white space behind it is an error, and so is a case
// without an id or a kind.
func ReadCase(r io.Reader) (*Case, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, fmt.Errorf("the file is empty")
	}
	c := new(Case)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("not a case: %w", err)
	}
	if c.ID == "" || c.Kind == "" {
		return nil, fmt.Errorf(`not a case: it has no "id" or no "kind"`)
	}
	for i := range c.Timeline {
		if c.Timeline[i].Detail == nil {
			return nil, fmt.Errorf("not a case: entry %d of its timeline is null", i)
		}
	}
	return c, nil
}
