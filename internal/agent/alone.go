package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// Where no write was seen, who had the output open tells: if that was one process all the time, it wrote, whatever the
// call was. That is likely, not certain, since a descriptor can be handed to others unseen.

// Bounds of looking for who has an output open.
const (
	aloneProcesses   = 32
	aloneDescriptors = 4096 // of one process
)

// holding is how a process has a pipe open.
type holding struct {
	fd   int32 // lowest number it is open as for writing, -1: none
	ring bool  // it has an io_uring
}

// holdingOf looks through the descriptors of a process, and says whether it could see all of them.
func holdingOf(pid int32, inode uint64) (h holding, ok bool) {
	h.fd = -1
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	d, err := os.Open(dir)
	if err != nil {
		return h, false
	}
	defer d.Close()
	names, _ := d.Readdirnames(aloneDescriptors)
	if len(names) == 0 || len(names) == aloneDescriptors {
		return h, false
	}
	pipe := fmt.Sprintf("pipe:[%d]", inode)
	for _, name := range names {
		link, err := os.Readlink(filepath.Join(dir, name))
		if err != nil {
			continue // it was closed meanwhile
		}
		switch link {
		case "anon_inode:[io_uring]":
			h.ring = true
		case pipe:
			fd, err := strconv.ParseInt(name, 10, 32)
			if err == nil && writable(pid, name) && (h.fd < 0 || int32(fd) < h.fd) {
				h.fd = int32(fd)
			}
		}
	}
	return h, true
}

// writable says whether a descriptor was opened for writing.
func writable(pid int32, fd string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, fd))
	if err != nil {
		return false
	}
	_, flags, _ := strings.Cut(string(b), "flags:")
	f := strings.Fields(flags)
	if len(f) == 0 {
		return false
	}
	mode, err := strconv.ParseUint(f[0], 8, 32)
	return err == nil && mode&unix.O_ACCMODE != unix.O_RDONLY
}

// aloneOf is the one of some processes that has a pipe open for writing, nil where there is none or more, or where that
// cannot be seen of all.
func aloneOf(pids []int32, out pipeOf) *evidence.Writer {
	if out.Inode == 0 || out.Rdev != 0 || len(pids) == 0 || len(pids) > aloneProcesses {
		return nil
	}
	var w *evidence.Writer
	for _, pid := range pids {
		h, ok := holdingOf(pid, out.Inode)
		if !ok || h.fd >= 0 && w != nil {
			return nil
		}
		if h.fd >= 0 {
			w = &evidence.Writer{PID: pid, TID: pid, Comm: commOf(pid), FD: h.fd}
			ofOutput(w, out)
		}
	}
	return w
}

// commOf is the name of a process's first thread, "" where it is gone.
func commOf(pid int32) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSuffix(b, []byte("\n")))
}

// aloneSlack is how much earlier than told something may have been written: a runtime reads with delay.
const aloneSlack = int64(1e9)

// tellProcesses are the sources that tell which processes there are; "probe" is what could not be read at all.
var tellProcesses = []string{"probe/fork", "probe/exec", "probe/exit", "probe/container", "probe"}

// lostProcesses says whether a process may have begun or ended unseen.
func lostProcesses(lost map[string]int64) bool {
	return slices.ContainsFunc(tellProcesses, func(source string) bool { return lost[source] > 0 })
}

// byAlone names the writer of a piece of garbage whose write was not seen, if one process of the subject alone had the
// output open from a boot time on, when what stands before it was read: none has ended or begun since.
func (n *node) byAlone(s *subject, d *evidence.Garbled, out pipeOf, since int64) {
	if since -= aloneSlack; s.exit != nil || s.left >= since || n.set == nil {
		return
	}
	if lostProcesses(n.set.Lost()) {
		return
	}
	var pids []int32
	for pid, m := range s.procs {
		if m.born >= since {
			return
		}
		pids = append(pids, pid)
	}
	if w := aloneOf(pids, out); w != nil {
		w.Bytes = d.Length
		d.Writer, d.By, d.Unseen = w, evidence.ByAlone, ""
	}
}

// byRing names the writer of a piece of garbage that no seen write holds, if one process alone could write it unseen: by an
// io_uring. Others that have the output open have none, and their calls are seen. Only for the goroutine that reads the output.
func (f *flight) byRing(d *evidence.Garbled, i int) {
	out := f.blame.out[i]
	since, ok := f.cmd.Tap().TimeAt(streams[i], max(0, d.Offset-1))
	if f.set == nil || out.Inode == 0 || out.Rdev != 0 || !ok || lostProcesses(f.set.Lost()) {
		return
	}
	holders := f.cmd.Holders()
	if len(holders) > aloneProcesses {
		return
	}
	var w *evidence.Writer
	rings := 0
	for _, x := range holders {
		h, ok := holdingOf(x.PID, out.Inode)
		switch {
		case !ok:
			return
		case h.fd < 0: // it has the other stream
		case h.ring:
			rings++
			w = &evidence.Writer{PID: x.PID, TID: x.PID, Comm: commOf(x.PID), FD: h.fd, Bytes: d.Length}
			ofOutput(w, out)
		case !f.maps.knows(x.PID):
			return // it is outside of the tree, where nothing is seen
		}
	}
	switch {
	case rings == 0:
		return
	case rings > 1 || f.blame.ended.Load() >= since-aloneSlack: // one that had a ring, too, may be gone
		d.Unseen = fmt.Sprintf("no write that was seen holds it; %s (pid %d) has an io_uring, whose writes are not seen", commOf(w.PID), w.PID)
		return
	}
	d.Writer, d.By, d.Unseen = w, evidence.ByRing, ""
}
