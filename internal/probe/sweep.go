//go:build linux

package probe

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

var sweepObject = &object{name: "sweep", spec: loadSweep, setup: setupWalks}

var sweepProbe = &Probe{
	Name: "probe/sweep",
	Cost: "descriptors, limits and blocked writers are read from /proc, which costs more and sees less",
	Ways: []Made{{
		By: "iter/task", Since: "5.17", Needs: []string{"iter"},
		Later: true, Object: sweepObject, Programs: []string{"on_sweep", "on_table", "on_find"},
	}},
}

// Types of rows, enum row_type.
const (
	rowProcess = iota + 1
	rowBlocked
	rowTable
	rowFound
)

// Offsets in the rows.
const (
	ioSize = 8 + 4 + 2*2 + 4*2

	processNumbers = 4 * 4
	processIO      = processNumbers + 8*7
	processComm    = processIO + 3*ioSize
	processStart   = processComm + 16
	processRow     = processStart + 8 + 4*4

	tableKinds = 4*10 + 8*2
	tableRow   = tableKinds + 4*walkKinds
)

// sweeper is what sweeps remember, one at a time.
type sweeper struct {
	mu      sync.Mutex
	buf     []byte
	slot    []byte
	index   map[int32]int          // pid to place in found
	blocked map[int32]blockedSince // by thread
	stdio   map[int32][3]standard  // by process, as of the last sweep
	swept   uint64                 // sweeps so far
	held    map[int32]bool         // processes of which a thread waits in a write
	told    map[int32]toldProcess  // of a node: what was handed on last
}

type blockedSince struct {
	fd    int32
	nanos int64 // boot time at which it was first seen
	swept uint64
}

// standard identifies one of descriptors 0 to 2.
type standard struct {
	kind  uint16
	inode uint64
	dev   uint32
}

var errNoIterators = &NotSupportedError{Feature: "sweeping by iterator (iter/task)", Since: "5.17"}

// rows runs one of the iterators and gives what it wrote. Callers hold s.sweep.mu.
func (s *Set) rows(program string) ([]byte, error) {
	<-s.later
	it := s.iters[program]
	if it == nil {
		return nil, errNoIterators
	}
	r, err := it.Open()
	if err != nil {
		return nil, fmt.Errorf("iterate over tasks: %w", err)
	}
	defer r.Close()
	b := s.sweep.buf[:0]
	for {
		if len(b) == cap(b) {
			b = append(b, make([]byte, 32<<10)...)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			s.sweep.buf = b
			return b, nil
		}
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			return nil, fmt.Errorf("iterate over tasks: %w", err)
		}
	}
}

// eachRow visits rows, which begin with their type and size.
func eachRow(b []byte, visit func(typ uint32, row []byte)) {
	for len(b) >= 8 {
		size := int(le.Uint32(b[4:]))
		if size < 8 || size > len(b) {
			return
		}
		visit(le.Uint32(b), b[:size])
		b = b[size:]
	}
}

// Sweep hands on one evidence.Process observation for each process of the tree, as it is now. Of a node,
// a process of which nothing has changed is told of every ten seconds only; memory counts as changed by a
// thirty-second. It wraps ErrNotSupported where the kernel has no task iterator.
func (s *Set) Sweep(handle func(*evidence.Observation)) error {
	w := &s.sweep
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := s.setWall(); err != nil {
		return err
	}
	rows, err := s.rows("on_sweep")
	if err != nil {
		return err
	}
	now := s.bootNow()
	if w.index == nil {
		w.index, w.blocked, w.stdio = map[int32]int{}, map[int32]blockedSince{}, map[int32][3]standard{}
		w.held, w.told = map[int32]bool{}, map[int32]toldProcess{}
	}
	clear(w.index)
	w.swept++
	var made []*evidence.Observation
	clear(w.held)
	eachRow(rows, func(typ uint32, row []byte) {
		if typ == rowBlocked && len(row) >= 20 {
			w.held[int32(le.Uint32(row[8:]))] = true
		}
	})
	eachRow(rows, func(typ uint32, row []byte) {
		if typ != rowProcess || len(row) < processRow {
			return
		}
		pid := int32(le.Uint32(row[8:]))
		if s.env.node != nil && w.unchanged(pid, row, now) {
			return
		}
		if _, twice := w.index[pid]; twice {
			return
		}
		w.index[pid] = len(made)
		made = append(made, s.process(pid, row, now))
	})
	eachRow(rows, func(typ uint32, row []byte) {
		if typ != rowBlocked || len(row) < 20 {
			return
		}
		i, ok := w.index[int32(le.Uint32(row[8:]))]
		if !ok {
			return
		}
		tid, fd := int32(le.Uint32(row[12:])), int32(le.Uint32(row[16:]))
		since, ok := w.blocked[tid]
		if !ok || since.fd != fd || since.swept != w.swept-1 {
			since = blockedSince{fd: fd, nanos: now}
		}
		since.swept = w.swept
		w.blocked[tid] = since
		d := made[i].Detail.(*evidence.Process)
		d.Blocked = append(d.Blocked, evidence.BlockedWrite{TID: tid, FD: fd, Nanos: now - since.nanos})
	})
	for tid, since := range w.blocked {
		if since.swept != w.swept {
			delete(w.blocked, tid)
		}
	}
	for pid := range w.stdio {
		if _, ok := w.index[pid]; !ok && w.told[pid].swept != w.swept {
			delete(w.stdio, pid)
		}
	}
	for pid, t := range w.told {
		if t.swept != w.swept {
			delete(w.told, pid)
		}
	}
	for _, o := range made {
		handle(o)
	}
	return nil
}

