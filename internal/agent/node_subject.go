package agent

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/descry-dev/descry/internal/container"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/recorder"
)

// subject is one container, or without a runtime one unit.
type subject struct {
	id     uint32
	ref    container.Ref
	cgroup string // its path, as /proc/PID/cgroup has it
	found  bool   // it ran before it was watched
	since  time.Time

	main    int32 // process, 0: not known
	command []string
	procs   map[int32]*member
	rec     *recorder.Recorder
	maps    mapsBook
	root    *os.File // its root directory, which outlives its processes; nil: none
	refused seen

	exit  *evidence.Observation // of the main process
	ended bool                  // its case, if there is one, is being made
}

// member is a process of a subject.
type member struct {
	executed bool             // it has executed a program since it was there
	last     evidence.Process // as recorded last
	at       int64            // boot time of that
	look     *outlook         // nil: nothing to forecast yet
}

// Bounds of one subject.
const (
	subjectMemory  = 512 << 10 // bytes of its recording
	maxMembers     = 16384     // processes of one subject
	sampleEvery    = 10 * int64(time.Second)
	forecastFrom   = 64 // descriptors
	maxCommandLine = 4096
)

// subjectOf is whose an observation is, nil: nobody's.
func (n *node) subjectOf(o *evidence.Observation) *subject {
	if o.Subject != 0 {
		return n.subjects[o.Subject]
	}
	return n.pids[o.PID]
}

// add makes a subject of a place.
func (n *node) add(key string, ref container.Ref, cgroup string, found bool) (*subject, error) {
	rec, err := recorder.New(recorder.Options{Memory: subjectMemory})
	if err != nil {
		return nil, err
	}
	n.last++
	s := &subject{
		id: n.last, ref: ref, cgroup: cgroup, found: found, since: time.Now(), procs: map[int32]*member{}, rec: rec,
	}
	n.subjects[s.id], n.places[key] = s, s
	return s, nil
}

// join makes a process one of a subject.
func (n *node) join(s *subject, pid int32) *member {
	if m := s.procs[pid]; m != nil {
		return m
	}
	if len(s.procs) >= maxMembers {
		return nil
	}
	m := new(member)
	s.procs[pid] = m
	n.pids[pid] = s
	return m
}

// forked takes a new process of a subject.
func (n *node) forked(s *subject, parent, child int32) {
	if child > 0 && n.pids[child] == nil {
		n.join(s, child)
	}
}

// executed takes a program that a process of a subject has executed. The first one whose parent is outside
// of the container is its main process: a runtime executes itself there before.
func (n *node) executed(s *subject, o *evidence.Observation, d *evidence.Exec) {
	m := n.join(s, o.PID)
	if m == nil || runtimeInit(d) {
		return
	}
	m.executed = true
	switch {
	case s.main == o.PID:
		s.command = d.Args
	case s.main != 0 || s.exit != nil:
	case n.outside(s, parentOf(o.PID)):
		n.lead(s, o.PID, d.Args)
	}
}

// lead makes a process the main one.
func (n *node) lead(s *subject, pid int32, command []string) {
	s.main, s.command = pid, command
	if whole := commandOf(pid); whole != nil {
		s.command = whole
	}
	if s.root == nil {
		s.root, _ = openRoot(pid)
		if s.root != nil {
			s.maps.root = fmt.Sprintf("/proc/self/fd/%d", s.root.Fd())
		}
	}
	n.log.Debug("main process", "container", s.name(), "pid", pid, "command", strings.Join(s.command, " "))
}

// runtimeInit says whether what was executed is a runtime's own, which becomes the container's program later.
func runtimeInit(d *evidence.Exec) bool {
	return len(d.Args) == 2 && d.Args[1] == "init" && strings.Contains(path.Base(d.Path)+path.Base(d.Args[0]), "runc")
}

// outside says whether a process, if it is known, is none of the subject's.
func (n *node) outside(s *subject, pid int32) bool { return pid >= 0 && s.procs[pid] == nil }

// parentOf is the parent of a process, -1 where it is gone.
func parentOf(pid int32) int32 {
	p, _, ok := statOf(pid)
	if !ok {
		return -1
	}
	return p
}

// statOf is the parent of a process and when it was started, in clock ticks since boot.
func statOf(pid int32) (parent int32, start uint64, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, false
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 20 {
		return 0, 0, false
	}
	p, err := strconv.ParseInt(string(f[1]), 10, 32)
	if err != nil {
		return 0, 0, false
	}
	start, err = strconv.ParseUint(string(f[19]), 10, 64)
	return int32(p), start, err == nil
}

// commandOf is the command line of a process, nil where it has none.
func commandOf(pid int32) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(b) == 0 {
		return nil
	}
	if len(b) > maxCommandLine {
		b = b[:maxCommandLine]
	}
	return strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
}

// name is what the subject is called in the log.
func (s *subject) name() string {
	if s.ref.ID != "" {
		return s.ref.Short()
	}
	return s.cgroup
}

// swept takes a process of a sweep: what has not changed is recorded from time to time only.
func (n *node) swept(s *subject, o *evidence.Observation, p *evidence.Process) {
	m := n.join(s, o.PID)
	if m == nil {
		return
	}
	if n.outlook(m, o, p) || m.at == 0 || o.BootNanos-m.at >= sampleEvery || news(&m.last, p) {
		m.last, m.at = *p, o.BootNanos
		s.rec.Record(o)
	}
}

// news says whether a sample tells what the last one did not.
func news(was, is *evidence.Process) bool {
	return was.Open != is.Open || was.Highest != is.Highest || was.SoftLimit != is.SoftLimit || len(is.Blocked) > 0 || len(is.Stdio) > 0 ||
		was.Threads != is.Threads || is.RSSBytes > was.RSSBytes+was.RSSBytes/8 || is.RSSBytes < was.RSSBytes/2
}

// outlook forecasts, and says whether that gave something.
func (n *node) outlook(m *member, o *evidence.Observation, p *evidence.Process) bool {
	if m.look == nil {
		if p.Open < forecastFrom {
			return false
		}
		m.look = new(outlook)
	}
	m.look.tracker.Add(o.BootNanos, p.Open, p.Highest, p.SoftLimit, p.SelectCalls)
	return false
}

// subject is the subject in words for a case.
func (s *subject) words() evidence.Subject {
	return evidence.Subject{
		Node: hostname(), PodUID: s.ref.PodUID, ContainerID: s.ref.ID, Command: s.command, PID: s.main,
	}
}
