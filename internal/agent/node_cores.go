package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/evidence"
)

// nodeCores receives the core dumps of all containers that are watched: one supervisor for the node. What dies elsewhere
// gets what it got before.
type nodeCores struct {
	cores
	here func(pid int, cgroups []byte) bool // whether a process, with its /proc/PID/cgroup, is one that is watched
	say  func(string, ...any)

	coming  map[int32]int   // dumps that have begun and are not kept yet, by process
	waiting []chan struct{} // closed when one is kept
}

// coresLinger is how long a process that dies while the agent is started anew waits for it.
const coresLinger = 30 * time.Second

// coresKnown is how many dumps are remembered for the deaths that they belong to.
const coresKnown = 256

// coreBound is how long a death waits for its core to be kept.
const coreBound = 10 * time.Second

// openNodeCores points the kernel's core dumps here, also from within a pod, where the node's files are seen below root.
func openNodeCores(dir, root string, depth coredump.Depth, here func(pid int, cgroups []byte) bool, say func(string, ...any)) (*nodeCores, error) {
	useProcOf(root)
	store, err := coredump.NewStore(dir, coredump.Bounds{}, coredump.Policy{Keep: depth})
	if err != nil {
		return nil, err
	}
	installed, err := coredump.Install(coredump.InstallOptions{Linger: coresLinger})
	if err != nil {
		return nil, err
	}
	c := &nodeCores{here: here, say: say}
	c.store, c.installed, c.served, c.done = store, installed, make(chan error, 1), make(chan struct{}, 1)
	go func() {
		c.served <- installed.Serve(context.Background(), coredump.ServeOptions{
			Keeper: store, Mine: c.watched, Begun: c.begun, Kept: c.taken, Said: func(words string) { say("core dumps: %s", words) },
		})
	}()
	if installed.Words != "" {
		say("core dumps: %s", installed.Words)
	}
	return c, nil
}

// useProcOf has core_pattern set in the node's /proc where that is seen below root: a pod's own is read-only.
func useProcOf(root string) {
	if root == "" || root == "/" {
		return
	}
	proc := filepath.Join(root, "proc")
	if _, err := os.Stat(filepath.Join(proc, "sys/kernel/core_pattern")); err == nil {
		coredump.UseProc(proc)
	}
}

// watched says whether a process that dies is in a container that is watched.
func (c *nodeCores) watched(pid int, _ *os.File) bool {
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && c.here(pid, groups)
}

// here says whether a process that dies is one of a subject. Its cgroup tells that of one that the agent has not yet heard of,
// but not in a cgroup namespace of the agent's own, as a pod has it.
func (n *node) here(pid int, groups []byte) bool {
	known := make(chan bool, 1)
	n.post(message{do: func() { known <- n.pids[int32(pid)] != nil }})
	select {
	case is := <-known:
		if is {
			return true
		}
	case <-time.After(time.Second): // the owner is busy, or has ended
	}
	_, ok := n.within(groups)
	return ok
}

// begun counts a dump that comes.
func (c *nodeCores) begun(pid int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.coming == nil {
		c.coming = map[int32]int{}
	}
	c.coming[pid]++
}

// taken remembers what became of a dump.
func (c *nodeCores) taken(k *coredump.Kept) {
	c.mu.Lock()
	if c.coming[k.PID]--; c.coming[k.PID] <= 0 {
		delete(c.coming, k.PID)
	}
	if c.kept = append(c.kept, k); len(c.kept) > coresKnown {
		c.kept = append(c.kept[:0], c.kept[coresKnown/4:]...)
	}
	waiting := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	for _, w := range waiting {
		close(w)
	}
}

// await returns when the dump of a process, if one has begun, is kept, or it took too long.
func (c *nodeCores) await(pid int32, bound time.Duration) error {
	end := time.After(bound)
	for {
		c.mu.Lock()
		if c.coming[pid] <= 0 {
			c.mu.Unlock()
			return nil
		}
		w := make(chan struct{})
		c.waiting = append(c.waiting, w)
		c.mu.Unlock()
		select {
		case <-w:
		case <-end:
			return fmt.Errorf("the core of process %d is not kept yet after %v", pid, bound)
		}
	}
}

// coreSlack is how far the clocks of a dump's begin and of its process's end may be apart beside how long dumps take.
const coreSlack = time.Minute

// core is what a case has of the core of a process that died at a time; nil where there is none. root is where its
// files are. It takes as long as reading a core does.
func (c *nodeCores) core(pid int32, died time.Time, root string) *evidence.Core {
	k := c.of(pid)
	if k == nil || k.Err == nil && (k.Entry.At.After(died.Add(coreSlack)) || k.Entry.At.Before(died.Add(-coredump.DefaultBound-coreSlack))) { // another that had its number
		return nil
	}
	if k.Err != nil {
		c.say("the core of process %d was not kept: %v", pid, k.Err)
		return nil
	}
	s := coreSummary(c.store, k.Entry, root)
	s.Saved, s.Bytes = k.Entry.File != "", k.Entry.Bytes
	if s.Saved {
		s.File = filepath.Join(c.store.Dir(), k.Entry.File)
	}
	return s
}

// end puts core_pattern back.
func (c *nodeCores) end() {
	words, err := c.close()
	if words != "" {
		c.say("core dumps: %s", words)
	}
	if err != nil {
		c.say("core dumps: %v", err)
	}
}
