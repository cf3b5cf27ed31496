package agent

import (
	"fmt"
	"os"
	"sync"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/symbol"
)

// Bounds of what is kept for stacks.
const (
	maxMaps     = 64      // processes whose mappings are kept
	maxMapsText = 1 << 20 // bytes of one process's mappings
)

// mapsBook keeps the executable mappings of live processes, since they are gone when a stack is read.
type mapsBook struct {
	mu    sync.Mutex
	of    map[int32]*mapsOf
	past  bool    // the processes are gone for long, their pids may be others' now
	root  string  // where the processes' root is, "": descry's own
	order []int32 // oldest first
}

// knows says whether a process is one that was swept.
func (b *mapsBook) knows(pid int32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.of[pid] != nil
}

type mapsOf struct {
	text     []byte
	mappings []symbol.Mapping // of text, parsed when first asked for
}

// mapsReader gives the text of /proc/PID/maps, and whether it has changed since the last call.
type mapsReader interface {
	Maps(pid int) (text []byte, changed bool, err error)
}

// keep reads the mappings of a process that a sweep has just seen.
func (b *mapsBook) keep(pid int32, r mapsReader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if text, changed, err := r.Maps(int(pid)); err == nil && len(text) > 0 && (changed || b.of[pid] == nil) {
		b.put(pid, text)
	}
}

// hold makes sure that the mappings are known which a stack of a live process needs.
func (b *mapsBook) hold(pid int32, x *evidence.Context) {
	if len(x.Maps) > 0 {
		return // the kernel gave them
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.of[pid]; m != nil && m.find(x.PC) {
		return
	}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid)); err == nil && len(text) > 0 {
		b.put(pid, text)
	}
}

func (b *mapsBook) put(pid int32, text []byte) {
	if len(text) > maxMapsText {
		text = text[:maxMapsText]
	}
	if b.of == nil {
		b.of = map[int32]*mapsOf{}
	}
	if b.of[pid] == nil {
		b.order = append(b.order, pid)
		if len(b.order) > maxMaps {
			delete(b.of, b.order[0])
			b.order = b.order[1:]
		}
	}
	b.of[pid] = &mapsOf{text: text}
}

func (m *mapsOf) parsed() []symbol.Mapping {
	if m.mappings == nil {
		m.mappings = symbol.ParseMaps(m.text)
	}
	return m.mappings
}

func (m *mapsOf) find(pc uint64) bool {
	for _, v := range m.parsed() {
		if pc >= v.Start && pc < v.End {
			return true
		}
	}
	return false
}

// contextOf is what a stack can be unwound from, nil where the detail has none.
func contextOf(d evidence.Detail) *evidence.Context {
	switch d := d.(type) {
	case *evidence.SignalFatal:
		return d.Context
	case *evidence.SignalCaught:
		return d.Context
	case *evidence.FDRefused:
		return d.Context
	case *evidence.FDGrown:
		return d.Context
	case *evidence.SelectBeyond:
		return d.Context
	case *evidence.Stdio:
		return d.Context
	case *evidence.Written:
		return d.Context
	case *evidence.Garbled:
		return d.Context
	}
	return nil
}

// unwind names the frames of every stack in the timeline. The stacks themselves stay in the recording.
func (b *mapsBook) unwind(timeline []evidence.Observation) {
	r := symbol.New(symbol.Options{})
	defer r.Close()
	for i := range timeline {
		x := contextOf(timeline[i].Detail)
		if x == nil {
			continue
		}
		pid := timeline[i].PID
		if g, ok := timeline[i].Detail.(*evidence.Garbled); ok && g.Writer != nil {
			pid = g.Writer.PID
		}
		trace := r.Unwind(b.context(pid, x))
		frames := make([]evidence.Frame, len(trace.Frames))
		for j, f := range trace.Frames {
			frames[j] = evidence.Frame{
				PC: f.PC, Function: f.Function, Offset: f.Offset, Module: f.Module, File: f.File, Line: int32(f.Line),
				Guess: f.Guess, Own: symbol.Trace{Frames: trace.Frames[j : j+1]}.Own() != nil,
			}
		}
		switch d := timeline[i].Detail.(type) {
		case *evidence.SignalFatal:
			d.Trace, d.TraceBy = frames, trace.By
		case *evidence.SignalCaught:
			d.Trace, d.TraceBy = frames, trace.By
		case *evidence.FDRefused:
			d.Trace, d.TraceBy = frames, trace.By
		case *evidence.FDGrown:
			d.Trace, d.TraceBy = frames, trace.By
		case *evidence.SelectBeyond:
			d.Trace, d.TraceBy = frames, trace.By
		case *evidence.Stdio:
			d.Trace, d.TraceBy = frames, trace.By
		case *evidence.Written:
			d.Trace, d.TraceBy = frames, trace.By
		case *evidence.Garbled:
			if d.Writer != nil {
				d.Writer.Trace, d.Writer.TraceBy = frames, trace.By
			}
		}
	}
}

func (b *mapsBook) context(pid int32, x *evidence.Context) *symbol.Context {
	out := &symbol.Context{Arch: x.Arch, Regs: x.Regs, PC: x.PC, SP: x.SP, Stack: x.Stack, Root: b.root}
	if !b.past {
		out.PID = int(pid)
	}
	for _, m := range x.Maps {
		out.Maps = append(out.Maps, symbol.Mapping{Start: m.Start, End: m.End, Offset: m.Offset, Path: m.Path, Device: m.Device, Inode: m.Inode})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.of[pid]; m != nil {
		out.Maps = append(out.Maps, m.parsed()...) // the kernel's come first, and so count first
	}
	return out
}
