package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// CoreOptions say how a core is shown.
type CoreOptions struct {
	Options
	All bool // every frame, group and module that the summary has
}

const (
	coreFrames  = 24 // of the thread that died
	otherFrames = 8
	otherGroups = 8
)

// Core writes the summary of a core for a terminal: what died, what the fault means, and where all were.
func Core(w io.Writer, c *evidence.Core, o CoreOptions) error {
	p := &page{bufio.NewWriter(w), o.width(), o.Color}
	most := func(n int) int {
		if o.All {
			return 1 << 30
		}
		return n
	}
	for i, l := range wrap(coreHead(c), p.width-2) {
		if i > 0 {
			l = "  " + l
		}
		p.line(l, red, -1)
	}
	if c.Panic != "" {
		p.text(2, "panic: "+clean(c.Panic))
	}
	if s := coreFault(c); s != "" {
		p.text(2, s)
	}
	if c.Message != "" {
		p.text(2, "The C library said: "+clean(c.Message))
	}
	if c.Exception != "" {
		p.text(2, "Nobody caught the exception "+clean(c.Exception))
	}
	if s := coreSelect(c.Selected); s != "" {
		p.text(2, s)
	}
	p.blank()
	if len(c.Command) > 0 {
		p.labelled("command", clean(strings.Join(c.Command, " ")))
	}
	if c.Program != "" {
		p.labelled("program", clean(c.Program))
	}
	p.labelled("kept", coreKept(c))
	if c.Fingerprint != "" {
		p.labelled("alike", c.Fingerprint+": "+coreAlike(c.AlikeBy))
	}
	if c.FDs != nil {
		p.labelled("descriptors", tableHead(c.FDs))
	}
	if s := coreLimits(c.Limits); s != "" {
		p.labelled("limits", s)
	}
	if len(c.Environment) > 0 {
		p.labelled("environment", clean(strings.Join(c.Environment, " ")))
	}
	switch c.Kept {
	case "stacks":
		p.labelled("not kept", "heap, buffers and most data: what the stacks do not point to cannot be known from this core")
	case "none":
		p.labelled("not kept", "memory: no stacks, registers or values can be known")
	}
	p.blank()
	if c.TID != 0 || len(c.Frames) > 0 {
		p.line(fmt.Sprintf("  thread %d, which died", c.TID), bold, -1)
	}
	p.stack(c.Frames, c.Truncated, most(coreFrames))
	p.registers(c.Registers)
	p.goroutines(c.Goroutines, most(otherGroups), most(otherFrames))
	p.threads(c, most(otherGroups), most(otherFrames))
	p.modules(c)
	for _, n := range c.Notes {
		p.labelled("note", clean(n))
	}
	if c.Masked > 0 {
		p.labelled("masked", plural(int64(c.Masked), "place")+" that looked like a secret; --unmasked shows what there is")
	}
	return p.w.Flush()
}

func coreHead(c *evidence.Core) string {
	name := c.Comm
	if c.Program != "" {
		name = c.Program[strings.LastIndexByte(c.Program, '/')+1:]
	}
	s := clean(name)
	if c.PID != 0 {
		s += fmt.Sprintf(" (pid %d)", c.PID)
	}
	if c.Signal == 0 && c.Threads == 0 && len(c.Frames) == 0 { // it is cut before its notes
		if s == "" {
			s = "A program"
		}
		return s + ", of which the core tells neither a signal nor a thread"
	}
	if c.Signal == 0 {
		return s + " had no fatal signal: a core of a live process"
	}
	s += " died of " + c.Signal.String()
	if c.CodeName != "" {
		s += " (" + c.CodeName + ")"
	}
	if c.AddressKnown {
		s += fmt.Sprintf(" at 0x%x", c.Address)
	}
	return s
}

