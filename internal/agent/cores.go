package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/run"
)

// cores receives the core dumps of the subject's processes, with --cores.
type cores struct {
	store     *coredump.Store
	installed *coredump.Installed
	served    chan error

	mu   sync.Mutex
	root int32  // the command's pid; 0: it has not started
	leaf string // name of its cgroup, "" where it has none
	open int    // dumps that are mine and not kept yet
	kept []*coredump.Kept
	done chan struct{} // a dump was kept
}

// receiveCores points the kernel's core dumps here, until cores.close.
func receiveCores(dir string, depth coredump.Depth, say func(string, ...any)) (*cores, error) {
	store, err := coredump.NewStore(dir, coredump.Bounds{}, coredump.Policy{Keep: depth})
	if err != nil {
		return nil, err
	}
	installed, err := coredump.Install(coredump.InstallOptions{})
	if err != nil {
		return nil, err
	}
	c := &cores{store: store, installed: installed, served: make(chan error, 1), done: make(chan struct{}, 1)}
	go func() {
		c.served <- installed.Serve(context.Background(), coredump.ServeOptions{
			Keeper: store, Mine: c.mine, Begun: c.begin, Kept: c.keep, Said: func(words string) { say("core dumps: %s", words) },
		})
	}()
	return c, nil
}

// openCores begins to receive, if that was asked for. What cannot be had is said, and the command runs.
func (f *flight) openCores() {
	if f.cfg.Cores == "" {
		return
	}
	var err error
	if f.cores, err = receiveCores(f.cfg.CoreDir, coredump.Depth(f.cfg.Cores), f.say); err != nil {
		f.noCores = err
		f.say("no cores will be kept: %v", err)
		return
	}
	if words := f.cores.installed.Words; words != "" {
		f.say("core dumps: %s", words)
	}
}

// follow says whose dumps are the subject's: of the command that waits, and of all that comes from it.
func (c *cores) follow(pid int32, leaf string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.root, c.leaf = pid, leaf
}

func (f *flight) followCores(leaf *run.Leaf) {
	if f.cores == nil {
		return
	}
	name := ""
	if leaf != nil {
		name = filepath.Base(leaf.Path)
	}
	f.cores.follow(f.pid, name)
}

// waitCores waits for the dumps that have begun.
func (f *flight) waitCores() {
	if f.cores == nil {
		return
	}
	if err := f.cores.wait(coredump.DefaultBound); err != nil {
		f.say("core dumps: %v", err)
	}
}

// mine says whether a process that dies is one of the subject's: in its cgroup, or its descendant.
func (c *cores) mine(pid int, _ *os.File) bool {
	c.mu.Lock()
	root, leaf := c.root, c.leaf
	c.mu.Unlock()
	return root != 0 && (inLeaf(pid, leaf) || coredump.Within(pid, int(root)))
}

// begin counts a dump that comes. One that is only offered may never come: its process is killed, or the
// supervisor.
func (c *cores) begin(int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
}

func inLeaf(pid int, leaf string) bool {
	if leaf == "" {
		return false
	}
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(groups)) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			return filepath.Base(path) == leaf || strings.Contains(path, "/"+leaf+"/")
		}
	}
	return false
}

func (c *cores) keep(k *coredump.Kept) {
	c.mu.Lock()
	c.open--
	c.kept = append(c.kept, k)
	c.mu.Unlock()
	select {
	case c.done <- struct{}{}:
	default:
	}
}

// wait returns when all dumps that have begun are kept, or it took too long. A process that dies is not
// gone before its dump is over, so none is on its way here that will still come.
func (c *cores) wait(bound time.Duration) error {
	end := time.After(bound)
	for {
		c.mu.Lock()
		open := c.open
		c.mu.Unlock()
		if open <= 0 {
			return nil
		}
		select {
		case <-c.done:
		case <-end:
			return fmt.Errorf("%d core dumps are not kept yet after %v", open, bound)
		}
	}
}

// of is what was kept of the newest dump of a process, nil where there was none.
func (c *cores) of(pid int32) *coredump.Kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.kept) - 1; i >= 0; i-- {
		if c.kept[i].PID == pid {
			return c.kept[i]
		}
	}
	return nil
}

// close puts core_pattern back.
func (c *cores) close() (words string, err error) {
	words, err = c.installed.Close()
	select {
	case serr := <-c.served:
		err = errors.Join(err, serr)
	case <-time.After(10 * time.Second):
	}
	return words, err
}

// closeCores ends receiving.
func (f *flight) closeCores() {
	if f.cores == nil {
		return
	}
	words, err := f.cores.close()
	if words != "" {
		f.say("core dumps: %s", words)
	}
	if err != nil {
		f.say("core dumps: %v", err)
	}
}

// core is what the case has of the dead process's core.
func (f *flight) core(pid int32) *evidence.Core {
	if f.cores == nil {
		return nil
	}
	k := f.cores.of(pid)
	switch {
	case k == nil:
		return nil
	case k.Err != nil:
		f.say("the core of process %d was not kept: %v", pid, k.Err)
		return nil
	}
	c := coreSummary(f.cores.store, k.Entry, "")
	c.Saved, c.Bytes = k.Entry.File != "", k.Entry.Bytes
	if c.Saved {
		c.File = filepath.Join(f.cores.store.Dir(), k.Entry.File)
	}
	return c
}

// coreSummary reads the core that was kept; root is where the files of its process are, "": here. What cannot be read of it is said in its notes.
func coreSummary(store *coredump.Store, e *coredump.Entry, root string) *evidence.Core {
	res := coredump.NewResolver(nil)
	defer res.Close()
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) //nolint:errcheck // then how long goroutines waited is not told
	c, err := store.Summary(e, coredump.SummaryOptions{Resolver: res, Root: root, Now: now.Nano(), Registers: true, Threads: 256, Groups: 16})
	if err != nil {
		c = coredump.SummariseEntry(e)
		c.Notes = append(c.Notes, err.Error())
	}
	return c
}
