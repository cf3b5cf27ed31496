package sample

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// Cgroups reads what the cgroups of processes hold of memory and of processes, of either version. The
// zero value reads the machine's.
type Cgroups struct {
	Root string // in place of /proc
	Base string // stands before all mount points: a stored tree's root

	memory, pids *cgroupMount
	read         bool
	err          error
	places       map[string]*CgroupPlace // by the content of /proc/PID/cgroup
}

type cgroupMount struct {
	version int
	root    string // the cgroup that is mounted
	at      string // where
}

// CgroupPlace is where processes' figures stand. It can be read when they are gone.
type CgroupPlace struct {
	memory, pids *cgroupMount
	inMemory     string // its cgroups, as the kernel names them
	inPids       string
	vmstat       string
}

const (
	maxCgroupFile = 64 << 10 // bytes
	maxLevels     = 32       // of cgroups, one in the other
	maxPlaces     = 64
	maxCgroupPath = 256 // bytes of a path that is told
	noLimit       = int64(1) << 60
)

func (c *Cgroups) root() string {
	if c.Root == "" {
		return "/proc"
	}
	return c.Root
}

// smallFile reads a file of the kernel's own, with three system calls: a node has many of them, and an os.File
// would be told to the runtime's poller and its finalizers as well.
func smallFile(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 512)
	for {
		n, err := unix.Read(fd, b[len(b):min(cap(b), maxCgroupFile)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: name, Err: err}
		case n == 0:
			return b, nil
		}
		if b = b[:len(b)+n]; len(b) >= maxCgroupFile {
			return b, nil
		}
		if len(b) == cap(b) {
			b = append(b, make([]byte, 3*len(b))...)[:len(b)]
		}
	}
}

// mounts finds the hierarchies of memory and pids.
func (c *Cgroups) mounts() error {
	if c.read {
		return c.err
	}
	c.read = true
	f, err := os.Open(filepath.Join(c.root(), "self", "mountinfo"))
	if err != nil {
		c.err = fmt.Errorf("read the mounts of cgroups: %w", err)
		return c.err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 8<<20))
	if err != nil {
		c.err = fmt.Errorf("read the mounts of cgroups: %w", err)
		return c.err
	}
	c.memory, c.pids = parseCgroupMounts(b)
	if c.memory == nil && c.pids == nil {
		c.err = errors.New("no cgroup hierarchy with memory or pids is mounted here")
	}
	return c.err
}

// parseCgroupMounts reads /proc/self/mountinfo. A controller is in a hierarchy of version 1 where it
// has one, else in the unified one.
func parseCgroupMounts(b []byte) (memory, pids *cgroupMount) {
	var unified *cgroupMount
	for line := range bytes.Lines(b) {
		before, after, ok := strings.Cut(strings.TrimSpace(string(line)), " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 3 {
			continue
		}
		m := &cgroupMount{root: unescape(f[3]), at: unescape(f[4])}
		switch g[0] {
		case "cgroup2":
			m.version = 2
			if unified == nil {
				unified = m
			}
		case "cgroup":
			m.version = 1
			for _, o := range strings.Split(g[2], ",") {
				switch {
				case o == "memory" && memory == nil:
					memory = m
				case o == "pids" && pids == nil:
					pids = m
				}
			}
		}
	}
	if memory == nil {
		memory = unified
	}
	if pids == nil {
		pids = unified
	}
	return memory, pids
}

