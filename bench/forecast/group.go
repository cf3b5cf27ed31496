package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// group is a cgroup of our own in the hierarchies of memory and pids, version 1 or 2.
type group struct{ memory, pids string }

func newGroup(name string, p *program) (*group, error) {
	in, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	g := new(group)
	v2 := "/sys/fs/cgroup"
	for line := range strings.Lines(string(in)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		switch f[1] {
		case "memory":
			g.memory = filepath.Join("/sys/fs/cgroup/memory", f[2], name)
		case "pids":
			g.pids = filepath.Join("/sys/fs/cgroup/pids", f[2], name)
		case "":
			v2 = filepath.Join(v2, f[2], name)
		}
	}
	if g.memory == "" {
		g.memory = v2
	}
	if g.pids == "" {
		g.pids = v2
	}
	for _, dir := range []string{g.memory, g.pids} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if p.memory > 0 {
		limit := strconv.FormatInt(p.memory, 10)
		if os.WriteFile(filepath.Join(g.memory, "memory.limit_in_bytes"), []byte(limit), 0) != nil {
			if err := os.WriteFile(filepath.Join(g.memory, "memory.max"), []byte(limit), 0); err != nil {
				return nil, err
			}
		}
	}
	if p.pids > 0 {
		if err := os.WriteFile(filepath.Join(g.pids, "pids.max"), []byte(strconv.FormatInt(p.pids, 10)), 0); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// end kills what is in the cgroup, which this recorder alone put there, and removes it.
func (g *group) end() {
	for range 100 {
		left := 0
		for _, dir := range []string{g.memory, g.pids} {
			b, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			for line := range strings.FieldsSeq(string(b)) {
				if pid, err := strconv.Atoi(line); err == nil && pid > 1 {
					syscall.Kill(pid, syscall.SIGKILL)
					left++
				}
			}
		}
		if left == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	os.Remove(g.memory)
	os.Remove(g.pids)
}

func number(name string) int64 {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n
}

// memoryOf gives what the cgroup uses, that without the inactive page cache, and without any.
func (g *group) memoryOf() (used, working, held int64) {
	prefix := "total_"
	used = number(filepath.Join(g.memory, "memory.usage_in_bytes"))
	if used == 0 {
		prefix, used = "", number(filepath.Join(g.memory, "memory.current"))
	}
	b, _ := os.ReadFile(filepath.Join(g.memory, "memory.stat"))
	field := func(name string) (n int64) {
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, prefix+name+" "); ok {
				n, _ = strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			}
		}
		return n
	}
	inactive, active := field("inactive_file"), field("active_file")
	return used, max(0, used-inactive), max(0, used-inactive-active)
}
