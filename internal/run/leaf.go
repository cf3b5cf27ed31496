package run

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Leaf is a cgroup of version 2 of the command's own, below that of this process. It limits
// nothing; it tells whose packets are whose.
type Leaf struct {
	Path string // directory
	ID   uint64 // as bpf_get_current_cgroup_id has it
	dir  *os.File
}

const leafPrefix = "descry-"

// NewLeaf makes a leaf, and says why where there can be none: no cgroup2, no permission, or the own
// cgroup has limits of its own, which some programs (older JVMs, Go) look up in their very own
// cgroup only and would not find in a leaf.
func NewLeaf() (leaf *Leaf, reason string) {
	leaf, err := newLeaf("/proc/self")
	if err != nil {
		return nil, err.Error()
	}
	return leaf, ""
}

func newLeaf(self string) (*Leaf, error) {
	own, err := ownCgroup(self)
	if err != nil {
		return nil, err
	}
	for _, f := range []string{"memory.max", "memory.high", "cpu.max", "pids.max"} {
		b, err := os.ReadFile(filepath.Join(own, f))
		if err == nil && !strings.HasPrefix(string(b), "max") {
			return nil, fmt.Errorf("the own cgroup has limits that a program looks up there: %s is %s", f, strings.TrimSpace(string(b)))
		}
	}
	removeStale(own)
	var r [4]byte
	rand.Read(r[:])
	path := filepath.Join(own, leafPrefix+strconv.Itoa(os.Getpid())+"-"+hex.EncodeToString(r[:]))
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, fmt.Errorf("make a cgroup: %w", err)
	}
	dir, err := os.Open(path)
	if err == nil {
		var st unix.Stat_t
		if err = unix.Fstat(int(dir.Fd()), &st); err == nil {
			return &Leaf{Path: path, ID: st.Ino, dir: dir}, nil
		}
		dir.Close()
	}
	os.Remove(path)
	return nil, fmt.Errorf("open a new cgroup: %w", err)
}

// Close removes the leaf if no process is left in it; else the next descry does so later.
func (l *Leaf) Close() {
	if l != nil {
		l.dir.Close()
		unix.Rmdir(l.Path)
	}
}

// ownCgroup is the directory of a process's cgroup of version 2.
func ownCgroup(self string) (string, error) {
	groups, err := os.ReadFile(filepath.Join(self, "cgroup"))
	if err != nil {
		return "", fmt.Errorf("find the own cgroup: %w", err)
	}
	rel, found := "", false
	for line := range strings.Lines(string(groups)) {
		if p, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			rel, found = p, true
		}
	}
	if !found || strings.HasPrefix(rel, "/..") || strings.HasSuffix(rel, " (deleted)") {
		return "", fmt.Errorf("this process is in no cgroup of version 2")
	}
	mounts, err := os.ReadFile(filepath.Join(self, "mountinfo"))
	if err != nil {
		return "", fmt.Errorf("find the mount of cgroup2: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || !strings.HasPrefix(after, "cgroup2 ") || len(fields) < 5 {
			continue
		}
		root, at := unescapeMount(fields[3]), unescapeMount(fields[4])
		// Below the mounted part of the hierarchy, which need not be its root.
		if inside, ok := strings.CutPrefix(rel, strings.TrimSuffix(root, "/")); ok && (inside == "" || inside[0] == '/') {
			return filepath.Join(at, inside), nil
		}
	}
	return "", fmt.Errorf("cgroup2 is not mounted here")
}

// unescapeMount undoes mountinfo's octal escapes of blanks.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// removeStale removes empty leaves of watchers that were killed.
func removeStale(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), leafPrefix)
		if !ok || !e.IsDir() {
			continue
		}
		num, random, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(num)
		if err != nil || len(random) != 8 || exists(fmt.Sprintf("/proc/%d", pid)) {
			continue
		}
		// A living one of another pid namespace may be about to use its new leaf.
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > 10*time.Second {
			unix.Rmdir(filepath.Join(dir, e.Name())) // fails while processes are in it
		}
	}
}
