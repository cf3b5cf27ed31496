package coredump

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const goDies = `package main

import (
	"fmt"
	"os"
	"time"
)

type order struct {
	id   int
	name string
}

//go:noinline
func receive(ch chan int, depth int) int {
	if depth > 0 {
		return receive(ch, depth-1) + 1
	}
	return <-ch
}

//go:noinline
func inner(o *order, p *int) int { *p = o.id; return len(o.name) }

func main() {
	big := make([]byte, 64<<20)
	for i := range big {
		big[i] = byte(i * i >> 3)
	}
	ch := make(chan int)
	for range 50 {
		go receive(ch, 4)
	}
	time.Sleep(100 * time.Millisecond)
	fmt.Fprintln(os.Stderr, inner(&order{4711, "an order"}, nil), big[7])
}
`

// delve must see in stacks what it sees in the whole core: the goroutines and their frames.
func TestGoStacksAgainstFull(t *testing.T) {
	dlv, err := exec.LookPath("dlv")
	if err != nil {
		home, _ := os.UserHomeDir()
		if dlv = filepath.Join(home, "go/bin/dlv"); !exists(dlv) {
			t.Skip("delve is not installed")
		}
	}
	program := build(t, goDies, "main.go", "go", "build", "-o", "OUT", "SRC")
	var want []string
	for _, p := range []Policy{{Keep: Full}, {Keep: Stacks}} {
		s := storeFor(t, Bounds{}, p)
		e := take(t, s, waiting(t, []string{"GOTRACEBACK=crash"}, program))
		t.Logf("%s: %d bytes kept, core of %d, memory %d, waited %.1f ms, masked %d, %s", e.Kept, e.Bytes, e.CoreBytes, e.Saved, e.WaitedMS, e.MaskedAt, e.Why)
		if e.Kept != p.Keep {
			t.Fatalf("kept %s: %s", e.Kept, e.Why)
		}
		if p.Keep == Stacks && e.CoreBytes > 4<<20 {
			t.Errorf("stacks of %d bytes", e.CoreBytes)
		}
		cmd := exec.Command(dlv, "core", program, unpack(t, s, e), "--allow-non-terminal-interactive=true")
		cmd.Stdin = strings.NewReader("goroutines -t 6\nbt\nexit\n")
		out, _ := cmd.CombinedOutput()
		got := goFrames(regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(string(out), ""))
		if want == nil {
			if want = got; len(want) < 52 {
				t.Fatalf("delve sees %d stacks: %s", len(want), out)
			}
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("other frames than in the whole core (-want +got):\n%s\n%s", diff, out)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// goFrames keeps of delve's words the stacks of the program's own frames, each a line, in order: it
// counts goroutines in another order each time.
func goFrames(s string) (list []string) {
	frame := regexp.MustCompile(`^\s*\d+\s+0x[0-9a-f]+ in (main\.\S+|runtime\.(gopark|chanrecv\S*|goexit|main))`)
	for line := range strings.Lines(s) {
		if strings.Contains(line, "Goroutine ") || strings.HasPrefix(line, "(dlv)") {
			list = append(list, "")
		}
		if m := frame.FindStringSubmatch(line); m != nil && len(list) > 0 {
			list[len(list)-1] += m[1] + " "
		}
	}
	slices.Sort(list)
	return list
}
