package diagnose

import (
	"fmt"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

const fdSetSize = 1024

const selectAdvice = "Use poll() or epoll() in place of select(); until then keep descriptors below 1024 (ulimit -n 1024), so that opening fails in place of memory being overwritten."

var selectOverflow = Cause{
	ID:    "select-overflow",
	Title: "A descriptor beyond FD_SETSIZE in select()",
	Why: "An fd_set holds descriptors 0 to 1023, whatever the limit of open files is. FD_SET() with a higher one writes past its end: into the next set, the stack, the heap. " +
		"The program then misbehaves, prints garbage or crashes, often much later and elsewhere. A fortified C library and some runtimes refuse instead and end it at once.",
	Seen: "Certain: a runtime's refusal (\"buffer overflow detected\" in a program that selects, \"bit out of range 0 - FD_SETSIZE\", Python's \"filedescriptor out of range in select()\") with descriptors of 1024 or more open; " +
		"or sets that lie closer together than the bits asked for, a heap block too small for them, or a bit of an open descriptor beyond byte 128, and then a fault in the same thread; " +
		"or a core whose stack protector or return address has bits more than it had, those of open descriptors of 1024 or more behind a set; " +
		"or a jump to what stood, as the registers show, beyond byte 128 of a set on the stack and within what select() wrote. " +
		"Likely: a core where such a word was replaced by bits of that kind alone; or a single set on the stack with more than 1024 descriptors asked for and a fault soon after in the same thread. " +
		"Likely, too: bytes of its output that are no text were written from memory behind a set's 128 bytes that select() wrote, soon before it ended itself; possible where the set may have been a larger one. " +
		"More than 1024 descriptors asked for is neither enough nor needed: programs that size their sets by need are not accused.",
	Advice:   selectAdvice,
	Rule:     ruleSelectOverflow,
	Absent:   absentSelectOverflow,
	Explains: []string{"uncaught-error", "fd-limit"},
	Swallows: []string{"memory-corruption", "invalid-access", "assertion", "stack-overflow", "fd-leak"},
}

func ruleSelectOverflow(v *View) *evidence.Finding {
	if !v.dead() {
		return selectWarning(v)
	}
	if f := selectRefused(v); f != nil {
		return f
	}
	if f := selectInCore(v); f != nil && f.Confidence == evidence.Certain {
		return f
	} else if g := selectOverwrote(v); g != nil || f == nil {
		return g
	} else {
		return f
	}
}

// selectRefused is the refusal by a library or a runtime.
func selectRefused(v *View) *evidence.Finding {
	high := v.highest()
	if high < fdSetSize {
		return nil
	}
	said, conf := "", evidence.Certain
	switch t := v.text.final; {
	case v.How == endAbort && v.aborter() == abortOwn:
		return nil // words of its own
	case v.How == endAbort:
		if v.Fatal != nil && hasFrame(v.Fatal.Trace, "__fdelt_chk", "__fdelt_warn") {
			said = "the C library refused it in FD_SET() (__fdelt_chk)"
			break
		}
		if v.text.find(40, "bit out of range 0 - FD_SETSIZE", ">= FD_SETSIZE 1024") != "" {
			said = `the C library refused it: "bit out of range 0 - FD_SETSIZE"`
			break
		}
		if v.text.find(40, "*** buffer overflow detected ***") == "" || !v.selects() {
			return nil
		}
		if v.Fatal != nil && otherCheck(v.Fatal.Trace) != "" {
			return nil
		}
		said = `the C library refused it in FD_SET(): "buffer overflow detected"`
		if at, _ := v.lastSelect(); at < 0 && (v.Fatal == nil || !hasFrame(v.Fatal.Trace, "__fortify_fail", "__chk_fail")) {
			conf = evidence.Likely // which check it was stands in no backtrace
		}
	case v.How == endError && t != nil && t.fits(v):
		switch {
		case t.lang == langPython && strings.Contains(t.whole, "filedescriptor out of range in select()"):
			said = `Python refused it: "filedescriptor out of range in select()"`
		case t.lang == langGo && strings.Contains(t.whole, "index out of range [") && strings.Contains(t.whole, "FdSet)."):
			said = "Go's check refused it in (*FdSet).Set: index out of range"
		case t.lang == langGo && strings.Contains(t.msg, "index out of range [16] with length 16") && v.selects():
			said, conf = "Go's check refused it in an FdSet of 16 words: index out of range", evidence.Likely
		default:
			return nil
		}
		if t.thread {
			conf = evidence.Likely
		}
	case v.How == endError && v.text.find(6, "recompile PHP with a larger value of FD_SETSIZE") != "":
		said, conf = "PHP refused it in stream_select()", evidence.Likely
	default:
		return nil
	}
	sum := fmt.Sprintf("It put a descriptor of 1024 or more into an fd_set, which holds 0 to 1023 (descriptors up to %d were open); %s, and the program %s.", high, said, v.endWords())
	ev := v.deathAt()
	if at, _ := v.lastSelect(); at >= 0 {
		ev = append(ev, at)
	}
	return v.selectFinding(conf, sum, ev)
}

// hasFrame looks for functions in a backtrace; a guessed frame is none.
func hasFrame(trace []evidence.Frame, names ...string) bool {
	for i := range trace {
		for _, n := range names {
			if !trace[i].Guess && strings.TrimPrefix(trace[i].Function, "__GI_") == n {
				return true
			}
		}
	}
	return false
}

// otherCheck is a fortified function other than FD_SET's in the backtrace: "__strcpy_chk".
func otherCheck(trace []evidence.Frame) string {
	for i := range trace {
		f := trace[i].Function
		if !trace[i].Guess && strings.HasSuffix(f, "_chk") && !strings.HasPrefix(strings.TrimPrefix(f, "__GI_"), "__fdelt") {
			return f
		}
	}
	return ""
}

// lastSelect is the latest select beyond FD_SETSIZE of the culprit.
func (v *View) lastSelect() (int, *evidence.SelectBeyond) {
	at := -1
	var last *evidence.SelectBeyond
	for i, s := range of[*evidence.SelectBeyond](v) {
		at, last = i, s
	}
	return at, last
}

// selectOverwrote is memory overwritten past a set, and then a fault.
func selectOverwrote(v *View) *evidence.Finding {
	corrupt, damage := "", noDamage
	switch v.How {
	case endFault:
	case endAbort:
		// glibc's or the compiler's own check found the damage; another abort is another matter.
		if corrupt, _ = corruption(v); corrupt == "" && (v.Fault == nil || v.Fault == v.Fatal) {
			return v.selectPrinted()
		}
	case endError:
		if damage = goDamage(v); damage == noDamage && v.text.final != nil {
			return nil
		}
	default:
		return nil
	}
	var best struct {
		conf evidence.Confidence
		at   int
		s    *evidence.SelectBeyond
	}
	garbled := false
	for range ofPID[*evidence.Garbled](v, 0) {
		garbled = true
	}
	for i, s := range of[*evidence.SelectBeyond](v) {
		gap := v.End - v.boot(i)
		tid := v.Case.Timeline[i].TID
		same := tid != 0 && tid == v.endTID
		var conf evidence.Confidence
		_, smashed := v.smashedReturn(s)
		switch proven := selectProof(s); {
		case damage == perhapsDamage:
			if proven && same && gap < window {
				conf = evidence.Likely
			}
		case v.How == endError && damage == noDamage:
			// It ended itself after its memory was overwritten: what it then did is anybody's guess.
			if proven && garbled && gap < late {
				conf = evidence.Possible
			}
		case smashed && same && gap < late:
			conf = evidence.Certain
		case proven && gap < late && (same || damage == memoryDamage && v.inTrace(s.Trace)):
			conf = evidence.Certain
		case proven && (same || gap < late):
			conf = evidence.Likely
		case !proven && same && gap < 5*second && singleSet(s) && s.Highest >= fdSetSize && (setPlace(s) != "heap" || corrupt != ""):
			conf = evidence.Likely
		}
		if conf != "" && conf.Rank() >= best.conf.Rank() {
			best.conf, best.at, best.s = conf, i, s
		}
	}
	if best.conf == "" || v.How == endError && best.conf == evidence.Possible {
		if f := v.selectPrinted(); f != nil || best.conf == "" {
			return f
		}
	}
	s := best.s
	high := max(s.Highest, int64(s.NFDs)-1)
	if s.BitFD >= fdSetSize {
		high = int64(s.BitFD)
	}
	how := ""
	switch s.Proof {
	case "sets overlap":
		how = fmt.Sprintf(" (its sets lie %d bytes apart, %d are needed)", s.Distance, setBytes(s.NFDs))
	case "heap block too small":
		how = fmt.Sprintf(" (the set's heap block is too small: %d bytes are needed)", setBytes(s.NFDs))
	case "bit beyond the set":
		how = " (its bit is set past the set's 128 bytes)"
	}
	sum := fmt.Sprintf("It put descriptor %d into an fd_set, which holds 0 to 1023%s; memory beyond it was overwritten, and the program %s", high, how, v.endWords())
	if !selectProof(s) {
		sum = fmt.Sprintf("It called %s() for descriptors up to %d with a set on the %s, where an fd_set holds 0 to 1023, and %s later the same thread %s",
			plain(s.Call, 20), s.NFDs-1, setPlace(s), span(v.End-v.boot(best.at)), v.endWords())
	}
	if fd, ok := v.smashedReturn(s); ok {
		sum = fmt.Sprintf("It put descriptors of 1024 and more into an fd_set, which holds 0 to 1023: %s() wrote up to that of descriptor %d, and the place of descriptor %d is where a return address stood; the program returned to 0x%x and %s",
			plain(s.Call, 20), s.NFDs-1, fd, v.Fault.PC, v.endWords())
	}
	if corrupt != "" {
		sum += fmt.Sprintf(": %q", corrupt)
	}
	return v.selectFinding(best.conf, sum+".", append(v.deathAt(), best.at))
}

// What a Go program's last words say of its memory. Go's runtime takes faults itself and exits with 2.
const (
	noDamage      = iota
	perhapsDamage // a check of the runtime failed: a length or an index that was overwritten, or a plain bug
	memoryDamage  // a fault, or the heap found corrupt
)

func goDamage(v *View) int {
	t := v.text.final
	if t == nil || t.lang != langGo || !t.fits(v) {
		return noDamage
	}
	if containsAny(t.whole, "[signal SIGSEGV", "[signal SIGBUS", "unexpected signal during runtime execution", "unexpected fault address",
		"found bad pointer in Go heap", "invalid pointer found", "found pointer to free object", "sweep increased allocation count",
		"s.allocCount != s.nelems", "unknown pc", "traceback did not unwind completely", "bad return") {
		return memoryDamage
	}
	for i, c := range of[*evidence.SignalCaught](v) {
		if isFault(c.Signal) && byKernel(&c.SignalFatal) && v.End-v.boot(i) < soon {
			return memoryDamage
		}
	}
	if strings.Contains(t.msg, "runtime error: ") {
		return perhapsDamage
	}
	return noDamage
}

// inTrace says whether the program's own innermost function of a backtrace stands in its last
// words as well: goroutines move between threads.
func (v *View) inTrace(trace []evidence.Frame) bool {
	f := ownFrame(trace)
	return f != nil && f.Own && f.Function != "" && v.text.final != nil && strings.Contains(v.text.final.whole, f.Function+"(")
}

func setBytes(nfds int32) int64 { return (int64(nfds) + 63) / 64 * 8 }

// selectProof says whether the observation proves by itself that memory past a set was used. The
// figures are checked again: a case may come from elsewhere.
func selectProof(s *evidence.SelectBeyond) bool {
	switch s.Proof {
	case "sets overlap":
		return s.NFDs > fdSetSize && s.Distance > 0 && s.Distance < setBytes(s.NFDs)
	case "heap block too small":
		for _, n := range s.ChunkSize {
			if n > 0 && n < setBytes(s.NFDs) {
				return s.NFDs > fdSetSize
			}
		}
	case "bit beyond the set":
		return s.BitFD >= fdSetSize
	}
	return false
}

// singleSet says whether the call passed one set only, on the stack, in the program's data or within a
// block of the heap: it cannot be told from a larger one. A block of its own has a size, and it was enough.
func singleSet(s *evidence.SelectBeyond) bool {
	n := 0
	for i := range s.Sets {
		if s.Sets[i] != 0 {
			n++
			if s.Where[i] != "stack" && s.Where[i] != "data" && !(s.Where[i] == "heap" && s.ChunkSize[i] == 0) {
				return false
			}
		}
	}
	return n == 1 && s.NFDs > fdSetSize
}

func setPlace(s *evidence.SelectBeyond) string {
	for i := range s.Sets {
		switch {
		case s.Sets[i] != 0 && s.Where[i] == "data":
			return "program's data"
		case s.Sets[i] != 0 && s.Where[i] == "heap":
			return "heap"
		}
	}
	return "stack"
}

// selectFinding adds why there were that many descriptors.
func (v *View) selectFinding(conf evidence.Confidence, sum string, ev []int) *evidence.Finding {
	g := v.grown(0)
	group, of := v.dominant()
	why := ""
	if group != nil {
		why = "It held that many because of one group: " + groupWords(group, of)
		if group.Kind == evidence.FDTCP && group.State == "CLOSE_WAIT" {
			why = fmt.Sprintf("It held that many because connections to %s are not closed after the peer closes them: %d of %d are in CLOSE_WAIT", plain(group.Peer, 60), group.Count, of)
			if group.OpenedBy != "" {
				why += ", opened by " + plain(group.OpenedBy, 60)
			}
		}
		if g.shape == "leak" {
			why += fmt.Sprintf(", growing %s", rate(g.perSecond))
		}
		why += "."
	} else if g.shape == "leak" {
		why = fmt.Sprintf("Descriptors grew %s, from %d to %d.", rate(g.perSecond), g.first.Open, g.last.Open)
	}
	cure := ""
	if group != nil {
		cure = groupAdvice(group)
	}
	return &evidence.Finding{Confidence: conf, Title: "a select() overflow", Summary: sentences(sum, why),
		Evidence: append(ev, g.evidence...), Advice: sentences(cure, selectAdvice)}
}

// selectWarning is a proven overflow of a process that still lives.
func selectWarning(v *View) *evidence.Finding {
	for i, s := range of[*evidence.SelectBeyond](v) {
		if selectProof(s) {
			return v.selectFinding(evidence.Certain, fmt.Sprintf("It put a descriptor of %d into an fd_set, which holds 0 to 1023; memory beyond it is overwritten, and the program may crash or misbehave at any time.",
				max(s.Highest, int64(s.BitFD))), []int{i})
		}
	}
	return nil
}

func absentSelectOverflow(v *View) string {
	if !v.dead() || !v.Case.Covered("probe/syscall") || v.Exit == nil || v.Exit.OutOfKernel {
		return ""
	}
	for range ofPID[*evidence.SelectBeyond](v, 0) {
		return ""
	}
	if v.Case.Counters[evidence.CountSelectBeyond] != 0 {
		return ""
	}
	if v.Exit.SelectCalls == 0 && v.Case.Counters[evidence.CountSelectCalls] == 0 {
		return "it never called select()"
	}
	if h := v.highest(); h >= 0 && h < fdSetSize {
		return fmt.Sprintf("it called select() %s, and its highest descriptor was %d", times(max(v.Exit.SelectCalls, v.Case.Counters[evidence.CountSelectCalls])), h)
	}
	return ""
}
