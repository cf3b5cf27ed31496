//go:build cluster

package suite

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/output"
)

// numbered checks that lines come whole and in order, each once.
type numbered struct {
	name string
	next [2]int
	rest [2][]byte
	done [2]int64
	bad  []string
	lost []output.Loss
}

func (n *numbered) Take(p *output.Part) {
	s := p.Stream
	if want := n.done[s] + int64(len(n.rest[s])); p.At != want {
		n.complain("%s goes on at byte %d of stream %d, not %d", n.name, p.At, s, want)
	}
	n.rest[s] = append(n.rest[s], p.Text...)
	for {
		line, rest, whole := bytes.Cut(n.rest[s], []byte("\n"))
		if !whole {
			return
		}
		var i int
		if _, err := fmt.Sscanf(string(line), "line %d", &i); err != nil && !bytes.HasPrefix(line, []byte("tick")) {
			n.complain("stream %d has %.40q", s, line)
		} else if err == nil {
			if i != n.next[s] {
				n.complain("stream %d has line %d, want %d", s, i, n.next[s])
			}
			n.next[s] = i + 1
		}
		n.done[s] += int64(len(line) + 1)
		n.rest[s] = rest
	}
}

func (n *numbered) complain(format string, args ...any) {
	if len(n.bad) < 10 {
		n.bad = append(n.bad, fmt.Sprintf(format, args...))
	}
}

func (n *numbered) Look()                 {}
func (n *numbered) Lost(l output.Loss)    { n.lost = append(n.lost, l) }
func (n *numbered) Done(stream int) int64 { return n.done[stream] }
func (n *numbered) End()                  {}

// The kubelet turns a log over several times while it is followed, and the follower begins anew in between:
// every line comes once.
func TestFollowRotatedLogs(t *testing.T) {
	const lines = 20_000
	pod(t, "writer", fmt.Sprintf(`args: ["lines", "%d", "1000"]`, lines)) // some 20 MB in 20 s, turned over at 1 MiB
	position := filepath.Join(t.TempDir(), "position")
	logs := map[string]*numbered{}
	begin := func() *output.Follower {
		w, err := output.NewFollower(output.FollowOptions{
			Paths: []string{"/var/log/pods"}, Position: position,
			New: func(path string) output.Consumer {
				if ok, _ := filepath.Match("/var/log/pods/default_writer_*/c/*.log", path); !ok {
					return &numbered{} // another test's
				}
				n := logs[path]
				if n == nil {
					n = &numbered{name: path}
					logs[path] = n
				} else {
					n.rest = [2][]byte{} // what was not done comes again
				}
				return n
			},
			Trouble: func(tr output.Trouble) { t.Logf("%s: %v", tr.Path, tr.Err) },
		})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := begin()
	rotated := map[string]bool{}
	all := func() bool {
		for _, n := range logs {
			return len(logs) == 1 && n.next[0] == lines && n.next[1] == lines
		}
		return false
	}
	restarts, since := 0, time.Now()
	for limit := time.Now().Add(3 * time.Minute); !all() && time.Now().Before(limit); {
		if !w.Poll(time.Now()) {
			time.Sleep(100 * time.Millisecond)
		}
		if time.Since(since) > 2*time.Second {
			since = time.Now()
			restarts++
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			w = begin()
		}
		old, _ := filepath.Glob("/var/log/pods/default_writer_*/c/*.log.*")
		for _, path := range old {
			rotated[path] = true
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	for path, n := range logs {
		if n.next[0] != lines || n.next[1] != lines || len(n.bad) > 0 || len(n.lost) > 0 {
			t.Errorf("%s: %v of %d lines; %q; lost %v", path, n.next, lines, n.bad, n.lost)
		}
	}
	if len(logs) != 1 || len(rotated) < 4 || restarts < 3 {
		t.Errorf("%d logs, turned over to %d files, %d restarts: this shows nothing", len(logs), len(rotated), restarts)
	}
}
