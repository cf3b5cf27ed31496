package symbol

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// buildGo builds a Go program of testdata, which has a second ending so that it is no package of ours.
func buildGo(t testing.TB, source string, env []string, flags ...string) string {
	t.Helper()
	need(t, "go")
	dir := t.TempDir()
	text, err := os.ReadFile(filepath.Join("testdata", source))
	if err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "prog")
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), src)...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOFLAGS=", "GOWORK=off"), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, text)
	}
	return out
}

func TestGo(t *testing.T) {
	needAMD64(t)
	for _, flags := range [][]string{{}, {"-ldflags=-s -w"}, {"-buildmode=pie"}, {"-buildmode=pie", "-ldflags=-s -w"}, {"-gcflags=-N -l"}} {
		t.Run(strings.Join(flags, ""), func(t *testing.T) {
			prog := buildGo(t, "crash_go.go.txt", []string{"CGO_ENABLED=0"}, flags...)
			s := runUntil(t, 1, prog)
			tr := newResolver(t).Unwind(s.context(t))
			got := functions(tr)
			want := []string{"main.(*shop).checkout", "main.inlined", "main.main.func1.1.1", "main.generic[...]", "main.main.func1.1", "sort.insertionSort_func", "sort.pdqsort_func", "sort.Slice", "main.main.func1", "runtime.goexit"}
			if !slices.Equal(got, want) || tr.Truncated != "" || tr.By != byGo || tr.Frames[0].Line != 16 || !strings.HasSuffix(tr.Frames[0].File, "main.go") {
				t.Errorf("want %q\n%s", want, dump(tr))
			}
			if own := tr.Own(); own == nil || own.Function != "main.(*shop).checkout" {
				t.Errorf("Own = %+v", own)
			}
		})
	}
}

