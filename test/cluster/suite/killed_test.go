//go:build cluster

package suite

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/output"
)

// placed writes each byte of a stream to its offset in a file: what comes twice is written over.
type placed struct {
	out  [2]*os.File
	done [2]int64
}

func (p *placed) Take(x *output.Part) {
	if _, err := p.out[x.Stream].WriteAt(x.Text, x.At); err != nil {
		panic(err)
	}
	p.done[x.Stream] = x.At + int64(len(x.Text))
}

func (p *placed) Look()                 {}
func (p *placed) Lost(l output.Loss)    { fmt.Println("LOST", l.String()) }
func (p *placed) Done(stream int) int64 { return p.done[stream] }
func (p *placed) End()                  {}

type nothing struct{ numbered }

func (*nothing) Take(*output.Part) {}

// The follower of TestFollowKilled.
func TestFollowKilledProcess(t *testing.T) {
	dir := os.Getenv("DESCRY_FOLLOW_DIR")
	if dir == "" {
		return // it is started by TestFollowKilled
	}
	p := &placed{}
	for s := range p.out {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprint("out", s)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		p.out[s] = f
	}
	w, err := output.NewFollower(output.FollowOptions{
		Paths: []string{"/var/log/pods"}, Position: filepath.Join(dir, "position"),
		New: func(path string) output.Consumer {
			if ok, _ := filepath.Match("/var/log/pods/default_killed_*/c/*.log", path); ok {
				return p
			}
			return &nothing{} // another test's
		},
		Trouble: func(x output.Trouble) { fmt.Println("TROUBLE", x.Path, x.Err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// The kubelet turns a log over and packs it, while a follower is killed with -9 again and again: each byte gets to its
// place, and none is missing.
func TestFollowKilled(t *testing.T) {
	const lines = 20_000
	dir := t.TempDir()
	var said bytes.Buffer
	follow := func() *exec.Cmd {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestFollowKilledProcess$", "-test.v")
		cmd.Env = append(os.Environ(), "DESCRY_FOLLOW_DIR="+dir)
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	cmd := follow()
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	pod(t, "killed", fmt.Sprintf(`args: ["lines", "%d", "1000"]`, lines)) // some 20 MB in 20 s, turned over at 1 MiB
	rotated := map[string]bool{}
	r := rand.New(rand.NewSource(1))
	kills := 0
	whole := func() (why string) {
		for s := range 2 {
			b, err := os.ReadFile(filepath.Join(dir, fmt.Sprint("out", s)))
			if err != nil {
				return err.Error()
			}
			next := 0
			for line := range bytes.Lines(b) {
				var i int
				if _, err := fmt.Sscanf(string(line), "line %d", &i); err == nil && i != next {
					return fmt.Sprintf("stream %d has line %d, want %d", s, i, next)
				} else if err == nil {
					next++
				} else if !bytes.HasPrefix(line, []byte("tick")) {
					return fmt.Sprintf("stream %d has %.60q behind line %d", s, line, next-1)
				}
			}
			if next != lines {
				return fmt.Sprintf("stream %d has %d lines of %d", s, next, lines)
			}
		}
		return ""
	}
	for limit := time.Now().Add(3 * time.Minute); time.Now().Before(limit); {
		time.Sleep(time.Duration(200+r.Intn(1500)) * time.Millisecond)
		if whole() == "" {
			break
		}
		cmd.Process.Kill()
		cmd.Wait()
		kills++
		cmd = follow()
		old, _ := filepath.Glob("/var/log/pods/default_killed_*/c/*.log.*")
		for _, path := range old {
			rotated[path] = true
		}
	}
	if why := whole(); why != "" || strings.Contains(said.String(), "LOST") || strings.Contains(said.String(), "TROUBLE") {
		t.Errorf("%s\n%s", why, said.String())
	}
	t.Logf("killed %d times, turned over to %d names", kills, len(rotated))
	if len(rotated) < 4 || kills < 5 {
		t.Error("this shows nothing")
	}
}
