package diagnose

import (
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

type lang string

const (
	langGo     lang = "Go"
	langPython lang = "Python"
	langNode   lang = "Node.js"
	langJava   lang = "Java"
	langRuby   lang = "Ruby"
	langPHP    lang = "PHP"
	langDotNet lang = ".NET"
	langRust   lang = "Rust"
	langCPP    lang = "C++"
	langPerl   lang = "Perl"
	langLua    lang = "Lua"
	langTcl    lang = "Tcl"
)

// trace is an error report of a language's runtime in the output.
type trace struct {
	lang    lang
	what    string // "panic", "fatal error", "exception"
	typ     string // of the error: "FileNotFoundError"
	msg     string
	frame   string // innermost of the program's own code where that can be told: "main.go:8 in main.main"
	whole   string // all of its text
	stream  string
	codes   []int32         // exit codes that fit
	signal  evidence.Signal // signal that fits too, 0: none
	proven  bool            // the runtime's own words for an end, not what a program may log
	thread  bool            // ended a thread, perhaps not the process
	from    int             // first line
	to      int             // line behind the last
	trailer int             // lines of other text behind it
	deep    bool            // the runtime's word for a stack overflow
}

const maxTraceLines = 4000

// finalTrace is the error report at the end of the lines, nil where there is none: what was
// followed by other output was survived.
func finalTrace(all []string, truncated bool) *trace {
	base := max(0, len(all)-maxTraceLines)
	all = all[base:]
	var last *trace
	for i := 0; i < len(all); {
		t := parseTrace(all, i, truncated && base == 0 || base > 0)
		if t == nil || t.to <= i {
			i++
			continue
		}
		last = t
		i = t.to
	}
	if last == nil {
		return nil
	}
	for _, s := range all[min(last.to, len(all)):] {
		if !epilogue(s) {
			last.trailer++
		}
	}
	if last.trailer > 3 || last.trailer > 0 && !last.proven {
		return nil
	}
	last.whole = strings.Join(all[last.from:min(last.to, len(all))], "\n")
	if len(last.whole) > 64<<10 {
		last.whole = last.whole[:64<<10]
	}
	return last
}

// parseTrace reads a report that begins at line i.
func parseTrace(all []string, i int, cut bool) *trace {
	for _, f := range []func([]string, int, bool) *trace{
		parseGo, parsePython, parseJava, parseNode, parseRuby, parsePHP, parseDotNet, parseRust, parseCPP, parsePerl, parseLua, parseTcl,
	} {
		if t := f(all, i, cut); t != nil {
			if t.from == 0 {
				t.from = i
			}
			return t
		}
	}
	return nil
}

// fits says whether the way the culprit ended is the one of a runtime after such a report.
func (t *trace) fits(v *View) bool {
	if v.Signal != 0 {
		return t.signal == v.Signal && v.How == endAbort
	}
	if t.lang == langPerl { // errno, or the child's code, or 255
		return v.Code != 0
	}
	for _, c := range t.codes {
		if c == v.Code {
			return true
		}
	}
	return false
}

var (
	goHeader  = newPattern(`^(panic|fatal error|runtime/cgo): (.*)$`)
	goroutine = newPattern(`^(goroutine \d+ .*\[.*\]:|runtime stack:)$`)
	goFunc    = newPattern(`^([^\s(][^\s]*)\(.*\)$`)
	goFile    = newPattern(`^\t(\S.*\.(?:go|s|c)):(\d+)( .*)?$`)
	goOther   = newPattern(`^(created by |\[signal |exit status |\t?panic: |\tgoroutine |rax |rbx |rcx |rdx |rdi |rsi |rbp |rsp |r\d+ |rip |rflags |cs |fs |gs |runtime: |\.\.\.|PC=|m=|sigcode=|goexit|-----|\[originating from|lr |sp |pc |fault |x\d+ |SIG[A-Z]+: |stack: frame=|[0-9a-f]{16}: |\s+7 6 5 4|\s+[<>^!] ?[<>^!]? ?SP)`)
)

func parseGo(all []string, i int, cut bool) *trace {
	t := &trace{lang: langGo, codes: []int32{2}, signal: evidence.SIGABRT, proven: true}
	at := i
	if m := goHeader.FindStringSubmatch(all[i]); m != nil {
		t.what, t.msg = m[1], m[2]
		if t.what == "runtime/cgo" {
			t.what = "fatal error"
		}
		for i > 0 && t.what == "fatal error" && strings.HasPrefix(all[i-1], "runtime: ") {
			i-- // what is behind it stands above
			t.from = i
		}
		at++
		for at < len(all) && at < i+60 && !goroutine.MatchString(all[at]) {
			if p, ok := strings.CutPrefix(all[at], "\tpanic: "); ok {
				t.msg = p
			}
			at++
		}
		if at == len(all) || at == i+60 {
			// GOTRACEBACK=none leaves one line; only at the very end it is told from a log line.
			if at == len(all) && at-i <= 3 {
				t.to = i + 1
				return t
			}
			return nil
		}
	} else if cut && i <= 2 && goroutine.MatchString(all[i]) {
		t.what = "panic or fatal error" // its head is no longer kept
	} else {
		return nil
	}
	t.deep = t.msg == "stack overflow" || i > 0 && strings.Contains(strings.Join(all[max(0, i-2):i], " "), "goroutine stack exceeds")
	first := ""
	fn := ""
	inFirst := 0
	for ; at < len(all); at++ {
		s := all[at]
		switch {
		case s == "":
		case goroutine.MatchString(s):
			if strings.HasPrefix(s, "goroutine ") {
				inFirst++
			}
		case goOther.MatchString(s):
		default:
			if m := goFile.FindStringSubmatch(s); m != nil {
				if inFirst == 1 && fn != "" && !goStd(fn) && t.frame == "" {
					t.frame = base(m[1]) + ":" + m[2] + " in " + fn
				}
				if inFirst == 1 && fn != "" && first == "" && !hasAnyPrefix(fn, "runtime.", "panic") {
					first = base(m[1]) + ":" + m[2] + " in " + fn
				}
				continue
			}
			m := goFunc.FindStringSubmatch(s)
			if m == nil {
				t.to = at
				return t.done(first)
			}
			fn = m[1]
			continue
		}
		fn = ""
	}
	t.to = at
	return t.done(first)
}

func (t *trace) done(first string) *trace {
	if t.frame == "" {
		t.frame = first
	}
	return t
}

// goStd says whether a function is of Go's standard library or runtime.
func goStd(fn string) bool {
	if strings.HasPrefix(fn, "main.") {
		return false
	}
	if fn == "panic" {
		return true
	}
	head, _, slash := strings.Cut(fn, "/")
	if slash {
		return !strings.Contains(head, ".") || strings.HasPrefix(fn, "golang.org/x/sys/")
	}
	switch pkg, _, _ := strings.Cut(fn, "."); pkg {
	case "runtime", "syscall", "os", "net", "io", "bufio", "fmt", "sync", "reflect", "time", "context", "log", "strings", "bytes", "errors", "sort", "slices", "maps", "strconv", "testing":
		return true
	}
	return false
}

const (
	pyHeader = "Traceback (most recent call last):"
	pyDuring = "During handling of the above exception, another exception occurred:"
	pyDirect = "The above exception was the direct cause of the following exception:"
)

var (
	pyFile  = newPattern(`^  File "([^"]+)", line (\d+)(?:, in (.+))?$`)
	pyError = newPattern(`^([A-Za-z_][\w.]*)(?:: ?(.*))?$`)
)

func parsePython(all []string, i int, _ bool) *trace {
	if m, ok := strings.CutPrefix(all[i], "Fatal Python error: "); ok {
		t := &trace{lang: langPython, what: "fatal error", msg: m, signal: evidence.SIGABRT, proven: true, to: i + 1}
		for t.to < len(all) && (all[t.to] == "" || hasAnyPrefix(all[t.to], "  ", "Current thread", "Thread 0x", "Python runtime state", "Extension modules")) {
			if f := pyFile.FindStringSubmatch(strings.Replace(all[t.to], " in ", ", in ", 1)); f != nil && t.frame == "" {
				t.frame = base(f[1]) + ":" + f[2] + " in " + f[3]
			}
			t.to++
		}
		return t
	}
	syntax := pyFile.MatchString(all[i]) && (i == 0 || !strings.HasPrefix(all[i-1], " ") && all[i-1] != pyHeader)
	if all[i] != pyHeader && !syntax {
		return nil
	}
	t := &trace{lang: langPython, what: "exception", codes: []int32{1}}
	for k := i - 1; k >= max(0, i-2); k-- {
		if strings.HasPrefix(all[k], "Exception in thread ") {
			t.thread = true
		}
		if hasAnyPrefix(all[k], "Exception ignored ", "Task exception was never retrieved", "future: <Task") {
			t.thread = true
		}
	}
	at := i
	if !syntax {
		at++
	}
	for {
		ok := false
		t.frame = ""
		for ; at < len(all) && (strings.HasPrefix(all[at], "  ") || all[at] == ""); at++ {
			if m := pyFile.FindStringSubmatch(all[at]); m != nil {
				where := base(m[1]) + ":" + m[2]
				if m[3] != "" {
					where += " in " + m[3]
				}
				// The innermost is the last; library code behind it is passed over.
				if t.frame == "" || !containsAny(m[1], "/lib/python", "site-packages", "<frozen", "dist-packages") {
					t.frame = where
				}
			}
		}
		if at < len(all) {
			if m := pyError.FindStringSubmatch(all[at]); m != nil {
				t.typ, t.msg, ok = m[1], m[2], true
				at++
				for at < len(all) && strings.HasPrefix(all[at], " ") {
					at++
				}
			}
		}
		if !ok || syntax && !hasAnyPrefix(t.typ, "SyntaxError", "IndentationError", "TabError") {
			return nil
		}
		k := at
		for k < len(all) && all[k] == "" {
			k++
		}
		if k < len(all) && (all[k] == pyDuring || all[k] == pyDirect) {
			k++
			for k < len(all) && all[k] == "" {
				k++
			}
			if k < len(all) && all[k] == pyHeader {
				at = k + 1
				continue
			}
		}
		break
	}
	t.to = at
	return t
}

var (
	javaMain = newPattern(`^Exception in thread "([^"]*)" (?:java\.lang\.)?([\w.$]+)(?:: (.*))?$`)
	javaBare = newPattern(`^([a-z][\w]*(?:\.[\w$]+)+(?:Exception|Error|Throwable))(?:: (.*))?$`)
	javaAt   = newPattern(`^\tat ([\w.$/<>@-]+)\(([^)]*)\)`)
)

func parseJava(all []string, i int, _ bool) *trace {
	t := &trace{lang: langJava, what: "exception", codes: []int32{1}}
	if m := javaMain.FindStringSubmatch(all[i]); m != nil {
		t.typ, t.msg, t.proven = m[2], m[3], m[1] == "main"
		t.thread = !t.proven
	} else if m := javaBare.FindStringSubmatch(all[i]); m != nil && i+1 < len(all) && javaAt.MatchString(all[i+1]) {
		t.typ, t.msg = m[1], m[2]
	} else {
		return nil
	}
	t.deep = strings.HasSuffix(t.typ, "StackOverflowError")
	first := ""
	at := i + 1
	for ; at < len(all); at++ {
		if m := javaAt.FindStringSubmatch(all[at]); m != nil {
			fn := m[1][strings.LastIndexByte(m[1], '/')+1:]
			where := m[2] + " in " + fn
			if first == "" {
				first = where
			}
			if t.frame == "" && !hasAnyPrefix(fn, "java.", "javax.", "jdk.", "sun.", "com.sun.") && !hasAnyPrefix(m[1], "java.base/", "jdk.") {
				t.frame = where
			}
			continue
		}
		if !hasAnyPrefix(all[at], "Caused by: ", "\t... ", "\tSuppressed: ", "\t\tat ", "\t\t... ") {
			break
		}
	}
	t.to = at
	return t.done(first)
}

var (
	nodeError = newPattern(`^(?:Uncaught )?((?:[A-Z][\w.]*)?(?:Error|Exception|Rejection)\w*|DOMException)(?: \[[\w]+\])?(?:: (.*))?$`)
	nodeAt    = newPattern(`^    at (?:(.*) \()?([^()]*?):(\d+)(?::\d+)?\)?`)
)

func parseNode(all []string, i int, _ bool) *trace {
	if strings.HasPrefix(all[i], "FATAL ERROR: ") && strings.Contains(strings.Join(all[i:min(len(all), i+3)], " "), "JavaScript") {
		t := &trace{lang: langNode, what: "fatal error", msg: strings.TrimPrefix(all[i], "FATAL ERROR: "), signal: evidence.SIGABRT, proven: true}
		for t.to = i + 1; t.to < len(all) && (all[t.to] == "" || strings.HasPrefix(all[t.to], " ") || strings.HasPrefix(all[t.to], "----- ")); t.to++ {
		}
		return t
	}
	m := nodeError.FindStringSubmatch(all[i])
	if m == nil {
		return parseNodeBare(all, i)
	}
	at := i + 1
	for at < len(all) && at < i+8 && !strings.HasPrefix(all[at], "    at ") { // a message of several lines
		at++
	}
	if at == len(all) || !strings.HasPrefix(all[at], "    at ") {
		return nil
	}
	t := &trace{lang: langNode, what: "exception", typ: m[1], msg: m[2], codes: []int32{1, 7}}
	t.deep = t.typ == "RangeError" && strings.HasPrefix(t.msg, "Maximum call stack size exceeded")
	first := ""
	for ; at < len(all); at++ {
		s := all[at]
		if f := nodeAt.FindStringSubmatch(s); f != nil {
			where := base(f[2]) + ":" + f[3]
			if f[1] != "" {
				where += " in " + f[1]
			}
			if first == "" {
				first = where
			}
			if t.frame == "" && !hasAnyPrefix(f[2], "node:", "internal/") && !strings.Contains(f[2], "node_modules") {
				t.frame = where
			}
			continue
		}
		if strings.HasPrefix(s, "Node.js v") {
			t.proven = true
			at++
			break
		}
		if s != "" && !hasAnyPrefix(s, " ", "}", "Emitted ") {
			break
		}
	}
	// The excerpt of the source with a caret stands above uncaught errors only.
	for k := max(0, i-3); k < i; k++ {
		if strings.TrimSpace(all[k]) == "^" || strings.Contains(all[k], "// Unhandled 'error' event") {
			t.proven = true
		}
	}
	t.to = at
	return t.done(first)
}
