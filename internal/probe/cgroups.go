//go:build linux

package probe

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hierarchy is one of the machine's hierarchies of cgroups.
type hierarchy struct {
	number int    // as in /proc/PID/cgroup; 0: version 2
	name   string // "memory", "name=systemd"; "" of version 2
	dir    string
	scoped bool // it has the cgroup below which is watched
	whole  bool // the whole of it is mounted there: a container, or a node that is one, sees its own part
}

// findHierarchies lists those of the machine that can be seen from here, version 2 first, then those
// that most probably have a cgroup for everything. Of each there is one: where several parts of it can be
// seen one that has the scope, and the whole rather than a part.
func findHierarchies(scope string) ([]hierarchy, error) {
	numbers, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("list the hierarchies of cgroups: %w", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the hierarchies of cgroups: %w", err)
	}
	all := readHierarchies(numbers, mounts)
	all = slices.DeleteFunc(all, func(h hierarchy) bool { return unix.Access(h.dir, unix.F_OK) != nil })
	for i := range all {
		var st unix.Stat_t
		all[i].whole = unix.Stat(all[i].dir, &st) == nil && st.Ino == 1
		all[i].scoped = unix.Access(filepath.Join(all[i].dir, filepath.Clean("/"+scope)), unix.F_OK) == nil
	}
	order := []string{"", "name=systemd", "memory", "pids", "cpu"}
	rank := func(h hierarchy) int {
		i := slices.IndexFunc(order, func(s string) bool { return slices.Contains(strings.Split(h.name, ","), s) })
		if i < 0 {
			return len(order)
		}
		return i
	}
	slices.SortStableFunc(all, func(a, b hierarchy) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.number, b.number), cmp.Compare(flag(b.scoped), flag(a.scoped)), cmp.Compare(flag(b.whole), flag(a.whole)))
	})
	return slices.CompactFunc(all, func(a, b hierarchy) bool { return a.number == b.number }), nil
}

// readHierarchies joins the texts of /proc/PID/cgroup and /proc/PID/mountinfo.
func readHierarchies(numbers, mounts []byte) (all []hierarchy) {
	number := map[string]int{}
	for sc := bufio.NewScanner(bytes.NewReader(numbers)); sc.Scan(); {
		f := strings.SplitN(sc.Text(), ":", 3)
		if n, err := strconv.Atoi(f[0]); err == nil && len(f) == 3 {
			number[f[1]] = n
		}
	}
	sc := bufio.NewScanner(bytes.NewReader(mounts))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		before, after, ok := strings.Cut(sc.Text(), " - ")
		f, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(kind) < 3 {
			continue
		}
		dir := unescapeMount(f[4])
		switch kind[0] {
		case "cgroup2":
			all = append(all, hierarchy{dir: dir})
		case "cgroup":
			for name, n := range number {
				if n != 0 && sameControllers(name, kind[2]) {
					all = append(all, hierarchy{number: n, name: name, dir: dir})
				}
			}
		}
	}
	return all
}

// sameControllers says whether a mount's options name just these controllers: "rw,cpu,cpuacct".
func sameControllers(name, options string) bool {
	has := strings.Split(options, ",")
	for _, c := range strings.Split(name, ",") {
		if !slices.Contains(has, c) {
			return false
		}
	}
	return true
}

// unescapeMount undoes the octal escapes of mountinfo.
func unescapeMount(s string) string {
	for _, e := range []struct{ from, to string }{{`\040`, " "}, {`\011`, "\t"}, {`\012`, "\n"}, {`\134`, `\`}} {
		s = strings.ReplaceAll(s, e.from, e.to)
	}
	return s
}

// cgroupKey is that of cgroup_key in container.bpf.c.
func cgroupKey(hierarchy int, id uint64) uint64 { return id | uint64(hierarchy)<<48 }

// splitKey is the inverse.
func splitKey(key uint64) (hierarchy int32, id uint64) { return int32(key >> 48), key & (1<<48 - 1) }

// scopeOf finds a cgroup in all hierarchies that have it. The error wraps os.ErrNotExist where none has.
func scopeOf(all []hierarchy, scope string) (in []hierarchy, keys []uint64, err error) {
	for _, h := range all {
		h.dir = filepath.Join(h.dir, filepath.Clean("/"+scope))
		var st unix.Stat_t
		switch err := unix.Stat(h.dir, &st); {
		case err == nil:
			in = append(in, h)
			keys = append(keys, cgroupKey(h.number, st.Ino))
		case !errors.Is(err, unix.ENOENT):
			return nil, nil, fmt.Errorf("find the cgroup %s: %w", h.dir, err)
		}
	}
	if len(in) == 0 {
		return nil, nil, fmt.Errorf("find the cgroup %s in %d hierarchies: %w", scope, len(all), os.ErrNotExist)
	}
	return in, keys, nil
}
