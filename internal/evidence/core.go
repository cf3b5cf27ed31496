package evidence

import "github.com/go-json-experiment/json/jsontext"

// Core is the summary of a core dump. All lists are bounded; what they were cut from is counted.
type Core struct {
	Saved     bool     `json:"saved"`
	Bytes     int64    `json:"bytes,omitzero"` // of the file that is kept
	File      string   `json:"file,omitzero"`
	Threads   int      `json:"threads,omitzero"`
	Backtrace []string `json:"backtrace,omitempty"` // of the thread that died, a line a frame

	ID        string   `json:"id,omitzero"`        // as descry core show takes it
	Kept      string   `json:"kept,omitzero"`      // "full", "stacks", "none"
	Why       string   `json:"why,omitzero"`       // why less was kept than asked for, or nothing
	CoreBytes int64    `json:"coreBytes,omitzero"` // of the core itself, 0: not known
	PID       int32    `json:"pid,omitzero"`       // in descry's pid namespace; of a file, as the process itself saw it
	TID       int32    `json:"tid,omitzero"`       // of the thread that died, as the process itself saw it
	Comm      string   `json:"comm,omitzero"`
	Program   string   `json:"program,omitzero"` // path of the executable
	Command   []string `json:"command,omitempty"`
	Arch      string   `json:"arch,omitzero"` // runtime.GOARCH

	Signal       Signal      `json:"signal,omitzero"`
	Code         int32       `json:"code,omitzero"`     // si_code
	CodeName     string      `json:"codeName,omitzero"` // "SEGV_MAPERR"
	Address      uint64      `json:"address,omitzero"`  // of the fault, where AddressKnown
	AddressKnown bool        `json:"addressKnown,omitzero"`
	Fault        string      `json:"fault,omitzero"`   // one of the CoreFault words
	Meaning      string      `json:"meaning,omitzero"` // in words
	Mapped       *MappedFile `json:"mapped,omitzero"`  // the file mapped at Address, as it was while the kernel waited, of a core without an entry as it is now; nil: not known

	Frames      []CoreFrame    `json:"frames,omitempty"` // of the thread that died, the innermost first
	Truncated   string         `json:"truncated,omitzero"`
	Registers   []CoreRegister `json:"registers,omitempty"`
	Others      []CoreThreads  `json:"others,omitempty"` // the other threads, alike ones together, most first
	Goroutines  *Goroutines    `json:"goroutines,omitzero"`
	Panic       string         `json:"panic,omitzero"` // value of a Go panic, as its message has it
	Modules     []CoreModule   `json:"modules,omitempty"`
	Fingerprint string         `json:"fingerprint,omitzero"` // alike crashes have the same
	AlikeBy     []string       `json:"alikeBy,omitempty"`    // what the fingerprint was made of

	FDs       *FDTable    `json:"fds,omitzero"`       // while the kernel waited; counts alone
	Limits    []CoreLimit `json:"limits,omitempty"`   // likewise
	Selected  *CoreSelect `json:"select,omitzero"`    // an fd_set that was written past its end
	Message   string      `json:"message,omitzero"`   // of the C library before it called abort()
	Exception string      `json:"exception,omitzero"` // C++: type and what() of what nobody caught
	Smashed   string      `json:"smashed,omitzero"`   // the function whose stack frame was found overwritten
	Masked    int         `json:"masked,omitzero"`    // values that are shown as ****
	Notes     []string    `json:"notes,omitempty"`    // what could not be read, and why

	Environment []string `json:"environment,omitempty"` // names; NAME=value where values were asked for and are there

	Started int64 `json:"startedNanos,omitzero"` // wall clock, when the process began, about 10 ms early at most; 0: not known

	Unknown jsontext.Value `json:",embed"`
}

