package evidence

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Source says where an observation comes from.
type Source string

// The sources.
const (
	SourceKernel  Source = "kernel"  // a probe
	SourceSample  Source = "sample"  // a sweep of processes, by iterator or /proc
	SourceOutput  Source = "output"  // what the program wrote
	SourceRuntime Source = "runtime" // what started and reaped the program: descry run, a container runtime
	SourceCluster Source = "cluster" // the Kubernetes API
)

// Kind names what an observation is about, as "noun.what" ("fd.refused"). It decides the type of
// the observation's Detail.
type Kind string

// Detail is the typed part of an observation, one struct for each Kind, always held by pointer.
type Detail interface {
	// Kind of the observations that carry this detail.
	Kind() Kind
	// walk visits every field in a fixed order, to encode or to decode. New fields go to the end.
	walk(c *codec)
}

// Observation is one timed fact about one process.
type Observation struct {
	BootNanos int64  // CLOCK_BOOTTIME; orders observations
	WallNanos int64  // Unix time; shows them
	Source    Source //
	PID       int32  // process (thread group) in descry's pid namespace; 0: none
	TID       int32  // thread; 0: the whole process
	Comm      string // command name of the thread, at most 15 bytes
	Detail    Detail // never nil

	// Subject is the number of the container that the process belongs to, where one watcher has many; 0:
	// none. It is in no recording: one is of one subject.
	Subject uint32

	// Unknown keeps JSON fields of a newer descry.
	Unknown jsontext.Value
}

// Kind of the observation.
func (o *Observation) Kind() Kind { return o.Detail.Kind() }

// Time is the wall time, in UTC.
func (o *Observation) Time() time.Time { return time.Unix(0, o.WallNanos).UTC() }

type observationJSON struct {
	At        time.Time      `json:"at"`
	BootNanos int64          `json:"bootNanos,omitzero"`
	Source    Source         `json:"source"`
	Kind      Kind           `json:"kind"`
	PID       int32          `json:"pid,omitzero"`
	TID       int32          `json:"tid,omitzero"`
	Comm      string         `json:"comm,omitzero"`
	Detail    jsontext.Value `json:"detail,omitzero"`
	Unknown   jsontext.Value `json:",embed"`
}

// MarshalJSONTo writes the form that stands in a case's timeline.
func (o Observation) MarshalJSONTo(enc *jsontext.Encoder) error {
	if o.Detail == nil {
		return fmt.Errorf("write observation of pid %d: it has no detail", o.PID)
	}
	var (
		d   []byte
		err error
	)
	if raw, ok := o.Detail.(*Raw); ok {
		d = raw.Value
	} else if d, err = json.Marshal(o.Detail, enc.Options()); err != nil {
		return fmt.Errorf("write detail of %s: %w", o.Detail.Kind(), err)
	}
	return json.MarshalEncode(enc, &observationJSON{
		At: o.Time(), BootNanos: o.BootNanos, Source: o.Source, Kind: o.Detail.Kind(),
		PID: o.PID, TID: o.TID, Comm: o.Comm, Detail: d, Unknown: o.Unknown,
	})
}

// UnmarshalJSONFrom reads what MarshalJSONTo wrote. A kind of a newer descry becomes a *Raw.
func (o *Observation) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	var j observationJSON
	if err := json.UnmarshalDecode(dec, &j); err != nil {
		return err
	}
	*o = Observation{
		BootNanos: j.BootNanos, WallNanos: j.At.UnixNano(), Source: j.Source,
		PID: j.PID, TID: j.TID, Comm: j.Comm, Unknown: j.Unknown.Clone(),
	}
	if j.Kind == "" {
		return fmt.Errorf("read observation at %s: it has no kind", j.At.Format(time.RFC3339Nano))
	}
	o.Detail = NewDetail(j.Kind)
	if raw, ok := o.Detail.(*Raw); ok {
		raw.Value = j.Detail.Clone()
		return nil
	}
	if len(j.Detail) == 0 {
		return nil
	}
	if err := json.Unmarshal(j.Detail, o.Detail, dec.Options()); err != nil {
		return fmt.Errorf("read detail of %s: %w", j.Kind, err)
	}
	return nil
}

// Raw is the detail of a kind that this version does not know.
type Raw struct {
	Of    Kind
	Value jsontext.Value
}

// Kind is the foreign kind.
func (r *Raw) Kind() Kind { return r.Of }

func (r *Raw) walk(c *codec) { c.bytes((*[]byte)(&r.Value)) }

// NewDetail gives an empty detail of that kind, a *Raw for a kind that is not known.
func NewDetail(k Kind) Detail {
	for i := range All {
		if All[i].Kind == k {
			return All[i].New()
		}
	}
	return &Raw{Of: k}
}

// Decisive says whether observations of that kind are rare and decide a judgement, so that a
// recorder keeps them longer than the common ones.
func Decisive(k Kind) bool {
	for i := range All {
		if All[i].Kind == k {
			return All[i].Decisive
		}
	}
	return true // unknown: better kept
}
