package coredump

import (
	"testing"

	"github.com/descry-dev/descry/internal/symbol"
)

// FuzzGoroutines reads hostile memory as a Go program's: cycles, lengths without an end, pointers anywhere.
func FuzzGoroutines(f *testing.F) {
	const base = 0x1000
	// A list of two goroutines that are one, whose panics go round.
	seed := make([]byte, 1024)
	put := func(at int, v uint64) { le.PutUint64(seed[at:], v) }
	put(0, base+64)    // allgs: where its array is,
	put(8, 1<<40)      // how long,
	put(16, 1<<40)     // and what it has room for
	put(64, base+128)  // the array
	put(72, base+128)  //
	put(128, base+512) // runtime.g: its stack
	put(136, base+1024)
	put(128+gPanic, base+600)
	put(128+gM, base+700)
	put(128+gSchedSP, base+520)
	put(128+gSchedPC, base+1)
	put(128+gSchedG, base+128)
	put(128+96, base+528)   // its frame pointer, and
	put(528, base+528)      // one that is its own caller
	put(128+144, 4)         // waiting
	put(128+152, 1)         // its number
	put(600, base+800)      // a panic: its type,
	put(608, base+900)      // its value,
	put(616, base+600)      // and the one before it
	put(800+goTypeKind, 24) // a string
	put(900, base)          //
	put(908, 1<<62)         // that long
	put(900+40, base)       //
	put(700+64, 7)          // runtime.m
	put(700+184, base+128)  //
	f.Add(seed, "go1.26.1", uint64(base))
	f.Add(seed, "go1.21.1", uint64(0))
	f.Add(seed[:200], "devel", uint64(base+8))
	f.Fuzz(func(t *testing.T, mem []byte, version string, allgs uint64) {
		read := func(addr uint64, p []byte) int {
			if addr < base || addr-base >= uint64(len(mem)) {
				return 0
			}
			return copy(p, mem[addr-base:])
		}
		prog := &symbol.GoProgram{Version: version, AllGs: allgs, PCLn: base, Data: []symbol.Span{{Start: base, End: base + uint64(len(mem))}, {Start: 1 << 63, End: 1}}}
		r := &goReader{read: read, prog: prog, names: map[uint64]symbol.Frame{}}
		out := &GoRuntime{}
		gs, err := r.all(out)
		if err != nil {
			return
		}
		if len(gs) > maxGoroutines || out.Read != len(gs) {
			t.Fatalf("%d goroutines, Read %d", len(gs), out.Read)
		}
		unwound := 0
		r.group(out, gs, func(*goroutine) symbol.Trace { unwound++; return symbol.Trace{} }, func(pc uint64) symbol.Frame { return symbol.Frame{PC: pc} })
		if unwound > maxGoGroups || len(out.Groups) > maxGoGroups {
			t.Fatalf("%d stacks unwound", unwound)
		}
		if s := r.panicOf(gs, 7); len(s) > maxPanics*(6*maxPanicLen+400) {
			t.Fatalf("a message of %d bytes", len(s))
		}
	})
}
