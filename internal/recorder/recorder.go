// Package recorder keeps the newest observations of one subject in a bounded space, in memory and,
// where asked, in a directory that survives the death of descry and a loss of power.
//
// What is rare must not be pushed out by what is common, so there are four rings, each with a
// budget of its own; what they hold is merged in order of time when it is read:
//
//	first     the first observations of each kind; nothing pushes them out
//	decisive  kinds that evidence.Decisive names
//	large     those of them that carry a stack, about 32 KiB each
//	common    all other kinds
//
// The directory holds the same rings as files (see file.go for their form).
package recorder

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/descry-dev/descry/internal/evidence"
)

// The defaults and bounds, in bytes.
const (
	DefaultMemory = 4 << 20   // of Options.Memory
	MinMemory     = 256 << 10 // less could not hold two stacks
	MaxRecord     = 1 << 20   // encoded; a larger observation is dropped and counted
)

const (
	largeRecord = 2 << 10  // from this size on, a decisive observation goes to the large ring
	firstCount  = 8        // of each kind, in the ring that nothing leaves
	firstBytes  = 64 << 10 // of each kind, in the ring that nothing leaves
	maxKinds    = 256      // that are counted apart; foreign recordings could invent any number
)

// The rings. Their order is part of the file format.
const (
	ringFirst = iota
	ringDecisive
	ringLarge
	ringCommon
	rings
)

var ringNames = [rings]string{"first", "decisive", "large", "common"}

// ringBudget divides a budget among the rings.
func ringBudget(memory int) [rings]int {
	return [rings]int{ringFirst: memory / 8, ringDecisive: memory / 4, ringLarge: memory * 3 / 8, ringCommon: memory / 4}
}

// Options say where and how much to record.
type Options struct {
	// Memory is the bound of what is kept in memory, in bytes of encoded observations; 0 means
	// DefaultMemory, less than MinMemory means MinMemory.
	Memory int

	// Dir is the directory to keep the recording in, made where it does not exist. Empty: none.
	// It takes up to twice Memory, so that it holds at least what memory holds.
	Dir string

	// OnLoss is called once when the directory takes no more, for instance since the disk is full,
	// from a goroutine of the recorder. Recording goes on in memory. When the directory takes
	// observations again, a "lost" observation that says how many are missing is recorded there.
	OnLoss func(evidence.Lost)

	sparse bool // tests: do not allocate disk space ahead, as on file systems that cannot
}

// Recorder is a bounded recording. Its methods may be called from several goroutines.
type Recorder struct {
	mu      sync.Mutex
	rings   [rings]ring
	kinds   map[evidence.Kind]*kindState
	byIndex []*kindState
	seq     uint64
	scratch []byte // 8 bytes of sequence number, then the encoded observation
	files   *files // nil without a directory
}

// kindState is what is known of one kind.
type kindState struct {
	kind       evidence.Kind
	index      uint16
	decisive   bool
	firsts     int
	firstBytes int
	dropped    int64
}

// New starts a recording. Without Options.Dir it cannot fail. With it, it fails where the directory
// cannot be made or written, and where another descry records there (ErrInUse). A full disk is no
// failure: see Options.OnLoss. An earlier recording in the directory is moved to its "previous".
func New(opt Options) (*Recorder, error) {
	if opt.Memory == 0 {
		opt.Memory = DefaultMemory
	}
	opt.Memory = max(opt.Memory, MinMemory)
	r := &Recorder{kinds: map[evidence.Kind]*kindState{}, scratch: make([]byte, 8, 1024)}
	budget := ringBudget(opt.Memory)
	for i := range r.rings {
		r.rings[i].budget = budget[i]
	}
	if opt.Dir != "" {
		f, err := openFiles(opt, budget, r)
		if err != nil {
			return nil, err
		}
		r.files = f
		f.start()
	}
	return r, nil
}

