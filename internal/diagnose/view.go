package diagnose

import (
	"cmp"
	"iter"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// end says how the process ended, by mechanism.
type end int

const (
	endUnknown    end = iota // no death, or nothing is known of it
	endZero                  // exit code 0
	endError                 // another exit code
	endFault                 // a fault of its own: SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP
	endAbort                 // abort()
	endPipe                  // SIGPIPE
	endSeccomp               // SIGSYS of the kernel
	endResource              // SIGXCPU, SIGXFSZ of the kernel
	endTimer                 // a timer of its own: SIGALRM, SIGVTALRM, SIGPROF
	endOOM                   // the kernel's OOM killer
	endSelf                  // another signal that it sent to itself
	endOutside               // a signal of another process or the terminal
	endNotStarted            // it never ran
)

const second = int64(1e9)

// View is a case from the side of the process whose end is to be explained, the culprit.
type View struct {
	Case *evidence.Case

	PID    int32   // the culprit
	Passed []int32 // those above it that merely passed on how it ended, the main process first
	Name   string  // command name, for sentences
	How    end
	Code   int32
	Signal evidence.Signal
	End    int64 // boot time; that of the last observation where the end itself was not seen

	Exit    *evidence.Exit // nil where not seen
	exitAt  int
	Fatal   *evidence.SignalFatal // the fatal signal, nil where not seen
	fatalAt int
	Fault   *evidence.SignalFatal // the fault behind it: Fatal, or what a handler caught before it raised or aborted
	faultAt int
	endTID  int32 // thread that ended it, 0: not known

	Sender *evidence.Sender // of a fatal signal from outside, nil where not known
	asked  int              // index of a SIGTERM, SIGINT or SIGQUIT from outside that it obeyed, else -1

	samples []sample
	threads []thread
	text    text
}

type sample struct {
	at   int
	boot int64
	*evidence.Process
}

type thread struct {
	at    int
	tid   int32
	ender bool
	calls []evidence.FailedCall
}

func newView(c *evidence.Case) *View {
	v := &View{Case: c, exitAt: -1, fatalAt: -1, faultAt: -1, asked: -1}
	v.findCulprit()
	for i, e := range of[*evidence.Exit](v) {
		v.Exit, v.exitAt = e, i
		v.endTID = e.EnderTID
	}
	for i, f := range of[*evidence.SignalFatal](v) {
		v.Fatal, v.fatalAt = f, i
		if t := c.Timeline[i].TID; t != 0 {
			v.endTID = t
		}
	}
	v.findEnd()
	v.takeCore()
	v.Fault, v.faultAt = v.Fatal, v.fatalAt
	v.findHow()
	for i, p := range of[*evidence.Process](v) {
		v.samples = append(v.samples, sample{i, c.Timeline[i].BootNanos, p})
	}
	slices.SortStableFunc(v.samples, func(a, b sample) int { return cmp.Compare(a.boot, b.boot) })
	for i, t := range of[*evidence.ThreadFailures](v) {
		tid := c.Timeline[i].TID
		v.threads = append(v.threads, thread{i, tid, t.Ender || tid != 0 && tid == v.endTID, t.Calls})
	}
	v.findName()
	v.findAsked()
	v.text = readText(v)
	return v
}

// Culprit is the process whose end a judgement of c is about: the main process, or the one below it
// whose end it only passed on, as shells do. 0: not known.
func Culprit(c *evidence.Case) int32 {
	v := &View{Case: c, exitAt: -1, fatalAt: -1, faultAt: -1, asked: -1}
	v.findCulprit()
	return v.PID
}

// of gives the culprit's observations of one type, with their indexes.
func of[T evidence.Detail](v *View) iter.Seq2[int, T] { return ofPID[T](v, v.PID) }

// ofPID gives those of a process, or of all where pid is 0.
func ofPID[T evidence.Detail](v *View, pid int32) iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for i := range v.Case.Timeline {
			o := &v.Case.Timeline[i]
			if d, ok := o.Detail.(T); ok && (pid == 0 || o.PID == pid) && !yield(i, d) {
				return
			}
		}
	}
}

