package coredump

import (
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/go-json-experiment/json/jsontext"
)

// Depth is how much of a core is kept.
type Depth string

// The depths.
const (
	None   Depth = "none"   // what /proc said, and no memory
	Stacks Depth = "stacks" // a small ELF core: registers, stacks and what they lean on
	Full   Depth = "full"   // the core as the kernel wrote it
)

// Entry is what is known of one kept core. It stands as JSON beside the file.
type Entry struct {
	ID         string          `json:"id"` // ULID
	At         time.Time       `json:"at"`
	PID        int32           `json:"pid"`
	TID        int32           `json:"tid,omitzero"` // thread that died, 0: not known
	Comm       string          `json:"comm,omitzero"`
	Command    []string        `json:"command,omitempty"` // secrets masked, bounded
	Signal     evidence.Signal `json:"signal,omitzero"`
	Asked      Depth           `json:"asked"`
	Kept       Depth           `json:"kept"`
	Why        string          `json:"why,omitzero"`        // why less was kept than was asked for
	File       string          `json:"file,omitzero"`       // name in the folder; empty: no core is kept
	Bytes      int64           `json:"bytes,omitzero"`      // of File, as it is on the disk
	CoreBytes  int64           `json:"coreBytes,omitzero"`  // of the ELF core in File, unpacked
	Saved      int64           `json:"saved,omitzero"`      // bytes of the process's memory in it
	Unreadable int64           `json:"unreadable,omitzero"` // pieces of memory that were to be kept and could not be read
	Masked     bool            `json:"masked,omitzero"`     // what looked like secrets was overwritten
	MaskedAt   int64           `json:"maskedAt,omitzero"`   // number of places that were
	WaitedMS   float64         `json:"waitedMS,omitzero"`   // milliseconds that the kernel was kept waiting
	Process    *Process        `json:"process,omitzero"`    // as /proc told while the kernel waited

	// Of the first summary that had names, so that they outlive the binary. Alike crashes have the same.
	Fingerprint string   `json:"fingerprint,omitzero"`
	AlikeBy     []string `json:"alikeBy,omitempty"`

	Mapped *MappedFile `json:"mapped,omitzero"` // of a SIGBUS for a page of a file, while the kernel waited

	Unknown jsontext.Value `json:",embed"`
}

// MappedFile is the file that was mapped at the address of a SIGBUS.
type MappedFile struct {
	Address uint64              `json:"address"`         // of the fault
	Start   uint64              `json:"start"`           // of the mapping
	End     uint64              `json:"end"`             //
	From    uint64              `json:"from"`            // bytes from the file's start to the mapping's
	Mode    string              `json:"mode"`            // as /proc/PID/maps has it: "r--s"
	Device  string              `json:"device,omitzero"` // likewise, "fe:01"
	Inode   uint64              `json:"inode,omitzero"`
	File    evidence.MappedFile `json:"file"`
}

// Process is what /proc/PID tells of a process that waits for its dump. Every list and string is bounded.
type Process struct {
	Exe         string            `json:"exe,omitzero"`
	Cwd         string            `json:"cwd,omitzero"`
	Root        string            `json:"root,omitzero"`
	Cgroup      string            `json:"cgroup,omitzero"`
	ParentPID   int32             `json:"parentPID,omitzero"`
	UID         int64             `json:"uid"`
	GID         int64             `json:"gid"`
	NSPIDs      []int32           `json:"nsPIDs,omitempty"`      // its pid in each pid namespace, descry's own first
	Namespaces  map[string]string `json:"namespaces,omitzero"`   // "pid" to "pid:[4026531836]"
	Status      map[string]string `json:"status,omitzero"`       // lines of /proc/PID/status
	Limits      []Limit           `json:"limits,omitempty"`      //
	Environment []string          `json:"environment,omitempty"` // names; values are not kept
	Threads     []Task            `json:"threads,omitempty"`     //
	ThreadCount int64             `json:"threadCount,omitzero"`  // may be more than are listed
	Mappings    []string          `json:"mappings,omitempty"`    // lines of /proc/PID/maps that name a file or a stack
	MapCount    int64             `json:"mapCount,omitzero"`     // of all mappings
	Descriptors []Descriptor      `json:"descriptors,omitempty"`
	FDTable     *evidence.FDTable `json:"fdTable,omitzero"`      // descriptors, counted
	Missing     []string          `json:"missing,omitempty"`     // what could not be read, and why
	Started     int64             `json:"startedNanos,omitzero"` // wall clock, about 10 ms early at most; 0: not known

	Unknown jsontext.Value `json:",embed"`
}

// Limit is one resource limit, as /proc/PID/limits names it. -1: unlimited.
type Limit struct {
	Name string `json:"name"`
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
	Unit string `json:"unit,omitzero"`
}

// Task is one thread.
type Task struct {
	TID   int32  `json:"tid"`
	Comm  string `json:"comm"`
	State string `json:"state,omitzero"` // a letter of /proc/PID/stat
}

// Descriptor is one open descriptor.
type Descriptor struct {
	FD   int32  `json:"fd"`
	Path string `json:"path"` // what the link says: "/etc/passwd", "socket:[4711]"
}
