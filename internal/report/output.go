package report

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/descry-dev/descry/internal/evidence"
)

const (
	outputLines = 8
	garbageRun  = 4 // so many bytes in a row that are no text are told as a span
)

// escapeEnd is the length of a terminal's control sequence at the start of b (colours in logs), 0
// where there is none.
func escapeEnd(b []byte) int {
	if len(b) < 2 || b[0] != 0x1b {
		return 0
	}
	switch b[1] {
	case '[':
		for i := 2; i < len(b) && i < 40; i++ {
			if b[i] >= 0x40 && b[i] <= 0x7e {
				return i + 1
			}
			if b[i] < 0x20 || b[i] > 0x3f {
				return 0
			}
		}
	case ']':
		for i := 2; i < len(b) && i < 400; i++ {
			if b[i] == 7 {
				return i + 1
			}
			if b[i] == 0x1b && i+1 < len(b) && b[i+1] == '\\' {
				return i + 2
			}
			if b[i] < 0x20 {
				return 0
			}
		}
	}
	return 0
}

// readable turns raw output into lines that are safe to show. Spans that are no text become
// "<312 bytes, not text: 00 4e f3 7f …>"; a stray byte is escaped; colours are left out.
func readable(raw []byte) []string {
	var (
		lines   []string
		line    strings.Builder
		garbage []byte
		text    []byte // text behind garbage: too short, it belongs to the garbage
	)
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	put := func(b []byte) {
		for len(b) > 0 {
			r, n := utf8.DecodeRune(b)
			switch {
			case r == '\n' || r == '\r': // the latter of progress bars
				lines = append(lines, line.String())
				line.Reset()
			case r == '\t':
				line.WriteString("    ")
			default:
				line.WriteString(clean(string(b[:n])))
			}
			b = b[n:]
		}
	}
	flush := func() {
		if len(garbage) >= garbageRun && len(text) < 6 && bytes.ContainsFunc(text, func(r rune) bool { return r >= 0x80 }) {
			garbage, text = append(garbage, text...), text[:0] // raw bytes that happen to be a letter
		}
		if len(garbage) >= garbageRun {
			line.WriteString(evidence.NotText(garbage))
		} else {
			for _, c := range garbage {
				fmt.Fprintf(&line, `\x%02x`, c)
			}
		}
		put(text)
		garbage, text = garbage[:0], text[:0]
	}
	for i := 0; i < len(raw); {
		if n := escapeEnd(raw[i:]); n > 0 {
			i += n
			continue
		}
		r, n := utf8.DecodeRune(raw[i:])
		isText := r == '\n' || r == '\t' || r == '\r' || harmless(r)
		switch {
		case !isText:
			if len(garbage) > 0 && len(text) > 0 {
				garbage = append(garbage, text...)
				text = text[:0]
			}
			garbage = append(garbage, raw[i:i+n]...)
		case len(garbage) > 0:
			text = append(text, raw[i:i+n]...)
			// Two letters between raw bytes are chance, not words. A single stray byte is a letter
			// of an old encoding.
			if len(garbage) < garbageRun && len(text) >= 2 || len(text) >= 6 {
				flush()
			}
		default:
			put(raw[i : i+n])
		}
		i += n
	}
	flush()
	if line.Len() > 0 {
		lines = append(lines, line.String())
	}
	return lines
}

// lastLines gives the last lines of output, at most n, blank ones at the end left out; more says
// that there were others before them.
func lastLines(raw []byte, n int) (out []string, more bool) {
	const most = 64 << 10
	if len(raw) > most {
		raw, more = raw[len(raw)-most:], true
		if i := bytes.IndexByte(raw[:len(raw)/2], '\n'); i >= 0 {
			raw = raw[i+1:]
		}
	}
	out = readable(raw)
	for len(out) > 0 && strings.TrimSpace(out[len(out)-1]) == "" {
		out = out[:len(out)-1]
	}
	if len(out) > n {
		out, more = out[len(out)-n:], true
	}
	return out, more
}

// beforeGarbage gives the lines before the first garbage of a stream and its first bytes, where that is
// not among the lines shown.
func beforeGarbage(c *evidence.Case, shown []string) (stream string, lines []string) {
	if c.LastOutput == nil {
		return "", nil
	}
	for _, l := range shown {
		if strings.Contains(l, " bytes, not text: ") {
			return "", nil
		}
	}
	for _, g := range c.LastOutput.FirstGarbage {
		lines, _ = lastLines(g.Before, beforeLines)
		if len(g.Begin) > 0 {
			cut := g.Before
			if i := bytes.LastIndexByte(cut, '\n'); i >= 0 {
				cut = cut[i+1:]
			}
			begin := strings.TrimSuffix(evidence.NotText(g.Begin[:min(8, len(g.Begin))]), ">")
			begin = "<not text" + begin[strings.LastIndexByte(begin, ':'):] + " …>"
			if len(bytes.TrimSpace(cut)) > 0 && len(lines) > 0 {
				lines[len(lines)-1] += begin
			} else {
				lines = append(lines, begin)
			}
		}
		if len(lines) > 0 {
			return clean(g.Stream), lines
		}
	}
	return "", nil
}

const beforeLines = 4