func (v *View) boot(i int) int64 { return v.Case.Timeline[i].BootNanos }

// findCulprit looks below a main process that only passes on how its child ended.
func (v *View) findCulprit() {
	c := v.Case
	v.PID = c.Subject.PID
	if c.Death != nil && c.Death.PID != 0 {
		v.PID = c.Death.PID
	}
	if c.Death == nil {
		return
	}
	seen := map[int32]bool{}
	for !seen[v.PID] {
		seen[v.PID] = true
		child := v.passedOn(v.PID)
		if child == 0 {
			return
		}
		v.Passed = append(v.Passed, v.PID)
		v.PID = child
	}
}

// passedOn is the child whose end pid passed on as its own, 0 where it ended for itself: it exited
// with 128+n or killed itself right after the child died of signal n, or it is a shell or the
// like and exited with the code of the child that ended last.
func (v *View) passedOn(pid int32) int32 {
	var own *evidence.Exit
	at := -1
	for i, e := range ofPID[*evidence.Exit](v, pid) {
		own, at = e, i
	}
	if own == nil || own.ExitCode == 0 {
		return 0
	}
	if own.Signal != 0 {
		for _, f := range ofPID[*evidence.SignalFatal](v, pid) {
			if !f.Self { // its own fault, or someone's signal to it
				return 0
			}
		}
	}
	// The latest child of such an end; in a pipeline another one may end after it.
	child, childAt := int32(0), int64(0)
	passes := v.passes(pid)
	executed := int64(math.MinInt64) // a program that was executed later waited for none of those that ended before
	for i := range ofPID[*evidence.Exec](v, pid) {
		executed = max(executed, v.boot(i))
	}
	for i, e := range ofPID[*evidence.Exit](v, 0) {
		o := &v.Case.Timeline[i]
		gap := v.boot(at) - o.BootNanos
		if e.Parent != pid || o.PID == pid || gap < 0 || o.BootNanos < executed || child != 0 && o.BootNanos < childAt {
			continue
		}
		same := false
		switch {
		case e.Signal != 0 && own.Signal != 0:
			same = own.Signal == e.Signal && gap < second
		case e.Signal != 0:
			same = own.ExitCode == 128+int32(e.Signal) && gap < 2*second
		case own.Signal == 0:
			same = own.ExitCode == e.ExitCode && gap < second && passes
		}
		if same {
			child, childAt = o.PID, o.BootNanos
		}
	}
	return child
}

// passers are commands whose exit code is that of what they run.
var passers = map[string]bool{
	"sh": true, "bash": true, "dash": true, "ash": true, "zsh": true, "ksh": true, "mksh": true, "fish": true, "busybox": true,
	"tini": true, "dumb-init": true, "docker-init": true, "catatonit": true, "s6-supervise": true, "supervise": true,
	"timeout": true, "sudo": true, "su": true, "doas": true, "runuser": true, "script": true, "unshare": true, "nsenter": true,
	"strace": true, "time": true, "watch": true, "npm": true, "yarn": true, "pnpm": true, "npx": true, "uv": true, "poetry": true,
	"pipenv": true, "bundle": true, "dotenv": true, "flock": true, "xvfb-run": true, "gcc": true, "g++": true, "cc": true, "c++": true, "go": true, "cargo": true,
}

func (v *View) passes(pid int32) bool { return v.passesAt(pid, 0) }

func (v *View) passesAt(pid int32, depth int) bool {
	executed := false
	for i, e := range ofPID[*evidence.Exec](v, pid) {
		if passers[path.Base(e.Path)] || strings.HasSuffix(e.Path, ".sh") ||
			len(e.Args) > 0 && passers[path.Base(e.Args[0])] || passers[v.Case.Timeline[i].Comm] {
			return true
		}
		executed = true
	}
	for i, e := range ofPID[*evidence.Exit](v, pid) {
		if comm := v.Case.Timeline[i].Comm; passers[comm] || strings.HasSuffix(comm, ".sh") || strings.HasPrefix(comm, "npm ") {
			return true
		}
		if !executed && e.Parent != pid && depth < 8 { // a subshell is what its parent is
			return v.passesAt(e.Parent, depth+1)
		}
	}
	return false
}

