package coredump

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/symbol"
)

const goroutinesGo = `package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

type queue struct{ ch chan int }

//go:noinline
func (q *queue) receive() int { return <-q.ch }

//go:noinline
func worker(q *queue, depth int) int {
	if depth > 0 {
		return worker(q, depth-1) + 1
	}
	return q.receive()
}

func generic[T any](c chan T) { c <- *new(T) }

//go:noinline
func spin(n *int) {
	for {
		*n++
	}
}

type state struct{ s string }

func main() {
	q := &queue{make(chan int)}
	for i := 0; i < 300; i++ {
		go worker(q, 3)
	}
	for i := 0; i < 7; i++ {
		go generic(make(chan [3]string))
	}
	var mu sync.Mutex
	mu.Lock()
	go func() { mu.Lock() }()
	var wg sync.WaitGroup
	wg.Add(1)
	go wg.Wait()
	go time.Sleep(time.Hour)
	go func() { select {} }()
	go func() {
		select {
		case <-q.ch:
		case <-time.After(time.Hour):
		}
	}()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go l.Accept()
	var p [2]int
	syscall.Pipe(p[:])
	go func() {
		runtime.LockOSThread()
		var b [1]byte
		syscall.Read(p[0], b[:])
	}()
	n := 0
	if runtime.NumCPU() > 1 {
		go spin(&n)
	}
	time.Sleep(300 * time.Millisecond)
	switch os.Args[1] {
	case "string":
		panic("a plain string")
	case "error":
		panic(fmt.Errorf("open it: %w", errors.New("the reason")))
	case "nil":
		var s *state
		fmt.Println(s.s)
	case "struct":
		panic(state{"x"})
	case "int":
		panic(42)
	case "again":
		defer func() { panic(fmt.Sprint("second after ", recover())) }()
		defer func() { panic("in a deferred call") }()
		panic("first")
	}
}
`

// goBuild builds a Go program with a version of Go, skipping where that cannot be had.
func goBuild(t testing.TB, version, source string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module alike\n\ngo 1.18\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "prog")
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if version != "" {
		cmd.Env = append(cmd.Env, "GOTOOLCHAIN="+version)
	}
	if b, err := cmd.CombinedOutput(); err != nil {
		if version != "" {
			t.Skipf("%s cannot be had: %s", version, b)
		}
		t.Fatalf("%v: %s", err, b)
	}
	return out
}

// told is a goroutine of the runtime's own traceback.
type told struct {
	id     uint64
	state  string
	frames []string // "main.worker main.go:21"
	by     string
}

var (
	goHeader = regexp.MustCompile(`^goroutine (\d+)(?: gp=\S+ m=\S+(?: mp=\S+)?)? \[([^\],]+)`)
	goPlace  = regexp.MustCompile(`^\t(.*):(\d+)(?: \+0x[0-9a-f]+)?`)
)

// tracebacks reads what GOTRACEBACK=crash wrote.
func tracebacks(out string) map[uint64]*told {
	all := map[uint64]*told{}
	var g *told
	var fn string
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if m := goHeader.FindStringSubmatch(line); m != nil {
			id, _ := strconv.ParseUint(m[1], 10, 64)
			g = &told{id: id, state: m[2]}
			if all[id] == nil && id != 0 {
				all[id] = g
			}
			continue
		}
		switch {
		case g == nil:
		case line == "":
			g = nil
		case strings.HasPrefix(line, "created by "):
			g.by, _, _ = strings.Cut(strings.TrimPrefix(line, "created by "), " in goroutine")
			fn = ""
		case strings.HasPrefix(line, "\t"):
			if m := goPlace.FindStringSubmatch(line); m != nil && fn != "" {
				if fn == "panic" {
					fn = "runtime.gopanic"
				}
				if isGoEnd(fn) {
					continue
				}
				g.frames = append(g.frames, fn+" "+filepath.Base(m[1])+":"+m[2])
			}
		default:
			fn = line
			if i := strings.LastIndexByte(fn, '('); i > 0 {
				fn = fn[:i]
			}
		}
	}
	return all
}

