package report

import (
	"fmt"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// drop says what a socket had no room for.
func drop(d *evidence.Drop) string {
	what := "data from its peer dropped"
	if d.Sending {
		what = "a send buffer refused"
	} else if d.Protocol == evidence.FDUDP || d.Protocol == evidence.FDRawSocket {
		what = "a datagram dropped"
	}
	s := fmt.Sprintf("%s %s: %s, %s", string(d.Protocol), ends(d.Local, d.Peer), what, clean(d.Reason))
	if d.Buffer > 0 {
		s += fmt.Sprintf(" (%s of %s)", bytesOf(d.Queued), bytesOf(d.Buffer))
	}
	if d.Count > 1 {
		s += ", " + times(d.Count)
	}
	return clean(s)
}

// sockets says what the worst of a process's sockets shows.
func sockets(d *evidence.Sockets) string {
	if len(d.Sockets) == 0 {
		return "no socket is in trouble any more"
	}
	s := socket(&d.Sockets[0])
	if d.Telling > 1 {
		s += fmt.Sprintf("; %s more", plural(d.Telling-1, "socket"))
	}
	return s
}

func socket(d *evidence.Socket) string {
	s := fmt.Sprintf("%s %s (descriptor %d): %s", string(d.Protocol), ends(d.Local, d.Peer), d.FD, strings.Join(d.Signs, ", "))
	for _, sign := range d.Signs {
		switch sign {
		case evidence.SignAcceptFull:
			s += fmt.Sprintf(", %d wait, backlog %d", d.AcceptQ, d.Backlog)
		case evidence.SignReceiveFull:
			s += fmt.Sprintf(", %s of %s unread", bytesOf(max(d.RecvMemory, d.RecvQ)), bytesOf(d.RecvBuf))
		case evidence.SignSendFull, evidence.SignZeroWindow:
			s += fmt.Sprintf(", %s not taken", bytesOf(max(d.SendQ, 0)))
		case evidence.SignDrops:
			s += ", " + plural(d.Drops, "drop")
		case evidence.SignRetransmits:
			s += ", " + times(d.Retransmits) + " in a row"
		default:
			continue
		}
		break
	}
	if d.FullNanos > 1e9 {
		s += fmt.Sprintf(", for %.1f s", float64(d.FullNanos)/1e9)
	}
	return clean(s)
}

// network says which counters of trouble grew.
func network(d *evidence.Network) string {
	var parts []string
	add := func(n int64, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", what, n))
		}
	}
	add(d.ListenOverflows, "accept queue overflows")
	add(max(0, d.ListenDrops-d.ListenOverflows), "further connections dropped")
	add(d.UDPRcvbufErrors+d.UDP6RcvbufErrors, "UDP receive buffer errors")
	add(d.UDPMemErrors+d.UDP6MemErrors, "UDP memory errors")
	add(d.UDPSndbufErrors+d.UDP6SndbufErrors, "UDP send buffer errors")
	add(d.RcvPruned+d.TCPRcvQDrop, "TCP data dropped")
	add(d.TCPMemoryPressures, "TCP memory pressure")
	add(d.TCPAbortOnMemory, "TCP connections aborted for memory")
	add(d.TCPAbortOnTimeout, "TCP connections timed out")
	if len(parts) == 0 {
		return ""
	}
	if len(parts) > 4 {
		parts = parts[:4]
	}
	s := "network counters: " + strings.Join(parts, ", ")
	if d.Shared {
		s += " (shared with other programs)"
	}
	return s
}

// machine says how much of the machine's memory for sockets, and of its memory, is used.
func machine(d *evidence.Machine) string {
	var parts []string
	if d.TCPMemLimits[2] > 0 {
		parts = append(parts, fmt.Sprintf("TCP memory %d of %d pages", d.TCPMem, d.TCPMemLimits[2]))
	}
	if d.UDPMemLimits[2] > 0 {
		parts = append(parts, fmt.Sprintf("UDP memory %d of %d pages", d.UDPMem, d.UDPMemLimits[2]))
	}
	if d.MemTotal > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s memory available", bytesOf(d.MemAvailable), bytesOf(d.MemTotal)))
	}
	return strings.Join(parts, ", ")
}

func ends(local, peer string) string {
	switch {
	case local != "" && peer != "":
		return middle(local, 45) + " to " + middle(peer, 45)
	case peer != "":
		return "to " + middle(peer, 60)
	case local != "":
		return middle(local, 60)
	}
	return "socket"
}

// bytesOf is "208 KiB", "4.0 MiB".
func bytesOf(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d GiB", n>>30)
}