// findEnd sets when and with what the culprit ended.
func (v *View) findEnd() {
	d := v.Case.Death
	own := d != nil && len(v.Passed) == 0
	switch {
	case v.exitAt >= 0 && v.boot(v.exitAt) != 0:
		v.End = v.boot(v.exitAt)
	case own && d.BootNanos != 0:
		v.End = d.BootNanos
	default:
		for i := range v.Case.Timeline {
			v.End = max(v.End, v.boot(i))
		}
	}
	switch {
	case own:
		v.Code, v.Signal = d.ExitCode, d.Signal
	case v.Exit != nil:
		v.Code, v.Signal = v.Exit.ExitCode, v.Exit.Signal
	}
	if v.endTID == 0 && v.Exit != nil && !v.Exit.OutOfKernel {
		v.endTID = v.Exit.EnderTID
	}
}

func isFault(s evidence.Signal) bool {
	switch s {
	case evidence.SIGSEGV, evidence.SIGBUS, evidence.SIGILL, evidence.SIGFPE, evidence.SIGTRAP:
		return true
	}
	return false
}

// siKernel is the si_code of a signal that the kernel sends for want of a better reason.
const (
	siKernel = 0x80
	siTkill  = -6
)

// byKernel says whether the kernel made the signal: si_code is above 0 then (SI_KERNEL is 0x80).
func byKernel(f *evidence.SignalFatal) bool { return f.Code > 0 }

func (v *View) findHow() {
	d := v.Case.Death
	if d == nil {
		return
	}
	if len(v.Passed) == 0 && d.SentBy != nil && v.Signal != 0 {
		v.Sender = d.SentBy
	}
	f := v.Fatal
	if f != nil && f.Signal != v.Signal {
		f = nil
	}
	self := f != nil && f.Self
	kernel := f != nil && byKernel(f)
	outside := f != nil && !self && !kernel
	if f == nil { // not seen: by what the runtime was told
		self = v.Sender != nil && v.Sender.PID == v.PID && v.PID != 0
		outside = v.Sender != nil && v.Sender.PID != 0 && !self
		kernel = v.Sender != nil && v.Sender.PID == 0
	}
	switch s := v.Signal; {
	case d.NotStarted:
		v.How = endNotStarted
	case s == 0 && v.Code == 0:
		v.How = endZero
	case s == 0:
		v.How = endError
	case s == evidence.SIGKILL && (v.oomAt() >= 0 || d.OOMKilled && len(v.Passed) == 0):
		v.How = endOOM
	case isFault(s):
		switch {
		case outside:
			v.How = endOutside
		case self && !v.caughtBefore(s):
			v.How = endSelf
		default:
			v.How = endFault
			if f != nil && kernel && (abortsByForce(f) || v.abortIgnored(f)) {
				v.How = endAbort
				v.caughtBefore(0)
			} else if f != nil && f.Code == siKernel {
				v.undelivered()
			}
		}
	case s == evidence.SIGABRT:
		v.How = endAbort
		if outside {
			v.How = endOutside
		}
		v.caughtBefore(0)
	case s == evidence.SIGPIPE:
		v.How = endPipe // a sender's own SIGPIPE looks self-sent
		if outside && f != nil && f.Sender != v.PID && f.Sender != 0 {
			v.How = endOutside
		}
	case s == evidence.SIGSYS:
		v.How = endSeccomp
		if outside || self {
			v.How = endOutside
		}
	case s == evidence.SIGXCPU || s == evidence.SIGXFSZ:
		v.How = endResource
		if (outside || self) && !v.sentByKernel(s) { // the kernel's own SIGXFSZ looks self-sent
			v.How = endOutside
		}
	case s == 14 || s == 26 || s == 27: // SIGALRM, SIGVTALRM, SIGPROF
		v.How = endOutside
		if kernel || f != nil && f.Code == -2 /* SI_TIMER */ {
			v.How = endTimer
		}
	case self:
		v.How = endSelf
	default:
		v.How = endOutside
	}
	if v.How == endSelf { // a runtime that obeyed a signal and then raised it for itself, as Python and shells do
		for i, s := range of[*evidence.SignalSent](v) {
			if s.Signal == v.Signal && s.Sender != v.PID && !s.Ignored && v.End-v.boot(i) < late {
				v.How = endOutside
				v.Sender = s.From()
			}
		}
	} else if v.How == endOutside {
		v.findSender()
	}
}

