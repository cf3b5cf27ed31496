package diagnose

import (
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

func base(p string) string {
	if p == "" {
		return ""
	}
	return path.Base(p)
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func containsAny(s string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// span is a duration for a sentence: "0.9 ms", "2.1 s", "20 min", "3 h 5 min".
func span(ns int64) string {
	s := float64(ns) / 1e9
	switch {
	case s < 0:
		return "0 s"
	case s < 0.01:
		return fmt.Sprintf("%.1f ms", s*1e3)
	case s < 1:
		return fmt.Sprintf("%.0f ms", s*1e3)
	case s < 10:
		return fmt.Sprintf("%.1f s", s)
	case s < 120:
		return fmt.Sprintf("%.0f s", s)
	case s < 7200:
		return fmt.Sprintf("%.0f min", s/60)
	}
	h := math.Floor(s / 3600)
	return fmt.Sprintf("%.0f h %.0f min", h, math.Floor((s-h*3600)/60))
}

// rate is "0.5/s", "30/min" where a second is too short.
func rate(perSecond float64) string {
	switch {
	case perSecond >= 10:
		return fmt.Sprintf("%.0f/s", perSecond)
	case perSecond >= 0.1:
		return fmt.Sprintf("%.1f/s", perSecond)
	default:
		return fmt.Sprintf("%.1f/min", perSecond*60)
	}
}

func bytesOf(n int64) string {
	for _, u := range []struct {
		of   int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		switch {
		case n >= 10*u.of, n >= u.of && n%u.of == 0:
			return fmt.Sprintf("%d %s", n/u.of, u.name)
		case n >= u.of && u.of > 1<<10:
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.of), u.name)
		}
	}
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

// times is "once", "37 times".
func times(n int64) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return strconv.FormatInt(n, 10) + " times"
}

// plain makes foreign text fit for a sentence: one line, no control characters, at most n runes.
func plain(s string, n int) string {
	var b strings.Builder
	k := 0
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if k >= n {
			b.WriteString("…")
			break
		}
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			r = ' '
		}
		b.WriteRune(r)
		k++
	}
	return strings.TrimSpace(b.String())
}

// stream names descriptors 0 to 2.
func stream(fd int32) string {
	switch fd {
	case 0:
		return "stdin"
	case 1:
		return "stdout"
	case 2:
		return "stderr"
	}
	return fmt.Sprintf("descriptor %d", fd)
}

// who names the sender of a signal: "kubelet (pid 812, /usr/bin/kubelet --x)".
func who(s *evidence.Sender) string {
	if s == nil {
		return ""
	}
	if s.PID == 0 {
		return "the kernel"
	}
	if passedOn(s) {
		return "somebody through descry run"
	}
	name, where := plain(s.Comm, 40), ""
	if s.Container != "" {
		where = " in container " + plain(s.Container, 12)
	}
	switch {
	case name == "" && s.Command == "":
		return fmt.Sprintf("process %d%s", s.PID, where)
	case name == "":
		name = plain(s.Command, 60)
	case s.Command != "" && s.Command != s.Comm:
		return fmt.Sprintf("%s (pid %d%s: %s)", name, s.PID, where, plain(s.Command, 60))
	}
	return fmt.Sprintf("%s (pid %d%s)", name, s.PID, where)
}

// what says what a descriptor refers to, in words.
func kindWords(k evidence.FDKind) string {
	switch k {
	case evidence.FDTCP:
		return "a TCP socket"
	case evidence.FDUDP:
		return "a UDP socket"
	case evidence.FDUnix:
		return "a UNIX socket"
	case evidence.FDPipe, evidence.FDFIFO:
		return "a pipe"
	case evidence.FDFile:
		return "a file"
	case evidence.FDSocket, evidence.FDNetlink, evidence.FDPacket, evidence.FDRawSocket:
		return "a socket"
	case evidence.FDTTY:
		return "a terminal"
	case "":
		return "something unknown"
	}
	return "of kind " + string(k)
}

func isSocket(k evidence.FDKind) bool {
	switch k {
	case evidence.FDTCP, evidence.FDUDP, evidence.FDUnix, evidence.FDSocket, evidence.FDNetlink, evidence.FDPacket, evidence.FDRawSocket:
		return true
	}
	return false
}

// ownFrame is the innermost frame of the program's own code, else the innermost with a name.
func ownFrame(trace []evidence.Frame) *evidence.Frame {
	for i := range trace {
		if trace[i].Own && !trace[i].Guess {
			return &trace[i]
		}
	}
	for i := range trace {
		if trace[i].Function != "" && !trace[i].Guess {
			return &trace[i]
		}
	}
	return nil
}

// frameText is a frame for a sentence.
func frameText(f *evidence.Frame) string { return plain(f.String(), 100) }

// recursion is the function that fills the backtrace, "" where none does.
func recursion(trace []evidence.Frame) string {
	n := map[string]int{}
	for i := range trace {
		f := trace[i].Function
		if f == "" {
			continue
		}
		n[f]++
		if n[f] >= 5 && n[f]*3 >= i { // also of two or three functions in turn
			return f
		}
	}
	return ""
}

func sentences(parts ...string) string {
	var out []string
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, " ")
}
