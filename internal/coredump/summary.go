package coredump

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/symbol"
)

// SummaryOptions say what Summarise may use. Only Resolver is needed.
type SummaryOptions struct {
	Resolver *symbol.Resolver
	Root     string // where the process's files are: "/proc/PID/root", a folder; "" and "/" are this machine's own
	Entry    *Entry // what was kept beside the core; nil for a core that is no entry's
	Now      int64  // CLOCK_MONOTONIC in nanoseconds at the death, for how long goroutines waited; 0: not known

	Frames     int  // of a thread at most, 64 if 0
	Threads    int  // that are unwound at most, 512 if 0
	Groups     int  // of threads and of goroutines at most, 24 if 0
	Unmasked   bool // leave what looks like secrets
	Registers  bool // of the thread that died
	AllModules bool // not only those of its stack
	Brief      bool // only what the fingerprint needs
}

const (
	maxModules   = 256
	maxSaidBytes = 300 // of a foreign string
	maxTIDs      = 8
)

// Summarise says what died, what its fault means, and what its threads were at. It never fails: what cannot
// be read is in Notes.
func Summarise(c *Core, o SummaryOptions) *evidence.Core {
	o.Frames, o.Threads, o.Groups = orDefault(o.Frames, 64), orDefault(o.Threads, 512), orDefault(o.Groups, 24)
	s := &summary{c: c, o: o, out: &evidence.Core{Threads: len(c.Threads), Arch: c.Arch, PID: c.PID, Comm: said(c.Comm),
		Signal: c.Signal, Code: c.Code, CodeName: codeName(c.Signal, c.Code)}}
	s.notes(c.Damage...)
	s.entry()
	s.program()
	s.threads()
	m := s.fault()
	if !o.Brief {
		s.goroutines()
	}
	s.modules()
	s.environment()
	s.out.Selected = s.selected(&m)
	s.out.Mapped = s.mapped(&m)
	s.out.Fingerprint, s.out.AlikeBy = Fingerprint(s.out)
	for i := range s.out.Frames {
		s.out.Backtrace = append(s.out.Backtrace, s.out.Frames[i].String())
	}
	return s.out
}

// SummariseEntry is the summary where no memory was kept: what /proc told.
func SummariseEntry(e *Entry) *evidence.Core {
	s := &summary{o: SummaryOptions{Entry: e}, out: &evidence.Core{PID: e.PID, TID: e.TID, Comm: said(e.Comm), Signal: e.Signal}}
	s.entry()
	if e.Process != nil {
		s.out.Threads = int(e.Process.ThreadCount)
	}
	s.notes("no memory was kept: there are no stacks")
	return s.out
}

// Summary reads the core of e and says what died. e has what /proc told, which is all there is where no memory was kept.
func (s *Store) Summary(e *Entry, o SummaryOptions) (*evidence.Core, error) {
	o.Entry = e
	if e.File == "" {
		return SummariseEntry(e), nil
	}
	r, size, closer, err := s.OpenCore(e)
	if err != nil {
		return nil, err
	}
	defer closer.Close() //nolint:errcheck // read only
	c, err := Open(r, size)
	if err != nil {
		return nil, fmt.Errorf("read core %s: %w", e.ID, err)
	}
	out := Summarise(c, o)
	if e.Fingerprint == "" && named(out.AlikeBy) {
		s.note(e, out)
	}
	if e.Fingerprint != "" {
		out.Fingerprint, out.AlikeBy = e.Fingerprint, e.AlikeBy
	}
	return out, nil
}

// named says whether a fingerprint was made of functions' names alone: places in a binary do not outlive a rebuild.
func named(by []string) bool {
	for i, b := range by {
		if i > 1 && strings.Contains(b, "+0x") {
			return false
		}
	}
	return len(by) > 2
}

// note writes the fingerprint into the entry. Where that cannot be done it is made anew the next time.
func (s *Store) note(e *Entry, c *evidence.Core) {
	s.locked(func() error { //nolint:errcheck // a folder that may only be read
		now, err := s.read(e.ID)
		if err != nil {
			return err
		}
		now.Fingerprint, now.AlikeBy = c.Fingerprint, c.AlikeBy
		if err := s.put(now); err != nil {
			return err
		}
		e.Fingerprint, e.AlikeBy = now.Fingerprint, now.AlikeBy
		return nil
	})
}

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}

// said bounds a foreign string.
func said(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > maxSaidBytes {
		s = strings.ToValidUTF8(s[:maxSaidBytes], "") + "…"
	}
	return s
}

type summary struct {
	c      *Core
	o      SummaryOptions
	out    *evidence.Core
	stacks []Stack
}

