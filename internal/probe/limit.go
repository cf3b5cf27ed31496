//go:build linux

package probe

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// Where what stands in struct limit_event.
const (
	limitArgs   = headerSize + 16
	limitLimits = limitArgs + 8*4
	limitUID    = limitLimits + 8*9
	limitPids   = limitUID + 16
	limitSize   = limitPids + fullCgroupSize

	fullCgroupSize = 8*2 + 4*2 + 2*48
)

// fullCgroup mirrors struct full_cgroup.
type fullCgroup struct {
	used, max int64 // 0: none is full
	above     int32
	name      string // with its parent's, where that is not the root
}

func readFullCgroup(b []byte) fullCgroup {
	f := fullCgroup{used: int64(le.Uint64(b)), max: int64(le.Uint64(b[8:])), above: int32(le.Uint32(b[16:]))}
	if parent := cString(b[24 : 24+48]); parent != "" {
		f.name = parent + "/"
	}
	f.name += cString(b[24+48 : 24+96])
	return f
}

// refusedLimits is what the kernel read of a refusal.
type refusedLimits struct {
	data, memlock, as        int64 // bytes, -1: none
	mapped, dataUsed, locked int64 // bytes
	mappings                 int64
	processes, processesMax  int64
	uid                      uint32
	privileged               bool
	pids                     fullCgroup
}

const (
	capSysAdmin    = 21
	capSysResource = 24
)

func decodeLimit(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < limitSize {
		return nil
	}
	u64 := func(i int) int64 { return int64(le.Uint64(raw[limitLimits+8*i:])) }
	page := int64(os.Getpagesize())
	r := refusedLimits{
		data: limit(uint64(u64(0))), memlock: limit(uint64(u64(1))), as: limit(uint64(u64(2))),
		mapped: u64(3) * page, dataUsed: u64(4) * page, locked: u64(5) * page, mappings: u64(6),
		processes: u64(7), processesMax: limit(uint64(u64(8))),
		uid: le.Uint32(raw[limitUID:]), pids: readFullCgroup(raw[limitPids:]),
	}
	caps := le.Uint64(raw[limitUID+8:])
	level := le.Uint32(raw[limitUID+4:])
	// In a user namespace of its own neither being root nor capabilities count.
	r.privileged = r.uid == 0 || level == 0 && caps&(1<<capSysAdmin|1<<capSysResource) != 0
	var args [4]uint64
	for i := range args {
		args[i] = le.Uint64(raw[limitArgs+8*i:])
	}
	d := &evidence.LimitRefused{
		Call: callName(le.Uint32(raw[headerSize:])), Errno: evidence.Errno(le.Uint32(raw[headerSize+4:])),
		Count: int64(le.Uint64(raw[headerSize+8:])), UID: int64(r.uid), Unlimited: r.privileged,
		Processes: r.processes, Mapped: r.mapped, Mappings: r.mappings,
	}
	if d.Spawn() {
		r.whySpawn(d, readMachine())
	} else {
		r.whyMemory(d, args, readMachine())
	}
	return d
}

// machine is what user space reads of the machine's limits; 0: not known.
type machine struct {
	threads, threadsMax, pidMax int64
	maxMappings                 int64
	overcommit                  int64
	commitLimit, committed      int64 // bytes
	available, total, swap      int64 // bytes
}

func readMachine() (m machine) {
	m.threadsMax = readNumber("/proc/sys/kernel/threads-max")
	m.pidMax = readNumber("/proc/sys/kernel/pid_max")
	m.maxMappings = readNumber("/proc/sys/vm/max_map_count")
	m.overcommit = readNumber("/proc/sys/vm/overcommit_memory")
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		if f := bytes.Fields(b); len(f) > 3 {
			if _, all, ok := bytes.Cut(f[3], []byte("/")); ok {
				m.threads, _ = strconv.ParseInt(string(all), 10, 64)
			}
		}
	}
	b, _ := os.ReadFile("/proc/meminfo")
	for line := range bytes.Lines(b) {
		name, rest, ok := bytes.Cut(line, []byte(":"))
		f := bytes.Fields(rest)
		if !ok || len(f) == 0 {
			continue
		}
		n, _ := strconv.ParseInt(string(f[0]), 10, 53)
		switch string(name) {
		case "MemTotal":
			m.total = n << 10
		case "SwapTotal":
			m.swap = n << 10
		case "MemAvailable":
			m.available = n << 10
		case "CommitLimit":
			m.commitLimit = n << 10
		case "Committed_AS":
			m.committed = n << 10
		}
	}
	return m
}

func readNumber(name string) int64 {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	return n
}

