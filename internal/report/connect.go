package report

import (
	"fmt"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// connectFailed says what became of a connect.
func connectFailed(d *evidence.ConnectFailed) string {
	s := "connect to " + middle(clean(d.Peer), 60)
	if d.Errno == 0 {
		s += " given up without an answer"
	} else {
		s += " failed: " + d.Errno.String()
	}
	if d.Nanos >= 1e9 {
		s += " after " + about(float64(d.Nanos)/1e9)
	}
	if d.Resent > 0 {
		s += fmt.Sprintf(", sent again %s", times(d.Resent))
	}
	if d.Count > 1 {
		s += ", " + times(d.Count) + " in all"
	}
	return s
}

// connectionLost says how a connection was lost.
func connectionLost(d *evidence.ConnectionLost) string {
	s := "the connection to " + middle(clean(d.Peer), 60)
	if d.Accepted {
		s = "the connection from " + middle(clean(d.Peer), 60)
	}
	switch d.Errno {
	case evidence.ECONNRESET:
		s += " was reset by the peer"
	case evidence.EPIPE:
		s += " was reset by the peer, which had closed it"
	case evidence.ETIMEDOUT:
		s += " was given up: nothing was acknowledged any more"
	case evidence.ECONNABORTED:
		s += " was ended by the administrator"
	case 0:
		s += " was closed while nothing was acknowledged any more"
	default:
		s += " was lost"
	}
	var more []string
	if d.Errno != 0 {
		more = append(more, d.Errno.String())
	}
	if d.Resent > 0 {
		more = append(more, plural(d.Resent, "segment")+" sent again")
	}
	if len(more) > 0 {
		s += " (" + strings.Join(more, ", ") + ")"
	}
	if d.Nanos >= 1e9 {
		s += " after " + about(float64(d.Nanos)/1e9)
	}
	if d.Count > 1 {
		s += ", " + times(d.Count) + " in all"
	}
	return s
}
