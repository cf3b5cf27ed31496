package output

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// savedFile is what is kept of a file: how far it was read, and what it is known again by.
type savedFile struct {
	Path   string `json:"path"`
	Dev    uint64 `json:"dev"`
	Ino    uint64 `json:"ino"`
	Zip    bool   `json:"zip,omitzero"`
	Form   Form   `json:"form,omitzero"`
	Offset int64  `json:"offset"`
	Line   int64  `json:"line"`
	Read   int64  `json:"read"`
	Size   int64  `json:"size"`
	MTime  int64  `json:"mtime"`
	Head   print  `json:"head"`
	Tail   print  `json:"tail"`
	of     *file
}

// savedLog is what is kept of a log. The files are read on from At, and what lies before Done is not handed on.
type savedLog struct {
	Path  string      `json:"path"`
	Gone  bool        `json:"gone,omitzero"`
	Files []savedFile `json:"files,omitzero"`
	At    [2]int64    `json:"at"`
	Done  [2]int64    `json:"done"`
	Seen  seen        `json:"seen"`
}

func (s *savedLog) valid() error {
	if s.Path == "" || !filepath.IsAbs(s.Path) || len(s.Files) > filesMost {
		return errors.New("no log")
	}
	for i := range 2 {
		if s.At[i] < 0 || s.Done[i] < s.At[i] {
			return errors.New("offsets of streams")
		}
	}
	for _, f := range s.Files {
		if f.Offset < 0 || f.Line < 0 || f.Head.Bytes < 0 || f.Tail.Bytes < 0 || f.Head.Bytes > printMost || f.Tail.Bytes > printMost ||
			int64(f.Tail.Bytes) > f.Offset {
			return errors.New("offsets of a file")
		}
	}
	return nil
}

const (
	journalHead   = "descry position 1 "
	filesMost     = 64
	recordMost    = 64 << 10
	compactLeast  = 4 << 20   // bytes of a journal that is not made anew
	journalMost   = 256 << 20 // bytes of one that is read
	syncEach      = 5 * time.Second
	journalSaying = "the position cannot be kept; it goes on in memory"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Journal keeps positions in a file: a line for each change, with a checksum, the last of a log counts. When most of
// it is old it is made anew in a file of its own that takes its place.
//
// What is written is on disk after at most 5 seconds, and at Close. A process that is killed loses nothing that was
// written; where the power fails, the lines since then may be missing or torn, and an earlier position of the log counts.
type Journal struct {
	path     string
	f        *os.File
	size     int64
	live     map[string][]byte // the last line of each log
	bytes    int64             // of these
	last     time.Time         // when it was written last, before it was opened
	fresh    bool              // it did not exist
	sameBoot bool              // the machine was not started anew since
	damage   string
	add      []byte // scratch
	failed   bool   // the last attempt to write
	anew     bool   // it must be made anew before anything is added
	unsynced bool
	synced   time.Time
}

// ErrForeign says that a file is no journal of positions; it is left alone.
var ErrForeign = errors.New("it is no file of positions; name another, or remove it to begin anew")

// ErrInUse says that another process keeps its positions there.
var ErrInUse = errors.New("another process keeps its position there")

// OpenJournal opens a file of positions, which need not exist yet. A file that is something else gives ErrForeign. Lines that
// are damaged are passed over, which damage tells: the logs that they spoke of go on where an earlier line
// says, or at their beginning, and the damaged file is kept beside it with .damaged at its name.
func OpenJournal(path string) (j *Journal, kept map[string]savedLog, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the position %s: %w", path, bare(err))
		}
	}()
	var f *os.File
	for tries := 0; ; tries++ {
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, nil, err
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			f.Close()
			if tries < 100 { // a process that was just forked holds it for a moment
				time.Sleep(20 * time.Millisecond)
				continue
			}
			return nil, nil, ErrInUse
		}
		a, err1 := f.Stat()
		b, err2 := os.Stat(path)
		if err1 == nil && err2 == nil && os.SameFile(a, b) {
			if !a.Mode().IsRegular() || a.Size() > journalMost {
				f.Close()
				return nil, nil, ErrForeign
			}
			break
		}
		f.Close() // another took its place before it was locked
	}
	j = &Journal{path: path, f: f, live: map[string][]byte{}, synced: time.Now()}
	if st, err := f.Stat(); err == nil {
		j.last = st.ModTime()
	}
	if kept, err = j.load(); err != nil {
		f.Close()
		return nil, nil, err
	}
	return j, kept, nil
}

