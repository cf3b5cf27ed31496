package coredump

import (
	"errors"
	"fmt"
	"io"

	"github.com/descry-dev/descry/internal/evidence"
)

// Core is an opened ELF core of a 64-bit amd64 or arm64 process. What a damaged core does not tell is zero, and
// Damage says why.
type Core struct {
	Arch string // as runtime.GOARCH: "amd64" or "arm64"

	// Threads has the one that died first, as the kernel and gdb write it.
	Threads  []Thread
	Mappings []Mapping // sorted by Start, not overlapping
	Auxv     []Aux

	Signal       evidence.Signal // 0: none, as in a core that gdb's gcore made of a live process
	Code         int32           // si_code
	Errno        int32           // si_errno
	FaultAddress uint64          // si_addr of SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGTRAP that the kernel raised
	Sender       int32           // si_pid of kill, tgkill and sigqueue
	SenderUID    uint32
	Syscall      int32 // of SIGSYS (seccomp), -1 else

	PID, PPID int32 // in the process's pid namespace
	UID, GID  uint32
	Comm      string
	Command   string // the first 80 bytes of the command line, as the kernel notes it; Args has all of it

	// Bytes that the core says it holds of memory, and how many of these are beyond the end of the file.
	MemoryBytes, MissingBytes uint64
	// Damage are sentences on what could not be read; empty for a whole core.
	Damage []string

	r        io.ReaderAt
	size     int64
	segments []segment // sorted by start, not overlapping, cut to what is in the file
	lines    []Line    // of NT_FILE
	signals  int       // NT_SIGINFO notes seen
}

// Thread is one thread of a core.
type Thread struct {
	TID    int32
	Signal evidence.Signal // that it was handling, 0 where none
	Regs   []uint64        // in the order of symbol.Context.Regs; amd64 goes on with fs_base gs_base ds es fs gs
	PC, SP uint64
	TLS    uint64 // thread pointer: fs_base, tpidr_el0; 0 where the core does not tell
}

// Mapping is a part of the address space.
type Mapping struct {
	Start, End, Offset uint64 // bytes; Offset into the file
	Path               string // as the process saw it; "[vdso]", "[stack]" and "[vsyscall]" where these can be told; empty where there is no file
	Deleted            bool   // the file was gone when the process died
	BuildID            string // of the file's first page as it was mapped, in hex; empty where the core does not hold it
	Readable           bool
	Writable           bool
	Executable         bool
	Saved              bool   // the core holds at least the beginning
	SavedBytes         uint64 // from Start

	head string // the file's first bytes as they were mapped, with the program headers
}

// Line is one row of NT_FILE: a part of a file that was mapped.
type Line struct {
	Start, End, Offset uint64
	Path               string
}

// Aux is an entry of the auxiliary vector.
type Aux struct{ Type, Value uint64 }

// Entries of the auxiliary vector that are used.
const (
	atPhdr        = 3
	atPhent       = 4
	atPhnum       = 5
	atPageSize    = 6
	atEntry       = 9
	atRandom      = 25
	atExecFn      = 31
	atSysinfoEhdr = 33
)

// Bounds of what is believed in a core, and of the memory that it takes: some 64 MiB at most.
const (
	maxHeaders  = 1 << 17 // program headers; vm.max_map_count is 65,530 by default
	maxThreads  = 1 << 15 // kernel.threads-max of a large machine is more, a process that dies has fewer
	maxNotes    = 1 << 19
	maxFileNote = 16 << 20 // bytes of NT_FILE: the kernel's own bound (sysctl core_file_note_size_limit)
	maxLines    = 1 << 17
	maxAux      = 64
	maxDamage   = 16
	maxPath     = 4096
)

// ErrNotCore is what Open's errors wrap where nothing of the file can be used.
var ErrNotCore = errors.New("not a core that can be read")

// Open reads the headers and notes of a core of size bytes. The error wraps ErrNotCore where the
// file is no core of a 64-bit amd64 or arm64 process, or is too short to hold any of it; a core
// that is cut short or damaged is opened with what there is, and Damage says what is missing. r is
// read on demand afterwards, by as many goroutines as it allows.
func Open(r io.ReaderAt, size int64) (*Core, error) {
	c := &Core{r: r, size: size, Syscall: -1}
	h, err := c.readHeader()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotCore, err)
	}
	notes, err := c.readProgramHeaders(h)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotCore, err)
	}
	for _, n := range notes {
		c.readNotes(n)
	}
	c.finish(len(notes))
	return c, nil
}

// finish joins what the notes and the program headers say.
func (c *Core) finish(notes int) {
	switch {
	case notes == 0:
		c.damaged("the core has no notes: signal, threads and registers are not known")
	case len(c.Threads) == 0:
		c.damaged("the notes name no thread: signal and registers are not known")
	}
	if c.Signal == 0 && len(c.Threads) > 0 {
		c.Signal = c.Threads[0].Signal
	}
	c.nameMappings()
	if c.MissingBytes > 0 {
		c.damaged(fmt.Sprintf("the file ends early: %s of its %s of memory (%s) are missing",
			bytesText(c.MissingBytes), bytesText(c.MemoryBytes), share(c.MissingBytes, c.MemoryBytes)))
	}
}

// damaged notes what is wrong, a bounded number of times.
func (c *Core) damaged(what string) {
	for _, d := range c.Damage {
		if d == what {
			return
		}
	}
	if len(c.Damage) < maxDamage {
		c.Damage = append(c.Damage, what)
	}
}

// Aux is the value of an entry of the auxiliary vector.
func (c *Core) Aux(typ uint64) (uint64, bool) {
	for _, a := range c.Auxv {
		if a.Type == typ {
			return a.Value, true
		}
	}
	return 0, false
}

// MappingAt is the mapping that holds addr, nil where there is none.
func (c *Core) MappingAt(addr uint64) *Mapping {
	i := c.mappingAfter(addr)
	if i == 0 || addr >= c.Mappings[i-1].End {
		return nil
	}
	return &c.Mappings[i-1]
}

func bytesText(n uint64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%d MiB", n>>20)
	}
}

func share(part, whole uint64) string {
	p := float64(part) * 100 / float64(max(whole, 1))
	switch {
	case p < 0.1:
		return "less than 0.1%"
	case p > 99.9 && part < whole:
		return "more than 99.9%"
	case p < 10:
		return fmt.Sprintf("%.1f%%", p)
	}
	return fmt.Sprintf("%.0f%%", p)
}
