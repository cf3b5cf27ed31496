package diagnose

import (
	"fmt"
	"path"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// ofWire are words of a peer that got what it did not expect, or hung up.
var ofWire = newPattern(`(?i)(\b(ssl|tls|handshake|record|mac|alert|protocol|version|decrypt\w*|reset|closed|eof|broken pipe|peer|connection|unexpected|malformed|parse|invalid (response|reply|message))\b)`)

// outFunctions write to standard output or error and to nothing else.
var outFunctions = map[string]bool{
	"puts": true, "printf": true, "vprintf": true, "putchar": true, "__printf_chk": true, "__vprintf_chk": true, "_IO_puts": true, "_IO_printf": true,
	"perror": true, "warn": true, "warnx": true, "vwarn": true, "vwarnx": true, "err": true, "errx": true, "verr": true, "verrx": true, "__assert_fail": true, "__assert_fail_base": true,
	"Perl_warn": true, "Perl_pp_warn": true, "Perl_write_to_stderr": true, "PyErr_PrintEx": true, "PyErr_Print": true, "_PyErr_PrintEx": true, "rb_warn": true, "rb_p": true,
	"std::__1::__stdoutbuf<char>::sync": true, "fmt.Println": true, "fmt.Printf": true, "log.Println": true, "log.Printf": true,
}

// astray is a write of text that was meant for a standard descriptor and went into what had taken its
// number: by a function that writes there and nowhere else, or of words like those before.
func (v *View) astray(r replaced) (*evidence.Written, int) {
	if r.Stdio == nil {
		return nil, -1
	}
	before := map[string]bool{}
	for _, s := range v.text.streams {
		for i, l := range s.all {
			if k := shape(l); k != "" && i < 1000 && (s.name == stream(r.FD) || v.Case.LastOutput.Merged) {
				before[k] = true
			}
		}
	}
	for i, w := range of[*evidence.Written](v) {
		if w.Output || w.Odd || w.FD != r.FD || v.boot(i) < v.boot(r.at) || v.boot(i) > v.End || len(w.Data) == 0 {
			continue
		}
		for j := range w.Trace {
			if !w.Trace[j].Guess && outFunctions[w.Trace[j].Function] {
				return w, i
			}
		}
		line, _, _ := strings.Cut(string(w.Data), "\n")
		if before[shape(line)] || strings.HasPrefix(line, "Traceback (most recent call last)") || strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "Exception in thread ") {
			return w, i
		}
	}
	return nil, -1
}

// shape is how a line begins, with its figures alike; "" where it is too short to tell.
func shape(l string) string {
	l = strings.ToValidUTF8(l, "?")
	if len(l) > 12 {
		l = l[:12]
	}
	if len(l) < 8 {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, l)
}

// namesTarget says whether its last words name the file that took a standard descriptor's number.
func (v *View) namesTarget(r replaced) bool {
	name := path.Base(r.Path)
	if r.Is != evidence.FDFile || len(name) < 4 {
		return false
	}
	for _, l := range v.text.last {
		if strings.Contains(l, name) {
			return true
		}
	}
	return false
}

// strangersData is the other way round: the number of a standard descriptor was given to a socket or
// file, then the log was put back there, and who held it for the socket wrote its data into the log.
func (v *View) strangersData() *evidence.Finding {
	switch v.How {
	case endError, endAbort:
	default:
		return nil
	}
	for i, g := range ofPID[*evidence.Garbled](v, 0) {
		w := g.Writer
		if w == nil || w.PID != v.PID || !w.Exact || w.Was == "" || w.FD < 0 || w.FD > 2 || v.boot(i) > v.End || v.End-v.boot(i) > window {
			continue
		}
		var given, closed, back = -1, -1, -1
		for k, s := range of[*evidence.Stdio](v) {
			switch {
			case s.FD != w.FD || v.boot(k) > v.boot(i):
			case s.Action == "closed":
				closed = k
			case s.Action == "allocated" && !onPurpose(s):
				given, back = k, -1
			case s.Action == "replaced" && given >= 0:
				back = k
			}
		}
		if given < 0 || back < 0 {
			continue
		}
		conf := evidence.Likely
		if v.endedBy(w.TID) && v.End-v.boot(i) < soon {
			conf = evidence.Certain
		}
		was := kindWords(w.Was)
		if w.WasPeer != "" {
			was += " to " + plain(w.WasPeer, 60)
		} else if w.WasPath != "" {
			was += ", " + plain(w.WasPath, 80)
		}
		looks := ""
		if g.LooksLike != "" {
			looks = " (" + plain(g.LooksLike, 60) + ")"
		}
		ev := []int{given, back, i}
		if closed >= 0 {
			ev = append(ev, closed)
		}
		return &evidence.Finding{Confidence: conf, Title: stream(w.FD) + " mixed up with " + kindWords(w.Was), Evidence: append(ev, v.deathAt()...),
			Summary: fmt.Sprintf("Descriptor %d (%s) was given to %s, and later %s was put back there; %s%s, still wrote to that number: %s of its data%s went into the log, %s before it %s.",
				w.FD, stream(w.FD), was, stream(w.FD), whoWrote(w), inFrame(w.Trace), bytesOf(w.Bytes), looks, span(max(0, v.End-v.boot(i))), v.endWords())}
	}
	return nil
}

// inFrame is " in flush_log+0x41", "" where nothing of its own is known.
func inFrame(trace []evidence.Frame) string {
	if f := ownFrame(trace); f != nil && f.Own {
		return ", in " + frameText(f)
	}
	return ""
}

// quotedLine is the first line of what was written.
func quotedLine(b []byte) string {
	line, _, _ := strings.Cut(string(b), "\n")
	return `"` + plain(line, 60) + `"`
}

// hungUp says whether the peer that got text astray broke the connection off behind that.
func (v *View) hungUp(w *evidence.Written, at int) bool {
	for i, l := range of[*evidence.ConnectionLost](v) {
		if w.Peer != "" && l.Peer == w.Peer && v.boot(i) >= v.boot(at) && v.boot(i) <= v.End {
			return true
		}
	}
	return false
}

// lostAny says whether a connection was lost.
func (v *View) lostAny() bool {
	for range of[*evidence.ConnectionLost](v) {
		return true
	}
	return false
}
