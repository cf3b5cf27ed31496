package report

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// asked says what was asked whom: "10.96.0.10:53 asked for db.prod (A)".
func asked(q *evidence.DNSQuestion) string {
	name := middle(clean(q.Name), 60)
	if name == "" {
		name = "a name that could not be read"
	}
	if q.Type != "" {
		name += " (" + clean(q.Type) + ")"
	}
	s := clean(q.Server) + " asked for " + name
	if q.Protocol == evidence.FDTCP {
		s += " over TCP"
	}
	if q.Retries > 0 {
		s += ", " + times(int64(q.Retries)+1)
	}
	return s
}

func dnsAnswered(d *evidence.DNSAnswered) string {
	s := asked(&d.DNSQuestion) + ": answered"
	if d.Nanos >= 1e8 {
		s += fmt.Sprintf(" after %.1f s", float64(d.Nanos)/1e9)
	}
	return s
}

func dnsFailed(d *evidence.DNSFailed) string {
	s := asked(&d.DNSQuestion) + ": "
	switch {
	case d.Truncated:
		s += "the answer is too long for a datagram"
	case d.RCode == "NXDOMAIN":
		s += "no such name (NXDOMAIN)"
	case d.RCode == "NOERROR":
		s += "no such record"
	default:
		s += clean(d.RCode)
	}
	if d.Nanos >= 1e9 {
		s += fmt.Sprintf(", after %.1f s", float64(d.Nanos)/1e9)
	}
	return s
}

func dnsUnanswered(d *evidence.DNSUnanswered) string {
	if d.Errno != 0 {
		return asked(&d.DNSQuestion) + ": " + d.Errno.String() + " came back"
	}
	s := asked(&d.DNSQuestion) + ": no answer"
	if d.Nanos >= 1e8 {
		s += fmt.Sprintf(" for %.1f s", float64(d.Nanos)/1e9)
	}
	return s
}

// slowAnswer is how much an answer tells by itself.
func slowAnswer(d *evidence.DNSAnswered) int {
	if d.Nanos >= 2e9 || d.SinceNanos >= 2e9 {
		return 25
	}
	return 0
}
