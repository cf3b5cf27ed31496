package evidence

import "github.com/go-json-experiment/json/jsontext"

// Process is one process in a sweep.
type Process struct {
	Open        int64          `json:"open"`               // descriptors
	Highest     int64          `json:"highest,omitzero"`   // highest descriptor number, -1 where not known
	SoftLimit   int64          `json:"softLimit,omitzero"` // RLIMIT_NOFILE
	HardLimit   int64          `json:"hardLimit,omitzero"`
	RSSBytes    int64          `json:"rssBytes,omitzero"`
	Threads     int64          `json:"threads,omitzero"`
	SelectCalls int64          `json:"selectCalls,omitzero"` // so far, 0 where not counted
	Blocked     []BlockedWrite `json:"blocked,omitempty"`    // threads that wait in a write to 1 or 2
	Output      []PipeFill     `json:"output,omitempty"`     // pipes at descriptor 1 and 2
	Stdio       []StdioIs      `json:"stdio,omitempty"`      // descriptors 0 to 2, in a process's first sample and on change
	Top         *FDGroup       `json:"top,omitzero"`         // largest group, only where descriptors grew much
	Unknown     jsontext.Value `json:",embed"`

	Parent     int32 `json:"parent,omitzero"`     // process; 0: outside descry's pid namespace, or not told
	Outside    bool  `json:"outside,omitzero"`    // as of Exec
	StartNanos int64 `json:"startNanos,omitzero"` // CLOCK_BOOTTIME; 0: not told

	Mappings int64 `json:"mappings,omitzero"` // vm.max_map_count bounds them; 0: not known

	Turned []StdioTurned `json:"turned,omitempty"` // with Stdio: those that are something else than when its program began
}

// BlockedWrite is a thread that waits in a write.
type BlockedWrite struct {
	TID   int32 `json:"tid"`
	FD    int32 `json:"fd"`
	Nanos int64 `json:"nanos,omitzero"` // for how long, as far as sweeps saw
}

// PipeFill is the fill of a pipe that a program writes its output to.
type PipeFill struct {
	FD    int32  `json:"fd"`
	Inode uint64 `json:"inode"`
	Used  int64  `json:"used"`  // slots (pages) of the pipe in use
	Slots int64  `json:"slots"` // slots that it has; at Used = Slots a writer blocks
}

// StdioIs says what one of descriptors 0 to 2 is.
type StdioIs struct {
	FD     int32  `json:"fd"`
	FDKind FDKind `json:"fdKind,omitzero"` // empty: closed
	Path   string `json:"path,omitzero"`   // or "pipe:[inode]"
}

// Headroom is a forecast: when a limit is reached at the present rate.
type Headroom struct {
	Limit       string         `json:"limit"` // "nofile", "fd_setsize", "pids.max", "memory.max", "vm.max_map_count", "fs.file-max"
	Open        int64          `json:"open"`  // descriptors; for fd_setsize the highest number; of another limit what it bounds
	Max         int64          `json:"max"`
	PerSecond   float64        `json:"perSecond"`
	Seconds     float64        `json:"seconds"` // until Max, at PerSecond
	SecondsLow  float64        `json:"secondsLow,omitzero"`
	SecondsHigh float64        `json:"secondsHigh,omitzero"`
	Group       *FDGroup       `json:"group,omitzero"` // that dominates
	Unknown     jsontext.Value `json:",embed"`

	Most []Share `json:"most,omitempty"` // who holds most of what is not descriptors of a process, the greatest first
}

// Share is a part of what is bounded.
type Share struct {
	Name      string `json:"name"`               // of a process; of the machine's files that of a container or unit
	PID       int32  `json:"pid,omitzero"`       // 0: several processes of that name
	Processes int64  `json:"processes,omitzero"` // so many together
	Value     int64  `json:"value"`              // in the unit of the limit: bytes, tasks, mappings, files
}