// unescape turns \040 and its like, as mountinfo has them, back.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Place finds where a process's figures stand, nil where no hierarchy tells any. Processes of the same
// cgroups have the same place.
func (c *Cgroups) Place(pid int) (*CgroupPlace, error) {
	if err := c.mounts(); err != nil {
		return nil, err
	}
	b, err := smallFile(filepath.Join(c.root(), strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return nil, fmt.Errorf("read cgroups of process %d: %w", pid, gone(err))
	}
	if p, ok := c.places[string(b)]; ok {
		return p, nil
	}
	p := c.place(b)
	if c.places == nil || len(c.places) >= maxPlaces {
		c.places = map[string]*CgroupPlace{}
	}
	c.places[string(b)] = p
	return p, nil
}

func (c *Cgroups) place(b []byte) *CgroupPlace {
	p := &CgroupPlace{vmstat: filepath.Join(c.root(), "vmstat")}
	in := func(m *cgroupMount, controller string) (*cgroupMount, string) {
		path := ""
		for line := range bytes.Lines(b) {
			f := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
			if len(f) != 3 || m == nil {
				continue
			}
			if m.version == 2 && f[1] == "" || m.version == 1 && slices.Contains(strings.Split(f[1], ","), controller) {
				path = f[2]
			}
		}
		if !strings.HasPrefix(path, "/") {
			return nil, ""
		}
		// What is mounted may be a cgroup of its own, as in a container.
		path = filepath.Clean(strings.TrimSuffix(path, " (deleted)"))
		if root := filepath.Clean(m.root); root != "/" {
			if rest, ok := strings.CutPrefix(path+"/", root+"/"); ok {
				path = filepath.Clean("/" + rest)
			}
		}
		return &cgroupMount{version: m.version, at: c.Base + m.at}, path
	}
	p.memory, p.inMemory = in(c.memory, "memory")
	p.pids, p.inPids = in(c.pids, "pids")
	if p.memory == nil && p.pids == nil {
		return nil
	}
	return p
}

// levels gives a cgroup and those above it, without the root, which has no limit.
func levels(path string) (out []string) {
	for ; strings.HasPrefix(path, "/") && path != "/" && len(out) < maxLevels; path = filepath.Dir(path) {
		out = append(out, path)
	}
	return out
}

// NodeKills is how often the machine's OOM killer has killed.
func (c *Cgroups) NodeKills() int64 {
	b, err := smallFile(filepath.Join(c.root(), "vmstat"))
	if err != nil {
		return 0
	}
	return parseKeyed(b)["oom_kill"]
}

// Read reads the figures as they are now.
func (p *CgroupPlace) Read() *evidence.Cgroup {
	d := p.ReadOwn()
	if b, err := smallFile(p.vmstat); err == nil {
		d.NodeKills = parseKeyed(b)["oom_kill"]
	}
	return d
}

// ReadOwn is Read without NodeKills, which is of the machine and the dearest of all.
func (p *CgroupPlace) ReadOwn() *evidence.Cgroup {
	d := new(evidence.Cgroup)
	if p.memory != nil {
		p.readMemory(d)
	}
	if p.pids != nil {
		for _, path := range levels(p.inPids) {
			dir := filepath.Join(p.pids.at, path)
			max, ok := cgroupLimit(filepath.Join(dir, "pids.max"))
			if !ok {
				continue
			}
			now := cgroupNumber(filepath.Join(dir, "pids.current"))
			if d.PidsMax == 0 || max > 0 && (d.PidsMax < 0 || max-now < d.PidsMax-d.Pids) {
				d.PidsPath, d.Pids, d.PidsMax = bounded(path), now, max
				d.PidsHits = keyed(filepath.Join(dir, "pids.events"))["max"]
			}
		}
		if d.PidsMax > 0 && d.PidsPath != bounded(p.inPids) { // of version 1, and of 2 before Linux 6.11, a fork is counted where it was refused, not where the limit is
			d.PidsHits = max(d.PidsHits, keyed(filepath.Join(p.pids.at, p.inPids, "pids.events"))["max"])
		}
	}
	return d
}

func (p *CgroupPlace) readMemory(d *evidence.Cgroup) {
	names := [...]string{"memory.max", "memory.current", "memory.peak"}
	if p.memory.version == 1 {
		names = [...]string{"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.max_usage_in_bytes"}
	}
	tightest := ""
	for i, path := range levels(p.inMemory) {
		dir := filepath.Join(p.memory.at, path)
		max, ok := cgroupLimit(filepath.Join(dir, names[0]))
		if !ok {
			continue
		}
		now := cgroupNumber(filepath.Join(dir, names[1]))
		if d.Version == 0 {
			d.Version, d.Path = int32(p.memory.version), bounded(path)
		} else if max < 0 || d.Max > 0 && max-now >= d.Max-d.Current {
			continue
		}
		d.LimitPath, d.Max, d.Current = bounded(path), max, now
		tightest = dir
		d.Peak = cgroupNumber(filepath.Join(dir, names[2]))
		if p.memory.version == 1 {
			d.Hits = cgroupNumber(filepath.Join(dir, "memory.failcnt"))
			d.Kills = keyed(filepath.Join(dir, "memory.oom_control"))["oom_kill"]
		} else {
			events := keyed(filepath.Join(dir, "memory.events"))
			d.Hits, d.Kills = events["max"], events["oom_kill"]
			d.Swap = cgroupNumber(filepath.Join(dir, "memory.swap.current"))
		}
		if i == 0 && p.memory.version == 2 {
			if b, err := smallFile(filepath.Join(dir, "memory.pressure")); err == nil {
				d.Pressure = parsePressure(b)
			}
		}
	}
	if d.Max < 0 {
		d.LimitPath = ""
	}
	if d.Max > 0 && d.Current > d.Max/heldFrom {
		d.Held = held(filepath.Join(tightest, "memory.stat"), p.memory.version, d.Current)
	}
}

// heldFrom is the part of the limit from which on memory.stat is read: the kernel sums it up for each
// reader.
const heldFrom = 4

// held is what a cgroup uses without page cache: the kernel takes that back before it kills.
func held(name string, version int, current int64) int64 {
	m := keyed(name)
	if m == nil {
		return 0
	}
	prefix := ""
	if version == 1 {
		prefix = "total_" // with the cgroups below
	}
	return max(1, current-m[prefix+"active_file"]-m[prefix+"inactive_file"])
}

func bounded(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > maxCgroupPath {
		s = strings.ToValidUTF8("…"+s[len(s)-maxCgroupPath:], "")
	}
	return s
}

// cgroupLimit reads a limit, -1 where there is none. false: there is no such file.
func cgroupLimit(name string) (int64, bool) {
	b, err := smallFile(name)
	if err != nil {
		return 0, false
	}
	s := string(bytes.TrimSpace(b))
	n, err := strconv.ParseInt(s, 10, 64)
	if s == "max" || err != nil || n >= noLimit || n < 0 {
		return -1, true
	}
	return n, true
}

func cgroupNumber(name string) int64 {
	b, err := smallFile(name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

func keyed(name string) map[string]int64 {
	b, err := smallFile(name)
	if err != nil {
		return nil
	}
	return parseKeyed(b)
}

// parseKeyed reads lines of a name and a number.
func parseKeyed(b []byte) map[string]int64 {
	out := map[string]int64{}
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) == 2 {
			if n, err := strconv.ParseInt(string(f[1]), 10, 64); err == nil && n >= 0 {
				out[string(f[0])] = n
			}
		}
	}
	return out
}

// parsePressure gives the share of the last ten seconds in which something waited for memory, percent.
func parsePressure(b []byte) float64 {
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) > 1 && f[0] == "some" {
			if v, ok := strings.CutPrefix(f[1], "avg10="); ok {
				if p, err := strconv.ParseFloat(v, 64); err == nil && p >= 0 && p <= 100 {
					return p
				}
			}
		}
	}
	return 0
}
