package agent

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/descry-dev/descry/internal/container"
)

// findEvery is how often new containers are looked for.
const findEvery = 50 * time.Millisecond

// finder remembers which processes it has looked at.
type finder struct {
	known map[int32]bool
}

// find looks for processes in containers that are not watched yet. first: what is there ran before.
func (n *node) find(first bool) {
	dir, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	now := make(map[int32]bool, len(names))
	var met []*subject
	for _, name := range names {
		pid, err := strconv.ParseInt(name, 10, 32)
		if err != nil {
			continue
		}
		p := int32(pid)
		now[p] = true
		if n.finder.known[p] || n.pids[p] != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + name + "/cgroup")
		if err != nil {
			continue
		}
		place, ok := n.within(text)
		if !ok {
			delete(now, p) // it may be moved to one
			continue
		}
		key := place
		if ref, ok := container.Parse(place); ok {
			key = ref.ID
		}
		s := n.places[key]
		if s == nil || s.exit != nil {
			if s, err = n.add(0, place, foundWords); err != nil {
				continue
			}
		}
		if n.set.Track(int(p)) != nil {
			continue
		}
		if n.join(s, p) != nil {
			met = append(met, s)
		}
	}
	n.finder.known = now
	for _, s := range met {
		if s.main == 0 && s.exit == nil {
			n.findMain(s)
		}
	}
}

// within is the path of a process's cgroup, if it is in the scope.
func (n *node) within(text []byte) (string, bool) {
	best := ""
	for line := range bytes.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		if len(f) != 3 || n.cfg.Scope != "" && f[2] != n.cfg.Scope && !strings.HasPrefix(f[2], strings.TrimSuffix(n.cfg.Scope, "/")+"/") {
			continue
		}
		if _, ok := container.Parse(f[2]); ok {
			return f[2], true
		}
		if len(f[2]) > len(best) {
			best = f[2]
		}
	}
	return best, n.cfg.Standalone && best != "" && best != "/"
}
