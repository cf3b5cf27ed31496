package report

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// Options say how a case is shown.
type Options struct {
	Width    int    // cells of a line; 0: 100. less than 20 is taken for 20
	Color    bool   // whether the reader is a terminal that shows colours
	CaseHint string // how to see the case again: "descry why 01JD…"; empty: not said
}

// width keeps to what was asked for; only a terminal that is too narrow to say anything is overridden.
func (o Options) width() int {
	if o.Width <= 0 {
		return 100
	}
	return max(o.Width, minWidth)
}

const (
	minWidth   = 20
	labelWidth = 22 // of "descriptors at death"
	maxGroups  = 6
	maxFrames  = 8
)

// page collects lines and keeps them within the width.
type page struct {
	w     *bufio.Writer
	width int
	color bool
}

// Colours: only these reach a terminal.
const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[1;31m"
	reset = "\x1b[0m"
)

// line writes a clean string, cut to the width, with a colour over its first n bytes (all: -1).
func (p *page) line(s, color string, n int) {
	s = strings.TrimRight(cut(s, p.width), " ")
	if n < 0 || n > len(s) {
		n = len(s)
	}
	if p.color && color != "" && n > 0 {
		s = color + s[:n] + reset + s[n:]
	}
	p.w.WriteString(s)
	p.w.WriteByte('\n')
}

// text writes a wrapped paragraph, each line indented.
func (p *page) text(indent int, s string) {
	for _, l := range wrap(s, p.width-indent) {
		p.line(strings.Repeat(" ", indent)+l, "", 0)
	}
}

// labelled writes "  ruled out    text", wrapped beside the label.
func (p *page) labelled(label string, paragraphs ...string) {
	w := labelWidth
	if p.width < 70 {
		w = 13
		if s := narrow[label]; s != "" {
			label = s
		}
	}
	head := "  " + pad(cut(label, w), w+1)
	for _, s := range paragraphs {
		for _, l := range wrap(s, p.width-w-3) {
			p.line(head+l, dim, len(head))
			head = strings.Repeat(" ", w+3)
		}
	}
}

// narrow are shorter labels for narrow terminals.
var narrow = map[string]string{"descriptors at death": "descriptors", "last on stderr": "last stderr", "last on stdout": "last stdout"}

func (p *page) blank() { p.w.WriteByte('\n') }

// Terminal writes c for a terminal: the answer, why, the story, and what to do.
func Terminal(w io.Writer, c *evidence.Case, o Options) error {
	p := &page{bufio.NewWriter(w), o.width(), o.Color}
	for i, l := range wrap("descry: "+Headline(c), p.width-2) {
		if i > 0 {
			l = "  " + l
		}
		p.line(l, red, -1)
	}
	if len(c.Findings) > 0 {
		p.text(2, clean(c.Findings[0].Summary))
	}
	for _, f := range rest(c.Findings) {
		p.text(2, fmt.Sprintf("With it: %s (%s). %s", clean(f.Title), clean(string(f.Confidence)), clean(f.Summary)))
	}
	for _, s := range c.Symptoms {
		p.text(2, clean(s.Summary))
	}
	if l := sinceOpened(c); l != "" {
		p.text(2, l)
	}
	p.rows(story(c))
	p.blank()
	if l := aboutSubject(c); l != "" {
		p.labelled("where", l)
	}
	p.table(c)
	p.backtrace(c)
	p.output(c)
	if s := ruledOut(c); s != "" {
		p.labelled("ruled out", s)
	}
	if s := unseen(c); s != "" {
		p.labelled("not seen", s)
	}
	if len(c.Findings) > 0 && c.Findings[0].Advice != "" {
		p.labelled("do", clean(c.Findings[0].Advice))
	}
	if c.Core != nil && c.Core.Saved {
		p.labelled("core", coreLine(c.Core))
	}
	if o.CaseHint != "" {
		p.labelled("kept", clean(o.CaseHint))
	}
	return p.w.Flush()
}

func rest(f []evidence.Finding) []evidence.Finding {
	if len(f) < 2 {
		return nil
	}
	return f[1:min(len(f), 4)]
}