// TestGoAgainstItself compares with the traceback that Go prints of the same crash: functions and
// lines, with inlined ones.
func TestGoAgainstItself(t *testing.T) {
	needAMD64(t)
	prog := buildGo(t, "crash_go.go.txt", []string{"CGO_ENABLED=0"})
	out, _ := exec.Command(prog).CombinedOutput()
	_, out2, ok := strings.Cut(string(out), "goroutine ")
	if !ok {
		t.Fatalf("no traceback:\n%s", out)
	}
	var want []string
	lines := strings.Split(out2, "\n")
	for i := 1; i+1 < len(lines) && lines[i] != ""; i += 2 {
		if strings.HasPrefix(lines[i], "created by") {
			break
		}
		name := lines[i][:strings.LastIndex(lines[i], "(")]
		file := strings.Fields(lines[i+1])[0]
		want = append(want, name+" "+file)
	}
	s := runUntil(t, 1, prog)
	var got []string
	for _, f := range newResolver(t).Unwind(s.context(t)).Frames {
		got = append(got, fmt.Sprintf("%s %s:%d", f.Function, f.File, f.Line))
	}
	// Go's own begins with panic and sigpanic, which had not run when we stopped it.
	// It leaves goexit out.
	if n := len(got) - 1; n > 0 && strings.HasPrefix(got[n], "runtime.goexit") {
		got = got[:n]
	}
	i := slices.IndexFunc(want, func(s string) bool { return strings.HasPrefix(s, "main.(*shop).checkout") })
	if i < 0 || !slices.Equal(got, want[i:]) {
		t.Errorf("got\n%s\nGo's own\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestGoPanic stops where GOTRACEBACK=crash aborts: on the goroutine's stack below the panic.
func TestGoPanic(t *testing.T) {
	prog := buildGo(t, "crash_go.go.txt", []string{"CGO_ENABLED=0"})
	s := runUntilEnv(t, 2, []string{"GOTRACEBACK=crash"}, prog)
	ctx := s.context(t)
	tr := newResolver(t).Unwind(ctx)
	t.Logf("with the copied stack:\n%s", dump(tr))
	if len(tr.Frames) < 2 || !strings.HasPrefix(tr.Frames[1].Function, "runtime.") {
		t.Errorf("%s", dump(tr))
	}
	ctx.Memory = s.memory
	tr = newResolver(t).Unwind(ctx)
	if own := tr.Own(); own == nil || own.Function != "main.(*shop).checkout" {
		t.Errorf("Own = %+v\n%s", own, dump(tr))
	}
}

func TestGoSystemCall(t *testing.T) {
	prog := buildGo(t, "crash_go.go.txt", []string{"CGO_ENABLED=0"})
	s := runUntil(t, 1, prog, "kill")
	tr := newResolver(t).Unwind(s.context(t))
	if own := tr.Own(); own == nil || own.Function != "main.aborts" || tr.Truncated != "" {
		t.Errorf("Own = %+v\n%s", own, dump(tr))
	}
}

func TestCgo(t *testing.T) {
	needAMD64(t)
	need(t, "gcc")
	for _, flags := range [][]string{{}, {"-ldflags=-s -w"}} {
		prog := buildGo(t, "crash_cgo.go.txt", []string{"CGO_ENABLED=1", "CGO_CFLAGS=-O2 -fno-optimize-sibling-calls"}, flags...)
		s := runUntil(t, 1, prog)
		ctx := s.context(t)
		tr := newResolver(t).Unwind(ctx)
		got := functions(tr)
		if !slices.Contains(got, "runtime.asmcgocall") || !strings.Contains(tr.Truncated, "runtime.asmcgocall") {
			t.Errorf("%q without the goroutine's stack:\n%s", flags, dump(tr))
		}
		if len(flags) == 0 && (got[0] != "c_inner" || got[1] != "c_outer") {
			t.Errorf("C functions:\n%s", dump(tr))
		}
		ctx.Memory = s.memory
		tr = newResolver(t).Unwind(ctx)
		got = functions(tr)
		if !slices.Contains(got, "main.callsC") || got[len(got)-1] != "runtime.goexit" || tr.Truncated != "" {
			t.Errorf("%q with the goroutine's stack:\n%s", flags, dump(tr))
		}
	}
}

// TestGoARM64 reads a cross-compiled program's table: addresses to names, lines and frame sizes.
func TestGoARM64(t *testing.T) {
	prog := buildGo(t, "crash_go.go.txt", []string{"CGO_ENABLED=0", "GOARCH=arm64"})
	f := openImage(t, prog)
	tab := openGo(f)
	if tab == nil || !f.arm {
		t.Fatal("no pclntab")
	}
	v, ok := f.symbolValue("main.(*shop).checkout")
	if !ok {
		t.Fatal("no symbol")
	}
	fn, ok := tab.find(v + 8)
	if !ok || fn.name() != "main.(*shop).checkout" {
		t.Fatalf("name %q", fn.name())
	}
	if file, line := fn.file(v); line != 14 || !strings.HasSuffix(file, "main.go") {
		t.Errorf("%s:%d", file, line)
	}
	// A stack made by hand as arm64 has it: checkout is a leaf, its caller keeps the link register
	// at the bottom of its frame.
	caller, ok := f.symbolValue("main.generic[go.shape.string]")
	if !ok {
		t.Fatal("no symbol of the generic function")
	}
	gen, _ := tab.find(caller)
	var size, ret uint64
	for pc := caller; pc < gen.limit; pc += 4 {
		n, ok := gen.frame(pc)
		w := le.Uint32(f.code(pc))
		if ok && n > size && w&0xfffffc1f == 0xd63f0000 { // blr
			size, ret = n, pc+4
		}
	}
	if size == 0 {
		t.Fatal("no call found in the generic function")
	}
	exit, _ := f.symbolValue("runtime.goexit")
	if exit == 0 {
		exit, _ = f.symbolValue("runtime.goexit.abi0")
	}
	stack := make([]byte, size+64)
	le.PutUint64(stack, exit+4)
	regs := make([]uint64, 34)
	regs[30] = ret
	ctx := &Context{Arch: "arm64", Regs: regs, PC: v, SP: 0x4000_0000_0000, Stack: stack, Maps: []Mapping{mappingOf(f, prog, 0)}}
	tr := newResolver(t).Unwind(ctx)
	got := functions(tr)
	if !slices.Equal(got, []string{"main.(*shop).checkout", "main.generic[...]", "runtime.goexit"}) || tr.Truncated != "" {
		t.Errorf("%s", dump(tr))
	}
}