// whySpawn names the limit that refused a process or thread. By the kernel's order of asking: the
// user's processes, the machine's threads, the cgroup, the numbers.
func (r *refusedLimits) whySpawn(d *evidence.LimitRefused, m machine) {
	switch {
	case d.Errno == evidence.ENOMEM:
		if m.overcommit == 2 && m.commitLimit > 0 && m.committed+r.mapped/2 >= m.commitLimit {
			d.Limit, d.Used, d.Max = evidence.LimitCommit, m.committed, m.commitLimit
		}
		d.Available = m.available
	case d.Errno != evidence.EAGAIN:
	case !r.privileged && r.processesMax >= 0 && r.processes >= r.processesMax:
		d.Limit, d.Used, d.Max = evidence.LimitProcesses, r.processes, r.processesMax
	case r.pids.max > 0:
		d.Limit, d.Used, d.Max, d.Cgroup = evidence.LimitPids, r.pids.used, r.pids.max, r.pids.name
	case m.threadsMax > 0 && m.threads+16 >= m.threadsMax:
		d.Limit, d.Used, d.Max = evidence.LimitThreadsMax, m.threads, m.threadsMax
	case m.pidMax > 0 && m.threads+m.threads/16+16 >= m.pidMax:
		d.Limit, d.Used, d.Max = evidence.LimitPidMax, m.threads, m.pidMax
	}
}

// whyMemory names the limit that refused memory, in the kernel's order of asking.
func (r *refusedLimits) whyMemory(d *evidence.LimitRefused, args [4]uint64, m machine) {
	var flags, prot uint64
	fixed := false
	shared := false
	switch d.Call {
	case "mmap":
		d.Start, d.Asked, prot, flags = args[0], pages(args[1]), args[2], args[3]
		fixed = flags&unix.MAP_FIXED != 0
		shared = flags&0xf != unix.MAP_PRIVATE
	case "mremap":
		d.Start, d.Asked, prot = args[0], pages(args[2]-args[1]), unix.PROT_WRITE
		if args[2] < args[1] {
			d.Asked = 0
		}
	case "mprotect", "mlock", "mlock2", "munmap":
		d.Start, d.Asked, prot = args[0], pages(args[1]), args[2]
	case "shmget":
		d.Asked = pages(args[1])
	}
	d.Available = m.available
	locks := flags&unix.MAP_LOCKED != 0 || hasMlock(d.Call)
	switch {
	case locks && (d.Errno == evidence.EPERM || d.Errno == evidence.EAGAIN || d.Errno == evidence.ENOMEM && hasMlock(d.Call) && r.memlock >= 0 && r.lockWanted(d)+r.locked > r.memlock):
		if r.memlock >= 0 {
			d.Limit, d.Used, d.Max = evidence.LimitLocked, r.locked, r.memlock
		}
	case d.Errno != evidence.ENOMEM:
		if d.Errno == evidence.EAGAIN && r.memlock >= 0 && r.locked > 0 { // mlockall(MCL_FUTURE)
			d.Limit, d.Used, d.Max = evidence.LimitLocked, r.locked, r.memlock
		}
	case m.maxMappings > 0 && r.mappings >= m.maxMappings:
		d.Limit, d.Used, d.Max = evidence.LimitMappings, r.mappings, m.maxMappings
	case hasMlock(d.Call) || d.Call == "munmap":
	case d.Call == "shmget":
	case d.Asked <= 0 || d.Asked >= 1<<47: // more than there are addresses
	case d.Call != "mprotect" && r.as >= 0 && r.mapped+d.Asked > r.as && !fixed:
		d.Limit, d.Used, d.Max = evidence.LimitAddress, r.mapped, r.as
	case r.data >= 0 && prot&unix.PROT_WRITE != 0 && !shared && r.dataUsed+d.Asked > r.data:
		d.Limit, d.Used, d.Max = evidence.LimitData, r.dataUsed, r.data
	case m.overcommit == 2 && m.commitLimit > 0 && m.committed+d.Asked > m.commitLimit:
		d.Limit, d.Used, d.Max = evidence.LimitCommit, m.committed, m.commitLimit
	case m.overcommit == 0 && m.total > 0 && d.Asked > m.total+m.swap && prot&unix.PROT_WRITE != 0 && flags&unix.MAP_NORESERVE == 0:
		d.Limit, d.Max = evidence.LimitOvercommit, m.total+m.swap
	}
}

// lockWanted is what a call asks to lock: all of it with mlockall.
func (r *refusedLimits) lockWanted(d *evidence.LimitRefused) int64 {
	if d.Call == "mlockall" {
		return r.mapped
	}
	return d.Asked
}

func hasMlock(call string) bool {
	return call == "mlock" || call == "mlock2" || call == "mlockall"
}

// pages is a length as the kernel takes it: whole pages, and none below 0.
func pages(n uint64) int64 {
	page := uint64(os.Getpagesize())
	n = (n + page - 1) &^ (page - 1)
	return int64(min(n, 1<<62))
}

func countedLimit(_ *Set, k *countKey, v *countValue) evidence.Detail {
	if v.N <= wholeEvents {
		return nil
	}
	return &evidence.LimitRefused{Call: callName(uint32(k.Nr)), Errno: evidence.Errno(k.Err), Count: int64(v.N)}
}

func totalLimit(k *countKey, v *countValue, add func(string, int64)) {
	if evidence.Spawns(callName(uint32(k.Nr))) {
		add(evidence.CountForksRefused, int64(v.N))
	} else {
		add(evidence.CountMemoryRefused, int64(v.N))
	}
}
