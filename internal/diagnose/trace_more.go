package diagnose

import (
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var (
	rubyHead   = newPattern("^(\\S[^:]*):(\\d+):in [`']([^']*)': (.*) \\(([A-Z][\\w:]*)\\)$")
	rubyTop    = newPattern(`^(\S[^:]*\.rb)(?::(\d+))?: (.*) \(([A-Z]\w*Error)\)$`)
	phpHead    = newPattern(`^(?:PHP |<b>)?(?:Fatal|Parse) error(?:</b>)?:\s+(?:Uncaught (\S+?): )?(.*?)(?: in (\S+?)(?: on line |:)(\d+))?$`)
	rustHead   = newPattern(`^thread '([^']*)'(?: \(\d+\))? panicked at (?:'(.*)', )?(\S+?:\d+)(?::\d+)?:?$`)
	rustAlloc  = newPattern(`^memory allocation of \d+ bytes failed$`)
	rustMain   = newPattern(`^Error: (.+)$`)
	rustFields = newPattern(`^(?:Os|Custom) \{ .*\}$`)
	dotNetHead = newPattern(`^Unhandled [Ee]xception[.:] ?([\w.+]+)(?: \([0-9A-Fa-fx, -]+\))?(?:: (.*))?$`)
	dotNetAt   = newPattern(`^   at (.+?)(?: in (.+):line (\d+))?$`)
	perlDie    = newPattern(`^(.+) at (\S+) line (\d+)(?:, <\w+> (?:line|chunk) \d+)?\.$`)
	luaHead    = newPattern(`^lua[\w.]*: (.*)$`)
)

func parseRuby(all []string, i int, _ bool) *trace {
	t := &trace{lang: langRuby, what: "exception", codes: []int32{1}, proven: true}
	if m := rubyHead.FindStringSubmatch(all[i]); m != nil {
		t.frame, t.msg, t.typ = base(m[1])+":"+m[2]+" in "+m[3], m[4], m[5]
	} else if m := rubyTop.FindStringSubmatch(all[i]); m != nil {
		t.frame, t.msg, t.typ = strings.TrimSuffix(base(m[1])+":"+m[2], ":"), m[3], m[4]
	} else {
		return nil
	}
	t.deep = t.typ == "SystemStackError"
	t.to = i + 1
	for k := t.to; k < min(len(all), i+10); k++ { // an excerpt and hints stand before the frames
		if strings.HasPrefix(all[k], "\tfrom ") {
			t.to = k
			break
		}
	}
	for t.to < len(all) && (hasAnyPrefix(all[t.to], "\tfrom ", "\t ... ", "        from ") || all[t.to] == "") {
		t.to++
	}
	if i > 0 && strings.Contains(all[i-1], "terminated with exception") {
		t.thread = true
	}
	return t
}

func parsePHP(all []string, i int, _ bool) *trace {
	line := all[i]
	if k := strings.Index(line, "PHP Fatal error:  "); k > 0 { // behind output without an end of line
		line = line[k:]
	}
	m := phpHead.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	t := &trace{lang: langPHP, what: "fatal error", typ: m[1], msg: m[2], codes: []int32{255}, proven: true}
	if m[3] != "" {
		t.frame = base(m[3]) + ":" + m[4]
	}
	t.deep = strings.Contains(t.msg, "Maximum call stack size of")
	for t.to = i + 1; t.to < len(all) && (all[t.to] == "" || hasAnyPrefix(all[t.to], "Stack trace:", "#", "  thrown in ", "PHP Stack trace:", "PHP   ", "Next ")); t.to++ {
	}
	return t
}

func parseRust(all []string, i int, _ bool) *trace {
	if hasAnyPrefix(all[i], "thread '") && strings.HasSuffix(all[i], "has overflowed its stack") {
		return &trace{lang: langRust, what: "fatal error", msg: "stack overflow", signal: evidence.SIGABRT, proven: true, deep: true, to: min(len(all), i+2)}
	}
	if rustAlloc.MatchString(all[i]) {
		return &trace{lang: langRust, what: "fatal error", msg: all[i], signal: evidence.SIGABRT, proven: true, to: i + 1}
	}
	if m := rustMain.FindStringSubmatch(all[i]); m != nil {
		t := &trace{lang: langRust, what: "error", msg: m[1], codes: []int32{1}, to: i + 1}
		for t.to < len(all) && (all[t.to] == "" || hasAnyPrefix(all[t.to], "Caused by:", "    ", "Stack backtrace:", "Location:")) {
			t.to++
		}
		if rustFields.MatchString(m[1]) || t.to > i+2 && strings.HasPrefix(all[min(i+2, len(all)-1)], "Caused by:") {
			return t // a failed main's, as anyhow and others print it as well
		}
	}
	m := rustHead.FindStringSubmatch(all[i])
	if m == nil {
		return nil
	}
	t := &trace{lang: langRust, what: "panic", msg: m[2], frame: base(m[3]), codes: []int32{101}, signal: evidence.SIGABRT, proven: true}
	at := i + 1
	if t.msg == "" && at < len(all) {
		t.msg = all[at]
		at++
	}
	t.thread = m[1] != "main"
	for ; at < len(all) && (all[at] == "" || hasAnyPrefix(all[at], "note: ", "stack backtrace:", "   ", "  left", " right", "  at ")); at++ {
	}
	t.to = at
	return t
}

func parseDotNet(all []string, i int, _ bool) *trace {
	if all[i] == "Stack overflow." {
		t := &trace{lang: langDotNet, what: "fatal error", msg: "stack overflow", signal: evidence.SIGABRT, proven: true, deep: true}
		for t.to = i + 1; t.to < len(all) && (hasAnyPrefix(all[t.to], "   at ", "Repeat ", "---") || all[t.to] == ""); t.to++ {
		}
		return t
	}
	m := dotNetHead.FindStringSubmatch(all[i])
	if m == nil {
		return nil
	}
	t := &trace{lang: langDotNet, what: "exception", typ: m[1], msg: m[2], signal: evidence.SIGABRT, codes: []int32{134}, proven: true}
	first := ""
	for t.to = i + 1; t.to < len(all) && (all[t.to] == "" || hasAnyPrefix(all[t.to], "   ", " ---> ", "File name: ")); t.to++ {
		if f := dotNetAt.FindStringSubmatch(all[t.to]); f != nil {
			where := f[1]
			if f[2] != "" {
				where = base(strings.ReplaceAll(f[2], `\`, "/")) + ":" + f[3] + " in " + f[1]
			}
			if first == "" {
				first = where
			}
			if t.frame == "" && !hasAnyPrefix(f[1], "System.", "Microsoft.") {
				t.frame = where
			}
		}
	}
	return t.done(first)
}

func parseCPP(all []string, i int, _ bool) *trace {
	t := &trace{lang: langCPP, what: "exception", signal: evidence.SIGABRT, proven: true, to: i + 1}
	s := all[i]
	switch {
	case strings.HasPrefix(s, "terminate called after throwing an instance of '"):
		t.typ = strings.TrimSuffix(strings.TrimPrefix(s, "terminate called after throwing an instance of '"), "'")
	case hasAnyPrefix(s, "terminate called without an active exception", "terminate called recursively"):
		t.msg = s
	case hasAnyPrefix(s, "libc++abi: terminating") || strings.HasPrefix(s, "libc++abi.dylib: terminating"):
		_, t.msg, _ = strings.Cut(s, ": ")
	default:
		return nil
	}
	if t.to < len(all) && strings.HasPrefix(all[t.to], "  what(): ") {
		t.msg = strings.TrimSpace(strings.TrimPrefix(all[t.to], "  what(): "))
		t.to++
	}
	return t
}

// parsePerl needs to know that the program is Perl, since such a line may be anybody's: uncaught
// sees to that.
func parsePerl(all []string, i int, _ bool) *trace {
	m := perlDie.FindStringSubmatch(all[i])
	if m == nil {
		return nil
	}
	return &trace{lang: langPerl, what: "die", msg: m[1], frame: base(m[2]) + ":" + m[3], to: i + 1}
}

func parseLua(all []string, i int, _ bool) *trace {
	m := luaHead.FindStringSubmatch(all[i])
	if m == nil || i+1 >= len(all) || all[i+1] != "stack traceback:" {
		return nil
	}
	t := &trace{lang: langLua, what: "error", msg: m[1], codes: []int32{1}, proven: true}
	for t.to = i + 2; t.to < len(all) && strings.HasPrefix(all[t.to], "\t"); t.to++ {
	}
	return t
}

// nodeBare is an error without a stack, as those of the file system are where a callback or a promise gets them.
var nodeBare = newPattern(`^\[(\w*(?:Error|Exception))(?: \[\w+\])?: (.*)\](?: \{)?$`)

// parseNodeBare reads one that nobody caught: a source excerpt with a caret stands above it.
func parseNodeBare(all []string, i int) *trace {
	m := nodeBare.FindStringSubmatch(all[i])
	if m == nil {
		return nil
	}
	t := &trace{lang: langNode, what: "exception", typ: m[1], msg: m[2], codes: []int32{1}}
	for k := max(0, i-3); k < i; k++ {
		t.proven = t.proven || strings.TrimSpace(all[k]) == "^"
	}
	if !t.proven {
		return nil // console.log() of an error
	}
	for t.to = i + 1; t.to < len(all) && t.to < i+20; t.to++ {
		if s := all[t.to]; s != "" && !hasAnyPrefix(s, " ", "}", "Node.js v") {
			break
		}
	}
	return t
}

var tclFrame = newPattern(`^    (while executing|invoked from within|\((file|procedure|"[a-z]+" body|"[a-z]+" arm|in namespace) .*\))$`)

// parseTcl reads the report of tclsh and wish: the message, and below it what was executed.
func parseTcl(all []string, i int, _ bool) *trace {
	if i+2 >= len(all) || all[i+1] != "    while executing" || all[i] == "" || !strings.HasPrefix(all[i+2], `"`) {
		return nil
	}
	t := &trace{lang: langTcl, what: "error", msg: all[i], codes: []int32{1}, proven: true}
	inside := false // a command in quotes, of several lines
	for t.to = i + 1; t.to < len(all); t.to++ {
		s := all[t.to]
		if !inside && !tclFrame.MatchString(s) && !strings.HasPrefix(s, `"`) {
			break
		}
		if strings.HasPrefix(s, `"`) && !inside {
			inside = len(s) == 1 || !strings.HasSuffix(s, `"`)
		} else if inside {
			inside = !strings.HasSuffix(s, `"`)
		}
	}
	return t
}