// What the address of a fault is, in Core.Fault. Where none fits it is empty.
const (
	CoreNull       = "null pointer"   // an address in or right above the first page
	CoreStack      = "stack overflow" // in the guard of the thread's own stack, or just below it
	CoreJump       = "jump"           // the address is the program counter, and no code is there
	CoreUnmapped   = "not mapped"
	CoreReadOnly   = "read-only"
	CoreNoAccess   = "no access"     // mapped without rights: a guard page, a reserved range
	CorePastEnd    = "past file end" // mapped, and the file ends before it
	CoreNoAddress  = "no address"    // the processor told none: an address that no pointer can have
	CoreArithmetic = "arithmetic"    // SIGFPE
	CoreIllegal    = "illegal"       // SIGILL
	CoreAborted    = "abort"         // sent by the process itself
	CoreSent       = "sent"          // sent by another process
)

// CoreFrame is a frame of a backtrace that was read from a core.
type CoreFrame struct {
	Frame
	Inlined bool `json:"inlined,omitzero"` // has no frame of its own: its code is part of the next one
	Signal  bool `json:"signal,omitzero"`  // the kernel's signal frame: what follows was interrupted
}

// CoreRegister is one register of the thread that died.
type CoreRegister struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// CoreThreads are threads whose stacks are alike.
type CoreThreads struct {
	Count     int         `json:"count"`
	TIDs      []int32     `json:"tids,omitempty"` // the first ones
	Frames    []CoreFrame `json:"frames,omitempty"`
	Truncated string      `json:"truncated,omitzero"`
}

// Goroutines are those of a Go program.
type Goroutines struct {
	Count     int              `json:"count"`            // in use, the runtime's own among them
	Read      int              `json:"read"`             // of these
	Version   string           `json:"version,omitzero"` // of Go
	Groups    []GoroutineGroup `json:"groups,omitempty"` // the running ones first, then most first
	MoreAlike int              `json:"more,omitzero"`    // groups beyond these
	Missing   string           `json:"missing,omitzero"` // why they could not be read, or not all
}

// GoroutineGroup are goroutines whose stacks and states are alike.
type GoroutineGroup struct {
	Count       int         `json:"count"`
	IDs         []uint64    `json:"ids,omitempty"`    // the first ones
	State       string      `json:"state"`            // as Go's tracebacks have it: "running", "IO wait"
	TID         int32       `json:"tid,omitzero"`     // of a running one, its thread
	WaitMax     float64     `json:"waitMax,omitzero"` // seconds, about: what the collector has noted; 0: not known
	Frames      []CoreFrame `json:"frames,omitempty"`
	Truncated   string      `json:"truncated,omitzero"`
	CreatedBy   string      `json:"createdBy,omitzero"`
	CreatedAt   string      `json:"createdAt,omitzero"` // file:line
	CreatorID   uint64      `json:"creatorID,omitzero"` // of the first one, Go 1.21 and later
	Entry       string      `json:"entry,omitzero"`     // the goroutine's first function
	LockedToTID bool        `json:"locked,omitzero"`    // to its thread
}

// CoreModule is a binary or library of the process.
type CoreModule struct {
	Path    string `json:"path"`
	BuildID string `json:"buildID,omitzero"`
	Start   uint64 `json:"start"`
	End     uint64 `json:"end"`
	InTrace bool   `json:"inTrace,omitzero"` // of the thread that died
	Missing string `json:"missing,omitzero"` // why it was not used for names
}

// CoreLimit is a resource limit. -1 is unlimited.
type CoreLimit struct {
	Name string `json:"name"` // as in /proc/PID/limits
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
}

// CoreSelect is an fd_set in the frame of a function, with bits past its end.
type CoreSelect struct {
	FD        int32  `json:"fd"`      // descriptor whose bit was set there
	Over      string `json:"over"`    // what the bit fell on: "return address", "stack protector", "saved register"
	Address   uint64 `json:"address"` // where that lies
	Value     uint64 `json:"value"`   // what stands there
	Was       uint64 `json:"was"`     // without the bit
	Function  string `json:"function,omitzero"`
	SetAt     uint64 `json:"setAt,omitzero"` // begin of the fd_set
	Candidate int    `json:"sets,omitzero"`  // fd_sets found there
	Bits      int    `json:"bits,omitzero"`  // that were set in Value, each that of an open descriptor of 1024 or more
	Sure      bool   `json:"sure,omitzero"`  // no other common mistake leaves such a value
}