func (s *Set) bootNow() int64 { return time.Now().UnixNano() - s.wall.Load() }

// process makes the observation of one row.
func (s *Set) process(pid int32, row []byte, now int64) *evidence.Observation {
	n := func(i int) uint64 { return le.Uint64(row[processNumbers+8*i:]) }
	d := &evidence.Process{
		Open: int64(n(0)), Highest: int64(n(1)), SoftLimit: limit(n(2)), HardLimit: limit(n(3)),
		RSSBytes: int64(n(4)) * int64(os.Getpagesize()), SelectCalls: int64(n(5)),
		Threads: int64(le.Uint32(row[12:])), StartNanos: int64(le.Uint64(row[processStart:])),
		Parent: int32(le.Uint32(row[processStart+12:])), Outside: le.Uint32(row[processStart+16:]) != 0,
	}
	if le.Uint32(row[processStart+20:]) != 0 {
		s.standardOf(pid, row, d)
	}
	d.Mappings = int64(n(6))
	return &evidence.Observation{
		BootNanos: now, WallNanos: now + s.wall.Load(), Source: evidence.SourceSample,
		PID: pid, Comm: cString(row[processComm : processComm+16]), Subject: le.Uint32(row[processStart+8:]), Detail: d,
	}
}

// standardOf takes what descriptors 0 to 2 are now, where that is new, and how full the output's pipes are.
func (s *Set) standardOf(pid int32, row []byte, d *evidence.Process) {
	var std [3]standard
	for fd := range std {
		b := row[processIO+fd*ioSize:]
		std[fd] = standard{kind: le.Uint16(b[12:]), inode: le.Uint64(b), dev: le.Uint32(b[8:])}
		if slots := le.Uint32(b[20:]); fd > 0 && slots > 0 {
			d.Output = append(d.Output, evidence.PipeFill{FD: int32(fd), Inode: std[fd].inode, Used: int64(le.Uint32(b[16:])), Slots: int64(slots)})
		}
	}
	if was, ok := s.sweep.stdio[pid]; !ok || was != std {
		s.sweep.stdio[pid] = std
		d.Stdio = s.standards(pid, std)
		d.Turned = s.turned(pid, std, d.Stdio)
	}
}

// standards names descriptors 0 to 2; the path comes from /proc, which also knows what the kernel
// side calls anonymous.
func (s *Set) standards(pid int32, std [3]standard) []evidence.StdioIs {
	out := make([]evidence.StdioIs, 3)
	for fd := range std {
		out[fd].FD = int32(fd)
		k := std[fd].kind
		if k == 0 || int(k) >= len(fdKinds) {
			continue
		}
		out[fd].FDKind = fdKinds[k]
		out[fd].Path, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		if out[fd].FDKind == evidence.FDAnon {
			out[fd].FDKind = evidence.AnonKind(out[fd].Path)
		}
	}
	return out
}

// Table gives the descriptor table of a living process, grouped as at a death. It wraps
// ErrNotSupported where the kernel has no task iterator, and os.ErrProcessDone for one that is gone.
func (s *Set) Table(pid int) (*evidence.FDTable, error) {
	w := &s.sweep
	w.mu.Lock()
	defer w.mu.Unlock()
	row, err := s.ask("on_table", pid, rowTable, tableRow)
	if err != nil {
		return nil, fmt.Errorf("read descriptors of process %d: %w", pid, err)
	}
	u32 := func(i int) uint32 { return le.Uint32(row[4*i:]) }
	if w.slot == nil {
		w.slot = make([]byte, s.env.maps["walks"].ValueSize())
	}
	if err := s.env.maps["walks"].Lookup(s.env.walkSlots()-1, &w.slot); err != nil {
		return nil, fmt.Errorf("read descriptors of process %d: %w", pid, err)
	}
	groups, paths := u32(6), u32(7)
	at, pathsAt := u32(8), u32(9)
	if int(at+groups*groupSize) > len(w.slot) || int(pathsAt+paths) > len(w.slot) {
		return nil, fmt.Errorf("read descriptors of process %d: %d groups and %d bytes of paths are too many", pid, groups, paths)
	}
	p := &parts{groups: w.slot[at : at+groups*groupSize], paths: w.slot[pathsAt : pathsAt+paths]}
	t := p.table(int64(u32(3)), int64(int32(u32(4))), row[tableKinds:], u32(5))
	t.At, t.PID = time.Now().UTC(), int32(pid)
	t.SoftLimit, t.HardLimit = limit(le.Uint64(row[40:])), limit(le.Uint64(row[48:]))
	return t, nil
}

// ask runs an iterator that looks for one process and gives its row. Callers hold s.sweep.mu.
func (s *Set) ask(program string, pid int, typ uint32, size int) (row []byte, err error) {
	<-s.later
	m := s.env.maps["wanted"]
	if m == nil || s.iters[program] == nil {
		return nil, errNoIterators
	}
	if err := m.Put(uint32(0), uint32(pid)); err != nil {
		return nil, err
	}
	rows, err := s.rows(program)
	if err != nil {
		return nil, err
	}
	eachRow(rows, func(got uint32, b []byte) {
		if got == typ && len(b) >= size {
			row = b
		}
	})
	if row == nil {
		return nil, os.ErrProcessDone
	}
	return row, nil
}

// global gives the pid of the machine's own pid namespace for one of descry's.
func (s *Set) global(pid int) (uint32, error) {
	if s.env.level == 0 {
		return uint32(pid), nil
	}
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	row, err := s.ask("on_find", pid, rowFound, 12)
	if err != nil {
		return 0, err
	}
	return le.Uint32(row[8:]), nil
}
