package symbol

import (
	"slices"
	"strings"
	"testing"
)

func TestCPlusPlus(t *testing.T) {
	needAMD64(t)
	for _, flags := range [][]string{{"-O0"}, {"-O2"}, {"-O2", "-g"}, {"-O1", "-g", "-gdwarf-4"}} {
		t.Run(strings.Join(flags, ""), func(t *testing.T) {
			prog := build(t, "g++", "templates.cc", flags...)
			s := runUntil(t, 1, prog)
			tr := newResolver(t).Unwind(s.context(t))
			got := functions(tr)
			for _, want := range []string{"shop::Counter::visit", "run", "main"} {
				if !slices.Contains(got, want) {
					t.Errorf("lacks %s:\n%s", want, dump(tr))
				}
			}
			if !strings.HasPrefix(got[0], "shop::Cart<std::__cxx11::basic_string<char") || !strings.HasSuffix(got[0], ">::at") || tr.Truncated != "" {
				t.Errorf("%s", dump(tr))
			}
			if own := tr.Own(); own == nil || own.PC != tr.Frames[0].PC {
				t.Errorf("Own = %+v", own)
			}
			if !slices.Contains(flags, "-g") {
				return
			}
			i := slices.IndexFunc(tr.Frames, func(f Frame) bool { return f.Function == "checkout" })
			if i < 0 || !tr.Frames[i].Inlined || tr.Frames[i].Line != 26 || !strings.HasSuffix(tr.Frames[i].File, "templates.cc") {
				t.Errorf("the inlined function checkout with its line is missing:\n%s", dump(tr))
			}
			compareLines(t, tr, gdbLines(t, prog))
		})
	}
}

func TestUncaughtException(t *testing.T) {
	prog := build(t, "g++", "templates.cc", "-O2")
	s := runUntil(t, 1, prog, "throw")
	tr := newResolver(t).Unwind(s.context(t))
	if own := tr.Own(); own == nil || own.Function != "thrower" {
		t.Errorf("Own = %+v\n%s", own, dump(tr))
	}
}

func TestRust(t *testing.T) {
	needAMD64(t)
	for _, flags := range [][]string{{"-O"}, {"-g"}, {"-Cpanic=abort", "-O"}, {"-O", "-Csymbol-mangling-version=v0"}} {
		t.Run(strings.Join(flags, ""), func(t *testing.T) {
			prog := build(t, "rustc", "crash.rs", flags...)
			s := runUntil(t, 1, prog)
			tr := newResolver(t).Unwind(s.context(t))
			got := strings.Join(functions(tr), "\n")
			for _, want := range []string{"crash::shop::Visit>::visit", "crash::shop::generic", "crash::main"} {
				if !strings.Contains(got, want) {
					t.Errorf("lacks %s:\n%s", want, dump(tr))
				}
			}
			if own := tr.Own(); own == nil || !strings.Contains(own.Function, "Visit>::visit") {
				t.Errorf("Own = %+v\n%s", own, dump(tr))
			}
		})
	}
}

func TestRustPanicAborts(t *testing.T) {
	prog := build(t, "rustc", "crash.rs", "-O", "-Cpanic=abort")
	s := runUntil(t, 1, prog, "panic")
	tr := newResolver(t).Unwind(s.context(t))
	if own := tr.Own(); own == nil || own.Function != "crash::panics" {
		t.Errorf("Own = %+v\n%s", own, dump(tr))
	}
}
