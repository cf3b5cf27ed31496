package diagnose

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// reported is a refusal that a program's last words report.
type reported struct {
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

// hits finds the refusals that a line names: the exact ones, where there are such.
func hits(line string) []hit {
	var all []hit
	for i := range refusals {
		r := &refusals[i]
		for _, w := range r.ranked() {
			for k := range places(line, w.word) {
				all = append(all, hit{r, k, k + len(w.word), w.rank})
			}
		}
	}
	best := 0
	for i, h := range all {
		for _, o := range all { // "Too many open files" in "Too many open files in system"
			if o.r != h.r && o.from <= h.from && o.to >= h.to && o.to-o.from > h.to-h.from {
				all[i].rank = 0
			}
		}
		best = max(best, all[i].rank)
	}
	return slices.DeleteFunc(all, func(h hit) bool { return h.rank < best || h.rank == 0 })
}

// reports gives the refusals that the program's last words report, the surest first, each once.
func (t *text) reports() []reported {
	var out []reported
	add := func(line string, l lang, as wording) {
		for _, h := range hits(line) {
			r := reported{refusal: h.r, lang: l, as: as, line: line}
			r.operands(line, h)
			if r.id == "EAGAIN" && (makesProcess.MatchString(line) || t.final != nil && as == finalReport && containsAny(t.final.whole, "_fork_exec(", "os.fork(", "os.forkpty(", "forkAndExec", "Thread::spawn", "thread::spawn")) {
				r.refusal = byID(noThread)
			}
			if h.r.errno != 0 || h.r.id == ownTimeout {
				if m := goLookup.FindStringSubmatch(line); m != nil && m[2] != "" { // the way to the name server was refused, not that to the host
					r = reported{refusal: byID(noAnswer), lang: l, as: as, line: line, host: m[1]}
				}
			}
			merge(&out, r)
		}
	}
	if f := t.final; f != nil {
		for _, s := range f.heads() {
			add(s, f.lang, finalReport)
			if f.lang == langNode {
				nodeFields(out, s)
			}
		}
		return out
	}
	for i, s := range t.last[:min(3, len(t.last))] {
		l := langOf(s)
		if i == 0 && l != "" {
			add(s, l, lastLine)
		} else {
			add(s, l, mention)
		}
	}
	return out
}

// merge adds r, or what it names to the same refusal.
func merge(out *[]reported, r reported) {
	for i := range *out {
		o := &(*out)[i]
		if o.id == r.id {
			o.call, o.path, o.addr, o.host = first1(o.call, r.call), first1(o.path, r.path), first1(o.addr, r.addr), first1(o.host, r.host)
			return
		}
	}
	*out = append(*out, r)
}

func first1(a, b string) string {
	if a != "" {
		return a
	}
	return b
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
	makesProcess = regexp.MustCompile(`(?i)\b(fork|vfork|clone3?|spawn|pthread_create|create_thread|create thread|Cannot run program|_fork_exec)\b`)

	shellLine = regexp.MustCompile(`^[^\s:]+: (?:line )?\d+: `)
	phpLine   = regexp.MustCompile(`^(?:PHP )?(?:Warning|Notice|Fatal error|Recoverable fatal error):\s+.* in \S+ on line \d+$`)
	goLogLine = regexp.MustCompile(`^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?:\S+\.go:\d+: )?`)
	named     = regexp.MustCompile(`^[^\s:"'{}\[\]=]{1,60}(?:\[\d+\])?: `) // "cp: …", "sshd[12]: …"
	stamped   = regexp.MustCompile(`^\W*\d{2,4}[-/:.]\d\d[-/:.]\d\d`)

	goLookup  = regexp.MustCompile(`\blookup (\S+?)(?: on (\S+))?: `)
	goNet     = regexp.MustCompile(`\b(dial|listen|read|write|accept) (?:tcp|udp|unix|unixgram|unixpacket|ip)[46]? (?:\S+->)?(\S+?): `)
	called    = regexp.MustCompile(`\b(open|openat|read|write|mkdir|stat|lstat|chmod|chown|remove|rename|unlink|unlinkat|fork/exec|exec|chdir|truncate|readlink|symlink|link|readdirent|scandir|access|spawn|connect|bind|listen|accept|socket|mmap|fsync|copyfile|opendir|rmdir)(?:\(2\))?[ :(]`)
	pathName  = regexp.MustCompile(`(?:^|[\s('"‘“\[=])((?:[a-z]+://)?/[^\s'"’”()\[\],]*[^\s'"’”()\[\],:.])`)
	quoted    = regexp.MustCompile(`['"‘“]([^'"’”]{1,1000})['"’”]`)
	rubyPath  = regexp.MustCompile(` @ \w+ - (.+?)(?: \(Errno::\w+\))?$`)
	javaPath  = regexp.MustCompile(`(?:^|: )([^:]+?) \($`)
	nioPath   = regexp.MustCompile(`java\.nio\.file\.\w+Exception: (.+?)(?:: |$)`)
	goPath    = regexp.MustCompile(`\b(open|read|write|mkdir|stat|lstat|chmod|chown|remove|unlinkat|fork/exec|chdir|truncate|readlink|fsync|readdirent) (\S[^:]*): $`)
	phpPath   = regexp.MustCompile(`\b\w+\(([^)]+)\): `)
	address   = regexp.MustCompile(`(?:^|[\s('"/>=])(\d{1,3}(?:\.\d{1,3}){3}:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5}|:::\d{1,5})\b`)
	pyPair    = regexp.MustCompile(`\('([^']+)', (\d{1,5})`)
	forPort   = regexp.MustCompile(`(?:for|to|connect to) "?([\w.:-]+?)"? port (\d{1,5})`)
	devTCP    = regexp.MustCompile(`/dev/(?:tcp|udp)/([^/\s]+)/(\d{1,5})`)
	hostPort  = regexp.MustCompile(`\b((?:[a-zA-Z0-9_-]+\.)*[a-zA-Z][a-zA-Z0-9_-]*):(\d{1,5})\b`)
	hostName  = regexp.MustCompile(`(?:UnknownHostException: |ENOTFOUND |EAI_AGAIN |ESERVFAIL |lookup |getaddrinfo (?:for )?|[Rr]esolve (?:host(?:name)?(?: address)?:? )?['"‘“]?|host name "|Bad hostname '|bad address '|[Uu]nknown host:? |host not found in upstream "|server host ')([A-Za-z0-9_][A-Za-z0-9_.-]*)`)
	dotNetAt2 = regexp.MustCompile(`\(([\w.-]+):(\d{1,5})\)`)
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
	return false
}

// operands takes from a line what it says of the call.
func (r *reported) operands(line string, h hit) {
	head, tail := line[:h.from], line[h.to:]
	if m := goNet.FindStringSubmatch(head); m != nil {
		r.call = map[string]string{"dial": "connect", "listen": "bind"}[m[1]]
		r.call = first1(r.call, m[1])
		if strings.HasPrefix(m[2], "/") {
			r.path = m[2]
			return
		}
	} else if m := goPath.FindStringSubmatch(head); m != nil {
		r.call, r.path = m[1], m[2]
	} else if m := lastMatch(called, line); m != nil {
		r.call = m[1]
	}
	r.network(line)
	if r.addr != "" || r.id == noSuchName || r.id == noAnswer || r.path != "" {
		return
	}
	for _, f := range []struct {
		in string
		re *regexp.Regexp
	}{{line, nioPath}, {line, rubyPath}} {
		if m := f.re.FindStringSubmatch(f.in); m != nil {
			r.path = m[1]
			return
		}
	}
	if m := javaPath.FindStringSubmatch(head); m != nil && strings.HasPrefix(tail, ")") {
		r.path = m[1]
		return
	}
	if m := phpPath.FindStringSubmatch(head); m != nil && r.lang == langPHP {
		r.path = m[1]
		return
	}
	if m := quoted.FindStringSubmatch(tail); m != nil { // the path stands behind what was wrong, as Python and Node.js have it
		r.path = m[1]
		return
	}
	if r.lang == langPHP {
		return // its own file stands behind
	}
	if m := pathName.FindStringSubmatch(tail); m != nil && r.lang != langPerl {
		r.path = m[1]
		return
	}
	if m := quoted.FindStringSubmatch(head); m != nil && strings.ContainsAny(m[1], "/.") {
		r.path = m[1]
		return
	}
	if r.lang == langShell {
		head = shellLine.ReplaceAllString(head, "")
	}
	if m := lastMatch(pathName, head); m != nil {
		r.path = m[1]
	}
}

// network takes addresses and names of hosts from a line.
func (r *reported) network(line string) {
	if m := pyPair.FindStringSubmatch(line); m != nil {
		r.setAddr(m[1], m[2])
	} else if m := forPort.FindStringSubmatch(line); m != nil {
		r.setAddr(m[1], m[2])
	} else if m := devTCP.FindStringSubmatch(line); m != nil {
		r.setAddr(m[1], m[2])
	} else if m := lastMatch(address, line); m != nil {
		r.addr = strings.TrimPrefix(m[1], ":::")
		if r.addr != m[1] {
			r.addr = "[::]:" + r.addr
		}
	}
	switch r.id {
	case noSuchName, noAnswer:
		r.addr = "" // the name server's
		if m := hostName.FindStringSubmatch(line); m != nil && !containsAny(m[1], "failed") {
			r.host = strings.TrimRight(m[1], ".")
		} else if m := dotNetAt2.FindStringSubmatch(line); m != nil {
			r.host = m[1]
		} else if m := hostPort.FindStringSubmatch(line); m != nil {
			r.host = m[1]
		}
	case "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", ownTimeout:
		if r.addr == "" && r.host == "" && r.lang != langRuby && r.lang != langNode {
			if m := hostPort.FindStringSubmatch(line); m != nil {
				r.host = m[1]
			}
		}
	}
}

func (r *reported) setAddr(host, port string) {
	switch {
	case strings.ContainsRune(host, ':'):
		r.addr = "[" + strings.Trim(host, "[]") + "]:" + port
	case strings.Trim(host, "0123456789.") == "":
		r.addr = host + ":" + port
	default:
		r.host = host
	}
}

func lastMatch(re *regexp.Regexp, s string) []string {
	all := re.FindAllStringSubmatch(s, -1)
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

var nodeField = regexp.MustCompile(`^\s+(syscall|path|address|hostname|port): '?([^',]*)'?,?$`)

// nodeFields adds the fields that Node.js prints behind an error.
func nodeFields(out []reported, line string) {
	m := nodeField.FindStringSubmatch(line)
	if m == nil || len(out) == 0 {
		return
	}
	r := &out[0]
	switch m[1] {
	case "syscall":
		r.call, _, _ = strings.Cut(m[2], " ")
	case "path":
		r.path = m[2]
	case "hostname":
		r.host = m[2]
	}
}

// agreement says whether a failed call is the one that words report.
type agreement int

const (
	differs agreement = iota - 1 // they name another
	unknown                      // nothing to compare
	alike                        // the same system call, or port
	same                         // the same path or address
)

// agrees compares what is reported with a call that failed with that error.
func (r *reported) agrees(c *evidence.FailedCall) agreement {
	switch {
	case c.Path == "":
	case r.path != "" && strings.HasPrefix(c.Path, "/") || r.path != "" && r.addr == "" && !address.MatchString(c.Path):
		return samePath(r.path, c.Path)
	case r.addr != "":
		if m := address.FindStringSubmatch(c.Path); m != nil {
			return sameAddress(r.addr, m[1])
		}
	}
	if r.call != "" && c.Call != "" && strings.TrimSuffix(strings.TrimRight(c.Call, "0123456789"), "at") == r.call {
		return alike
	}
	return unknown
}

// maxCallPath is the length at which the kernel's side cuts a path.
const maxCallPath = 95

func samePath(said, seen string) agreement {
	if said == seen || len(seen) >= maxCallPath-1 && strings.HasPrefix(said, strings.TrimSuffix(seen, "…")) {
		return same
	}
	said, seen = path.Clean(said), path.Clean(seen)
	switch {
	case said == seen:
		return same
	case base(said) != base(seen):
		return differs
	case strings.HasPrefix(said, "/") && strings.HasPrefix(seen, "/"):
		return unknown // looked for in several places, or one is a link
	}
	return same // one is relative to a directory that is not known here
}

var brackets = strings.NewReplacer("[", "", "]", "", "::ffff:", "")

func sameAddress(said, seen string) agreement {
	said, seen = brackets.Replace(said), brackets.Replace(seen)
	if said == seen {
		return same
	}
	for _, wild := range []string{":::", "0.0.0.0:"} { // any address of this machine
		if hasAnyPrefix(said, wild) || hasAnyPrefix(seen, wild) {
			if said[strings.LastIndexByte(said, ':'):] == seen[strings.LastIndexByte(seen, ':'):] {
				return same
			}
		}
	}
	return differs
}
