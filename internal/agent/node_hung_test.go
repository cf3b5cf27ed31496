package agent

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// A runtime takes questions and answers none: a death waits for a name that may come, but not when the agent is asked to end.
func TestNodeEndsBesideHungRuntime(t *testing.T) {
	n := newTestNode(t)
	n.cfg.RuntimeEndpoint = filepath.Join(filepath.Dir(n.cfg.State), "hung.sock")
	l, err := net.Listen("unix", n.cfg.RuntimeEndpoint)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n.start()
	b := n.box(testPod, 0, "exit:3").watched()
	b.die()
	b.wait()
	n.until("the agent has seen the death", func() bool {
		st, err := AskNode(n.cfg.State)
		if err != nil {
			return false
		}
		for _, s := range st.Subjects {
			if s.ContainerID == b.id && s.Processes == 0 {
				return true
			}
		}
		return len(st.Subjects) == 0
	})
	n.stop()
	if got := n.of(b); len(got) != 1 || got[0].Death.ExitCode != 3 || !strings.HasPrefix(b.id, got[0].Subject.ContainerID[:12]) {
		t.Errorf("%d cases", len(got))
	}
}
