package symbol

import (
	"slices"
	"strings"
	"testing"
)

// unwindC runs crash.c to its nth fault and unwinds it.
func unwindC(t *testing.T, prog string, nth int, how string) Trace {
	t.Helper()
	s := runUntil(t, nth, prog, how)
	return newResolver(t).Unwind(s.context(t))
}

// TestUnwindC compares every frame with gdb's, for every way to build and every way to die.
func TestUnwindC(t *testing.T) {
	needAMD64(t)
	// Where only the layout differs, a few ways to die will do: each is a run under gdb.
	few := map[string]bool{"plain": true, "qsort": true, "handler": true, "thread": true, "null": true}
	for n, flags := range [][]string{
		{"-O0"}, {"-O2", "-static"}, {"-O2"}, {"-O2", "-fomit-frame-pointer"}, {"-O2", "-fno-omit-frame-pointer"}, {"-O2", "-no-pie"},
		{"-O2", "-static-pie"}, {"-Os", "-fcf-protection=full"}, {"-O2", "-g"},
	} {
		name := strings.Join(flags, "")
		t.Run(name, func(t *testing.T) {
			prog := build(t, "gcc", "crash.c", append(flags, "-pthread", "-fno-optimize-sibling-calls")...)
			for _, how := range []struct {
				arg    string
				nth    int
				own    string
				within string // Interrupted
			}{
				{"plain", 1, "crash", ""}, {"deep", 1, "crash", ""}, {"qsort", 1, "crash", ""}, {"abort", 1, "giveup", ""}, {"null", 1, "caller_of_null", ""},
				{"wild", 1, "wild", ""}, {"handler", 2, "crash", "crash"}, {"handler-abort", 2, "giveup", "crash"}, {"thread", 1, "crash", ""}, {"free", 1, "freed_twice", ""},
			} {
				if n > 1 && !few[how.arg] {
					continue
				}
				t.Run(how.arg, func(t *testing.T) {
					want := gdbFrames(t, how.nth, prog, how.arg)
					tr := unwindC(t, prog, how.nth, how.arg)
					compare(t, tr, want)
					if own := tr.Own(); own == nil || own.Function != how.own {
						t.Errorf("Own = %+v, want %s\n%s", own, how.own, dump(tr))
					}
					if in := tr.Interrupted(); (in == nil) != (how.within == "") || in != nil && in.Function != how.within {
						t.Errorf("Interrupted = %+v, want %q", in, how.within)
					}
					if tr.Truncated != "" {
						t.Errorf("truncated: %s\n%s", tr.Truncated, dump(tr))
					}
				})
			}
		})
	}
}

// compare checks names frame by frame against gdb's. Inlined functions of libraries are left out:
// for those gdb reads the debug information of libc, which we do not.
func compare(t *testing.T, tr Trace, want []gdbFrame) {
	t.Helper()
	var got, theirs []string
	for _, f := range tr.Frames {
		if !f.Inlined {
			got = append(got, f.Function)
		}
	}
	for _, f := range want {
		if !f.inlined {
			theirs = append(theirs, f.name)
		}
	}
	ok := len(got) == len(theirs)
	for i := 0; ok && i < len(got); i++ {
		a, b := plain(got[i]), plain(theirs[i])
		ok = a == b || got[i] == "" && theirs[i] == "?" || got[i] == "__restore_rt" && theirs[i] == "<signal handler called>"
	}
	if !ok {
		t.Errorf("frames differ from gdb's\nwant %s\n%s", strings.Join(theirs, " "), dump(tr))
	}
}

func TestStripped(t *testing.T) {
	prog := build(t, "gcc", "crash.c", "-O2", "-s", "-pthread", "-fno-optimize-sibling-calls")
	full := build(t, "gcc", "crash.c", "-O2", "-pthread", "-fno-optimize-sibling-calls")
	got, want := unwindC(t, prog, 1, "qsort"), unwindC(t, full, 1, "qsort")
	if len(got.Frames) != len(want.Frames) || got.Truncated != "" {
		t.Fatalf("stripped:\n%s\nfull:\n%s", dump(got), dump(want))
	}
	for i, f := range got.Frames {
		if f.Module == prog {
			if f.Function != "" || f.Offset == 0 || f.Offset >= 1<<20 {
				t.Errorf("a name for what has none, or no offset in the module: %+v", f)
			}
		} else if f.Function != want.Frames[i].Function {
			t.Errorf("frame %d: %s, want %s", i, f.Function, want.Frames[i].Function)
		}
	}
	if own := got.Own(); own == nil || own.Module != prog {
		t.Errorf("Own = %+v", own)
	}
}

