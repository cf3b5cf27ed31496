package agent

import (
	"bytes"
	"strings"

	"github.com/descry-dev/descry/internal/container"
)

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
