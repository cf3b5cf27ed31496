package evidence

import "github.com/go-json-experiment/json/jsontext"

// PassedOn stands as the command line of descry itself where it sent a signal only because it had
// been sent it.
const PassedOn = "descry run, which passed on what it was sent"

// RunStarted begins a recording: whose it is. A case says the same in its subject.
type RunStarted struct {
	Command []string       `json:"command"`
	Node    string         `json:"node,omitzero"`
	Kernel  string         `json:"kernel,omitzero"` // release
	Arch    string         `json:"arch,omitzero"`   // runtime.GOARCH
	Descry  string         `json:"descry,omitzero"` // version
	Unknown jsontext.Value `json:",embed"`
}

// RunEnded ends a recording: how the main process ended, as its parent was told, and what is counted
// over the whole run. A recording without it was broken off.
type RunEnded struct {
	ExitCode    int32          `json:"exitCode"` // 128+n for a signal
	Signal      Signal         `json:"signal,omitzero"`
	CoreDumped  bool           `json:"coreDumped,omitzero"`
	Interrupted bool           `json:"interrupted,omitzero"`
	StartNanos  int64          `json:"startNanos,omitzero"` // CLOCK_BOOTTIME
	UserNanos   int64          `json:"userNanos,omitzero"`
	SystemNanos int64          `json:"systemNanos,omitzero"`
	MaxRSSBytes int64          `json:"maxRSSBytes,omitzero"`
	Counters    []StateCount   `json:"counters,omitempty"`
	Watched     []Watched      `json:"watched,omitempty"`
	Unknown     jsontext.Value `json:",embed"`
}

// Watched is a source that watched a run from its start to its end.
type Watched struct {
	Source  string `json:"source"`
	By      string `json:"by,omitzero"`
	Lost    int64  `json:"lost,omitzero"`
	Missing string `json:"missing,omitzero"` // why it did not watch; empty: it did
}

func (w *Watched) walk(c *codec) {
	c.str(&w.Source)
	c.str(&w.By)
	c.i64(&w.Lost)
	c.str(&w.Missing)
}