// TestNoUnwindInfo needs frame pointers, prologues and scanning: the program has no .eh_frame.
func TestNoUnwindInfo(t *testing.T) {
	off := []string{"-O2", "-fno-optimize-sibling-calls", "-fno-ipa-cp", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-pthread", "-fno-optimize-sibling-calls"}
	prog := build(t, "gcc", "crash.c", append(off, "-fno-omit-frame-pointer")...)
	tr := unwindC(t, prog, 1, "deep")
	if got := functions(tr); len(got) < 22 || got[0] != "crash" || got[1] != "deep" || got[21] != "deep" || got[22] != "main" || !strings.Contains(tr.By, byFP) {
		t.Errorf("frame pointers:\n%s", dump(tr))
	}
	prog = build(t, "gcc", "crash.c", append(off, "-fomit-frame-pointer")...)
	tr = unwindC(t, prog, 1, "plain")
	got := functions(tr)
	for _, want := range []string{"hidden", "outer (guess)", "main (guess)"} {
		if !slices.Contains(got, want) {
			t.Errorf("scan lacks %q:\n%s", want, dump(tr))
		}
	}
	if !strings.Contains(tr.By, byScan) || tr.Truncated == "" {
		t.Errorf("by %q, truncated %q", tr.By, tr.Truncated)
	}
	if own := tr.Own(); own == nil || own.Function != "crash" {
		t.Errorf("Own = %+v", own)
	}
}

func TestDebugFrame(t *testing.T) {
	// -g without .eh_frame puts the same descriptions into .debug_frame.
	prog := build(t, "gcc", "crash.c", "-O2", "-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-pthread", "-fno-optimize-sibling-calls", "-nostartfiles", "-Wl,-e,main", "-Wl,--no-eh-frame-hdr", "-Wl,-R,.")
	f := openImage(t, prog)
	v, ok := f.symbolValue("outer")
	if !ok {
		t.Fatal("no symbol outer")
	}
	d, ok := f.findFDE(v + 4)
	if !ok || d.begin != v {
		t.Fatalf("no description of outer at %#x: %+v, eh_frame %v, debug_frame %v", v, d, f.section(".eh_frame"), f.section(".debug_frame"))
	}
}

func TestAltStack(t *testing.T) {
	prog := build(t, "gcc", "crash.c", "-O2", "-pthread", "-fno-optimize-sibling-calls")
	s := runUntil(t, 2, prog, "altstack")
	ctx := s.context(t)
	tr := newResolver(t).Unwind(ctx)
	// The interrupted function is known from the signal frame, its callers' stack was not copied.
	if got := functions(tr); len(got) < 4 || got[0] != "crash" || got[1] != "handler" || !tr.Frames[2].Signal || got[3] != "crash" || tr.Truncated == "" {
		t.Errorf("without the other stack:\n%s", dump(tr))
	}
	ctx.Memory = s.memory
	tr = newResolver(t).Unwind(ctx)
	if got := functions(tr); !slices.Contains(got, "main") || tr.Truncated != "" {
		t.Errorf("with the other stack:\n%s", dump(tr))
	}
}

func TestSmashedStack(t *testing.T) {
	prog := build(t, "gcc", "crash.c", "-O0", "-fno-stack-protector", "-fno-omit-frame-pointer", "-pthread")
	tr := unwindC(t, prog, 1, "smashed")
	got := functions(tr)
	if got[0] != "smashed" || tr.Truncated == "" || !strings.Contains(tr.Truncated, "not code") && !strings.Contains(tr.Truncated, "0x42") {
		t.Errorf("%s", dump(tr))
	}
	for _, f := range tr.Frames[1:] {
		if !f.Guess {
			t.Errorf("a frame behind an overwritten return address is no guess: %+v\n%s", f, dump(tr))
		}
	}
	if !slices.Contains(got, "main (guess)") {
		t.Errorf("main not found by scanning:\n%s", dump(tr))
	}
}

func TestStackOverflow(t *testing.T) {
	prog := build(t, "gcc", "crash.c", "-O0", "-pthread")
	tr := unwindC(t, prog, 1, "bottomless")
	if len(tr.Frames) != 128 || tr.Frames[100].Function != "deep" || tr.Truncated == "" {
		t.Errorf("%d frames\n%s", len(tr.Frames), dump(tr))
	}
}

// TestSignalFrameByUnwindInfo goes through a signal frame by libc's own description of it, which is
// made of expressions.
func TestSignalFrameByUnwindInfo(t *testing.T) {
	prog := build(t, "gcc", "crash.c", "-O2", "-pthread", "-fno-optimize-sibling-calls")
	s := runUntil(t, 2, prog, "handler")
	ctx := s.context(t)
	want := newResolver(t).Unwind(ctx)
	r := New(Options{noTrampolines: true})
	defer r.Close()
	got := r.Unwind(ctx)
	if got.By != byEHFrame || !slices.Equal(got.Frames, want.Frames) || !strings.Contains(want.By, bySignal) || got.Interrupted() == nil {
		t.Errorf("got %s\nwant %s", dump(got), dump(want))
	}
}

// TestPLT stops at every instruction of a PLT entry, whose frame an expression of the program
// counter describes.
func TestPLT(t *testing.T) {
	needAMD64(t)
	prog := build(t, "gcc", "crash.c", "-O2", "-no-pie", "-Wl,-z,lazy", "-fcf-protection=none", "-pthread")
	f := openImage(t, prog)
	plt := f.section(".plt")
	if plt == nil || plt.size < 48 {
		t.Skip("needs a lazy PLT: this linker makes none")
	}
	main, _ := f.symbolValue("main")
	ra := uint64(0)
	for v := main; ra == 0; v++ { // behind a call in main
		if code := f.code(v); code[0] == 0xe8 {
			ra = v + 5
		}
	}
	for off := range uint64(16) {
		if off != 0 && off != 6 && off != 11 {
			continue
		}
		stack := make([]byte, 64)
		at := 0
		if off == 11 { // the entry has pushed its number
			le.PutUint64(stack, 3)
			at = 8
		}
		le.PutUint64(stack[at:], ra)
		tr := newResolver(t).Unwind(&Context{Arch: "amd64", PC: plt.addr + 32 + off, SP: 0x7000, Regs: make([]uint64, 21), Stack: stack, Maps: []Mapping{mappingOf(f, prog, 0)}})
		if len(tr.Frames) < 2 || tr.Frames[0].Function != "" || tr.Frames[1].PC != ra || tr.Frames[1].Function != "main" || tr.Frames[1].Guess {
			t.Errorf("at %d: %s", off, dump(tr))
		}
	}
}

// TestEval has one expression for each kind of operation, and those that must be refused.
func TestEval(t *testing.T) {
	reg := func(n uint64) (uint64, bool) { return n * 100, n < 20 }
	mem := func(a uint64) (uint64, bool) { return a + 1, a < 1000 }
	for _, c := range []struct {
		expr string
		want uint64
		bad  bool
	}{
		{"\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22", 700 + 8, false},     // a PLT's, pc&15 < 11
		{"\x77\x08\x80\x0c\x3f\x1a\x3b\x2a\x33\x24\x22", 700 + 8 + 8, false}, // and from there on
		{"\x08\x05\x06", 6, false},                           // deref
		{"\x0a\xff\x01\x94\x01", 0, false},                   // deref_size 1 of 511
		{"\x35\x12\x1e", 25, false},                          // dup mul
		{"\x31\x32\x33\x17", 2, false},                       // rot
		{"\x31\x32\x16\x1c", 1, false},                       // swap minus
		{"\x09\xff\x19", 1, false},                           // abs -1
		{"\x31\x28\x01\x00\x35\x36", 6, false},               // bra over lit5
		{"\x2f\xfd\xff", 0, true},                            // skip for ever
		{"\x31\x30\x1b", 0, true}, {"\x31\x30\x1d", 0, true}, // by zero
		{"\x06", 0, true}, {"", 0, true}, {"\x13", 0, true}, {"\x0e\x01", 0, true}, // empty stack, cut short
		{"\x0b\xff\x7f\x06", 0, true}, {"\x92\x20\x00", 0, true}, {"\xf0", 0, true}, // no such memory, register, operation
		{"\x12\x2f\xfc\xff", 0, true}, {"\x2f\x00\x80", 0, true}, {"\x31\x15\x09", 0, true}, // grows for ever, out of it, picks too deep
	} {
		got, ok := eval([]byte(c.expr), nil, reg, mem)
		if ok == c.bad || ok && got != c.want {
			t.Errorf("% x: %d, %v, want %d", c.expr, got, ok, c.want)
		}
	}
}

func TestAfterCall(t *testing.T) {
	for _, c := range []struct {
		code string
		want bool
	}{
		{"\xe8\x01\x02\x03\x04", true}, {"\xff\xd0", true}, {"\x41\xff\xd3", true}, {"\xff\x10", true}, {"\xff\x50\x18", true}, {"\xff\x90\x00\x01\x00\x00", true},
		{"\xff\x15\x00\x01\x00\x00", true}, {"\xff\x14\x24", true}, {"\xff\x54\x24\x08", true}, {"\xff\x94\xc0\x00\x01\x00\x00", true}, {"\xff\x14\xc5\x00\x01\x00\x00", true},
		{"\xff\xe0", false}, {"\xff\xd0\x90", false}, {"\xe9\x01\x02\x03\x04", false}, {"\xff\x60\x18", false}, {"\xff\x55", false}, {"", false}, {"\xff", false},
	} {
		if got := afterCall(false, []byte(c.code)); got != c.want {
			t.Errorf("amd64 % x: %v", c.code, got)
		}
	}
	for w, want := range map[uint32]bool{0x94000001: true, 0xd63f0100: true, 0xd73f0881: true, 0x14000001: false, 0xd61f0100: false, 0xd65f03c0: false} {
		if got := afterCall(true, le.AppendUint32(nil, w)); got != want {
			t.Errorf("arm64 %#x: %v", w, got)
		}
	}
}
