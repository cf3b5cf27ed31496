package symbol

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// copyFile copies a program, to be replaced or deleted.
func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
}

func TestReplacedAndDeletedBinary(t *testing.T) {
	built := build(t, "gcc", "crash.c", "-O2", "-pthread", "-fno-optimize-sibling-calls")
	for _, how := range []string{"replaced", "deleted"} {
		t.Run(how, func(t *testing.T) {
			prog := filepath.Join(t.TempDir(), "victim")
			copyFile(t, built, prog)
			s := runUntil(t, 1, prog, "plain")
			early := s.context(t) // maps as a sweep read them before
			held := newResolver(t)
			if err := held.Hold(s.pid, "", early.Maps); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(prog); err != nil {
				t.Fatal(err)
			}
			want := "the file was deleted"
			if how == "replaced" {
				copyFile(t, "/bin/true", prog)
				want = "the file was replaced since it was mapped"
			}
			for _, ctx := range []*Context{early, s.context(t)} {
				tr := newResolver(t).Unwind(ctx)
				if len(tr.Notes) != 1 || tr.Notes[0] != prog+": "+want {
					t.Errorf("notes %q", tr.Notes)
				}
				for _, f := range tr.Frames {
					if f.Module == prog && (f.Function != "" || f.File != "") {
						t.Errorf("named from another file: %+v", f)
					}
				}
			}
			tr := held.Unwind(early)
			if got := functions(tr); len(got) < 4 || got[0] != "crash" || got[3] != "main" || len(tr.Notes) != 0 {
				t.Errorf("held:\n%s", dump(tr))
			}
			if ctx := s.context(t); !ctx.mappingAt(ctx.PC).Deleted || ctx.mappingAt(ctx.PC).Path != prog {
				t.Errorf("%+v is not known as deleted", ctx.mappingAt(ctx.PC))
			}
		})
	}
}

