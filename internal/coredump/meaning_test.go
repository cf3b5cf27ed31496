package coredump

import (
	"bytes"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/symbol"
)

// diagnosed opens a core, and tells what it means with the first thread's backtrace.
func diagnosed(t testing.TB, path string) (*Core, Meaning, Stack) {
	t.Helper()
	c := open(t, path)
	res := NewResolver(nil)
	t.Cleanup(res.Close)
	stacks, err := c.Backtraces(res, "", BacktraceOptions{})
	if err != nil || len(stacks) == 0 {
		t.Fatalf("%d stacks, %v", len(stacks), err)
	}
	return c, c.Meaning(res, "", &stacks[0]), stacks[0]
}

func TestMeaning(t *testing.T) {
	plainCores(t)
	prog := build(t, deathsC, "deaths.c", "gcc", "-pthread", "-w", "-O1", "-g", "-fstack-protector-all", "-D_FORTIFY_SOURCE=0", "-o", "OUT", "SRC")
	open := build(t, deathsC, "deaths.c", "gcc", "-pthread", "-w", "-O1", "-g", "-fno-stack-protector", "-D_FORTIFY_SOURCE=0", "-o", "OUT", "SRC")
	for _, x := range []struct {
		prog, how, fault string
		words            []string
		not              string
	}{
		{prog, "null", evidence.CoreNull, []string{"read of what lies 8 bytes (0x8) from a null pointer"}, ""},
		{prog, "recurse", evidence.CoreStack, []string{"stack overflow", "recurse calls itself"}, ""},
		{prog, "recurse-thread", evidence.CoreStack, []string{"stack overflow", "8192 KiB", "recurse calls itself"}, ""},
		{prog, "divide", evidence.CoreArithmetic, []string{"integer division by zero (idiv"}, "or one"},
		{prog, "jump", evidence.CoreNull, []string{"a call through a null function pointer", "called from jump"}, ""},
		{prog, "jump-wild", evidence.CoreJump, []string{"0x123456789000", "nothing is mapped", "called from jump"}, ""},
		{prog, "jump-data", evidence.CoreJump, []string{"data and not code", "/deaths (rw-)"}, ""},
		{prog, "wild", evidence.CoreNoAddress, []string{"read of address 0xdead000000000008", "which no pointer can have"}, ""},
		{prog, "wild-write", evidence.CoreNoAddress, []string{"write of address 0x4141414141414141", `the text "AAAAAAAA"`}, ""},
		{prog, "readonly", evidence.CoreReadOnly, []string{"write to constants", "/deaths (r--)"}, ""},
		{prog, "readonly-text", evidence.CoreReadOnly, []string{"write to program code", "/deaths (r-x)"}, ""},
		{prog, "unmapped", evidence.CoreUnmapped, []string{"read of address 0x7", "where nothing is mapped"}, ""},
		{prog, "protected", evidence.CoreNoAccess, []string{"read of address 0x7", "without any rights"}, ""},
		{prog, "truncated", evidence.CorePastEnd, []string{"read of byte 8200 of the mapped file", "/mapped, which has only 4096 bytes"}, ""},
		{prog, "trap", evidence.CoreIllegal, []string{"trap", "ud2"}, ""},
		{prog, "assert", evidence.CoreAborted, []string{"deaths.c", "argc == 7 && \"an assertion\"' failed"}, ""},
		{prog, "double-free", evidence.CoreAborted, []string{"double free"}, ""},
		{prog, "smash", evidence.CoreAborted, []string{"the stack frame of smash was overwritten"}, ""},
		{prog, "qsort", evidence.CoreAborted, []string{"aborted itself, from compare"}, ""},
		{prog, "handler", evidence.CoreAborted, []string{"aborted itself, from on_segv; it was in the handler of SIGSEGV at 0x8 that had interrupted item_size"}, ""},
		{prog, "handler-info", evidence.CoreAborted, []string{"the handler of SIGSEGV (SEGV_MAPERR) at 0x8 that had interrupted item_size"}, ""},
		{prog, "seccomp", "", []string{"a seccomp filter forbade the system call getppid and"}, ""},
		{prog, "quit", evidence.CoreAborted, []string{"sent SIGQUIT to itself"}, ""},
		{open, "smash", evidence.CoreNoAddress, []string{"return to 0x4141414141414141", `"AAAAAAAA"`, "overwritten"}, ""},
	} {
		t.Run(x.how, func(t *testing.T) {
			path, _ := crashed(t, nil, x.prog, x.how)
			_, m, stack := diagnosed(t, path)
			if m.Fault != x.fault {
				t.Errorf("fault %q, not %q", m.Fault, x.fault)
			}
			for _, w := range x.words {
				if !strings.Contains(m.Text, w) {
					t.Errorf("%q is not in %q", w, m.Text)
				}
			}
			if x.not != "" && strings.Contains(m.Text, x.not) {
				t.Errorf("%q is in %q", x.not, m.Text)
			}
			if t.Failed() {
				t.Logf("%+v\n%+v", m, stack)
			} else {
				t.Log(m.Text)
			}
		})
	}
}

