package coredump

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/oklog/ulid/v2"
)

// Bounds limit what a folder of cores holds; the oldest go first. Zero means the default, a negative
// figure no bound.
type Bounds struct {
	Core      int64         // bytes of one core's file
	Stacks    int64         // bytes of memory in one core of stacks, unpacked
	Bytes     int64         // of all files
	Count     int           // of cores
	Age       time.Duration // of a core
	DiskShare float64       // of what the disk would have free without the cores
}

// The defaults of Bounds.
const (
	DefaultCore      = 4 << 30
	DefaultStacks    = 16 << 20
	DefaultBytes     = 16 << 30
	DefaultCount     = 100
	DefaultAge       = 30 * 24 * time.Hour
	DefaultDiskShare = 0.25
)

// Policy says what is kept of a core.
type Policy struct {
	Keep     Depth         // empty: Stacks
	Unmasked bool          // keep what looks like secrets in cores of stacks as it is
	Wait     time.Duration // the kernel, and so the dying process, waits no longer than this; 0: DefaultWait
}

// DefaultWait bounds how long a dump may take; a core that is not whole by then is kept as stacks.
const DefaultWait = 2 * time.Minute

const (
	entrySuffix = ".json"
	coreSuffix  = ".core.zst"
	partSuffix  = ".part" // of a file that is not whole, behind a dot
	lockName    = ".lock"
	maxEntry    = 16 << 20 // bytes; a larger entry is not read
)

// Store is a bounded folder of cores. Any number of processes may use one folder at once: what is
// not whole has another name and a lock on it while its writer lives.
type Store struct {
	dir    string
	bounds Bounds
	policy Policy
	choose chan struct{} // one at a time chooses stacks, which are held in memory
	stream chan struct{} // a few at a time write whole cores
}

// NewStore gives the store in dir, makes dir where it is missing (mode 0700), and removes what writers
// that died have left there.
func NewStore(dir string, b Bounds, p Policy) (*Store, error) {
	set(&b.Core, DefaultCore)
	set(&b.Stacks, DefaultStacks)
	set(&b.Bytes, DefaultBytes)
	set(&b.Count, DefaultCount)
	set(&b.Age, DefaultAge)
	set(&b.DiskShare, DefaultDiskShare)
	set(&p.Wait, DefaultWait)
	switch p.Keep {
	case "":
		p.Keep = Stacks
	case None, Stacks, Full:
	default:
		return nil, fmt.Errorf("keep %q of cores: it is none of none, stacks, full", p.Keep)
	}
	s := &Store{dir: dir, bounds: b, policy: p, choose: make(chan struct{}, 1), stream: make(chan struct{}, 2)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for cores: %w", err)
	}
	if err := s.locked(s.sweep); err != nil {
		return nil, fmt.Errorf("look through the cores in %s: %w", dir, err)
	}
	return s, nil
}

