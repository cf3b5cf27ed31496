package sample

import (
	"bytes"
	"runtime"
	"strconv"

	"github.com/descry-dev/descry/internal/evidence"
)

// blocked is a thread that waited in a write at the last sweep.
type blocked struct {
	call  string // the line of /proc/PID/task/TID/syscall: the same call has the same arguments
	since int64  // boot time, nanoseconds
	swept bool
}

// writes are the system calls that write to a descriptor and may wait, by number.
var writes = map[string]map[int]bool{
	"amd64": {1: true, 20: true, 44: true, 46: true},    // write, writev, sendto, sendmsg
	"arm64": {64: true, 66: true, 206: true, 211: true}, // the same
}

// blockedWrites gives the threads that wait in a write to descriptor 1 or 2. It needs the right to
// trace the process, and gives none without it.
func (s *Sampler) blockedWrites(pid int, p *process, now int64) (out []evidence.BlockedWrite) {
	for _, tid := range s.threads(pid) {
		dir := "task/" + strconv.Itoa(tid)
		b, err := s.read(pid, dir+"/syscall")
		if err != nil {
			break
		}
		fd, ok := parseSyscall(b, writes[runtime.GOARCH])
		if !ok {
			continue
		}
		call := string(b)
		// A thread that is on its way in or out of the call does not wait. Where wchan is not to be
		// read, it is "0" for all; the name of a function says the thread sleeps there.
		if w, err := s.read(pid, dir+"/wchan"); err == nil && string(w) == "0" && s.wchanWorks() {
			continue
		}
		was, ok := p.blocked[tid]
		if !ok || was.call != call {
			was = blocked{call: call, since: now}
		}
		was.swept = true
		if p.blocked == nil {
			p.blocked = map[int]blocked{}
		}
		p.blocked[tid] = was
		out = append(out, evidence.BlockedWrite{TID: int32(tid), FD: int32(fd), Nanos: now - was.since})
	}
	for tid, was := range p.blocked {
		if !was.swept {
			delete(p.blocked, tid)
			continue
		}
		was.swept = false
		p.blocked[tid] = was
	}
	return out
}

// wchanWorks says whether this kernel names the function that a thread sleeps in. Process 1 sleeps,
// or another of the machine does; the kernel's own thread daemon, where it can be seen, always does.
func (s *Sampler) wchanWorks() bool {
	if s.wchan == 0 {
		s.wchan = -1
		for _, pid := range []int{1, 2} {
			if w, err := s.read(pid, "wchan"); err == nil && len(w) > 0 && string(w) != "0" {
				s.wchan = 1
			}
		}
	}
	return s.wchan > 0
}

// parseSyscall gives the first argument of the call that a thread is in, if that is one of calls and
// its descriptor is 1 or 2.
func parseSyscall(b []byte, calls map[int]bool) (fd int, ok bool) {
	f := bytes.Fields(b) // "running", "-1 0x… 0x…" or "1 0x2 0x… …"
	if len(f) < 9 {
		return 0, false
	}
	nr, err := strconv.Atoi(string(f[0]))
	if err != nil || !calls[nr] {
		return 0, false
	}
	n, err := strconv.ParseUint(string(f[1]), 0, 64)
	if err != nil || n != 1 && n != 2 {
		return 0, false
	}
	return int(n), true
}
