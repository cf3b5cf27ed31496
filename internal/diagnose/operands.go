package diagnose

import (
	"cmp"
	"path"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var (
	osDebug    = newPattern(`(?:Os|Custom) \{ .*?\}`)
	sourceLine = newPattern(`\S+:\d+:(?:in |\s|$)|^\S+\.rb: `)
	goNet      = newPattern(`\b(dial|listen|read|write|accept) (?:tcp|udp|unix|unixgram|unixpacket|ip)[46]? (?:\S+->)?(\S+?): `)
	called     = newPattern(`\b(open|openat|read|write|mkdir|stat|lstat|chmod|chown|remove|rename|unlink|unlinkat|fork/exec|exec|chdir|truncate|readlink|symlink|link|readdirent|scandir|access|spawn|connect|bind|listen|accept|socket|mmap|fsync|copyfile|opendir|rmdir)(?:\(2\))?[ :(]`)
	pathName   = newPattern(`(?:^|[\s('"‘“\[=])((?:[a-z]+://)?/[^\s'"’”()\[\],]*[^\s'"’”()\[\],:.])`)
	quoted     = newPattern(`['"‘“]([^'"’”]{1,1000})['"’”]`)
	rubyPath   = newPattern(` @ \w+ - (.+?)(?: \(Errno::\w+\))?$`)
	javaPath   = newPattern(`(?:^|: )([^:]+?) \($`)
	nioPath    = newPattern(`java\.nio\.file\.\w+Exception: (.+?)(?:: |$)`)
	goPath     = newPattern(`\b(open|read|write|mkdir|stat|lstat|chmod|chown|remove|unlinkat|fork/exec|chdir|truncate|readlink|fsync|readdirent) (\S[^:]*): $`)
	phpPath    = newPattern(`\b\w+\(([^)]+)\): `)
	address    = newPattern(`(?:^|[\s('"/>=])(\d{1,3}(?:\.\d{1,3}){3}:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5}|:::\d{1,5})\b`)
	pyPair     = newPattern(`\('([^']+)', (\d{1,5})`)
	forPort    = newPattern(`(?:for|to|connect to) "?([\w.:-]+?)"? port (\d{1,5})`)
	devTCP     = newPattern(`/dev/(?:tcp|udp)/([^/\s]+)/(\d{1,5})`)
	hostPort   = newPattern(`\b((?:[a-zA-Z0-9_-]+\.)*[a-zA-Z][a-zA-Z0-9_-]*):(\d{1,5})\b`)
	hostName   = newPattern(`(?:UnknownHostException: |ENOTFOUND |EAI_AGAIN |ESERVFAIL |lookup |getaddrinfo (?:for )?|[Rr]esolve (?:host(?:name)?(?: address)?:? )?['"‘“]?|host name "|Bad hostname '|bad address '|[Uu]nknown host:? |host not found in upstream "|server host ')([A-Za-z0-9_][A-Za-z0-9_.-]*)`)
	hostBefore = newPattern(`(?:^|[ :"'])([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.[A-Za-z][A-Za-z0-9_-]*): (?:Name |Temporary|No address)`)
	dotNetHost = newPattern(`\(([\w.-]+):(\d{1,5})\)`)
)

// operands takes from a line what it says of the call.
func (r *claim) operands(line string, h hit) {
	head, tail := line[:h.from], line[h.to:]
	switch r.lang {
	case langRust: // an error's own fields are in quotes
		line = osDebug.ReplaceAllString(line, "")
		head, tail = line, ""
	case langRuby, langLua, langTcl: // where it stands in the source
		line = sourceLine.ReplaceAllString(line, "")
		head = sourceLine.ReplaceAllString(head, "")
	case langShell:
		head = shellLine.ReplaceAllString(head, "")
	}
	if m := goNet.FindStringSubmatch(head); m != nil {
		r.call = map[string]string{"dial": "connect", "listen": "bind"}[m[1]]
		r.call = cmp.Or(r.call, m[1])
		r.network(m[2])
		if strings.HasPrefix(m[2], "/") {
			r.path = m[2]
			return
		}
	} else if m := goPath.FindStringSubmatch(head); m != nil && (r.lang == langGo || strings.ContainsAny(m[2], "/.")) {
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
		re pattern
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
	if cut := named.ReplaceAllString(head, ""); r.lang == langC && cut != "" {
		head = cut // whose line it is
	}
	if m := lastMatch(pathName, head); m != nil {
		r.path = m[1]
	}
}

// network takes addresses and names of hosts from a line.
func (r *claim) network(line string) {
	if m := pyPair.FindStringSubmatch(line); m != nil {
		r.setAddr(m[1], m[2])
	} else if m := forPort.FindStringSubmatch(line); m != nil {
		r.setAddr(m[1], m[2])
	} else if m := devTCP.FindStringSubmatch(line); m != nil {
		r.setAddr(m[1], m[2])
	} else if m := address.FindStringSubmatch(line); m != nil && r.addr == "" {
		r.addr = strings.TrimPrefix(m[1], ":::")
		if r.addr != m[1] {
			r.addr = "[::]:" + r.addr
		}
	}
	switch r.id {
	case noSuchName, noAnswer:
		r.addr = "" // the name server's
		if m := hostName.FindStringSubmatch(line); m != nil && m[1] != "failed" && m[1] != "address" {
			r.host = strings.TrimRight(m[1], ".")
		} else if m := dotNetHost.FindStringSubmatch(line); m != nil {
			r.host = m[1]
		} else if m := hostBefore.FindStringSubmatch(line); m != nil {
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

func (r *claim) setAddr(host, port string) {
	switch {
	case strings.ContainsRune(host, ':'):
		r.addr = "[" + strings.Trim(host, "[]") + "]:" + port
	case strings.Trim(host, "0123456789.") == "":
		r.addr = host + ":" + port
	default:
		r.host = host
	}
}

func lastMatch(re pattern, s string) []string {
	all := re().FindAllStringSubmatch(s, -1)
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

var nodeField = newPattern(`^\s+(syscall|path|address|hostname|port): '?([^',]*)'?,?$`)

// nodeFields adds the fields that Node.js prints behind an error.
func nodeFields(out []claim, line string) {
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

// agrees compares what is claimed with a call that failed with that error.
func (r *claim) agrees(c *evidence.FailedCall) agreement {
	switch {
	case c.Path == "":
	case r.path != "" && strings.HasPrefix(c.Path, "/") || r.path != "" && r.addr == "" && !address.MatchString(c.Path):
		return comparePath(r.path, c.Path)
	case r.addr != "":
		if m := address.FindStringSubmatch(c.Path); m != nil {
			return compareAddress(r.addr, m[1])
		}
	}
	if r.call != "" && c.Call != "" && strings.TrimSuffix(strings.TrimRight(c.Call, "0123456789"), "at") == r.call {
		return alike
	}
	return unknown
}

// maxCallPath is the length at which the kernel's side cuts a path.
const maxCallPath = 95

func comparePath(said, seen string) agreement {
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

func compareAddress(said, seen string) agreement {
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