// Record takes o, which the caller may use again at once. It does not allocate once the rings have
// their full size, and it never fails: what finds no room is counted, see Dropped.
func (r *Recorder) Record(o *evidence.Observation) {
	if o == nil || o.Detail == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kindOf(o.Detail.Kind())
	b, err := o.AppendBinary(r.scratch[:8])
	if err != nil {
		k.dropped++
		return
	}
	if cap(b) <= MaxRecord { // one odd giant must not stay in memory
		r.scratch = b
	}
	size := len(b) - 8
	if size > MaxRecord {
		k.dropped++
		return
	}
	r.seq++
	binary.LittleEndian.PutUint64(b, r.seq)
	at := r.place(k, size)
	if !r.rings[at].put(b, k.index, r.dropped) {
		k.dropped++
	}
	if r.files != nil {
		r.files.put(at, b)
	}
}

// Bound changes Options.Memory of a recording without a directory. Where it becomes less, the oldest observations
// go and are counted as dropped; it may be less than MinMemory then, and large observations find no room.
func (r *Recorder) Bound(memory int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.files != nil {
		return
	}
	for i, budget := range ringBudget(max(memory, 0)) {
		r.rings[i].bound(budget, r.dropped)
	}
}

// Size is how much memory the recording takes now, in bytes.
func (r *Recorder) Size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := cap(r.scratch)
	for i := range r.rings {
		n += len(r.rings[i].buf)
	}
	return n
}

// place chooses the ring.
func (r *Recorder) place(k *kindState, size int) int {
	if k.firsts < firstCount && k.firstBytes+size <= firstBytes && r.rings[ringFirst].fits(size+8) {
		k.firsts++
		k.firstBytes += size
		return ringFirst
	}
	switch {
	case !k.decisive:
		return ringCommon
	case size >= largeRecord:
		return ringLarge
	}
	return ringDecisive
}

func (r *Recorder) dropped(kind uint16) { r.byIndex[kind].dropped++ }

func (r *Recorder) kindOf(kind evidence.Kind) *kindState {
	if k := r.kinds[kind]; k != nil {
		return k
	}
	if len(r.byIndex) >= maxKinds {
		kind = "other"
		if k := r.kinds[kind]; k != nil {
			return k
		}
	}
	k := &kindState{kind: kind, index: uint16(len(r.byIndex)), decisive: evidence.Decisive(kind)}
	r.kinds[kind] = k
	r.byIndex = append(r.byIndex, k)
	return k
}

// Observations gives all that is in memory, in order of BootNanos; those of equal times stand in
// the order in which they were recorded.
func (r *Recorder) Observations() []*evidence.Observation {
	r.mu.Lock()
	var all []sequenced
	for i := range r.rings {
		r.rings[i].each(func(b []byte) {
			if o, err := evidence.DecodeBinary(b[8:]); err == nil {
				all = append(all, sequenced{binary.LittleEndian.Uint64(b), o})
			}
		})
	}
	r.mu.Unlock()
	return inOrder(all)
}

type sequenced struct {
	seq uint64
	o   *evidence.Observation
}

func inOrder(all []sequenced) []*evidence.Observation {
	slices.SortFunc(all, func(a, b sequenced) int {
		return cmp.Or(cmp.Compare(a.o.BootNanos, b.o.BootNanos), cmp.Compare(a.seq, b.seq))
	})
	out := make([]*evidence.Observation, len(all))
	for i := range all {
		out[i] = all[i].o
	}
	return out
}

// Dropped says how many observations of each kind left memory, or found no room in it.
func (r *Recorder) Dropped() map[evidence.Kind]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[evidence.Kind]int64{}
	for _, k := range r.byIndex {
		if k.dropped > 0 {
			out[k.kind] += k.dropped
		}
	}
	return out
}

// FileLost says how many observations are missing from the directory because it could not take
// them. Those that left its rings in the ordinary way do not count.
func (r *Recorder) FileLost() int64 {
	if r.files == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.files.lost
}

// Close brings the recording to the disk and gives the directory free. What is in memory can still
// be read, and what is recorded later stays in memory alone.
func (r *Recorder) Close() error {
	if r.files == nil {
		return nil
	}
	return r.files.close()
}