func set[T cmp.Ordered](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Dir is the folder.
func (s *Store) Dir() string { return s.dir }

func newID(at time.Time) string {
	id, err := ulid.New(ulid.Timestamp(at), ulid.DefaultEntropy())
	if err != nil { // beyond the year 10889
		id = ulid.Make()
	}
	return id.String()
}

// put writes the entry whole, and then drops what is beyond the bounds. The folder is locked.
func (s *Store) put(e *Entry) error {
	b, err := json.Marshal(e, json.Deterministic(true), jsontext.WithIndent("  "), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return err
	}
	part := filepath.Join(s.dir, "."+e.ID+entrySuffix+partSuffix)
	if err := writeSynced(part, append(b, '\n')); err != nil {
		os.Remove(part)
		return err
	}
	if err := os.Rename(part, filepath.Join(s.dir, e.ID+entrySuffix)); err != nil {
		os.Remove(part)
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	if _, err = s.trim(e.ID, 0); errors.Is(err, errNoRoom) {
		return nil // what stands is kept, and what comes next will find no room
	}
	return err
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// List gives what is kept, newest first. A file that is no entry is left out, and err says which; the
// others are given with it.
func (s *Store) List() ([]*Entry, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, fmt.Errorf("list the cores in %s: %w", s.dir, err)
	}
	var list []*Entry
	var bad []error
	for _, id := range ids {
		e, err := s.read(id)
		switch {
		case errors.Is(err, fs.ErrNotExist): // dropped meanwhile
		case err != nil:
			bad = append(bad, err)
		default:
			list = append(list, e)
		}
	}
	return list, errors.Join(bad...)
}

// ErrNoCore means that nothing is kept under a name.
var ErrNoCore = errors.New("no such core")

// Get gives the entry with this id, or the only one whose id begins so, or the newest of this pid.
// It is ErrNoCore where there is none, and an error that names them where a prefix has several.
func (s *Store) Get(name string) (*Entry, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, fmt.Errorf("look for core %q in %s: %w", name, s.dir, err)
	}
	if name == "" {
		return nil, fmt.Errorf("look for a core without a name: %w", ErrNoCore)
	}
	if slices.Contains(ids, strings.ToUpper(name)) {
		return s.read(strings.ToUpper(name))
	}
	if pid, err := strconv.ParseInt(name, 10, 32); err == nil {
		for _, id := range ids {
			if e, err := s.read(id); err == nil && e.PID == int32(pid) {
				return e, nil
			}
		}
	}
	var found []string
	for _, id := range ids {
		if strings.HasPrefix(id, strings.ToUpper(name)) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("look for core %q in %s: %w", name, s.dir, ErrNoCore)
	case 1:
		return s.read(found[0])
	}
	return nil, fmt.Errorf("%d cores in %s begin with %q: %s", len(found), s.dir, name, strings.Join(found[:min(len(found), 5)], ", "))
}

// Remove drops the core and the entry with this id.
func (s *Store) Remove(id string) error {
	if _, err := ulid.ParseStrict(id); err != nil {
		return fmt.Errorf("remove core %q: its id is no ULID", id)
	}
	return s.locked(func() error { return s.remove(id) })
}

// remove drops the entry first: a core without an entry is swept, an entry without its core would lie.
func (s *Store) remove(id string) error {
	err := os.Remove(filepath.Join(s.dir, id+entrySuffix))
	if err2 := os.Remove(filepath.Join(s.dir, id+coreSuffix)); err == nil && !errors.Is(err2, fs.ErrNotExist) {
		err = err2
	}
	return err
}

// read gives the entry with this id.
func (s *Store) read(id string) (*Entry, error) {
	path := filepath.Join(s.dir, id+entrySuffix)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxEntry+1))
	if err == nil && len(b) > maxEntry {
		err = fmt.Errorf("it is larger than %d bytes", maxEntry)
	}
	e := new(Entry)
	if err == nil {
		err = json.Unmarshal(b, e)
	}
	if err == nil && e.ID != id {
		err = fmt.Errorf("its id is %q", e.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return e, nil
}

// OpenCore opens the ELF core of e, unpacked as it is read.
func (s *Store) OpenCore(e *Entry) (io.ReaderAt, int64, io.Closer, error) {
	if e.File == "" {
		return nil, 0, nil, fmt.Errorf("open core %s: no memory was kept of it: %w", e.ID, ErrNoCore)
	}
	f, err := os.Open(filepath.Join(s.dir, filepath.Base(e.File)))
	if err != nil {
		return nil, 0, nil, fmt.Errorf("open core %s: %w", e.ID, err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, nil, fmt.Errorf("open core %s: %w", e.ID, err)
	}
	r, err := openSeekable(f, st.Size(), f.Close)
	if err != nil {
		f.Close()
		return nil, 0, nil, fmt.Errorf("open core %s (%s): %w", e.ID, f.Name(), err)
	}
	return r, r.size, r, nil
}