// coreFault is what the fault means, and where.
func coreFault(c *evidence.Core) string {
	s := clean(c.Meaning)
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if f := coreOwn(c.Frames); f != nil && (f.Function == "" || !strings.Contains(c.Meaning, f.Function)) {
		s += ", in " + clean(f.String())
	}
	return s + "."
}

// coreAlike is what a fingerprint was made of: "shop, memory: add < cart < main".
func coreAlike(by []string) string {
	if len(by) < 3 {
		return clean(strings.Join(by, ", "))
	}
	return clean(strings.Join(by[:2], ", ") + ": " + strings.Join(by[2:], " < "))
}

// coreOwn is the innermost frame of the program's own; where a handler took the signal, of what it interrupted.
func coreOwn(frames []evidence.CoreFrame) *evidence.CoreFrame {
	for i := range frames {
		if frames[i].Signal && i+1 < len(frames) {
			frames = frames[i+1:]
			break
		}
	}
	for _, guess := range []bool{false, true} {
		for i := range frames {
			if f := &frames[i]; f.Own && f.Guess == guess {
				return f
			}
		}
	}
	return nil
}

func coreSelect(v *evidence.CoreSelect) string {
	if v == nil {
		return ""
	}
	fd := fmt.Sprintf("descriptor %d", v.FD)
	if v.Candidate > 1 {
		fd += ", or another of 1024 and more,"
	}
	return fmt.Sprintf("Its %s at 0x%x was overwritten by the bit of %s in an fd_set, which holds 0 to 1023.", clean(v.Over), v.Address, fd)
}

// coreLine says of a case's core what is kept, and how to read it.
func coreLine(c *evidence.Core) string {
	s := coreKept(c)
	if c.ID != "" {
		s = "descry core show " + clean(c.ID) + ", " + s
	}
	if c.Goroutines != nil {
		s += fmt.Sprintf("; %s", plural(int64(c.Goroutines.Count), "goroutine"))
	}
	if c.Fingerprint != "" {
		s += "; alike: " + clean(c.Fingerprint)
	}
	return s
}

// coreLimits are the limits that crashes depend on: "1024 open files, 8 MiB of stack, unlimited core".
func coreLimits(limits []evidence.CoreLimit) string {
	var out []string
	for _, l := range limits {
		text := bytesOf(l.Soft)
		if l.Soft < 0 {
			text = "unlimited"
		}
		switch l.Name {
		case "Max open files":
			if l.Soft >= 0 {
				text = fmt.Sprint(l.Soft)
			}
			out = append(out, "open files "+text)
		case "Max stack size":
			out = append(out, "stack "+text)
		case "Max core file size":
			out = append(out, "core "+text)
		}
	}
	return strings.Join(out, ", ")
}

func coreKept(c *evidence.Core) string {
	if c.Kept == "" {
		return "a file of " + bytesOf(c.Bytes)
	}
	s := clean(c.Kept)
	if c.Bytes > 0 {
		s += ", " + bytesOf(c.Bytes)
	}
	if c.CoreBytes > 0 {
		s += " (a core of " + bytesOf(c.CoreBytes) + ")"
	}
	if c.Why != "" {
		s += ": " + clean(c.Why)
	}
	return s
}

// stack writes frames, with runs of alike ones as one.
func (p *page) stack(frames []evidence.CoreFrame, truncated string, most int) {
	shown := 0
	for i := 0; i < len(frames); {
		if shown == most {
			p.line(fmt.Sprintf("      … %d more", len(frames)-i), dim, -1)
			break
		}
		f := &frames[i]
		s := clean(f.String())
		if f.Signal {
			s = "<signal handler called>"
		}
		n := 1
		for i+n < len(frames) && clean(frames[i+n].String()) == s {
			n++
		}
		head := fmt.Sprintf("  %4d  ", i)
		if f.Inlined {
			s += " [inlined]"
		}
		if f.Guess {
			s += " (a guess)"
		}
		if n > 1 {
			s += fmt.Sprintf(" (×%d)", n)
		}
		p.line(head+middle(s, p.width-len(head)), dim, len(head))
		shown++
		i += n
	}
	if truncated != "" {
		for _, l := range wrap("("+clean(truncated)+")", p.width-8) {
			p.line("        "+l, dim, -1)
		}
	}
}

