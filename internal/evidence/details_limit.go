package evidence

import "github.com/go-json-experiment/json/jsontext"

// Names of limits, as LimitRefused has them. Those of the kernel's settings are as sysctl names them.
const (
	LimitProcesses  = "RLIMIT_NPROC"
	LimitPids       = "pids.max"
	LimitThreadsMax = "kernel.threads-max"
	LimitPidMax     = "kernel.pid_max"
	LimitAddress    = "RLIMIT_AS"
	LimitData       = "RLIMIT_DATA"
	LimitLocked     = "RLIMIT_MEMLOCK"
	LimitMappings   = "vm.max_map_count"
	LimitCommit     = "CommitLimit"
	LimitOvercommit = "vm.overcommit_memory"
)

// Names of limits that Headroom alone has.
const (
	LimitNoFile    = "nofile"      // RLIMIT_NOFILE, soft
	LimitFDSetSize = "fd_setsize"  // what an fd_set of select() holds
	LimitMemory    = "memory.max"  // memory of a cgroup without page cache, bytes
	LimitFileMax   = "fs.file-max" // open files of the machine
)

// LimitRefused is a fork or clone, or a mapping of memory, that the kernel refused for a limit: EAGAIN,
// ENOMEM, ENOSPC, and EPERM of locked memory.
type LimitRefused struct {
	Call      string         `json:"call"`
	Errno     Errno          `json:"errno"`
	Limit     string         `json:"limit,omitzero"` // which one did it, as far as the figures tell; empty: none of those that were read
	Used      int64          `json:"used,omitzero"`  // of Limit: processes and threads, mappings, else bytes
	Max       int64          `json:"max,omitzero"`   // likewise
	Asked     int64          `json:"asked,omitzero"` // bytes, where memory was asked for
	Cgroup    string         `json:"cgroup,omitzero"`
	Count     int64          `json:"count"`              // alike ones of this process up to now, exact
	Processes int64          `json:"processes,omitzero"` // processes and threads of the user, in its user namespace
	Mapped    int64          `json:"mapped,omitzero"`    // bytes of the process's address space in use
	Mappings  int64          `json:"mappings,omitzero"`  // number of them
	Available int64          `json:"available,omitzero"` // bytes that the machine could give (MemAvailable), 0: not known
	UID       int64          `json:"uid,omitzero"`       // whose processes count
	Unlimited bool           `json:"unlimited,omitzero"` // RLIMIT_NPROC does not hold for it: root, or CAP_SYS_RESOURCE
	Start     uint64         `json:"start,omitzero"`     // address that was asked for
	Unknown   jsontext.Value `json:",embed"`
}

// Kind is KindLimitRefused.
func (*LimitRefused) Kind() Kind { return KindLimitRefused }

func (d *LimitRefused) walk(c *codec) {
	c.str(&d.Call)
	c.i32((*int32)(&d.Errno))
	c.str(&d.Limit)
	c.i64(&d.Used)
	c.i64(&d.Max)
	c.i64(&d.Asked)
	c.str(&d.Cgroup)
	c.i64(&d.Count)
	c.i64(&d.Processes)
	c.i64(&d.Mapped)
	c.i64(&d.Mappings)
	c.i64(&d.Available)
	c.i64(&d.UID)
	c.flag(&d.Unlimited)
	c.u64(&d.Start)
	c.bytes((*[]byte)(&d.Unknown))
}

// Spawn says whether a process or thread was refused, not memory.
func (d *LimitRefused) Spawn() bool { return Spawns(d.Call) }

// Spawns says whether a system call makes a process or a thread.
func Spawns(call string) bool {
	switch call {
	case "fork", "vfork", "clone", "clone3":
		return true
	}
	return false
}

