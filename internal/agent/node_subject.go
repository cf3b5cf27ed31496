package agent

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/container"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/ladder"
	"github.com/descry-dev/descry/internal/recorder"
	"github.com/descry-dev/descry/internal/sample"
)

// subject is one life of a container, or without a runtime of a unit.
type subject struct {
	id       uint32
	key      string // in places
	ref      container.Ref
	cgroup   string // its path, as /proc/PID/cgroup has it
	workload string // what stays over its lives
	found    string // why it was not watched from its start; "": it was
	since    time.Time
	info     container.Info // as the runtime told it
	named    bool           // it has told
	waited   bool           // its death has waited for that
	unnamed  func()         // goes on with a death that waits for its name; nil: none does
	sandbox  bool           // it holds a pod's namespaces, and is nobody's program

	main    int32     // process, 0: not known
	told    int32     // the kernel's word for it, 0: none; its program is still to be seen
	began   time.Time // when it executed the container's program, zero: not known
	command []string
	procs   map[int32]*member
	tasks   int64 // processes and threads, as swept last
	rec     *recorder.Recorder
	memory  int // bytes that rec may take
	maps    mapsBook
	root    *os.File // its root directory, which outlives its processes; nil: none
	mounts  []mountPoint
	refused seen
	oom     map[int32]bool // processes that the OOM killer chose
	looks   []closer
	place   *sample.CgroupPlace
	group   *evidence.Cgroup // as told last
	outlook groupOutlook
	warned  map[string]string // cases of warnings of its cgroup that hold, by limit
	net     *sharedNet
	near    bool // its cgroup is near to a limit
	placed  bool // its surroundings were looked for
	sought  bool // its log was looked for again
	netBase evidence.NetworkCounts
	netTold evidence.NetworkCounts
	netFrom time.Time
	askedAt int64 // boot time at which its runtime asked it to end, 0: it did not

	earlier bool      // an agent before had it
	started time.Time // when that one began to watch it

	exit  *evidence.Observation // of the main process
	late  bool                  // the kernel's last events did not come in time
	ended bool                  // what becomes of its death is decided, or soon will be
	using int                   // cases that are being made of it
	left  int64                 // boot time at which a process of it was last seen to end, 0: none
}

// member is a process of a subject.
type member struct {
	executed bool             // it has executed a program since it was there
	args     []string         // of that program, until the subject's main process is known
	told     evidence.Process // as recorded last
	at       int64            // boot time of that
	last     evidence.Process // as swept last
	comm     string           // likewise
	look     outlook
	rise     ladder.Rise       // of its descriptors
	warned   map[string]string // cases of warnings that hold, by limit
	born     int64             // boot time at which it was first seen
}

// Bounds of one subject.
const (
	subjectMemory  = 512 << 10 // bytes of its recording
	maxMembers     = 16384     // processes of one subject
	sampleEvery    = 10 * int64(time.Second)
	maxCommandLine = 4096
)

// subjectOf is whose an observation is, nil: nobody's.
func (n *node) subjectOf(o *evidence.Observation) *subject {
	if o.Subject != 0 {
		return n.subjects[o.Subject]
	}
	return n.pids[o.PID]
}

// add makes a subject of a place. id is its number, 0: the next one.
func (n *node) add(id uint32, cgroup, found string) (*subject, error) {
	rec, err := recorder.New(recorder.Options{Memory: subjectMemory})
	if err != nil {
		return nil, err
	}
	if id == 0 {
		n.last++
		id = n.last
	}
	s := &subject{id: id, cgroup: cgroup, found: found, since: time.Now(), procs: map[int32]*member{}, rec: rec, memory: subjectMemory, key: cgroup, workload: cgroup}
	if ref, ok := container.Parse(cgroup); ok {
		s.ref, s.key, s.workload = ref, ref.ID, ref.ID
	}
	old := n.places[s.key]
	n.subjects[s.id], n.places[s.key] = s, s
	if old != nil {
		n.logs.outlived(old.id)
		if old.unnamed != nil { // nothing more will be told of the life before
			old.unnamed()
		}
	}
	if n.names != nil && s.ref.ID != "" {
		n.names.Need(s.ref)
		n.name(s)
	}
	n.figures.started++
	n.keepPinned(s, false)
	return s, nil
}

// join makes a process one of a subject; nil where there are too many.
func (n *node) join(s *subject, pid int32) *member {
	if m := s.procs[pid]; m != nil {
		return m
	}
	if len(s.procs) >= maxMembers || pid <= 0 {
		return nil
	}
	m := &member{born: bootNanos()}
	s.procs[pid] = m
	n.pids[pid] = s
	return m
}

// leave forgets a process of a subject.
func (n *node) leave(s *subject, pid int32) {
	if m := s.procs[pid]; m != nil {
		s.tasks -= m.last.Threads
	}
	delete(s.procs, pid)
	s.left = bootNanos()
	if n.pids[pid] == s {
		delete(n.pids, pid)
	}
}

// forked takes a new process of a subject.
func (n *node) forked(s *subject, child int32) {
	if other := n.pids[child]; other != nil && other != s {
		n.leave(other, child) // its end was lost: a pid is used again
	}
	n.join(s, child)
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
	default:
		if m.args = d.Args; o.PID == s.told || n.outside(s, parentOf(o.PID)) {
			n.lead(s, o.PID, d.Args)
			s.began = o.Time()
		}
	}
}

