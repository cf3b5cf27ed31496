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
	for _, flags := range [][]string{
		{"-O0"}, {"-O2"}, {"-O2", "-fomit-frame-pointer"}, {"-O2", "-fno-omit-frame-pointer"}, {"-O2", "-no-pie"}, {"-O2", "-static"},
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