func (s *summary) notes(notes ...string) {
	for _, n := range notes {
		if n = said(n); n != "" && !slices.Contains(s.out.Notes, n) && len(s.out.Notes) < 24 {
			s.out.Notes = append(s.out.Notes, n)
		}
	}
}

// mask gives text without what looks like a secret, and counts what was masked.
func (s *summary) mask(text string) string {
	text = said(text)
	if s.o.Unmasked {
		return text
	}
	text, n := MaskText(text)
	s.out.Masked += n
	return text
}

// entry takes what was noted while the kernel waited.
func (s *summary) entry() {
	e := s.o.Entry
	if e == nil {
		return
	}
	out := s.out
	out.ID, out.Kept, out.Why, out.Bytes, out.CoreBytes, out.File = e.ID, string(e.Kept), said(e.Why), e.Bytes, e.CoreBytes, e.File
	out.Saved = e.Kept != None && e.File != ""
	out.Masked, out.PID = int(e.MaskedAt), e.PID
	out.Command = e.Command
	if p := e.Process; p != nil {
		out.FDs = p.FDTable
		out.Program, out.Started = said(p.Exe), p.Started
		for _, l := range p.Limits {
			out.Limits = append(out.Limits, evidence.CoreLimit{Name: l.Name, Soft: l.Soft, Hard: l.Hard})
		}
		for _, name := range p.Environment {
			out.Environment = append(out.Environment, said(name))
		}
		s.notes(p.Missing...)
	}
}

// program finds the executable and the command line.
func (s *summary) program() {
	c, out := s.c, s.out
	if m := c.programMapping(c.symbolMaps()); m != nil {
		out.Program = said(m.Path)
	} else if at, ok := c.Aux(atExecFn); ok && out.Program == "" {
		name, _ := c.String(at, maxPath)
		out.Program = said(name)
	}
	if len(out.Command) == 0 && c.Command != "" {
		args := strings.Fields(c.Command)
		if !s.o.Unmasked {
			args = MaskArgs(args)
		}
		for _, a := range args {
			out.Command = append(out.Command, said(a))
		}
	}
}

// fault says what the signal and its address mean.
func (s *summary) fault() Meaning {
	var stack *Stack
	if len(s.stacks) > 0 {
		stack = &s.stacks[0]
	}
	var file *MappedFile
	if s.o.Entry != nil {
		file = s.o.Entry.Mapped
	}
	m := s.c.meaning(s.o.Resolver, s.o.Root, stack, file)
	out := s.out
	out.Fault, out.Meaning = m.Fault, s.mask(m.Text)
	if m.AddressKnown {
		out.Address, out.AddressKnown = m.Address, true
	}
	out.Message, out.Smashed = s.mask(m.Message), said(m.Smashed)
	if m.Exception != "" {
		out.Exception = s.mask(strings.TrimSuffix(m.Exception+": "+m.What, ": "))
	}
	return m
}

func (s *summary) frames(in []symbol.Frame) []evidence.CoreFrame {
	out := make([]evidence.CoreFrame, 0, min(len(in), s.o.Frames))
	for i := range in {
		f := &in[i]
		if len(out) == s.o.Frames {
			break
		}
		out = append(out, evidence.CoreFrame{Frame: evidence.Frame{PC: f.PC, Function: said(f.Function), Offset: f.Offset, Module: said(f.Module),
			File: said(f.File), Line: int32(f.Line), Guess: f.Guess, Own: f.OwnCode()}, Inlined: f.Inlined, Signal: f.Signal})
	}
	return out
}

// cut says why a trace ends, if it is not whole.
func (s *summary) cut(t *symbol.Trace) string {
	if len(t.Frames) > s.o.Frames {
		return fmt.Sprintf("%d more frames", len(t.Frames)-s.o.Frames)
	}
	return said(t.Truncated)
}

