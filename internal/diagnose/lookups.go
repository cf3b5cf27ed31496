package diagnose

import (
	"cmp"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// lookup is one question to a name server and what came of it.
type lookup struct {
	at   int
	pid  int32
	boot int64 // when the outcome was there; of a question without an answer its last packet
	*evidence.DNSQuestion
	outcome string // "": answered; an error's code; noRecord, truncated, unanswered, portClosed
	wait    int64  // ns for an answer, from the first packet
}

// Outcomes that are no answer's code.
const (
	noRecord   = "no record"
	truncated  = "truncated"
	unanswered = "no answer"
	portClosed = "port closed" // ECONNREFUSED came back: nobody listens at that port 53
)

// lookups are the questions of the whole tree, in order of time.
func (v *View) lookups() []lookup {
	var out []lookup
	last := map[evidence.DNSQuestion]int{} // a question that waits is told of more than once
	for i := range v.Case.Timeline {
		o := &v.Case.Timeline[i]
		l := lookup{at: i, pid: o.PID, boot: o.BootNanos}
		if l.boot > v.End {
			continue
		}
		switch d := o.Detail.(type) {
		case *evidence.DNSAnswered:
			l.DNSQuestion, l.wait = &d.DNSQuestion, d.Nanos+d.SinceNanos
		case *evidence.DNSFailed:
			l.DNSQuestion, l.wait, l.outcome = &d.DNSQuestion, d.Nanos+d.SinceNanos, d.RCode
			switch {
			case d.Truncated:
				l.outcome = truncated
			case d.RCode == "NOERROR":
				l.outcome = noRecord
			}
		case *evidence.DNSUnanswered:
			l.DNSQuestion, l.outcome = &d.DNSQuestion, unanswered
			l.wait = d.SinceNanos + max(0, min(d.Nanos, v.End-o.BootNanos))
			switch d.Errno {
			case 0:
			case evidence.ECONNREFUSED:
				l.outcome = portClosed
			default:
				l.outcome = d.Errno.String()
			}
			key := d.DNSQuestion
			key.SinceNanos, key.Retries = 0, 0
			if k, ok := last[key]; ok && out[k].pid == l.pid && out[k].outcome == l.outcome && l.boot-l.SinceNanos <= out[k].boot {
				out[k].wait = max(out[k].wait, l.wait)
				continue
			}
			last[key] = len(out)
		default:
			continue
		}
		out = append(out, l)
	}
	slices.SortStableFunc(out, func(a, b lookup) int { return cmp.Compare(a.boot, b.boot) })
	return out
}

// formOf says whether a is b or b with a search domain behind it.
func formOf(a, b string) bool {
	return b != "" && (a == b || strings.HasPrefix(a, b+"."))
}

// sought is a name with all the forms that it was asked for in, as resolvers do along the search path.
type sought struct {
	name   string // the shortest form
	all    []lookup
	failed []lookup // those without success
}

// names of lookups gathered by their shortest form, the one that was asked for last at the end.
func gather(all []lookup) []*sought {
	var names []string
	for _, l := range all {
		names = append(names, strings.ToLower(l.Name))
	}
	bare := func(name string) string {
		best := name
		for _, n := range names {
			// A single label may be another name altogether ("www"): it must have been asked for as such.
			if n != "" && n != "." && len(n) < len(best) && formOf(name, n) {
				best = n
			}
		}
		return best
	}
	by := map[string]*sought{}
	var out []*sought
	for _, l := range all {
		b := bare(strings.ToLower(l.Name))
		s := by[b]
		if s == nil {
			s = &sought{name: b}
			by[b] = s
		}
		s.all = append(s.all, l)
		if l.outcome != "" {
			s.failed = append(s.failed, l)
		}
	}
	for _, s := range by {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b *sought) int {
		return cmp.Or(cmp.Compare(a.last(), b.last()), strings.Compare(a.name, b.name))
	})
	return out
}

func (s *sought) last() int64 { return s.all[len(s.all)-1].boot }

// unresolved says whether the last try for the name came to nothing: no form of it was answered with
// something, nor another type of record shortly before (a name without an IPv6 address is in health).
func (s *sought) unresolved() bool {
	if len(s.failed) == 0 {
		return false
	}
	end := s.failed[len(s.failed)-1]
	for _, l := range s.all {
		if l.outcome == "" && (l.boot >= end.boot || end.boot-end.wait-l.boot < 2*second) {
			return false
		}
	}
	return true
}

// try is the last try: the failed lookups that follow each other up to the end of the list.
func (s *sought) try() []lookup {
	from := 0
	for i, l := range s.failed {
		if i > 0 && l.boot-l.wait-s.failed[i-1].boot > 10*second {
			from = i
		}
	}
	for _, l := range s.all {
		for from < len(s.failed)-1 && l.outcome == "" && s.failed[from].boot <= l.boot {
			from++
		}
	}
	return s.failed[from:]
}

var resolving = newPattern(`(?i)\b(lookup|resol(v|ution)\w*|getaddrinfo|gethostby\w*|dns|hostname|host name|name ?server)\b|:53\b`)

// quotes says whether s has the name as a word of its own, in one of its forms.
func (s *sought) quotedIn(said string) bool {
	said = strings.ToLower(said)
	for _, l := range s.all {
		if word := strings.ToLower(l.Name); hasName(said, word) {
			return true
		}
	}
	return hasName(said, s.name)
}

func hasName(said, name string) bool {
	if len(name) < 2 {
		return false
	}
	for from := 0; ; {
		k := strings.Index(said[from:], name)
		if k < 0 {
			return false
		}
		k += from
		end := k + len(name)
		before := k == 0 || !nameByte(said[k-1])
		after := end == len(said) || !nameByte(said[end]) || said[end] == '.' && (end+1 == len(said) || !nameByte(said[end+1]))
		if before && after {
			return true
		}
		from = k + 1
	}
}

func nameByte(b byte) bool { return wordByte(b) || b == '-' || b == '_' || b == '.' }

// unreachable is a name server that this machine could not even send to.
type unreachable struct {
	at     int
	boot   int64
	server string
	call   string
	errno  evidence.Errno
	tcp    bool
}

func dnsPort(addr string) bool { return strings.HasSuffix(addr, ":53") }

// unreachables are the calls towards port 53 that were refused, the latest at the end.
func (v *View) unreachables() []unreachable {
	var out []unreachable
	for i := range v.Case.Timeline {
		o := &v.Case.Timeline[i]
		switch d := o.Detail.(type) {
		case *evidence.ConnectFailed:
			if dnsPort(d.Peer) && d.Errno != 0 && o.BootNanos <= v.End {
				out = append(out, unreachable{i, o.BootNanos, d.Peer, "connect", d.Errno, d.Protocol == evidence.FDTCP})
			}
		case *evidence.ThreadFailures:
			for _, c := range d.Calls {
				if dnsPort(c.Path) && c.BootNanos <= v.End && hasAnyPrefix(c.Call, "connect", "send") {
					out = append(out, unreachable{i, c.BootNanos, c.Path, c.Call, c.Errno, false})
				}
			}
		}
	}
	out = slices.DeleteFunc(out, func(u unreachable) bool {
		switch u.errno {
		case evidence.ECONNREFUSED, evidence.EPERM, evidence.EACCES, evidence.EHOSTUNREACH, evidence.ETIMEDOUT, 101 /* ENETUNREACH */, 22 /* EINVAL: an address that is none */, 97 /* EAFNOSUPPORT */ :
			return false
		}
		return true
	})
	slices.SortStableFunc(out, func(a, b unreachable) int { return cmp.Compare(a.boot, b.boot) })
	return out
}
