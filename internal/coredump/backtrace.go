package coredump

import (
	"fmt"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/symbol"
)

// Stack is the backtrace of one thread.
type Stack struct {
	TID    int32
	Signal evidence.Signal // that the thread was handling, 0 where none
	symbol.Trace
}

// BacktraceOptions bound Backtraces. The zero value is good.
type BacktraceOptions struct {
	Threads int           // that are unwound at most, the one that died first; 1024 if 0
	Time    time.Duration // after which no further thread is begun, 10 s if 0
}

// Backtraces unwinds the threads, in their order; the error says which were left out for the bounds of
// o. Binaries are looked for below root ("" and "/": here) at the paths that the process had, and used if they are
// those that were mapped, as far as the core tells; Trace.Notes says which were not. A map that a JIT wrote
// (/tmp/perf-PID.map) is looked for there, too.
func (c *Core) Backtraces(res *symbol.Resolver, root string, o BacktraceOptions) ([]Stack, error) {
	if o.Threads <= 0 {
		o.Threads = 1024
	}
	if o.Time <= 0 {
		o.Time = 10 * time.Second
	}
	end := time.Now().Add(o.Time)
	maps := c.symbolMaps()
	var out []Stack
	for i := range c.Threads {
		switch {
		case i == o.Threads:
			return out, fmt.Errorf("unwind the threads: %d of %d, the most that are unwound", i, len(c.Threads))
		case i > 0 && time.Now().After(end):
			return out, fmt.Errorf("unwind the threads: %d of %d in %v, the most that it may take", i, len(c.Threads), o.Time)
		}
		t := &c.Threads[i]
		out = append(out, Stack{TID: t.TID, Signal: t.Signal, Trace: res.Unwind(c.context(t, root, maps))})
	}
	return out, nil
}

// context is what a thread is unwound from.
func (c *Core) context(t *Thread, root string, maps []symbol.Mapping) *symbol.Context {
	x := &symbol.Context{Arch: c.Arch, Regs: t.Regs, PC: t.PC, SP: t.SP, Maps: maps, Sorted: true, Root: root, NSPID: int(c.PID), Memory: c.Memory}
	// What lies next is read at once; more is read as it is asked for.
	x.Stack = make([]byte, 8<<10)
	x.Stack = x.Stack[:c.Memory(t.SP, x.Stack)]
	return x
}

// symbolMaps are the executable mappings, for symbol.
func (c *Core) symbolMaps() []symbol.Mapping {
	var out []symbol.Mapping
	for i := range c.Mappings {
		if m := &c.Mappings[i]; m.Executable {
			out = append(out, symbolMapping(m))
		}
	}
	return out
}
