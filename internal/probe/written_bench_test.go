//go:build linux

package probe

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() { children["lines"] = childLines }

// childLines measures writes of lines to its output, which it reads itself: the least of many batches
// each, in nanoseconds.
func childLines([]string) {
	runtime.LockOSThread()
	say := os.NewFile(5, "result")
	for _, size := range []int{60, 4096} {
		line := bytes.Repeat([]byte("2026-11-22 INFO checkout 8812 ok, and all is well here now\n\n"), 70)[:size]
		sink := make([]byte, 64<<10)
		least := time.Hour
		for range 2000 {
			start := time.Now()
			for range 60000 / size {
				raw(unix.SYS_WRITE, 1, uintptr(unsafe.Pointer(&line[0])), uintptr(size))
			}
			least = min(least, time.Since(start)/time.Duration(60000/size))
			unix.Read(4, sink)
		}
		fmt.Fprint(say, least.Nanoseconds(), " ")
	}
}

// BenchmarkLines shows what the ledger costs a write to the output: bare, in the tree, and as its output.
func BenchmarkLines(b *testing.B) {
	for _, watched := range []string{"bare", "tree", "output"} {
		b.Run(watched, func(b *testing.B) {
			var w *watch
			if watched != "bare" {
				s, err := Open(Config{})
				if err != nil {
					b.Skip("needs eBPF: ", err)
				}
				defer s.Close()
				go s.Run(func(*evidence.Observation) {})
				w = &watch{Set: s}
			}
			for b.Loop() {
				measureLines(b, w, watched == "output")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func measureLines(b *testing.B, w *watch, output bool) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	in, gate, err := socketpair()
	if err != nil {
		b.Fatal(err)
	}
	r, out, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	result, say, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childMode+"=exec lines")
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, os.Stderr, []*os.File{in, r, say}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	in.Close()
	say.Close()
	if _, err := gate.Read(make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	if w != nil {
		if err := w.Track(cmd.Process.Pid); err != nil {
			b.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(out.Fd()), &st); err != nil {
			b.Fatal(err)
		}
		if output {
			if err := w.WatchOutput(Output{Inode: st.Ino}); err != nil {
				b.Fatal(err)
			}
		}
	}
	gate.Close()
	text, err := io.ReadAll(result)
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		b.Fatal(err)
	}
	r.Close()
	out.Close()
	for i, f := range strings.Fields(string(text)) {
		var n float64
		fmt.Sscan(f, &n)
		b.ReportMetric(n, []string{"line-ns", "4KiB-ns"}[i])
	}
}