func (p *page) registers(regs []evidence.CoreRegister) {
	if len(regs) == 0 {
		return
	}
	line := "       "
	for _, r := range regs {
		s := fmt.Sprintf(" %s=0x%x", clean(r.Name), r.Value)
		if cells(line)+cells(s) > p.width {
			p.line(line, dim, -1)
			line = "       "
		}
		line += s
	}
	p.line(line, dim, -1)
}

func (p *page) threads(c *evidence.Core, groups, frames int) {
	for i := range c.Others {
		g := &c.Others[i]
		p.blank()
		if i == groups {
			p.line(fmt.Sprintf("  … %d more groups of threads (--all)", len(c.Others)-i), dim, -1)
			return
		}
		p.line(fmt.Sprintf("  %s: %s", plural(int64(g.Count), "thread"), numbersOf(g.TIDs, g.Count)), bold, -1)
		p.stack(g.Frames, g.Truncated, frames)
	}
}

func numbersOf[T int32 | uint64](ids []T, count int) string {
	var out []string
	for i, id := range ids {
		if i == 4 {
			break
		}
		out = append(out, fmt.Sprint(id))
	}
	s := strings.Join(out, ", ")
	if count > len(out) {
		s += ", …"
	}
	return s
}

func (p *page) goroutines(g *evidence.Goroutines, groups, frames int) {
	if g == nil {
		return
	}
	p.blank()
	head := "  " + plural(int64(g.Count), "goroutine")
	if g.Version != "" {
		head += " (" + clean(g.Version) + ")"
	}
	p.line(head, bold, -1)
	if g.Missing != "" {
		p.text(4, clean(g.Missing)+".")
	}
	for i := range g.Groups {
		v := &g.Groups[i]
		if i == groups {
			p.line(fmt.Sprintf("  … %d more groups of goroutines (--all)", len(g.Groups)-i+g.MoreAlike), dim, -1)
			return
		}
		s := fmt.Sprintf("  %s [%s]", plural(int64(v.Count), "goroutine"), clean(v.State))
		if v.WaitMax >= 1 {
			s += fmt.Sprintf(" for up to %s", plural(int64(v.WaitMax), "second"))
		}
		if v.TID != 0 {
			s += fmt.Sprintf(" on thread %d", v.TID)
		}
		if v.LockedToTID {
			s += ", locked to its thread"
		}
		p.line(s+": "+numbersOf(v.IDs, v.Count), bold, -1)
		p.stack(v.Frames, v.Truncated, frames)
		if v.CreatedBy != "" {
			s := "        created by " + clean(v.CreatedBy)
			if v.CreatedAt != "" {
				s += " (" + clean(v.CreatedAt[strings.LastIndexByte(v.CreatedAt, '/')+1:]) + ")"
			}
			p.line(middle(s, p.width), dim, -1)
		}
	}
	if g.MoreAlike > 0 {
		p.line(fmt.Sprintf("  … %d more groups of goroutines", g.MoreAlike), dim, -1)
	}
}

func (p *page) modules(c *evidence.Core) {
	if len(c.Modules) == 0 {
		return
	}
	p.blank()
	p.line("  modules", bold, -1)
	for i := range c.Modules {
		m := &c.Modules[i]
		s := fmt.Sprintf("    0x%-12x  %s", m.Start, clean(m.Path))
		if m.BuildID != "" {
			s += "  " + clean(m.BuildID)
		}
		if m.Missing != "" {
			s += "  (" + clean(m.Missing) + ")"
		}
		p.line(middle(s, p.width), "", 0)
	}
	p.blank()
}
