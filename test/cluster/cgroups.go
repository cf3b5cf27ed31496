package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// makeGroups makes a subtree of our own in each cgroup hierarchy, below the cgroup that we are in, so
// that the accounting and limits of whoever called stay in force.
func (c *cluster) makeGroups() error {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	var dirs []string
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		root := filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(f[1], "name="))
		if f[1] == "" {
			root = unifiedRoot()
		}
		dir := filepath.Join(root, f[2], c.cgroupName())
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a cgroup for the node: %w", err)
		}
		if f[1] == "cpuset" { // empty in a new one, and nothing may join it then
			if err := inheritCPUSet(dir); err != nil {
				return fmt.Errorf("prepare %s: %w", dir, err)
			}
		}
		dirs = append(dirs, dir)
	}
	if len(dirs) == 1 && unifiedRoot() == "/sys/fs/cgroup" {
		return errors.New("this machine has cgroup v2 alone, where this cluster has never been run; it needs the v1 or the hybrid hierarchy")
	}
	return os.WriteFile(c.at("cgroups"), []byte(strings.Join(dirs, "\n")+"\n"), 0o644)
}

// unifiedRoot is where cgroup2 is mounted.
func unifiedRoot() string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return "/sys/fs/cgroup"
	}
	return "/sys/fs/cgroup/unified"
}

func inheritCPUSet(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "cgroup.clone_children"), []byte("1"), 0o644); err != nil {
		return err
	}
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// groups are the cgroups of the cluster, one in each hierarchy.
func (c *cluster) groups() ([]string, error) {
	b, err := os.ReadFile(c.at("cgroups"))
	if err != nil {
		return nil, fmt.Errorf("find the node's cgroups: %w", err)
	}
	var out []string
	for _, dir := range strings.Fields(string(b)) {
		if filepath.Base(dir) == c.cgroupName() { // nothing else is ever killed or removed
			out = append(out, dir)
		}
	}
	return out, nil
}

// joinGroups moves this process into the cgroups of the cluster.
func (c *cluster) joinGroups() error {
	dirs, err := c.groups()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return fmt.Errorf("join a cgroup of the node: %w", err)
		}
	}
	return nil
}

// endGroups ends every process of the cluster and removes its cgroups.
func (c *cluster) endGroups() error {
	dirs, err := c.groups()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, dir := range dirs {
		kill := filepath.Join(dir, "cgroup.kill")
		if _, err := os.Stat(kill); err != nil {
			continue
		}
		if err := os.WriteFile(kill, []byte("1"), 0o644); err != nil {
			return fmt.Errorf("end the processes of the node: %w", err)
		}
		for range 200 {
			b, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
			if err != nil || strings.Contains(string(b), "populated 0") {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	var left []error
	for _, dir := range dirs {
		var err error
		for range 20 { // the kernel takes a moment
			if err = removeGroup(dir); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		left = append(left, err)
	}
	return errors.Join(left...)
}

// removeGroup removes a cgroup and those below it, the deepest first.
func removeGroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeGroup(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