func TestMeaningOfExceptions(t *testing.T) {
	plainCores(t)
	prog := build(t, `
#include <stdexcept>
#include <string>
struct Mine : std::runtime_error { using runtime_error::runtime_error; };
struct Bare { int x; };
int main(int, char **v) {
	switch (v[1][0]) {
	case 'r': throw std::out_of_range("index 7 of 3");
	case 'm': throw Mine("my own words");
	case 'b': throw Bare{3};
	case 's': throw std::string("a string");
	case 'i': throw 7;
	}
}`, "throw.cc", "g++", "-O1", "-o", "OUT", "SRC")
	for _, x := range []struct{ how, typ, what string }{
		{"r", "std::out_of_range", "index 7 of 3"}, {"m", "Mine", "my own words"}, {"b", "Bare", ""}, {"i", "int", ""},
		{"s", "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >", "a string"},
	} {
		path, _ := crashed(t, nil, prog, x.how)
		if _, m, stack := diagnosed(t, path); m.Exception != x.typ || m.What != x.what || m.Fault != evidence.CoreAborted {
			t.Errorf("%s: %+v\n%+v", x.how, m, stack)
		}
	}
}

// TestMeaningOfGarbage gives cores whose registers, signals and memory are anything.
func TestMeaningOfGarbage(t *testing.T) {
	b := realCore(t)
	res := symbol.New(symbol.Options{})
	defer res.Close()
	c, err := use(t, bytes.Clone(b))
	if err != nil {
		t.Fatal(err)
	}
	values := []uint64{0, 8, ^uint64(0), 1 << 63, 0x7fffffffffff, c.Mappings[0].Start, c.Mappings[len(c.Mappings)/2].End - 1, c.Threads[0].SP, c.Threads[0].PC, 0x4141414141414141}
	for _, arch := range []string{"amd64", "arm64"} {
		c.Arch = arch
		for _, sig := range []evidence.Signal{0, 4, 5, 6, 7, 8, 11, 31, 24, 99} {
			for _, code := range []int32{-6, 0, 1, 2, 3, 4, 128} {
				for i, v := range values {
					c.Signal, c.Code, c.FaultAddress = sig, code, v
					th := &c.Threads[0]
					th.Regs = make([]uint64, 34)
					for k := range th.Regs {
						th.Regs[k] = values[(i+k)%len(values)]
					}
					th.PC, th.SP = values[(i+3)%len(values)], values[(i*7+1)%len(values)]
					stacks, _ := c.Backtraces(res, "", BacktraceOptions{Threads: 1})
					if m := c.Meaning(res, "", &stacks[0]); m.Text == "" {
						t.Fatalf("%s signal %d code %d at %#x: nothing said", arch, sig, code, v)
					}
				}
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x48, 0x8b, 0x00}, uint64(1))
	f.Add([]byte{0xc5, 0xfe, 0x6f, 0x44, 0x8e, 0x20, 0, 0}, uint64(1))
	f.Add([]byte{0x62, 0xf1, 0x7f, 0x48, 0x6f, 0x44, 0x8e, 0x20, 0, 0}, uint64(1))
	f.Add([]byte{0x41, 0x00, 0x40, 0xf9}, uint64(8))
	f.Fuzz(func(t *testing.T, code []byte, v uint64) {
		regs := make([]uint64, 34)
		for i := range regs {
			regs[i] = v
		}
		for _, arch := range []string{"amd64", "arm64"} {
			if a := decode(arch, code, regs, v); a.Length > 16 {
				t.Fatalf("%+v", a)
			}
		}
	})
}