// sentByKernel says that the kernel was seen to send s.
func (v *View) sentByKernel(s evidence.Signal) bool {
	for _, sent := range of[*evidence.SignalSent](v) {
		if sent.Signal == s && sent.Sender == 0 {
			return true
		}
	}
	return false
}

// caughtBefore looks for a fault (s, or any where s is 0) that the ending thread's handler caught
// right before the process raised the signal or aborted, and takes it for the fault.
func (v *View) caughtBefore(s evidence.Signal) bool {
	found := false
	for i, c := range of[*evidence.SignalCaught](v) {
		o := &v.Case.Timeline[i]
		if (s == 0 && isFault(c.Signal) || s != 0 && c.Signal == s) && byKernel(&c.SignalFatal) &&
			(v.endTID == 0 || o.TID == v.endTID) && v.End-o.BootNanos < 5*second {
			v.Fault, v.faultAt, found = &c.SignalFatal, i, true
		}
	}
	return found
}

// undelivered looks for the fault behind a SIGSEGV of the kernel that came because there was no stack
// to call the handler of that fault on: the same instruction, in the same thread, right before.
func (v *View) undelivered() {
	for i, c := range of[*evidence.SignalCaught](v) {
		o := &v.Case.Timeline[i]
		if isFault(c.Signal) && c.Code > 0 && c.Code != siKernel && c.PC == v.Fatal.PC && c.SP == v.Fatal.SP && c.SP != 0 &&
			o.TID == v.endTID && v.End-o.BootNanos < second {
			v.Fault, v.faultAt = &c.SignalFatal, i
		}
	}
}

// findSender gives the sender of the fatal signal its name.
func (v *View) findSender() {
	pid := int32(-1)
	if v.Fatal != nil && v.Fatal.Signal == v.Signal && !byKernel(v.Fatal) {
		pid = v.Fatal.Sender
	}
	for _, s := range of[*evidence.SignalSent](v) {
		if s.Signal != v.Signal || s.Ignored || pid > 0 && s.Sender != pid {
			continue
		}
		if v.Sender == nil || v.Sender.PID == s.Sender && v.Sender.Command == "" || pid > 0 && v.Sender.PID != pid {
			v.Sender = s.From()
		}
	}
	if v.Sender == nil && pid > 0 {
		v.Sender = &evidence.Sender{PID: pid}
	}
}

// oomAt is the index of the kernel's choice of the culprit for the OOM killer, -1 for none.
func (v *View) oomAt() int {
	at := -1
	for i := range of[*evidence.OOM](v) {
		at = i
	}
	return at
}

// findAsked notes that it was asked to end and did so itself.
func (v *View) findAsked() {
	if v.How != endError && v.How != endZero {
		return
	}
	for _, pid := range append([]int32{v.PID}, v.Passed...) {
		for i, s := range ofPID[*evidence.SignalSent](v, pid) {
			switch s.Signal {
			case evidence.SIGTERM, evidence.SIGINT, evidence.SIGQUIT:
			default:
				continue
			}
			if gap := v.End - v.boot(i); !s.Ignored && s.Sender != pid && gap >= 0 && gap < 60*second && v.asked < 0 {
				v.asked = i
			}
		}
	}
}

func (v *View) findName() {
	if d := v.Case.Death; d != nil && len(v.Passed) == 0 {
		v.Name = d.Comm
	}
	if v.exitAt >= 0 && v.Case.Timeline[v.exitAt].Comm != "" && (v.Name == "" || len(v.Passed) > 0) {
		v.Name = v.Case.Timeline[v.exitAt].Comm
	}
	// The thread that died may have a name of its own; the program's is the better one.
	for _, e := range of[*evidence.Exec](v) {
		if len(v.Passed) > 0 && e.Path != "" {
			v.Name = path.Base(e.Path)
		}
	}
	if name := v.Case.Program(); len(v.Passed) == 0 && name != "" && v.Case.Kind != evidence.CaseChildDeath {
		v.Name = name
	}
	if v.Name == "" {
		v.Name = "the program"
	}
}

