package diagnose

import (
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// text is what the program wrote last, as lines fit for reading: no control sequences, valid UTF-8.
type text struct {
	streams []lines // standard error first
	final   *trace  // the error that the last words report, nil for none
	last    []string
	refused []claim // what the last words report to have been refused
	seen    bool    // output was captured at all
}

type lines struct {
	name string
	all  []string
}

const maxText = 256 << 10

var escapes = newPattern("\x1b(\\[[0-9;?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)|[@-Z\\\\-_])")

func split(b []byte) []string {
	if len(b) > maxText {
		b = b[len(b)-maxText:]
	}
	s := strings.ToValidUTF8(string(b), "\uFFFD")
	s = escapes.ReplaceAllString(s, "")
	s = strings.ReplaceAll(s, "\x00", "")
	out := strings.Split(s, "\n")
	for i := range out {
		out[i] = strings.TrimRight(out[i], "\r \t")
	}
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

func readText(v *View) text {
	var t text
	o := v.Case.LastOutput
	if o == nil {
		return t
	}
	t.seen = true
	for _, s := range []lines{{"stderr", split(v.Case.Text("stderr"))}, {"stdout", split(v.Case.Text("stdout"))}} {
		if len(s.all) > 0 && !binary(o, s.name) {
			t.streams = append(t.streams, s)
		}
	}
	if len(t.streams) == 0 {
		return t
	}
	t.last = lastLines(t.streams[0].all)
	for _, s := range t.streams {
		tr := finalTrace(s.all, o.Truncated)
		if tr != nil && tr.lang == langPerl && !v.runs("perl") {
			tr = nil // anybody may end a line so
		}
		if tr != nil {
			tr.stream = s.name
			t.final = tr
			break
		}
	}
	t.refused = t.claims()
	return t
}

// lastLines are the last six that say something, the latest first.
func lastLines(all []string) (last []string) {
	for i, s := range all {
		if hasAnyPrefix(strings.TrimSpace(s), "----- Native stack trace", "----- JavaScript stack trace") && i > 0 && len(all)-i < 200 {
			all = all[:i] // Node.js adds them to last words
			break
		}
	}
	for i := len(all) - 1; i >= 0 && len(last) < 6; i-- {
		if strings.TrimSpace(all[i]) != "" && !epilogue(all[i]) && !strings.Contains(all[i], " bytes, not text: ") {
			last = append(last, all[i])
		}
	}
	return last
}

// said is what its last words are taken from: the final report without its frames, or the last three lines.
func (t *text) said() string {
	switch {
	case t.final != nil:
		return strings.Join(t.final.heads(), "\n")
	case len(t.last) > 3:
		return strings.Join(t.last[:3], "\n")
	}
	return strings.Join(t.last, "\n")
}

// silent says whether nothing stands on a stream.
func (t *text) silent(stream string) bool {
	for _, s := range t.streams {
		if s.name == stream {
			return false
		}
	}
	return t.seen
}

// lastLine is the last thing it said on standard error, or on standard output where it said nothing there.
func (t *text) lastLine() string {
	if len(t.last) == 0 {
		return ""
	}
	return t.last[0]
}

// find gives the last of the last n lines of a stream that contains one of words.
func (t *text) find(n int, words ...string) string {
	for _, s := range t.streams {
		from := max(0, len(s.all)-n)
		for i := len(s.all) - 1; i >= from; i-- {
			if containsAny(s.all[i], words...) {
				return s.all[i]
			}
		}
	}
	return ""
}

// epilogue is a line that others add after a program's last words.
func epilogue(s string) bool {
	s = strings.TrimSpace(s)
	return s == "" || s == "}" || nativeFrame.MatchString(s) || hasAnyPrefix(s, "exit status ", "npm ERR!", "npm error", "Node.js v", "Crash dump is being written to: ", "Aborted", "Segmentation fault",
		"Killed", "Terminated", "----- Native stack trace", "----- JavaScript stack trace", "make: ***", "error Command failed", "info Visit https://yarnpkg.com", "[Inferior ")
}

// nativeFrame is a line of Node.js' native backtrace.
var nativeFrame = newPattern(`^\d+: (0x)?[0-9a-f]{6,} `)

// met says whether the kernel returned that error to the culprit shortly before its end, or whether
// nobody knows.
func (v *View) met(e evidence.Errno) bool {
	if len(v.threads) == 0 {
		return true
	}
	for _, t := range v.threads {
		if latestCall(t.calls, func(c *evidence.FailedCall) bool {
			return c.Errno == e && c.BootNanos <= v.End && v.End-c.BootNanos < window
		}) != nil {
			return true
		}
	}
	return false
}

// word says what the program's last words make of an error.
type word int

const (
	saysNothing word = iota // no words that tell
	saysVague               // an error of another name that may well be the consequence
	saysIt                  // the error by its name
	saysOther               // another error
)

// consequence is what a program makes of an error that it does not name: it could not resolve,
// open, load or connect, or used what it did not get.
var consequence = newPattern(`(?i)\b(resol\w*|getaddrinfo|gaierror|lookup|name or service|name resolution|open\w*|connect\w*|unreachable|refused|offline|backend|upstream|listen\w*|bind\w*|ports?|address\w*|load\w*|import\w*|modules?|socket\w*|sockets|pipe|fork|spawn|ssl\w*|tls|certificates?|database|unavailable|i/o|ioerror|oserror|nil pointer|NullPointerException|null|NoneType|undefined|streams?|resource|handle|fread|fwrite|fgets|descriptors?)\b`)

// names says whether the last words name an error by one of words. Another error that they name
// counts where the kernel saw it as well: programs put their own words to things.
func (v *View) names(words []string) word {
	t := &v.text
	if len(words) == 0 {
		return saysNothing
	}
	said := t.said()
	if mentions(said, words...) {
		return saysIt
	}
	for i := range t.refused { // a shell's "not found"
		if r := &t.refused[i]; r.as != mention && r.errno != 0 && slices.Contains(words, r.id) {
			return saysIt
		}
	}
	for errno, other := range errnoWords {
		if mentions(said, other...) && v.met(errno) {
			return saysOther
		}
	}
	if t.final == nil {
		return saysNothing
	}
	switch t.final.typ {
	case "KeyError", "ValueError", "IndexError", "ZeroDivisionError", "AssertionError", "NameError", "RecursionError":
		return saysOther
	}
	if consequence.MatchString(t.final.typ + " " + t.final.msg) {
		return saysVague
	}
	return saysOther
}

// binary says whether standard output was no text from its first line on: then what of it reads like
// words is none.
func binary(o *evidence.LastOutput, stream string) bool {
	for i := range o.FirstGarbage {
		if g := &o.FirstGarbage[i]; g.Stream == stream && stream == "stdout" && g.InFirstLine() {
			return true
		}
	}
	return false
}
