package diagnose

import (
	"cmp"
	"slices"
	"strings"
)

// claim is a refusal that a program's last words report.
type claim struct {
	*refusal
	lang lang    // of the runtime that words it so, "" where that cannot be told
	as   wording // how sure it is that these are words for its end
	line string

	call string // as it is named: "open", "connect"
	path string
	addr string // "127.0.0.1:80"
	host string // a name, where there is one
}

// wording says where words stand.
type wording int

const (
	mention     wording = iota // somewhere in the last lines
	lastLine                   // the last line, in a form in which programs report what they end for
	finalReport                // the runtime's own report of its program's end
)

// How much a word tells of which refusal is meant. What a report names exactly counts before its type.
const (
	byType = iota + 1
	byPhrase
	byText
	byNumber
)

type hit struct {
	r        *refusal
	from, to int
	rank     int
}

var allWords = func() (out []struct {
	r *refusal
	rankedWord
}) {
	for i := range refusals {
		for _, w := range refusals[i].ranked() {
			out = append(out, struct {
				r *refusal
				rankedWord
			}{&refusals[i], w})
		}
	}
	return out
}()

// hits finds the refusals that a line names: the exact ones, where there are such.
func hits(line string) []hit {
	var all []hit
	for _, w := range allWords {
		for k := range places(line, w.word) {
			all = append(all, hit{w.r, k, k + len(w.word), w.rank})
		}
	}
	if anyWrite.MatchString(line) {
		return nil
	}
	thread := slices.ContainsFunc(all, func(h hit) bool { return h.r.id == noThread && h.rank >= byPhrase })
	best := 0
	for i, h := range all {
		if thread && h.r.id != noThread && (h.r.id == "EAGAIN" || h.r.id == "ENOMEM") {
			all[i].rank = 0 // why there was none
		}
		for _, o := range all { // "Too many open files" in "Too many open files in system"
			if o.r != h.r && o.from <= h.from && o.to >= h.to && o.to-o.from > h.to-h.from {
				all[i].rank = 0
			}
		}
		best = max(best, all[i].rank)
	}
	return slices.DeleteFunc(all, func(h hit) bool { return h.rank < best || h.rank == 0 })
}

const maxLine = 2000

// claims gives the refusals that the program's last words report, the surest first, each once.
func (t *text) claims() []claim {
	var out []claim
	add := func(line string, l lang, as wording) {
		line = line[:min(len(line), maxLine)]
		for _, h := range hits(line) {
			r := claim{refusal: h.r, lang: l, as: as, line: line}
			r.operands(line, h)
			if r.id == "EAGAIN" && (makesProcess.MatchString(line) || t.final != nil && as == finalReport && containsAny(t.final.whole, "_fork_exec(", "os.fork(", "os.forkpty(", "forkAndExec", "Thread::spawn", "thread::spawn")) {
				r.refusal = byID(noThread)
			}
			if r.id == "EAGAIN" && l == langDotNet && strings.Contains(t.said(), "SocketException (00000001, 11)") {
				r.refusal = byID(noAnswer) // the number is the resolver's
				r.network(line)
			}
			if h.r.errno != 0 || h.r.id == ownTimeout {
				if m := goLookup.FindStringSubmatch(line); m != nil && m[2] != "" { // the way to the name server was refused, not that to the host
					r = claim{refusal: byID(noAnswer), lang: l, as: as, line: line, host: m[1]}
				}
			}
			merge(&out, r)
		}
		if m := notFound.FindStringSubmatch(line); m != nil && l == langShell && len(out) == 0 {
			out = append(out, claim{refusal: byID("ENOENT"), lang: l, as: as, line: line, path: m[1]})
		}
	}
	if f := t.final; f != nil {
		heads := f.heads()
		for _, s := range heads[:min(100, len(heads))] {
			add(s, f.lang, finalReport)
			if f.lang == langNode {
				nodeFields(out, s)
			}
		}
		return out
	}
	last := true // nothing but a shell's further lines stands behind
	for _, s := range t.last[:min(3, len(t.last))] {
		l := langOf(s)
		if last && l != "" {
			add(s, l, lastLine)
		} else {
			add(s, l, mention)
		}
		last = last && l == langShell
	}
	return out
}