// bare is what is wrong, without the name of the file.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// load reads the journal.
func (j *Journal) load() (map[string]savedLog, error) {
	b, err := os.ReadFile(j.path)
	if err != nil {
		return nil, err
	}
	kept := map[string]savedLog{}
	head, rest, whole := bytes.Cut(b, []byte("\n"))
	if !whole { // nothing, or its first line was torn
		if !bytes.HasPrefix([]byte(journalHead), head) && !bytes.HasPrefix(head, []byte(journalHead)) {
			return nil, ErrForeign
		}
		j.fresh, j.anew, j.sameBoot = true, true, true
		return kept, nil
	}
	boot, ok := bytes.CutPrefix(head, []byte(journalHead))
	if !ok {
		if bytes.HasPrefix(head, []byte(strings.TrimSuffix(journalHead, "1 "))) {
			return nil, fmt.Errorf("%w: it was written by another version (%.60q)", ErrForeign, head)
		}
		return nil, ErrForeign
	}
	j.sameBoot = string(boot) == bootID()
	bad, first := 0, int64(0)
	at := int64(len(head) + 1)
	for line := range bytes.Lines(rest) {
		s, ok := parseRecord(line)
		switch {
		case !ok:
			if bad == 0 {
				first = at
			}
			bad++
			// A last line without an end was torn when its writer was killed, or the power failed: it was never counted on.
			if line[len(line)-1] != '\n' && bad == 1 {
				bad = 0
				j.anew = true
			}
		case s.Gone:
			delete(kept, s.Path)
			j.bytes -= int64(len(j.live[s.Path]))
			delete(j.live, s.Path)
		default:
			kept[s.Path] = s
			j.bytes += int64(len(line) - len(j.live[s.Path]))
			j.live[s.Path] = bytes.Clone(line)
		}
		at += int64(len(line))
	}
	j.size = int64(len(b))
	if !j.sameBoot {
		j.anew = true
	}
	if bad > 0 {
		j.anew = true
		j.damage = fmt.Sprintf("%d lines are damaged, the first at byte %d: the logs they speak of go on where an earlier line says, or at their beginning, "+
			"so that something may be told twice; the damaged file is kept as %s.damaged", bad, first, filepath.Base(j.path))
		if err := os.WriteFile(j.path+".damaged", b, 0o600); err != nil {
			return nil, fmt.Errorf("it is damaged at byte %d, and cannot be kept aside: %w", first, bare(err))
		}
	}
	return kept, nil
}

// parseRecord reads a line: the checksum in hex, a blank, JSON.
func parseRecord(line []byte) (s savedLog, ok bool) {
	if len(line) < 10 || len(line) > recordMost || line[8] != ' ' || line[len(line)-1] != '\n' {
		return s, false
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	body := line[9 : len(line)-1]
	if err != nil || crc32.Checksum(body, castagnoli) != uint32(sum) {
		return s, false
	}
	if json.Unmarshal(body, &s) != nil || s.valid() != nil {
		return s, false
	}
	return s, true
}

// record appends the line of a log to b; nothing where it cannot be told in one.
func record(b []byte, s *savedLog) []byte {
	const sum = "00000000 "
	from := len(b)
	body := from + len(sum)
	line, err := s.appendJSON(append(b, sum...))
	if err != nil || len(line)-body > recordMost-16-len(sum) {
		return b
	}
	const digits = "0123456789abcdef"
	x := crc32.Checksum(line[body:], castagnoli)
	for i := range len(sum) - 1 {
		line[from+i] = digits[x>>(28-4*i)&15]
	}
	return append(line, '\n')
}

// Save writes what has changed.
func (j *Journal) Save(changed []savedLog, now time.Time) error {
	add := j.add[:0]
	for i := range changed {
		s := &changed[i]
		was, had := j.live[s.Path]
		if s.Gone && !had {
			continue
		}
		from := len(add)
		add = record(add, s)
		line := add[from:]
		switch {
		case len(line) == 0:
		case s.Gone:
			j.bytes -= int64(len(was))
			delete(j.live, s.Path)
		default:
			j.bytes += int64(len(line) - len(was))
			if len(line) > cap(was) {
				was = make([]byte, 0, len(line)+32)
			}
			j.live[s.Path] = append(was[:0], line...)
		}
	}
	if j.add = add; cap(add) > 4<<20 {
		j.add = nil
	}
	err := j.write(add, now)
	j.failed = err != nil
	if err != nil {
		return fmt.Errorf("%s: write %s: %w", journalSaying, j.path, bare(err))
	}
	return nil
}

func (j *Journal) write(add []byte, now time.Time) error {
	if j.anew || j.failed || j.size+int64(len(add)) > max(compactLeast, 16*j.bytes) {
		return j.compact()
	}
	if len(add) > 0 {
		n, err := j.f.Write(add)
		if err != nil {
			if n > 0 && j.f.Truncate(j.size) != nil {
				j.anew = true
			}
			return err
		}
		j.size += int64(len(add))
		j.unsynced = true
	}
	if j.unsynced && now.Sub(j.synced) >= syncEach {
		return j.sync(now)
	}
	return nil
}

func (j *Journal) sync(now time.Time) error {
	j.synced = now
	if err := j.f.Sync(); err != nil {
		j.anew = true // what the kernel gave up writing is not in the file
		return err
	}
	j.unsynced = false
	return nil
}

// compact writes what counts into a new file, and puts that in the old one's place when it is on disk.
func (j *Journal) compact() error {
	b := append([]byte(journalHead), bootID()...)
	b = append(b, '\n')
	for _, line := range j.live {
		b = append(b, line...)
	}
	tmp := j.path + ".new"
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		_, err = f.Write(b)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, j.path)
	}
	if err != nil {
		f.Close()
		os.Remove(tmp)
		return err
	}
	unix.Flock(int(j.f.Fd()), unix.LOCK_UN) // a process that is just being forked has it too
	j.f.Close()
	j.f, j.size, j.anew, j.unsynced = f, int64(len(b)), false, false
	d, err := os.Open(filepath.Dir(j.path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Close puts all on disk.
func (j *Journal) Close() error {
	var err error
	if j.failed || j.anew {
		err = j.compact()
	} else if j.unsynced {
		err = j.f.Sync()
	}
	unix.Flock(int(j.f.Fd()), unix.LOCK_UN)
	if cerr := j.f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("keep the position in %s: %w", j.path, bare(err))
	}
	return nil
}
