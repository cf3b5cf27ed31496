// Package sample reads /proc: what the processes of a tree hold, where no eBPF exists, and what an
// iterator in the kernel does not give. The root of /proc is a parameter, so that tests can hand it a
// stored one.
//
// A process may end at any time. Reading one that is gone, or only waits to be reaped, gives an error
// that is fs.ErrNotExist; what cannot be read for lack of permission is fs.ErrPermission.
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
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"golang.org/x/sys/unix"
)

// Sampler reads the processes of one tree. Its zero value reads /proc. It is not for several
// goroutines at once.
type Sampler struct {
	// Root is where /proc is mounted; empty means "/proc".
	Root string

	// HighestUpTo is the number of open descriptors up to which Process looks for the highest
	// descriptor number, which takes time in proportion; 0 means 2048. Beyond FD_SETSIZE it is of
	// little use.
	HighestUpTo int64

	known   map[int]*process
	procfs  int // 1: Root is a procfs, -1: it is not, 0: not yet asked
	wchan   int // likewise: wchan names functions
	scratch []byte
}

// process is what is remembered of a process from one sweep to the next.
type process struct {
	start   uint64 // start time in clock ticks: tells a pid that was given again
	stdio   [3]evidence.StdioIs
	seen    bool // stdio was read
	blocked map[int]blocked
	maps    mapsKept
}

const (
	maxFile    = 1 << 20 // bytes of a file about one process
	maxThreads = 256     // of a process, that are looked at
)

func (s *Sampler) root() string {
	if s.Root == "" {
		return "/proc"
	}
	return s.Root
}

func (s *Sampler) path(pid int, name string) string {
	return filepath.Join(s.root(), strconv.Itoa(pid), name)
}

// read reads a small file about a process. What it gives is valid until the next call.
func (s *Sampler) read(pid int, name string) ([]byte, error) {
	f, err := os.Open(s.path(pid, name))
	if err != nil {
		return nil, gone(err)
	}
	defer f.Close()
	if s.scratch == nil {
		s.scratch = make([]byte, 16<<10)
	}
	n := 0
	for {
		if n == len(s.scratch) {
			if n >= maxFile {
				return s.scratch, nil
			}
			s.scratch = append(s.scratch, make([]byte, n)...)
		}
		m, err := f.Read(s.scratch[n:])
		n += m
		if err == io.EOF {
			return s.scratch[:n], nil
		}
		if err != nil {
			return nil, gone(err)
		}
	}
}

// gone makes of a process that vanished under our hands one that was not there.
func gone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	}
	return err
}

// ended makes of a refusal one that the process was not there, where it is about to end: it has no
// memory any more then, and the kernel lets only root look at it.
func (s *Sampler) ended(pid int, err error) error {
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if _, gone := s.stat(pid); gone != nil {
		return gone
	}
	if b, e := s.read(pid, "statm"); e != nil || bytes.HasPrefix(b, []byte("0 ")) {
		return fmt.Errorf("read process %d: it is ending: %w", pid, fs.ErrNotExist)
	}
	return err
}

// stat is what /proc/PID/stat says, as far as it is needed here.
type stat struct {
	comm    string
	state   byte
	ppid    int
	threads int64
	start   uint64 // clock ticks since boot
}

// parseStat reads /proc/PID/stat. A command name may hold anything, also parentheses and spaces.
func parseStat(b []byte) (s stat, err error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return s, errors.New("no command in it")
	}
	s.comm = string(b[open+1 : end])
	f := bytes.Fields(b[end+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return s, errors.New("cut short")
	}
	s.state = f[0][0]
	var errs [3]error
	s.ppid, errs[0] = strconv.Atoi(string(f[1]))
	s.threads, errs[1] = strconv.ParseInt(string(f[17]), 10, 64)
	s.start, errs[2] = strconv.ParseUint(string(f[19]), 10, 64)
	return s, errors.Join(errs[:]...)
}