// MappedFile is the file that is mapped where a SIGBUS was, as it was at that moment.
type MappedFile struct {
	Path       string `json:"path,omitzero"`
	Offset     int64  `json:"offset"`                // bytes from the file's start to the address
	Size       int64  `json:"size"`                  // bytes
	Shared     bool   `json:"shared,omitzero"`       // MAP_SHARED
	Deleted    bool   `json:"deleted,omitzero"`      // it has no name any more
	Huge       bool   `json:"huge,omitzero"`         // of huge pages, which are counted out
	FileSystem string `json:"fileSystem,omitzero"`   // "tmpfs", "ext4"; its magic number where it has no name here
	FreeKnown  bool   `json:"freeKnown,omitzero"`    // of the file system, right after
	Free       int64  `json:"freeBytes,omitzero"`    //
	Changed    int64  `json:"changedNanos,omitzero"` // wall clock, when it was last written or cut, 0: not known
	Born       int64  `json:"bornNanos,omitzero"`    // wall clock, when it was made, 0: not known
}

// PastEnd says whether the address lay on a page that the file did not reach.
func (m *MappedFile) PastEnd() bool { return m.Offset&^4095 >= m.Size }

func (m *MappedFile) walk(c *codec) {
	c.str(&m.Path)
	c.i64(&m.Offset)
	c.i64(&m.Size)
	c.flag(&m.Shared)
	c.flag(&m.Deleted)
	c.flag(&m.Huge)
	c.str(&m.FileSystem)
	c.flag(&m.FreeKnown)
	c.i64(&m.Free)
	c.i64(&m.Changed)
	c.i64(&m.Born)
}

// Cgroup is what a process's cgroup holds of memory and processes, from a sweep: whatever of it the
// process's cgroups tell. A limit is -1 where there is none, 0 where it is not known.
type Cgroup struct {
	Version   int32          `json:"version"`            // of the hierarchy that memory is in: 1, 2; 0: none
	Path      string         `json:"path,omitzero"`      // of its memory cgroup
	LimitPath string         `json:"limitPath,omitzero"` // of the tightest limit, itself or above
	Current   int64          `json:"current,omitzero"`   // bytes, at LimitPath where there is a limit
	Peak      int64          `json:"peak,omitzero"`      // likewise, 0: not told
	Max       int64          `json:"max,omitzero"`       // bytes
	Swap      int64          `json:"swap,omitzero"`      // bytes
	Hits      int64          `json:"hits,omitzero"`      // times that the limit was reached
	Kills     int64          `json:"kills,omitzero"`     // processes that were killed for it
	PidsPath  string         `json:"pidsPath,omitzero"`  // of the tightest limit of processes
	Pids      int64          `json:"pids,omitzero"`      // processes and threads, there
	PidsMax   int64          `json:"pidsMax,omitzero"`   //
	PidsHits  int64          `json:"pidsHits,omitzero"`  // forks that were refused for it
	Pressure  float64        `json:"pressure,omitzero"`  // some avg10 of memory.pressure, percent
	NodeKills int64          `json:"nodeKills,omitzero"` // oom_kill of /proc/vmstat: of the whole machine, since it started
	Unknown   jsontext.Value `json:",embed"`

	Held int64 `json:"held,omitzero"` // bytes of Current without page cache; 0: not read, as far below Max
}

// Kind is KindCgroup.
func (*Cgroup) Kind() Kind { return KindCgroup }

func (d *Cgroup) walk(c *codec) {
	c.i32(&d.Version)
	c.str(&d.Path)
	c.str(&d.LimitPath)
	for _, n := range []*int64{&d.Current, &d.Peak, &d.Max, &d.Swap, &d.Hits, &d.Kills} {
		c.i64(n)
	}
	c.str(&d.PidsPath)
	for _, n := range []*int64{&d.Pids, &d.PidsMax, &d.PidsHits} {
		c.i64(n)
	}
	c.f64(&d.Pressure)
	c.i64(&d.NodeKills)
	c.bytes((*[]byte)(&d.Unknown))
	c.i64(&d.Held)
}