// lead makes a process the main one.
func (n *node) lead(s *subject, pid int32, command []string) {
	s.main, s.command = pid, command
	if whole := commandOf(pid); whole != nil {
		s.command = whole
	}
	if m := s.procs[pid]; m != nil {
		m.args = nil
	}
	if s.root == nil {
		s.root, _ = openRoot(pid)
		if s.root != nil {
			s.maps.root = fmt.Sprintf("/proc/self/fd/%d", s.root.Fd())
			s.mounts = mountsOf(fmt.Sprintf("/proc/%d/mountinfo", pid))
		}
	}
	s.sandbox = s.sandbox || sandboxed(s)
	if s.place == nil && !s.sandbox { // it may end before its turn comes: what its cgroup counts is read then
		s.place, _ = n.around.groups.Place(int(pid))
	}
	n.keepPinned(s, false)
	n.log.Debug("main process", "container", s.name(), "pid", pid, "command", strings.Join(s.command, " "))
	n.follow(s) // before it is looked at closer
	n.known(s)
}

// sandboxed says whether a subject is what holds a pod's namespaces, by what it runs.
func sandboxed(s *subject) bool {
	return len(s.command) == 1 && path.Base(s.command[0]) == "pause" && s.ref.PodUID != ""
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

// openRoot opens the root directory of a process.
func openRoot(pid int32) (*os.File, error) {
	return os.OpenFile("/proc/"+strconv.Itoa(int(pid))+"/root", unix.O_PATH|unix.O_DIRECTORY, 0)
}

// findMain looks for the main process of a container that ran before: the oldest whose parent is outside.
func (n *node) findMain(s *subject) {
	best, oldest := int32(0), uint64(0)
	for pid := range s.procs {
		parent, start, ok := statOf(pid)
		if !ok || !n.outside(s, parent) || best != 0 && start >= oldest {
			continue
		}
		best, oldest = pid, start
	}
	if command := commandOf(best); best != 0 && command != nil && !runtimeInit(&evidence.Exec{Path: command[0], Args: command}) {
		n.lead(s, best, command)
	}
}

// name is what the subject is called in the log.
func (s *subject) name() string {
	switch {
	case s.info.Pod != "":
		return s.info.Namespace + "/" + s.info.Pod + "/" + s.info.Container
	case s.info.Container != "":
		return s.info.Container
	case s.ref.ID != "":
		return s.ref.Short()
	}
	return s.cgroup
}

// called is the node's name: in a pod the machine's own name is hidden.
func (n *node) called() string { return cmp.Or(n.cfg.Node, hostname()) }

// words are the subject for a case.
func (n *node) words(s *subject) evidence.Subject {
	w := evidence.Subject{
		Node: n.called(), PodUID: s.ref.PodUID, ContainerID: s.ref.ID, Command: s.command, PID: s.main,
		Namespace: s.info.Namespace, Pod: s.info.Pod, Container: s.info.Container, Image: s.info.Image,
		Labels: s.info.Labels, Annotations: s.info.Annotations, RestartCount: int64(s.info.Attempt), Sandbox: s.info.SandboxID, Init: s.info.Init,
	}
	if s.ref.ID == "" {
		w.Unit = s.cgroup
	}
	return w
}

// coverage says what watched a subject, and from when on.
func (n *node) coverage(s *subject) []evidence.Coverage {
	var out []evidence.Coverage
	lost := n.set.Lost()
	now := time.Now().UTC()
	for _, st := range n.set.Status() {
		v := evidence.Coverage{Source: st.Name, By: st.By, Missing: st.Missing, Lost: lost[st.Name]}
		if st.Missing == "" {
			v.From, v.To, v.Partial = s.since.UTC(), now, s.found
		}
		if st.Name == callSource && st.Missing == "" {
			s.callCoverage(&v, now)
		}
		if s.late {
			v.Lost++
		}
		out = append(out, v)
	}
	out = append(out, evidence.Coverage{Source: "sample", By: "iter/task", From: s.since.UTC(), To: now, Partial: s.found})
	out = append(out, n.aroundCoverageOf(s, now)...)
	return append(out, n.outputCoverage(s))
}

// callCoverage says how long system calls were looked at.
func (s *subject) callCoverage(v *evidence.Coverage, now time.Time) {
	if len(s.looks) == 0 {
		v.From, v.To, v.Partial = time.Time{}, time.Time{}, ""
		v.Missing = "system calls are looked at when something asks for it, and nothing did"
		return
	}
	l := s.looks[len(s.looks)-1]
	switch {
	case !l.to.IsZero():
		v.From, v.To = l.from.UTC(), l.to.UTC()
		v.Partial = fmt.Sprintf("looked at from %s to %s alone: %s", v.From.Format("15:04:05"), v.To.Format("15:04:05 MST"), l.why)
	case s.found != "" || s.began.IsZero() || !l.from.Before(s.began):
		v.From = l.from.UTC()
		v.Partial = fmt.Sprintf("looked at from %s on: %s", v.From.Format("15:04:05 MST"), l.why)
	}
}
