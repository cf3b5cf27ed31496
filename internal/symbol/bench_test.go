package symbol

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// benchmarks unwind the same stack again: warm with the binaries open, cold with a new Resolver,
// and from the disk, with the program's pages dropped from the page cache before.
func benchmarks(b *testing.B, ctx *Context, least int, prog string) {
	check := func(tr Trace) {
		if len(tr.Frames) < least || tr.Truncated != "" {
			b.Fatalf("%s", dump(tr))
		}
	}
	b.Run("warm", func(b *testing.B) {
		r := newResolver(b)
		check(r.Unwind(ctx))
		for b.Loop() {
			check(r.Unwind(ctx))
		}
		b.ReportMetric(residentMiB(b), "MiB-resident")
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			r := New(Options{})
			check(r.Unwind(ctx))
			r.Close()
		}
	})
	b.Run("disk", func(b *testing.B) {
		copied := filepath.Join(b.TempDir(), "copy")
		copyFile(b, prog, copied)
		f, err := os.OpenFile(copied, os.O_RDWR, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // test
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		moved := *ctx
		moved.Maps = append([]Mapping(nil), ctx.Maps...)
		for i := range moved.Maps {
			if m := &moved.Maps[i]; m.Path == prog {
				m.Path, m.Inode, m.Device = copied, 0, 0
			}
		}
		for b.Loop() {
			b.StopTimer()
			if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			r := New(Options{})
			check(r.Unwind(&moved))
			r.Close()
		}
	})
}

// residentMiB is the resident memory of the test itself, with what it has mapped.
func residentMiB(b *testing.B) float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Fatal(err)
	}
	var pages float64
	for _, c := range strings.Fields(string(text))[1] {
		pages = pages*10 + float64(c-'0')
	}
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

func BenchmarkC(b *testing.B) {
	prog := build(b, "gcc", "crash.c", "-O2", "-pthread", "-fno-optimize-sibling-calls")
	s := runUntil(b, 1, prog, "qsort")
	benchmarks(b, s.context(b), 9, prog)
}

func BenchmarkCWithDWARF(b *testing.B) {
	prog := build(b, "g++", "templates.cc", "-O2", "-g")
	s := runUntil(b, 1, prog)
	benchmarks(b, s.context(b), 7, prog)
}

func BenchmarkGo(b *testing.B) {
	prog := buildGo(b, "crash_go.go.txt", []string{"CGO_ENABLED=0"})
	s := runUntil(b, 1, prog)
	benchmarks(b, s.context(b), 10, prog)
}

func BenchmarkNodeJS(b *testing.B) {
	node := need(b, "node")
	node, err := filepath.EvalSymlinks(node)
	if err != nil {
		b.Fatal(err)
	}
	script, err := filepath.Abs("testdata/abort.js")
	if err != nil {
		b.Fatal(err)
	}
	s := runUntil(b, 1, node, script)
	benchmarks(b, s.context(b), 20, node)
}