// TestRoot finds binaries below a root and does not follow an absolute link out of it.
func TestRoot(t *testing.T) {
	built := build(t, "gcc", "crash.c", "-O2", "-pthread", "-fno-optimize-sibling-calls")
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	copyFile(t, built, filepath.Join(root, "bin", "real"))
	if err := os.Symlink("/bin/real", filepath.Join(root, "bin", "victim")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(built, filepath.Join(root, "bin", "outside")); err != nil {
		t.Fatal(err)
	}
	f := openImage(t, built)
	v, _ := f.symbolValue("outer")
	m := mappingOf(f, "/bin/victim", 0x5500_0000_0000)
	ctx := &Context{Arch: "amd64", PC: v + m.Start - f.loads[slices.IndexFunc(f.loads, func(s segment) bool { return s.flags&pfX != 0 })].vaddr&^0xfff,
		SP: 0x7000, Regs: make([]uint64, 21), Maps: []Mapping{m}, Root: root}
	tr := newResolver(t).Unwind(ctx)
	if tr.Frames[0].Function != "outer" || tr.Frames[0].Offset != 0 || tr.Frames[0].Module != "/bin/victim" {
		t.Errorf("%s", dump(tr))
	}
	ctx.Maps[0].Path = "/bin/outside"
	if tr := newResolver(t).Unwind(ctx); tr.Frames[0].Function != "" || len(tr.Notes) != 1 {
		t.Errorf("followed a link out of the root:\n%s", dump(tr))
	}
	for _, p := range []string{"/bin", "/dev/zero", "/bin/absent", ""} {
		ctx.Root, ctx.Maps[0].Path = "", p
		if tr := newResolver(t).Unwind(ctx); tr.Frames[0].Function != "" {
			t.Errorf("%q: %s", p, dump(tr))
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "bin", "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx.Root, ctx.Maps[0].Path = root, "/bin/fifo" // must not block
	if tr := newResolver(t).Unwind(ctx); tr.Frames[0].Function != "" {
		t.Errorf("fifo: %s", dump(tr))
	}
}

// TestTruncatedWhileMapped reads a binary that is cut short under its mapping: a fault, not a crash.
func TestTruncatedWhileMapped(t *testing.T) {
	built := build(t, "gcc", "crash.c", "-O2", "-pthread", "-fno-optimize-sibling-calls")
	prog := filepath.Join(t.TempDir(), "victim")
	copyFile(t, built, prog)
	f := openImage(t, prog)
	v, _ := f.symbolValue("outer")
	m := mappingOf(f, prog, 0x5500_0000_0000)
	var st unix.Stat_t
	if err := unix.Stat(prog, &st); err != nil {
		t.Fatal(err)
	}
	m.Inode, m.Device = st.Ino, st.Dev
	r := newResolver(t)
	if got := r.Name(m, v+0x5500_0000_0000); got.Function != "outer" {
		t.Fatalf("before: %+v", got)
	}
	if err := os.Truncate(prog, 100); err != nil {
		t.Fatal(err)
	}
	got := r.Name(m, v+0x5500_0000_0000)
	if got.Function != "" || got.PC != v+0x5500_0000_0000 {
		t.Errorf("after: %+v", got)
	}
	tr := r.Unwind(&Context{Arch: "amd64", PC: v + 0x5500_0000_0000, SP: 0x7000, Regs: make([]uint64, 21), Maps: []Mapping{m}})
	if !strings.Contains(tr.Truncated, "damaged binary") || len(tr.Frames) > 1 {
		t.Errorf("%s", dump(tr))
	}
}

func TestEviction(t *testing.T) {
	built := build(t, "gcc", "crash.c", "-O2", "-pthread")
	f := openImage(t, built)
	v, _ := f.symbolValue("outer")
	r := New(Options{MaxModules: 2})
	defer r.Close()
	var group sync.WaitGroup
	for i := range 8 {
		prog := filepath.Join(t.TempDir(), fmt.Sprint("copy", i))
		copyFile(t, built, prog)
		m := mappingOf(f, prog, 0)
		for range 2 {
			group.Go(func() {
				for range 20 {
					if got := r.Name(m, v); got.Function != "outer" {
						t.Errorf("%+v", got)
					}
				}
			})
		}
	}
	group.Wait()
	if n := len(r.modules); n > 2 {
		t.Errorf("%d modules are open", n)
	}
}

// TestVDSO names a function of the vdso, mapped from no file, and unwinds through it.
func TestVDSO(t *testing.T) {
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	maps := ParseMaps(b)
	i := slices.IndexFunc(maps, func(m Mapping) bool { return m.Path == "[vdso]" })
	if i < 0 {
		t.Skip("needs a vdso: this kernel maps none")
	}
	img, err := vdsoImage()
	if err != nil {
		t.Fatal(err)
	}
	name := "__vdso_clock_gettime"
	if runtime.GOARCH == "arm64" {
		name = "__kernel_clock_gettime"
	}
	v, ok := img.symbolValue(name)
	if !ok {
		t.Fatalf("no %s", name)
	}
	got := newResolver(t).Name(maps[i], maps[i].Start+v)
	if plain(got.Function) != "clock_gettime" && got.Function != name && got.Function != "__vdso_clock_gettime" || got.Module != "[vdso]" || got.Offset != 0 {
		t.Errorf("%+v", got)
	}
	if d, ok := img.findFDE(v); !ok || d.begin > v {
		t.Errorf("no unwind information: %+v", d)
	}
}

// TestNodeJS goes from node's C++ through V8's builtins to functions that only perf's map names.
func TestNodeJS(t *testing.T) {
	node := need(t, "node")
	script, err := filepath.Abs("testdata/abort.js")
	if err != nil {
		t.Fatal(err)
	}
	s := runUntil(t, 1, node, "--perf-basic-prof", "--interpreted-frames-native-stack", script)
	file := fmt.Sprintf("/tmp/perf-%d.map", s.pid)
	t.Cleanup(func() { os.Remove(file) }) //nolint:errcheck // may not be there
	if _, err := os.Stat(file); err != nil {
		t.Skipf("needs node --perf-basic-prof: %v", err)
	}
	ctx := s.context(t)
	tr := newResolver(t).Unwind(ctx)
	got := strings.Join(functions(tr), "\n")
	at := -1
	for _, want := range []string{"innermost ", "middle ", "outermost "} {
		i := strings.Index(got, want)
		if i <= at {
			t.Errorf("%q is missing or in the wrong order\n%s", want, dump(tr))
		}
		at = i
	}
	if own := tr.Own(); own == nil || !strings.Contains(own.Function, "innermost ") || own.Module != jitModule {
		t.Errorf("Own = %+v\n%s", own, dump(tr))
	}
	for i, f := range tr.Frames {
		if strings.Contains(f.Function, "Module.load") && f.isOwn() {
			t.Errorf("frame %d is Node.js' own: %+v", i, f)
		}
	}
	ctx.PID = 0 // nothing to look for
	if tr := newResolver(t).Unwind(ctx); strings.Contains(strings.Join(functions(tr), " "), "innermost") {
		t.Errorf("named without a map:\n%s", dump(tr))
	}
}

func TestPerfMap(t *testing.T) {
	text := "7f00 10 first\n7f00 8 newer\nnonsense\n7f20 zz bad\n0x7f30 0x10 prefixed name with spaces\n7f40 10 " + strings.Repeat("x", 200<<10) + "\n7f50 10 behind\n7f60 10 torn"
	qs := []jitQuery{{pc: 0x7f04}, {pc: 0x7f0c}, {pc: 0x7f20}, {pc: 0x7f35}, {pc: 0x7f41}, {pc: 0x7f5f}, {pc: 0x7f60}}
	searchPerfMap(io.MultiReader(strings.NewReader(text[:13]), strings.NewReader(text[13:])), qs)
	var got []string
	for _, q := range qs {
		got = append(got, q.name[:min(len(q.name), 30)])
	}
	want := []string{"newer", "first", "", "prefixed name with spaces", strings.Repeat("x", 30), "behind", ""}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestParseMaps(t *testing.T) {
	got := ParseMaps([]byte("559e3ba1c000-559e3ba1d000 r--p 00000000 fe:00 1573                       /usr/bin/a\n" +
		"559e3ba1d000-559e3ba1f000 r-xp 00001000 fe:01 1573                       /srv/two words (deleted)\n" +
		"7ffd1000-7ffd3000 r-xp 00000000 00:00 0                                  [vdso]\n7fff0000-7fff1000 rwxp 00000000 00:00 0 \n" +
		"zz-7fff1000 r-xp 0 00:00 0 /x\n7fff1000-7fff0000 r-xp 0 00:00 0 /backward\n7fff0000-7fff1000 r-xp 00000000 00:00 0 /torn"))
	want := []Mapping{
		{Start: 0x559e3ba1d000, End: 0x559e3ba1f000, Offset: 0x1000, Path: "/srv/two words", Device: unix.Mkdev(0xfe, 1), Inode: 1573, Deleted: true},
		{Start: 0x7ffd1000, End: 0x7ffd3000, Path: "[vdso]"}, {Start: 0x7fff0000, End: 0x7fff1000},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
}

// TestLabels: a symbol without a size reaches to the next symbol and no further, and marks of
// arm64 and local labels are no names.
func TestLabels(t *testing.T) {
	need(t, "gcc")
	dir := t.TempDir()
	src, out := filepath.Join(dir, "a.s"), filepath.Join(dir, "a")
	asm := `.text
.globl _start
_start: nop
nop
.type sized,@function
sized: nop
nop
.size sized,.-sized
gap: .skip 16,0x90
.section .other,"ax"
nop
late: nop
`
	if err := os.WriteFile(src, []byte(asm), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command("gcc", "-nostdlib", "-static", "-o", out, src).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	f := openImage(t, out)
	start, _ := f.symbolValue("_start")
	late, _ := f.symbolValue("late")
	r := newResolver(t)
	m := mappingOf(f, out, 0)
	for _, c := range []struct {
		at   uint64
		want string
		off  uint64
	}{{start, "_start", 0}, {start + 1, "_start", 1}, {start + 2, "sized", 0}, {start + 3, "sized", 1}, {start + 4, "gap", 0}, {start + 10, "gap", 6}, {late, "late", 0}, {late - 1, "", late - 1}} {
		m.End = max(m.End, late+1)
		if got := r.Name(m, c.at); got.Function != c.want || got.Offset != c.off {
			t.Errorf("%#x: %q+%#x, want %q+%#x", c.at, got.Function, got.Offset, c.want, c.off)
		}
	}
}

// TestARM64 unwinds a C program of arm64 by .eh_frame, over a stack made by hand as its code makes it.
func TestARM64(t *testing.T) {
	clang := need(t, "clang-14")
	links, _ := filepath.Glob(os.Getenv("HOME") + "/.rustup/toolchains/*/lib/rustlib/*/bin/gcc-ld/ld.lld")
	if p, err := exec.LookPath("ld.lld"); err == nil {
		links = []string{p}
	}
	if len(links) == 0 {
		t.Skip("needs ld.lld to link for arm64")
	}
	dir := t.TempDir()
	obj, out := filepath.Join(dir, "leaf.o"), filepath.Join(dir, "leaf")
	for _, cmd := range []*exec.Cmd{
		exec.Command(clang, "--target=aarch64-linux-gnu", "-O1", "-fasynchronous-unwind-tables", "-c", "-o", obj, "testdata/leaf.c"),
		exec.Command(links[0], "--eh-frame-hdr", "-o", out, obj),
	} {
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, text)
		}
	}
	f := openImage(t, out)
	leaf, _ := f.symbolValue("leaf")
	// Where each function calls the next: its first bl.
	call := func(name string) (ret uint64, d row) {
		v, ok := f.symbolValue(name)
		if !ok {
			t.Fatalf("no symbol %s", name)
		}
		for ; ; v += 4 {
			if le.Uint32(f.code(v))>>26 == 0x25 {
				break
			}
		}
		e, ok := f.findFDE(v)
		if !ok {
			t.Fatalf("no unwind information of %s", name)
		}
		d, ok = e.rules(v)
		if !ok {
			t.Fatalf("bad unwind information of %s", name)
		}
		return v + 4, d
	}
	inMiddle, middle := call("middle")
	inOuter, outer := call("outer")
	inStart, start := call("_start")
	const sp = 0x7fff_0000
	stack := make([]byte, 512)
	fp := uint64(sp) + 200
	next := uint64(sp)
	cfa := func(r row) uint64 { // frames lie one on the other
		if r.cfaReg == armFP {
			return fp + uint64(r.cfaOff)
		}
		return next + uint64(r.cfaOff)
	}
	regs := make([]uint64, 34)
	regs[armFP], regs[armLR] = fp, inMiddle
	ends := cfa(middle)
	le.PutUint64(stack[ends+uint64(middle.regs[armLR].off)-sp:], inOuter)
	fp, next = ends+100, ends
	if middle.regs[armFP].kind == ruleOffset {
		le.PutUint64(stack[ends+uint64(middle.regs[armFP].off)-sp:], fp)
	}
	ends = cfa(outer)
	le.PutUint64(stack[ends+uint64(outer.regs[armLR].off)-sp:], inStart|0x2a<<56) // with a pointer authentication code
	_ = start
	ctx := &Context{Arch: "arm64", PC: leaf, SP: sp, Regs: regs, Stack: stack, Maps: []Mapping{mappingOf(f, out, 0)}}
	tr := newResolver(t).Unwind(ctx)
	got := functions(tr)
	if len(got) < 4 || !slices.Equal(got[:4], []string{"leaf", "middle", "outer", "_start"}) || tr.By != byEHFrame {
		t.Errorf("%s", dump(tr))
	}
	// A call through a null pointer: the caller is in the link register.
	ctx.PC, regs[armLR] = 0, inMiddle
	if got := functions(newResolver(t).Unwind(ctx)); len(got) < 3 || got[1] != "middle" || got[2] != "outer" {
		t.Errorf("null call: %q", got)
	}
}