// rows writes the story: when, what, and who saw it.
func (p *page) rows(rows []row) {
	if len(rows) == 0 {
		return
	}
	p.blank()
	when, source := 0, 0
	for _, r := range rows {
		when = max(when, cells(r.when))
		source = max(source, cells(r.source))
	}
	source = min(source, 34)
	what := p.width - 2 - when - 2
	beside := what-source-2 >= 34
	if beside {
		what -= source + 2
		widest := 0
		for _, r := range rows {
			widest = max(widest, cells(r.what))
		}
		what = min(what, max(widest, 40))
	}
	for _, r := range rows {
		head := "  " + pad(r.when, when+2)
		for i, l := range wrap(r.what, what) {
			if i == 0 && beside {
				l = pad(l, what+2) + cut(r.source, source)
			}
			p.line(head+l, dim, len(head))
			head = strings.Repeat(" ", when+4)
		}
	}
}

func tableOf(c *evidence.Case) (title string, t *evidence.FDTable) {
	if c.Death != nil && c.Death.NotStarted {
		return "", nil
	}
	t = c.FDTable
	for i := range c.Timeline {
		// A table of the process that died stands with its exit, too.
		if e, ok := c.Timeline[i].Detail.(*evidence.Exit); ok && t == nil && c.Death != nil && c.Timeline[i].PID == c.Death.PID {
			t = e.FDs
		}
	}
	if t == nil {
		return "", nil
	}
	title = "descriptors at death"
	if c.Death == nil {
		title = "descriptors"
	}
	return title, t
}

func tableHead(t *evidence.FDTable) string {
	s := fmt.Sprintf("%d", t.Open)
	if t.SoftLimit > 0 {
		s += fmt.Sprintf(" of %d", t.SoftLimit)
	}
	if t.Highest >= t.Open {
		s += fmt.Sprintf(", highest %d", t.Highest)
	}
	if t.Partial != "" {
		s += " (not whole: " + clean(t.Partial) + ")"
	}
	return s
}

// groups are those worth a line: the largest, and none of single ones where there are many.
func groups(t *evidence.FDTable) []evidence.FDGroup {
	var out []evidence.FDGroup
	for _, g := range t.Groups {
		if len(out) == maxGroups {
			break
		}
		if g.Count >= 2 && g.Count*100 >= t.Open || len(t.Groups) <= 3 {
			out = append(out, g)
		}
	}
	return out
}

func groupWhere(g *evidence.FDGroup) string {
	return middle(clean(join(g.Peer, g.Local, g.Path)), 60)
}

func (p *page) table(c *evidence.Case) {
	title, t := tableOf(c)
	if t == nil {
		return
	}
	p.labelled(title, tableHead(t))
	gs := groups(t)
	kind, state, where := 0, 0, 0
	for i := range gs {
		kind = max(kind, cells(clean(string(gs[i].Kind))))
		state = max(state, cells(clean(gs[i].State)))
		where = max(where, cells(groupWhere(&gs[i])))
	}
	kind, state = min(kind, 12), min(state, 14)
	where = max(8, min(where, p.width-4-kind-state-16))
	for i := range gs {
		g := &gs[i]
		s := "    " + pad(cut(clean(string(g.Kind)), kind), kind) + "  "
		if state > 0 {
			s += pad(cut(clean(g.State), state), state) + "  "
		}
		s += pad(middle(groupWhere(g), where), where) + fmt.Sprintf("  %6d", g.Count)
		if g.OpenedBy != "" {
			by := "   opened by " + clean(g.OpenedBy)
			if cells(s)+cells(by) > p.width {
				p.line(s, "", 0)
				s, by = "", strings.Repeat(" ", 8)+"opened by "+middle(clean(g.OpenedBy), p.width-20)
			}
			s += by
		}
		p.line(s, "", 0)
	}
}

