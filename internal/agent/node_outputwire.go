package agent

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/ladder"
)

// openOutput begins to follow what containers write, and to receive their cores if that was asked for. end ends both, when
// the last death was judged.
func (n *node) openOutput() (end func(), err error) {
	say := func(format string, args ...any) { n.log.Warn(fmt.Sprintf(format, args...)) }
	cfg := logsConfig{
		Root: n.cfg.HostRoot, Position: n.state.path("logs"), Say: say,
		Tell: func(id uint32, o *evidence.Observation) {
			o.Subject = id
			n.post(message{o: o})
		},
		Unseen: func(id uint32, o *evidence.Observation, out pipeOf, since int64) {
			o.Subject = id
			n.post(message{do: func() {
				if s := n.subjects[id]; s != nil {
					n.byAlone(s, o.Detail.(*evidence.Garbled), out, since)
				}
				n.observe(o)
			}})
		},
		Sign: func(id uint32, why string) {
			n.post(message{do: func() {
				if s := n.subjects[id]; s != nil {
					n.see(s, ladder.Garbage, why)
				}
			}})
		},
	}
	if !n.cfg.NoSyscalls {
		cfg.Ledger = n.set
	}
	if n.logs, err = openLogs(cfg); err != nil {
		return nil, err
	}
	if n.cfg.Cores != "" {
		if n.cores, err = openNodeCores(n.cfg.CoreDir, n.cfg.HostRoot, coredump.Depth(n.cfg.Cores), n.here, say); err != nil {
			say("no cores will be kept: %v", err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	go n.logs.run(ctx)
	return func() {
		stop()
		<-n.logs.done
		if n.cores != nil {
			n.cores.end()
		}
	}, nil
}

// logAgain is when a log is looked for again that was not found: the kubelet makes its links after the start.
const logAgain = 3 * time.Second

// follow begins to follow what a subject writes, as soon as it is known where that is.
func (n *node) follow(s *subject) {
	if s.sandbox || s.main == 0 || s.ref.ID == "" {
		return
	}
	f := followedFor{subject: s.id, pid: s.main, path: cmp.Or(s.info.LogPath, kubeletLog(n.cfg.HostRoot, &s.info)), driver: s.info.LogDriver, id: s.ref.ID, found: s.found != ""}
	if f.found && !n.state.seen.IsZero() && s.info.StartedAt.After(n.state.seen) {
		f.found = false // it was started in the gap between two agents
	}
	if n.logs.follow(f) || s.sought {
		return
	}
	s.sought = true
	n.after(logAgain, func() {
		if n.subjects[s.id] == s {
			n.follow(s)
		}
	})
}

// read takes the last of what a subject wrote, and waits for the core of a process of it. It is for no goroutine that
// others wait for.
func (n *node) read(s *subject, pid int32, wrote bool) {
	n.logs.settle(s.id, wrote)
	if n.cores == nil {
		return
	}
	if err := n.cores.await(pid, coreBound); err != nil {
		n.log.Warn("core dumps", "error", err)
	}
}

// lastOutput is the end of what a subject wrote, nil where it is not read.
func (n *node) lastOutput(s *subject) *evidence.LastOutput {
	return n.logs.last(s.id)
}

// coreOf is what a case has of the core of the process that died.
func (n *node) coreOf(j *job) *evidence.Core {
	if n.cores == nil || j.s == nil || j.death == nil || j.death.Signal == 0 {
		return nil
	}
	return n.cores.core(j.death.PID, j.death.At, j.s.maps.root)
}

// outputCoverage says whether a subject's output was read.
func (n *node) outputCoverage(s *subject) evidence.Coverage {
	if s.ref.ID == "" {
		return evidence.Coverage{Source: "output", Missing: "what is no container writes to the journal, which is not read"}
	}
	return n.logs.coverage(s.id, time.Now().UTC())
}