// threads unwinds all of them; alike ones go together.
func (s *summary) threads() {
	stacks, err := s.c.Backtraces(s.o.Resolver, s.o.Root, BacktraceOptions{Threads: s.o.Threads, Time: 10 * time.Second})
	if err != nil {
		s.notes(err.Error())
	}
	s.stacks = stacks
	groups := map[string]int{}
	for i := range stacks {
		t := &stacks[i]
		s.notes(t.Notes...)
		if i == 0 {
			s.out.TID, s.out.Frames, s.out.Truncated = t.TID, s.frames(t.Frames), s.cut(&t.Trace)
			if s.o.Registers {
				s.out.Registers = registers(s.c.Arch, s.c.Threads[0].Regs)
			}
			continue
		}
		var key strings.Builder
		for k := range t.Frames {
			f := &t.Frames[k]
			if key.WriteString(f.Function); f.Function == "" {
				fmt.Fprintf(&key, "%x", f.PC)
			}
			key.WriteByte('\n')
		}
		at, ok := groups[key.String()]
		if !ok {
			at = len(s.out.Others)
			groups[key.String()] = at
			s.out.Others = append(s.out.Others, evidence.CoreThreads{Frames: s.frames(t.Frames), Truncated: s.cut(&t.Trace)})
		}
		g := &s.out.Others[at]
		g.Count++
		if len(g.TIDs) < maxTIDs {
			g.TIDs = append(g.TIDs, t.TID)
		}
	}
	slices.SortStableFunc(s.out.Others, func(a, b evidence.CoreThreads) int { return b.Count - a.Count })
	if n := len(s.out.Others); n > s.o.Groups {
		s.notes(fmt.Sprintf("%d more groups of threads are left out", n-s.o.Groups))
		s.out.Others = s.out.Others[:s.o.Groups]
	}
}

func (s *summary) goroutines() {
	g, err := s.c.Goroutines(s.o.Resolver, s.o.Root, s.o.Now)
	if err != nil {
		return // no Go program, or its binary is not there: the notes say so
	}
	out := &evidence.Goroutines{Count: g.Count, Read: g.Read, Version: said(g.Version), MoreAlike: g.More, Missing: said(g.Missing)}
	if n := len(g.Groups); n > s.o.Groups {
		out.MoreAlike += n - s.o.Groups
		g.Groups = g.Groups[:s.o.Groups]
	}
	for i := range g.Groups {
		v := &g.Groups[i]
		e := evidence.GoroutineGroup{Count: len(v.IDs), IDs: slices.Clone(v.IDs[:min(len(v.IDs), maxTIDs)]), State: v.State, TID: v.TID,
			WaitMax: float64(v.WaitNanos) / 1e9, Frames: s.frames(v.Trace.Frames), Truncated: s.cut(&v.Trace), CreatedBy: said(v.CreatedBy.Function),
			CreatorID: v.Creator, Entry: said(v.Entry.Function), LockedToTID: v.Locked}
		if v.CreatedBy.Line != 0 {
			e.CreatedAt = said(fmt.Sprintf("%s:%d", v.CreatedBy.File, v.CreatedBy.Line))
		}
		out.Groups = append(out.Groups, e)
	}
	s.out.Goroutines, s.out.Panic = out, s.mask(g.Panic)
}

// modules lists the binaries: those of the stack of the thread that died, or all.
func (s *summary) modules() {
	in := map[string]bool{}
	for i := range s.out.Frames {
		in[s.out.Frames[i].Module] = true
	}
	at := map[string]int{}
	for i := range s.c.Mappings {
		m := &s.c.Mappings[i]
		if m.Path == "" || m.Path[0] != '/' {
			continue
		}
		p := said(m.Path)
		k, ok := at[p]
		if !ok {
			if !in[p] && !(s.o.AllModules && m.BuildID != "") || len(s.out.Modules) == maxModules {
				continue
			}
			k = len(s.out.Modules)
			at[p] = k
			s.out.Modules = append(s.out.Modules, evidence.CoreModule{Path: p, BuildID: m.BuildID, Start: m.Start, InTrace: in[p]})
		}
		v := &s.out.Modules[k]
		v.Start, v.End = min(v.Start, m.Start), max(v.End, m.End)
		if v.BuildID == "" {
			v.BuildID = m.BuildID
		}
	}
	for i := range s.out.Modules {
		for _, n := range s.out.Notes {
			if rest, ok := strings.CutPrefix(n, s.out.Modules[i].Path+": "); ok {
				s.out.Modules[i].Missing = rest
			}
		}
	}
	slices.SortStableFunc(s.out.Modules, func(a, b evidence.CoreModule) int {
		switch {
		case a.InTrace && !b.InTrace:
			return -1
		case b.InTrace && !a.InTrace:
			return 1
		}
		return strings.Compare(path.Base(a.Path), path.Base(b.Path))
	})
}

// registers names those of Thread.Regs.
func registers(arch string, regs []uint64) (out []evidence.CoreRegister) {
	names := []string{"r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss"}
	if arch == "arm64" {
		names = names[:0:0]
		for i := range 31 {
			names = append(names, fmt.Sprintf("x%d", i))
		}
		names = append(names, "sp", "pc", "pstate")
	}
	for i, n := range names {
		if i < len(regs) {
			out = append(out, evidence.CoreRegister{Name: n, Value: regs[i]})
		}
	}
	return out
}
