package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/ladder"
)

// openLogs begins to follow what containers write.
func (n *node) openLogs(ctx context.Context, beside *sync.WaitGroup) error {
	l, err := openLogs(logsConfig{
		Root: n.cfg.HostRoot, Position: n.state.path("logs"), Ledger: n.set,
		Tell: func(id uint32, o *evidence.Observation) {
			o.Subject = id
			n.post(message{o: o})
		},
		Sign: func(id uint32, why string) {
			n.post(message{do: func() {
				if s := n.subjects[id]; s != nil {
					n.see(s, ladder.Garbage, why)
				}
			}})
		},
		Say: func(format string, args ...any) { n.log.Warn(fmt.Sprintf(format, args...)) },
	})
	if err != nil {
		return err
	}
	n.logs = l
	beside.Go(func() { l.run(ctx) })
	return nil
}

// follow begins to follow what a subject writes, as soon as it is known where that is.
func (n *node) follow(s *subject) {
	if s.sandbox || s.main == 0 || s.ref.ID == "" || n.names != nil && !s.named {
		return
	}
	n.logs.follow(followedFor{subject: s.id, pid: s.main, path: s.info.LogPath, id: s.ref.ID, found: s.found != ""})
}

// lastOutput is the end of what a subject wrote, nil where it is not read.
func (n *node) lastOutput(s *subject) *evidence.LastOutput {
	return n.logs.last(s.id)
}

// outputCoverage says whether a subject's output was read.
func (n *node) outputCoverage(s *subject) evidence.Coverage {
	if s.ref.ID == "" {
		return evidence.Coverage{Source: "output", Missing: "its output is not read"}
	}
	return n.logs.coverage(s.id, time.Now().UTC())
}
