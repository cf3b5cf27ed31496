package diagnose

import (
	"fmt"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var stackOverflow = Cause{
	ID:    "stack-overflow",
	Title: "The stack was used up",
	Why: "Each call takes a piece of the thread's stack, 8 MiB as a rule for the main thread and often less for others. Recursion without an end, very deep recursion over data (a nested document), " +
		"or a large array as a local variable goes past its end, where the kernel finds nothing and sends SIGSEGV.",
	Seen:     "Certain: the fault lies just below the stack, at the stack pointer, or in the stack's guard page near it, seen by the kernel or in the core; or the runtime's own words for it with a fitting end (Go, Java, Node.js, Ruby, Rust, .NET). The backtrace names the function that recurs.",
	Advice:   "Bound the recursion or turn it into a loop; do not put large arrays on the stack. A larger stack (ulimit -s, the thread's stack size, -Xss) only wins time.",
	Rule:     ruleStackOverflow,
	Explains: []string{"uncaught-error"},
	Swallows: []string{"invalid-access", "uncaught-error"},
}

func ruleStackOverflow(v *View) *evidence.Finding {
	if t := v.text.final; t != nil && t.deep && t.fits(v) {
		conf := evidence.Certain
		if t.thread {
			conf = evidence.Likely
		}
		sum := fmt.Sprintf("Its stack was used up, as %s's runtime says", t.lang)
		if t.msg != "" || t.typ != "" {
			sum += ": " + quoteLine(strings.TrimPrefix(t.typ+": "+t.msg, ": "))
		}
		sum += fmt.Sprintf(", and it %s.", v.endWords())
		if t.frame != "" {
			sum += " Innermost: " + plain(t.frame, 100) + "."
		}
		return &evidence.Finding{Confidence: conf, Title: "a stack overflow", Summary: sum, Evidence: v.deathAt()}
	}
	f := v.Fault
	if f == nil || f.Signal != evidence.SIGSEGV && f.Signal != evidence.SIGBUS || !byKernel(f) {
		return nil
	}
	why, conf := stackFault(f), evidence.Certain
	switch said, _ := corruption(v); v.How {
	case endFault:
	case endAbort: // a handler on a stack of its own took it, told of it and aborted
		if why == "" || f == v.Fatal || said != "" {
			return nil
		}
	default:
		return nil
	}
	if why == "" && f.Code == siKernel && f.StackLo != 0 && f.SP >= f.StackLo && f.SP-f.StackLo < 4096 &&
		f.StackRL > 0 && int64(f.StackHi-f.StackLo) >= f.StackRL-near {
		why, conf = "where its stack had no room left to deliver a signal on", evidence.Likely
	}
	if why == "" && f.StackLo == 0 && f.Fault == "not mapped" && f.SP != 0 && int64(f.Address-f.SP) >= -16 && int64(f.Address-f.SP) < 4096 &&
		len(f.Trace) > 0 && f.Trace[0].Own && f.Trace[0].Function != "" {
		// The stack pointer itself is outside of every mapping, and the code is its own.
		why, conf = "where its stack pointer had gone beyond the stack", evidence.Likely
	}
	if c := v.core(); why == "" && c != nil && c.Fault == evidence.CoreStack {
		why, conf = "at the end of its stack, as its core shows", evidence.Certain
	}
	if why == "" {
		return nil
	}
	sum := fmt.Sprintf("Its stack was used up: it crashed (%s) at 0x%x, %s.", f.Signal, f.Address, why)
	if v.How == endAbort {
		sum += fmt.Sprintf(" Its handler took the signal, and it %s.", v.endWords())
	}
	if f.StackRL > 0 {
		sum += fmt.Sprintf(" The stack's limit is %s.", bytesOf(f.StackRL))
	}
	if fn := recursion(f.Trace); fn != "" {
		sum += fmt.Sprintf(" %s calls itself over and over.", plain(fn, 80))
	} else if fr := ownFrame(f.Trace); fr != nil {
		sum += " It was in " + frameText(fr) + "."
	}
	return &evidence.Finding{Confidence: conf, Title: "a stack overflow", Summary: sum, Evidence: v.deathAt()}
}

// near is how far below the stack pointer a function of ordinary size touches.
const near = 64 << 10

// stackFault says why a fault is an overflow of the stack, "" where it is none: the address lies
// at the stack pointer and below the stack's mapping. A stray pointer into a guard page is none.
func stackFault(f *evidence.SignalFatal) string {
	if f.SP == 0 || f.Address < 4096 {
		return ""
	}
	dist := int64(f.Address - f.SP)
	atSP := dist > -near && dist < near
	switch {
	case f.Fault == "stack guard" && atSP:
		return "in the guard page of its stack"
	case f.Fault == "stack guard" && f.StackLo != 0 && f.SP >= f.StackLo && f.SP-f.StackLo < 1<<20 && f.Address < f.StackLo && f.StackLo-f.Address < 1<<20:
		return "in the guard page of its stack, which a large local variable reached" // beyond the next page
	case f.StackLo != 0 && f.Address < f.StackLo && f.StackLo-f.Address < 16<<20 && atSP && f.Fault != "null page":
		return "just below its stack"
	case f.StackLo == 0 && f.Fault == "not mapped" && atSP && dist <= 256 && recursion(f.Trace) != "":
		return "at its stack pointer"
	}
	return ""
}

var invalidAccess = Cause{
	ID:    "invalid-access",
	Title: "It touched memory it must not, or executed what is none",
	Why: "A null or stale pointer was used, an array's end was passed far, memory was used after it was freed or unmapped, a division by zero, or a processor instruction that does not exist there " +
		"(also what compilers put where code must never get to).",
	Seen:   "SIGSEGV, SIGBUS, SIGILL or SIGFPE made by the kernel in the process's own thread, as the kernel or the core shows it: certain, with the address, what lies there, and the innermost function of its own code. A fault that a handler caught right before it ended itself, where its code or words say so: likely.",
	Advice: "Look at the innermost function of its own; build with -g and, to find what went wrong before, with -fsanitize=address.",
	Rule:   ruleInvalidAccess,
}

func ruleInvalidAccess(v *View) *evidence.Finding {
	f, at, conf := v.Fault, v.faultAt, evidence.Certain
	switch v.How {
	case endFault:
		if f == nil {
			return &evidence.Finding{Confidence: evidence.Likely, Title: faultTitle(v.Signal, nil), Evidence: v.deathAt(),
				Summary: fmt.Sprintf("It %s; the fault itself was not seen.", v.endWords())}
		}
		if f.Signal == evidence.SIGTRAP {
			conf = evidence.Likely
		}
	case endAbort:
		// A handler wrote its report and aborted, as Java's does.
		if said, _ := corruption(v); f == nil || f == v.Fatal || said != "" {
			return nil
		}
	case endError:
		// A handler took the fault and ended the process, and its code or its words say so. Runtimes use
		// faults in health, and programs that recover from them may end for another reason.
		if v.text.final != nil || v.movesThreads() {
			return nil
		}
		f = nil
		for i, c := range of[*evidence.SignalCaught](v) {
			o := &v.Case.Timeline[i]
			said := v.Code == 128+int32(c.Signal) || v.text.find(4, "Segmentation fault", "segmentation fault", "segfault", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "signal 11") != ""
			if said && isFault(c.Signal) && byKernel(&c.SignalFatal) && o.TID == v.endTID && v.endTID != 0 && v.End-o.BootNanos < soon && c.Count <= 1 {
				f, at, conf = &c.SignalFatal, i, evidence.Likely
			}
		}
		if f == nil {
			return nil
		}
	default:
		return nil
	}
	sum := faultWords(f)
	if fr := ownFrame(f.Trace); fr != nil {
		sum += ", in " + frameText(fr)
	}
	sum += "."
	if f != v.Fatal && v.How != endFault {
		sum += fmt.Sprintf(" Its handler took the signal, and it %s.", v.endWords())
	}
	if s := v.text.find(60, "# Problematic frame:"); s != "" && v.How == endAbort {
		sum += " Java's own report (hs_err_pid…) names the native frame."
	}
	return &evidence.Finding{Confidence: conf, Title: faultTitle(f.Signal, f), Summary: sum, Evidence: append(v.deathAt(), at)}
}

func faultTitle(s evidence.Signal, f *evidence.SignalFatal) string {
	switch s {
	case evidence.SIGFPE:
		return "an arithmetic fault"
	case evidence.SIGILL:
		return "an illegal instruction"
	case evidence.SIGTRAP:
		return "a trap instruction"
	case evidence.SIGBUS:
		return "a bus error"
	}
	if f != nil && nullPage(f) {
		return "a null pointer"
	}
	return "an invalid memory access"
}

// faultWords says what the fault was: "It used a null pointer (SIGSEGV at 0x8)".
func faultWords(f *evidence.SignalFatal) string {
	where := ""
	if f.Where != "" {
		where = ", " + plain(f.Where, 80)
	}
	switch f.Signal {
	case evidence.SIGFPE:
		what := "an impossible calculation"
		if f.Code == 1 { // FPE_INTDIV
			what = "a division by zero"
		}
		return fmt.Sprintf("It did %s (SIGFPE)", what)
	case evidence.SIGILL:
		return "It executed an instruction that the processor does not have, or one that a compiler or a check puts where code must not get to (SIGILL)"
	case evidence.SIGTRAP:
		return "It ran into a trap instruction, which checks in programs and debuggers use (SIGTRAP)"
	case evidence.SIGBUS:
		if m := f.Mapped; f.Code == busAdrErr && m != nil {
			switch {
			case m.Huge:
				return fmt.Sprintf("It touched a huge page that the machine could not give it (SIGBUS at 0x%x%s): no huge pages are left", f.Address, where)
			case m.Offset&^4095 >= m.Size:
				return fmt.Sprintf("It touched byte %d of %s, which it had mapped and which is %s long (SIGBUS at 0x%x)", m.Offset, plain(m.Path, 80), bytesOf(m.Size), f.Address)
			case m.FileSystem == "tmpfs" || m.FreeKnown && m.Free < 1<<20:
				return fmt.Sprintf("It touched a page of a mapped file for which its file system has no room (SIGBUS at 0x%x%s)", f.Address, where)
			}
		}
		if f.Code == busAdrErr {
			return fmt.Sprintf("It touched a mapped page that has nothing behind it (SIGBUS at 0x%x%s): as a rule the file was cut short after it was mapped", f.Address, where)
		}
		return fmt.Sprintf("It touched memory in a way that is not possible (SIGBUS at 0x%x%s)", f.Address, where)
	}
	switch {
	case nullPage(f):
		return fmt.Sprintf("It used a null pointer (SIGSEGV at 0x%x)", f.Address)
	case f.Code == 0x80: // SI_KERNEL: a general protection fault, no address is told
		return "It used an address that no pointer can have, such as one made of garbage, or an instruction that the processor forbids there, such as one that wants aligned data (SIGSEGV)"
	case f.Fault == "read-only":
		return fmt.Sprintf("It wrote to memory that is read-only (SIGSEGV at 0x%x%s)", f.Address, where)
	case f.Fault == "not executable":
		return fmt.Sprintf("It jumped to where no code is (SIGSEGV at 0x%x%s)", f.Address, where)
	case f.Fault == "stack guard":
		return fmt.Sprintf("It touched a guard page of a stack, far from its own stack pointer (SIGSEGV at 0x%x%s)", f.Address, where)
	case f.Fault != "":
		return fmt.Sprintf("It touched memory that it must not: %s (SIGSEGV at 0x%x%s)", plain(f.Fault, 40), f.Address, where)
	}
	return fmt.Sprintf("It touched memory that it must not (SIGSEGV at 0x%x%s)", f.Address, where)
}

var assertion = Cause{
	ID:     "assertion",
	Title:  "It ended itself at a check of its own",
	Why:    "The program or a library of it found something that must not be and called abort(): a failed assert(), an impossible state, an error that nobody thought of.",
	Seen:   "SIGABRT that the process sent to itself, without the C library's words for corrupt memory. With the assertion's text or with its output covered: certain; else likely.",
	Advice: "The check says what was not expected; look at what it checks.",
	Rule:   ruleAssertion,
}

// abortsByForce says whether a fault is how the C library's abort() ends a process that SIGABRT does not
// end, such as the first one of a pid namespace, to which its own signals are not delivered.
func abortsByForce(f *evidence.SignalFatal) bool {
	return len(f.Trace) > 1 && !f.Trace[0].Guess && strings.TrimPrefix(f.Trace[0].Function, "__GI_") == "abort"
}

// abortIgnored says likewise, where no function is known: the thread's own SIGABRT was ignored twice, as abort() sends it, and
// right behind it came a fault without an address, of the instruction that abort() ends with.
func (v *View) abortIgnored(f *evidence.SignalFatal) bool {
	if f.Code != siKernel || v.fatalAt < 0 || len(f.Trace) > 1 {
		return false
	}
	at := v.Case.Timeline[v.fatalAt]
	for i := v.fatalAt - 1; i >= 0 && at.BootNanos-v.Case.Timeline[i].BootNanos < 100_000_000; i-- {
		o := &v.Case.Timeline[i]
		if o.PID != at.PID {
			continue
		}
		if s, ok := o.Detail.(*evidence.SignalSent); ok && s.Signal == evidence.SIGABRT {
			return s.Ignored && s.Sender == at.PID && s.Code == siTkill && s.Count >= 2
		}
	}
	return false
}

func ruleAssertion(v *View) *evidence.Finding {
	if said, _ := corruption(v); v.How != endAbort || said != "" || v.Fault != v.Fatal {
		return nil
	}
	if t := v.text.final; t != nil && t.fits(v) {
		return nil // told by uncaught-error
	}
	said := v.text.find(12, "Assertion `", "Assertion '", "assertion failed", "Assertion failed", "ASSERT", "Check failed", "CHECK failed", "abort()", "Aborted at", "panic:")
	conf := evidence.Certain
	if v.Fatal == nil || said == "" && !v.Case.Covered("output") {
		conf = evidence.Likely
	}
	sum := "It called abort()"
	title := "its own abort()"
	if said != "" {
		sum = "A check of its own failed: " + quoteLine(said) + ", and it called abort()"
		title = "a failed assertion"
	} else if s := v.text.lastLine(); s != "" {
		sum += "; its last words: " + quoteLine(s)
	}
	if v.Fatal != nil {
		if f := ownFrame(v.Fatal.Trace); f != nil && f.Own {
			sum += ", in " + frameText(f)
		}
	}
	sum += "."
	if v.Signal != evidence.SIGABRT && v.Fatal != nil {
		sum += fmt.Sprintf(" SIGABRT did not end it, as it does not the first process of a container: abort() then made a fault (%s).", v.Signal)
	}
	return &evidence.Finding{Confidence: conf, Title: title, Summary: sum, Evidence: v.deathAt()}
}
