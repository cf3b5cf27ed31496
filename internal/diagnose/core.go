package diagnose

import (
	"fmt"
	"math/bits"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// core is what was read of the culprit's core, nil where there is none, or where it is another's.
func (v *View) core() *evidence.Core {
	c := v.Case.Core
	if c == nil || c.Signal == 0 || c.Signal != v.Signal || c.PID != v.PID {
		return nil
	}
	return c
}

// coreFaults says a core's words for a fault in the kernel's side's.
var coreFaults = map[string]string{
	evidence.CoreNull: "null page", evidence.CoreStack: "stack guard", evidence.CoreUnmapped: "not mapped", evidence.CoreReadOnly: "read-only",
	evidence.CoreNoAccess: "no access", evidence.CoreNoAddress: "not an address",
}

// takeCore fills in from the culprit's core what was not seen of its signal, and the stack where the
// core's is better: it has all memory, what the kernel's side copied is a piece.
func (v *View) takeCore() {
	c := v.core()
	if c == nil {
		return
	}
	trace := make([]evidence.Frame, len(c.Frames))
	for i := range c.Frames {
		trace[i] = c.Frames[i].Frame
	}
	if v.Fatal == nil {
		f := &evidence.SignalFatal{Signal: c.Signal, Code: c.Code, Self: c.Fault == evidence.CoreAborted, Fault: coreFaults[c.Fault], Trace: trace, Mapped: c.Mapped}
		if c.AddressKnown {
			f.Address = c.Address
		}
		for _, r := range c.Registers {
			switch r.Name {
			case "rip", "pc":
				f.PC = r.Value
			case "rsp", "sp":
				f.SP = r.Value
			}
		}
		if c.Fault == evidence.CoreJump {
			f.Fault = "not executable"
		}
		v.Fatal = f
		for i := range of[*evidence.RunEnded](v) {
			v.fatalAt = i // what shows that it died; the core tells of what
		}
		return
	}
	if v.Fatal.Signal != c.Signal || !poorer(v.Fatal.Trace, trace) && !barer(v.Fatal.Mapped, c.Mapped) {
		return
	}
	f := *v.Fatal // the case itself stays as it is
	if poorer(f.Trace, trace) {
		f.Trace = trace
	}
	if barer(f.Mapped, c.Mapped) {
		f.Mapped = c.Mapped
	}
	v.Fatal = &f
}

// barer says whether a tells less than b of the same file: when it was changed could not be seen any more,
// as its process was gone or its path is another root's.
func barer(a, b *evidence.MappedFile) bool {
	return b != nil && (a == nil || a.Changed == 0 && b.Changed != 0 && a.Offset == b.Offset && a.Size == b.Size && !a.Huge)
}

// poorer says whether backtrace a tells less than b: names that were unwound, not guessed.
func poorer(a, b []evidence.Frame) bool {
	count := func(t []evidence.Frame) (n int) {
		for i := range t {
			if t[i].Function != "" && !t[i].Guess {
				n++
			}
		}
		return n
	}
	return count(a) < count(b)
}

// coreSaid is what the C library's check left in its own memory before it called abort(), as one of
// the messages that words begin; "" where there is none. An assertion's message is none of these.
func (v *View) coreSaid(words []string) string {
	c := v.core()
	if c == nil || c.Fault != evidence.CoreAborted {
		return ""
	}
	for _, w := range words {
		if strings.HasPrefix(c.Message, w) {
			return plain(c.Message, 100)
		}
	}
	if c.Smashed != "" {
		return "*** stack smashing detected ***"
	}
	return ""
}

// smashedReturn is the descriptor whose bit, or whose place in the sets that select() wrote back, is where the
// return address stood that the culprit jumped to: the last thing that it did was to return into nothing.
func (v *View) smashedReturn(s *evidence.SelectBeyond) (fd int64, ok bool) {
	f := v.Fault
	if f == nil || f.Signal != evidence.SIGSEGV || !byKernel(f) || f.Code == siKernel || f.SP < 8 || f.PC != f.Address || f.PC == 0 {
		return 0, false
	}
	if len(f.Trace) > 1 && !f.Trace[1].Guess {
		return 0, false // a call through a bad pointer: who called is known
	}
	slot := f.SP - 8 // amd64: what ret has just taken
	if v.Case.Host.Arch != "amd64" {
		return 0, false
	}
	for i, set := range s.Sets {
		if set == 0 || s.Where[i] != "stack" || slot < set+fdSetSize/8 || slot-set >= uint64(setBytes(s.NFDs)) {
			continue
		}
		fd = int64(slot-set) * 8
		if high := fd + 63 - int64(bits.LeadingZeros64(f.PC)); high >= setBytes(s.NFDs)*8 {
			continue
		}
		for bit := range int64(64) {
			if f.PC>>bit&1 != 0 {
				return fd + bit, true
			}
		}
		return fd, true
	}
	return 0, false
}

// selectInCore is an fd_set that was run over, as the core shows it: the word that was overwritten is the one that the
// program died of.
func selectInCore(v *View) *evidence.Finding {
	c := v.core()
	if c == nil || c.Selected == nil || c.Selected.FD < fdSetSize || c.Selected.Value == c.Selected.Was {
		return nil
	}
	s := c.Selected
	end := ""
	switch {
	case s.Over == "stack protector" && v.How == endAbort && c.Fault == evidence.CoreAborted && c.Smashed != "":
		end = "the compiler's check found its stack protector changed in " + plain(c.Smashed, 80) + ", and the program " + v.endWords()
	case s.Over == "return address" && v.How == endFault && (c.Fault == evidence.CoreJump || c.Fault == evidence.CoreNoAddress):
		end = fmt.Sprintf("the return address became 0x%x, and the program %s", s.Value, v.endWords())
	default:
		return nil
	}
	conf := evidence.Likely
	switch {
	case s.Sure && s.Value&s.Was == s.Was:
		conf = evidence.Certain
	case s.Value&s.Was == s.Was && s.Was != 0:
		return nil // as one byte too many of a string leaves it
	case v.selectedAt(s):
		conf = evidence.Certain
	case s.Bits > 1 && v.Exit != nil && v.Case.Covered("probe/syscall") && !v.selects(): // a word of other bits, and no select()
		if s.Over == "return address" {
			return nil
		}
		conf = evidence.Possible
	}
	fd := fmt.Sprintf("descriptor %d", s.FD)
	if s.Candidate > 1 {
		fd = "a descriptor of 1024 or more"
	}
	sum := fmt.Sprintf("It put %s into an fd_set, which holds 0 to 1023: its bit is set in the core behind the set at 0x%x, where the %s is; %s.", fd, s.SetAt, s.Over, end)
	return v.selectFinding(conf, sum, v.deathAt())
}

// selectedAt says whether the kernel saw a select() with that very set, which went as far as the overwritten word.
func (v *View) selectedAt(s *evidence.CoreSelect) bool {
	for _, b := range of[*evidence.SelectBeyond](v) {
		for i, set := range b.Sets {
			if set != 0 && set == s.SetAt && b.Where[i] == "stack" && s.Address > set && int64(s.Address-set) < setBytes(b.NFDs) {
				return true
			}
		}
	}
	return false
}