// stat reads it. A zombie counts as gone: it holds nothing any more.
func (s *Sampler) stat(pid int) (stat, error) {
	b, err := s.read(pid, "stat")
	if err != nil {
		return stat{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	st, err := parseStat(b)
	if err != nil {
		return st, fmt.Errorf("read stat of process %d: %w", pid, err)
	}
	if st.state == 'Z' || st.state == 'X' {
		return st, fmt.Errorf("read process %d: it has ended: %w", pid, fs.ErrNotExist)
	}
	return st, nil
}

// remember gives what is known of a process, nothing where its pid was given again.
func (s *Sampler) remember(pid int, start uint64) *process {
	p := s.known[pid]
	if p == nil || p.start != start {
		if s.known == nil {
			s.known = map[int]*process{}
		}
		p = &process{start: start}
		s.known[pid] = p
	}
	return p
}

// Tree gives root and all its descendants that live, in order of pid. Those that an earlier call saw
// belong to it also when their parent has ended, and so do their descendants. It forgets what has
// ended. A process whose parent ended before any sweep saw it is missed.
func (s *Sampler) Tree(root int) []int {
	var ppids map[int][]int
	members := map[int]bool{}
	todo := []int{root}
	for pid := range s.known {
		todo = append(todo, pid)
	}
	for len(todo) > 0 {
		pid := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if members[pid] {
			continue
		}
		st, err := s.stat(pid)
		if p := s.known[pid]; err != nil || p != nil && p.start != st.start && pid != root {
			delete(s.known, pid)
			continue
		}
		s.remember(pid, st.start)
		members[pid] = true
		children, ok := s.children(pid)
		if !ok {
			if ppids == nil {
				ppids = s.byParent()
			}
			children = ppids[pid]
		}
		todo = append(todo, children...)
	}
	out := make([]int, 0, len(members))
	for pid := range members {
		out = append(out, pid)
	}
	slices.Sort(out)
	return out
}

// children reads /proc/PID/task/*/children (Linux 3.5 with CONFIG_PROC_CHILDREN); false where it
// does not exist.
func (s *Sampler) children(pid int) (out []int, ok bool) {
	for _, tid := range s.threads(pid) {
		b, err := s.read(pid, "task/"+strconv.Itoa(tid)+"/children")
		if err != nil {
			continue
		}
		ok = true
		for _, f := range bytes.Fields(b) {
			if child, err := strconv.Atoi(string(f)); err == nil {
				out = append(out, child)
			}
		}
	}
	return out, ok
}

// byParent reads the parent of every process of the machine.
func (s *Sampler) byParent() map[int][]int {
	out := map[int][]int{}
	for _, pid := range numbers(s.root(), -1) {
		if st, err := s.stat(pid); err == nil {
			out[st.ppid] = append(out[st.ppid], pid)
		}
	}
	return out
}

func (s *Sampler) threads(pid int) []int { return numbers(s.path(pid, "task"), maxThreads) }

// numbers gives the entries of a directory that are numbers, at most limit of them (-1: all).
func numbers(dir string, limit int) (out []int) {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(limit)
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// Process samples one process. Its SelectCalls, Output and Top are not known here, its Highest is -1
// where it was not looked for. Stdio is given the first time and when it changed. With
// fs.ErrPermission all that could be read is given.
func (s *Sampler) Process(pid int) (evidence.Process, error) {
	p, _, err := s.process(pid)
	return p, err
}

// Observe is Process as an observation.
func (s *Sampler) Observe(pid int) (*evidence.Observation, error) {
	p, comm, err := s.process(pid)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	return &evidence.Observation{BootNanos: bootNanos(), WallNanos: time.Now().UnixNano(), Source: evidence.SourceSample,
		PID: int32(pid), Comm: comm, Detail: &p}, err
}

func (s *Sampler) process(pid int) (p evidence.Process, comm string, err error) {
	p.Highest = -1
	st, err := s.stat(pid)
	if err != nil {
		return p, "", err
	}
	p.Threads = st.threads
	known := s.remember(pid, st.start)
	b, err := s.read(pid, "statm")
	if err != nil {
		return p, st.comm, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	p.RSSBytes, err = parseStatm(b, int64(os.Getpagesize()))
	if err != nil {
		return p, st.comm, fmt.Errorf("read statm of process %d: %w", pid, err)
	}
	if p.SoftLimit, p.HardLimit, err = s.limits(pid); err != nil {
		return p, st.comm, err
	}
	if p.Open, p.Highest, err = s.count(pid); err != nil {
		return p, st.comm, s.ended(pid, fmt.Errorf("count descriptors of process %d: %w", pid, err))
	}
	p.Blocked = s.blockedWrites(pid, known, bootNanos())
	if std := s.stdio(pid); !known.seen || std != known.stdio {
		known.seen, known.stdio = true, std
		p.Stdio = std[:]
	}
	// What was read in between may be of two processes.
	if again, err := s.stat(pid); err != nil || again.start != st.start {
		return p, st.comm, fmt.Errorf("read process %d: it ended meanwhile: %w", pid, fs.ErrNotExist)
	}
	return p, st.comm, nil
}

// parseStatm gives the resident bytes of /proc/PID/statm.
func parseStatm(b []byte, page int64) (int64, error) {
	f := bytes.Fields(b)
	if len(f) < 2 {
		return 0, errors.New("cut short")
	}
	n, err := strconv.ParseInt(string(f[1]), 10, 64)
	return n * page, err
}

func (s *Sampler) limits(pid int) (soft, hard int64, err error) {
	b, err := s.read(pid, "limits")
	if err != nil {
		return 0, 0, fmt.Errorf("read limits of process %d: %w", pid, err)
	}
	if soft, hard, err = parseLimits(b); err != nil {
		return 0, 0, fmt.Errorf("read limits of process %d: %w", pid, err)
	}
	return soft, hard, nil
}

// parseLimits gives the limits of open files in /proc/PID/limits; -1 is unlimited.
func parseLimits(b []byte) (soft, hard int64, err error) {
	const name = "Max open files"
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok {
			continue
		}
		f := bytes.Fields(rest)
		if len(f) < 2 {
			break
		}
		if soft, err = limit(f[0]); err == nil {
			hard, err = limit(f[1])
		}
		return soft, hard, err
	}
	return 0, 0, errors.New("no line for open files")
}

func limit(b []byte) (int64, error) {
	if string(b) == "unlimited" {
		return -1, nil
	}
	return strconv.ParseInt(string(b), 10, 64)
}

// count gives the number of open descriptors: the size of the directory since Linux 6.2, its entries
// before, or where the highest number is asked for too.
func (s *Sampler) count(pid int) (open, highest int64, err error) {
	dir := s.path(pid, "fd")
	upTo := s.HighestUpTo
	if upTo == 0 {
		upTo = 2048
	}
	highest = -1
	if s.isProcfs() {
		st, err := os.Stat(dir)
		if err != nil {
			return 0, -1, gone(err)
		}
		if open = st.Size(); open > upTo {
			return open, -1, nil
		}
	}
	d, err := os.Open(dir)
	if err != nil {
		return open, -1, gone(err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return open, -1, gone(err)
	}
	for _, name := range names {
		if n, err := strconv.ParseInt(name, 10, 32); err == nil {
			highest = max(highest, n)
		}
	}
	return int64(len(names)), highest, nil
}

const procSuperMagic = 0x9fa0

// isProcfs says whether Root is a mounted procfs and not a stored copy, whose directories have sizes
// of their own.
func (s *Sampler) isProcfs() bool {
	if s.procfs == 0 {
		s.procfs = -1
		var st unix.Statfs_t
		if unix.Statfs(s.root(), &st) == nil && st.Type == procSuperMagic {
			s.procfs = 1
		}
	}
	return s.procfs > 0
}

func bootNanos() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return ts.Nano()
}