// highest is the highest descriptor number that the culprit is known to have had.
func (v *View) highest() int64 {
	h := int64(-1)
	if t := v.table(); t != nil {
		h = max(h, t.Highest)
	}
	if v.Exit != nil {
		h = max(h, int64(v.Exit.HighestEver))
	}
	for _, s := range v.samples {
		h = max(h, s.Highest)
	}
	for _, g := range of[*evidence.FDGrown](v) {
		h = max(h, int64(g.FD))
	}
	for _, s := range of[*evidence.SelectBeyond](v) {
		h = max(h, s.Highest)
	}
	return h
}

// table is the culprit's descriptor table, the fullest that is known: a runtime may close much on
// its way out.
func (v *View) table() *evidence.FDTable {
	var t *evidence.FDTable
	if v.Exit != nil {
		t = v.Exit.FDs
	}
	for _, r := range of[*evidence.FDRefused](v) { // right after the first refusal
		if r.FDs != nil && (t == nil || r.FDs.Open > t.Open) {
			t = r.FDs
		}
	}
	if k := v.Case.FDTable; k != nil && (k.PID == v.PID || k.PID == 0 && len(v.Passed) == 0) && (t == nil || k.Open > t.Open) {
		t = k
	}
	return t
}

// selects says whether the culprit is known to call select().
func (v *View) selects() bool {
	if v.Exit != nil && v.Exit.SelectCalls > 0 {
		return true
	}
	for _, s := range v.samples {
		if s.SelectCalls > 0 {
			return true
		}
	}
	for range of[*evidence.SelectBeyond](v) {
		return true
	}
	return false
}

// runs says whether the culprit is that interpreter.
func (v *View) runs(name string) bool {
	for _, e := range of[*evidence.Exec](v) {
		if strings.HasPrefix(path.Base(e.Path), name) || len(e.Args) > 0 && strings.HasPrefix(path.Base(e.Args[0]), name) {
			return true
		}
	}
	return strings.HasPrefix(v.Name, name) || v.exitAt >= 0 && strings.HasPrefix(v.Case.Timeline[v.exitAt].Comm, name)
}

// closesAtExit says whether the culprit's runtime closes what it holds on its way out, so that its
// descriptor table at death tells nothing of before.
func (v *View) closesAtExit() bool {
	for _, name := range []string{"python", "ruby", "perl", "php", "node", "lua"} {
		if v.runs(name) {
			return true
		}
	}
	if t := v.text.final; t != nil && t.lang != langGo && t.lang != langCPP && t.lang != langRust && t.lang != langJava {
		return true
	}
	return false
}

// roomAtEnd says whether the culprit is known to have had descriptors to spare when it ended: a
// refusal before was over.
func (v *View) roomAtEnd() bool {
	if v.How == endError && v.closesAtExit() || v.Exit == nil || v.Exit.FDs == nil || v.Exit.FDs.Partial != "" {
		return false
	}
	t := v.Exit.FDs
	return t.SoftLimit > 0 && t.Open*10 < t.SoftLimit*9 && t.SoftLimit-t.Open > 2
}

// boundElsewhere says whether the culprit holds a socket that is bound to an address: one that was
// refused was not the last word.
func (v *View) boundElsewhere() bool {
	if v.Exit == nil || v.Exit.FDs == nil {
		return false
	}
	for _, g := range v.Exit.FDs.Groups {
		if (g.Kind == evidence.FDTCP || g.Kind == evidence.FDUDP) && g.Local != "" && g.Peer == "" && !anyPort(g.Local) {
			return true
		}
	}
	return false
}

// dead says whether the case is a death.
func (v *View) dead() bool { return v.Case.Death != nil }