// merge adds r, or what it names to the same refusal.
func merge(out *[]claim, r claim) {
	for i := range *out {
		o := &(*out)[i]
		if o.id == r.id {
			o.call, o.path, o.addr, o.host = cmp.Or(o.call, r.call), cmp.Or(o.path, r.path), cmp.Or(o.addr, r.addr), cmp.Or(o.host, r.host)
			return
		}
	}
	*out = append(*out, r)
}

func byID(id string) *refusal {
	for i := range refusals {
		if refusals[i].id == id {
			return &refusals[i]
		}
	}
	return nil
}

// heads are the lines of a report that say what was wrong: no frames, no source.
func (t *trace) heads() []string {
	var out []string
	for i, s := range strings.Split(t.whole, "\n") {
		trim := strings.TrimSpace(s)
		switch t.lang {
		case langGo:
			if goroutine.MatchString(s) || strings.HasPrefix(s, "PC=") {
				return out
			}
		case langPython:
			if strings.HasPrefix(s, " ") || s == pyHeader || s == pyDuring || s == pyDirect {
				continue
			}
		case langRust:
			if trim == "stack backtrace:" {
				return out
			}
			if i == 0 && rustHead.MatchString(s) && !strings.Contains(s, "panicked at '") {
				continue
			}
		case langPHP:
			if strings.HasPrefix(trim, "#") {
				continue
			}
		}
		if trim == "" || hasAnyPrefix(trim, "at ", "from ", "... ") || strings.HasPrefix(s, "\tfrom ") {
			continue
		}
		out = append(out, s)
	}
	return out
}

var (
	makesProcess = newPattern(`(?i)\b(fork|vfork|clone3?|spawn|pthread_create|create_thread|create thread|Cannot run program|_fork_exec)\b`)
	shellLine    = newPattern(`^(?:[^\s:]+: (?:line )?\d+: |(?:-|\S*/)?(?:ba|da|k|z|a)?sh: |\S+\.sh: )`)
	// dash's builtins say so of any write that failed.
	anyWrite  = newPattern(`: (?:echo|printf): I/O error$`)
	phpLine   = newPattern(`^(?:PHP )?(?:Warning|Notice|Fatal error|Recoverable fatal error):\s+.* in \S+ on line \d+$`)
	goLogLine = newPattern(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?:\S+\.go:\d+: )?`)
	named     = newPattern(`^[^\s:"'{}\[\]=]{1,60}(?:\[\d+\])?: `) // "cp: …", "sshd[12]: …"
	stamped   = newPattern(`^\W*\d{2,4}[-/:.]\d\d[-/:.]\d\d`)
	goLookup  = newPattern(`\blookup (\S+?)(?: on (\S+))?: `)
)

// langOf tells from a single line who words it so; "" where nobody in particular does, as loggers do not.
func langOf(s string) lang {
	switch {
	case phpLine.MatchString(s):
		return langPHP
	case shellLine.MatchString(s):
		return langShell
	case goLogLine.MatchString(s):
		return langGo
	case stamped.MatchString(s) || hasAnyPrefix(strings.TrimSpace(s), "{", "[", "<", "time=", "level=", "ts="):
		return "" // a logger's
	case named.MatchString(s) && endsInText(s):
		return langC
	}
	return ""
}

// endsInText says whether a line ends in a C library's text of an error, and nothing behind it.
func endsInText(s string) bool {
	for i := range refusals {
		for _, x := range refusals[i].texts {
			if strings.HasSuffix(s, ": "+x) {
				return true
			}
		}
	}
	return strings.HasSuffix(s, tryAgain)
}