// frames are those of the fault, the program's own first in view: library frames inside them are
// kept where they are few.
func frames(c *evidence.Case) (out []string, more int) {
	var trace []evidence.Frame
	cited := func(i int) bool {
		return slices.ContainsFunc(c.Findings, func(f evidence.Finding) bool { return slices.Contains(f.Evidence, i) })
	}
	for i := range c.Timeline {
		o := &c.Timeline[i]
		if c.Death != nil && o.PID != c.Death.PID && c.Death.PID != 0 && len(trace) > 0 {
			continue
		}
		switch d := o.Detail.(type) {
		case *evidence.SignalFatal:
			trace = d.Trace
		case *evidence.SignalCaught:
			if len(trace) == 0 && cited(i) { // runtimes take faults in health
				trace = d.Trace
			}
		}
	}
	if core := c.Core; core != nil && len(core.Frames) > 0 && c.Death != nil && core.PID == c.Death.PID && core.Signal == c.Death.Signal {
		// All of the memory was there to unwind it.
		trace = make([]evidence.Frame, len(core.Frames))
		for i := range trace {
			trace[i] = core.Frames[i].Frame
		}
	}
	own := false
	for i := range trace {
		own = own || trace[i].Own
	}
	skip := 0
	for i := range trace {
		f := &trace[i]
		if own && len(out) == 0 && !f.Own {
			skip++
			continue
		}
		s := clean(f.String())
		if f.Guess {
			s += " (a guess)"
		}
		if n := len(out); n > 0 && (out[n-1] == s || strings.HasPrefix(out[n-1], s+" (×")) {
			k := 1
			fmt.Sscanf(strings.TrimPrefix(out[n-1], s), " (×%d)", &k)
			out[n-1] = fmt.Sprintf("%s (×%d)", s, k+1)
			continue
		}
		if len(out) == maxFrames {
			return out, len(trace) - i
		}
		out = append(out, s)
	}
	return out, 0
}

func (p *page) backtrace(c *evidence.Case) {
	fs, more := frames(c)
	if len(fs) == 0 {
		return
	}
	p.labelled("backtrace", middle(fs[0], p.width))
	for _, f := range fs[1:] {
		p.line("    "+middle(f, p.width-4), "", 0)
	}
	if more > 0 {
		p.line(fmt.Sprintf("    … %d more", more), dim, -1)
	}
}

// lastWords gives the stream that says more about the end, its name and its last lines.
func lastWords(c *evidence.Case) (name string, ls []string, more bool) {
	o := c.LastOutput
	if o == nil {
		return "", nil, false
	}
	ls, more = lastLines(c.Text("stderr"), outputLines)
	name = "last on stderr"
	if len(ls) == 0 {
		ls, more = lastLines(c.Text("stdout"), outputLines)
		name = "last on stdout"
		if o.Merged {
			name = "last output"
		}
	}
	return name, ls, more
}

func (p *page) output(c *evidence.Case) {
	name, ls, more := lastWords(c)
	if len(ls) == 0 {
		return
	}
	head := plural(int64(len(ls)), "line")
	if more {
		head = "the last " + head
	}
	p.labelled(name, head)
	p.quote(ls)
	if stream, before := beforeGarbage(c, ls); len(before) > 0 {
		p.labelled("before it", "where "+stream+" first turned to garbage")
		p.quote(before)
	}
}

func (p *page) quote(ls []string) {
	for _, l := range ls {
		p.line("    | "+middle(l, p.width-6), "", 0)
	}
}

func explained(c *evidence.Case) bool {
	if len(c.Findings) == 0 || c.Findings[0].Confidence != evidence.Certain {
		return false
	}
	switch c.Findings[0].Cause {
	case "exit-error", "killed":
		return false
	}
	return true
}

// unseen says what was not watched, and why, each reason once.
func unseen(c *evidence.Case) string {
	var reasons []string
	what := map[string][]string{}
	for _, v := range c.Coverage {
		name := watched[v.Source]
		if name == "" {
			name = clean(v.Source)
		}
		why := ""
		switch {
		case v.Missing != "":
			why = clean(v.Missing)
		case v.Partial != "":
			why = clean(v.Partial)
		case v.Lost > 0:
			why = fmt.Sprintf("%d observations lost", v.Lost)
		default:
			continue
		}
		if what[why] == nil {
			reasons = append(reasons, why)
		}
		what[why] = append(what[why], name)
	}
	var out []string
	for _, why := range reasons {
		out = append(out, fmt.Sprintf("%s (%s)", strings.Join(what[why], ", "), why))
	}
	return strings.Join(out, "; ")
}