func TestGoroutines(t *testing.T) {
	plainCores(t)
	cases := []struct {
		name, version, arg, panics string
		flags                      []string
	}{
		{"whole", "", "error", "open it: the reason", nil},
		{"stripped", "", "nil", "runtime error: invalid memory address or nil pointer dereference", []string{"-ldflags=-s -w"}},
		{"pie", "", "string", "a plain string", []string{"-buildmode=pie"}},
		{"pie stripped", "", "struct", "(main.state) 0x", []string{"-buildmode=pie", "-ldflags=-s -w"}},
		{"int", "", "int", "42", nil},
		{"again", "", "again", "first; then panic: in a deferred call; then panic: second after in a deferred call", []string{"-ldflags=-s -w"}},
	}
	for _, v := range []string{"go1.25.3", "go1.24.9", "go1.23.12", "go1.22.12", "go1.21.13", "go1.20.14", "go1.18.10"} {
		cases = append(cases, struct {
			name, version, arg, panics string
			flags                      []string
		}{v, v, "error", "open it: the reason", []string{"-ldflags=-s -w"}})
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			if k.version != "" && testing.Short() {
				t.Skip("other versions of Go: short")
			}
			prog := goBuild(t, k.version, goroutinesGo, k.flags...)
			path, out := crashed(t, []string{"GOTRACEBACK=crash"}, prog, k.arg)
			c := open(t, path)
			res := symbol.New(symbol.Options{})
			defer res.Close()
			start := time.Now()
			got, err := c.Goroutines(res, "", 0)
			if err != nil || got.Missing != "" {
				t.Fatalf("Goroutines: %v, %+v", err, got)
			}
			t.Logf("%s: %d goroutines in %d groups, %v", got.Version, got.Count, len(got.Groups), time.Since(start))
			if !strings.HasPrefix(got.Panic, k.panics) {
				t.Errorf("panic %q, want %q", got.Panic, k.panics)
			}
			if k.version == "" && got.Version != runtime.Version() || k.version != "" && got.Version != k.version {
				t.Errorf("version %q", got.Version)
			}
			compareGoroutines(t, got, tracebacks(out))
			if t.Failed() {
				t.Logf("%.6000s", out)
			}
		})
	}
}

func compareGoroutines(t *testing.T, got *GoRuntime, want map[uint64]*told) {
	t.Helper()
	seen := map[uint64]bool{}
	frames, equal, largest := 0, 0, 0
	for _, g := range got.Groups {
		largest = max(largest, len(g.IDs))
		for _, id := range g.IDs {
			w := want[id]
			if w == nil {
				t.Errorf("goroutine %d [%s] is not in the runtime's own traceback", id, g.State)
				continue
			}
			seen[id] = true
			if g.State != w.state {
				t.Errorf("goroutine %d is %q, not %q", id, g.State, w.state)
			}
			if by := g.CreatedBy.Function; by != w.by {
				t.Errorf("goroutine %d was created by %q, not %q", id, by, w.by)
			}
			if g.State == "running" && g.Creator != 0 { // the runtime does not tell the stack of another thread
				continue
			}
			var have []string
			for _, f := range g.Trace.Frames {
				have = append(have, fmt.Sprintf("%s %s:%d", f.Function, filepath.Base(f.File), f.Line))
			}
			// Only the goroutine that died is deeper in the core: it went on to die.
			for len(have) > len(w.frames) && g.State == "running" && len(w.frames) > 0 && have[0] != w.frames[0] {
				have = have[1:]
			}
			frames += max(len(have), len(w.frames))
			for i := range min(len(have), len(w.frames)) {
				if have[i] == w.frames[i] {
					equal++
				}
			}
			// Before Go 1.20 what was inlined where is not read.
			if goMinor(got.Version) >= 20 && strings.Join(have, "\n") != strings.Join(w.frames, "\n") {
				t.Errorf("goroutine %d [%s]:\n%s\nnot\n%s", id, g.State, strings.Join(have, "\n"), strings.Join(w.frames, "\n"))
			}
		}
	}
	for id, w := range want {
		if !seen[id] && w.state != "idle" {
			t.Errorf("goroutine %d [%s] was not found", id, w.state)
		}
	}
	if largest != 300 {
		t.Errorf("the largest group has %d goroutines, not 300", largest)
	}
	if t.Logf("%d of %d frames equal", equal, frames); equal*100 < frames*98 {
		t.Errorf("%d of %d frames equal", equal, frames)
	}
}
