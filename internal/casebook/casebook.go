// Package casebook keeps cases in a folder: one JSON file each, named by the case's id, bounded in
// number and in bytes. Any number of descrys may use one folder at once, without a lock: a file
// appears whole or not at all, and of what is to go everyone picks the same oldest.
package casebook

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"
)

// Bounds limit what a folder holds; the oldest cases go first. Zero means the default.
type Bounds struct {
	Cases int   // number of cases
	Bytes int64 // of their files
}

// The defaults of Bounds.
const (
	DefaultCases = 200
	DefaultBytes = 256 << 20
)

const (
	suffix     = ".json"
	tempPrefix = ".case-"
	staleAfter = time.Hour // a temporary file of this age is of a descry that died
	maxFile    = 64 << 20  // bytes; a larger file is not read
)

// Book is a folder of cases. It holds nothing open, and may be used from anywhere.
type Book struct {
	dir    string
	bounds Bounds
	dirs   group // syncs of the folder

	mu      sync.Mutex
	shelf   shelf
	changed func(id string) // nil, or is told of each case that was put
	dropped func(id string) // nil, or is told of each case that had to go
}

// New gives the book in dir, which the first Put makes.
func New(dir string, bounds Bounds) *Book {
	if bounds.Cases <= 0 {
		bounds.Cases = DefaultCases
	}
	if bounds.Bytes <= 0 {
		bounds.Bytes = DefaultBytes
	}
	return &Book{dir: dir, bounds: bounds}
}

// Dir is the folder.
func (b *Book) Dir() string { return b.dir }

// DefaultDir is where the cases of this user stand: /var/lib/descry/cases for root, else
// $XDG_STATE_HOME/descry/cases, else ~/.local/state/descry/cases. It is an error when the
// environment names no home.
func DefaultDir(getenv func(string) string, uid int) (string, error) {
	if uid == 0 { // also where sudo let a user's environment through
		return "/var/lib/descry/cases", nil
	}
	// The XDG specification says to ignore a path that is not absolute.
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "descry", "cases"), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "descry", "cases"), nil
	}
	return "", errors.New("no directory for cases: neither HOME nor XDG_STATE_HOME is set to an absolute path")
}

// Put keeps c, in place of an earlier form of it, and then drops the oldest cases that are beyond
// the bounds; c itself always stays. An error with dropped cases is one of dropping: c is kept.
// On a full disk the oldest cases go first where that makes room. Where c cannot be kept, nothing else has changed.
// Several Puts at once share the waiting for the disk.
func (b *Book) Put(c *evidence.Case) (dropped int, err error) {
	if _, err := ulid.ParseStrict(c.ID); err != nil {
		return 0, fmt.Errorf("keep case %q in %s: its id is no ULID: %w", c.ID, b.dir, err)
	}
	var buf bytes.Buffer
	if err := evidence.WriteCase(&buf, c); err != nil {
		return 0, err
	}
	err = b.write(c.ID, buf.Bytes())
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		if dropped = b.makeRoom(fileName(c.ID), int64(buf.Len())); dropped > 0 {
			err = b.write(c.ID, buf.Bytes())
		}
	}
	if err != nil {
		return dropped, fmt.Errorf("keep case %s in %s: %w", c.ID, b.dir, err)
	}
	b.mu.Lock()
	changed := b.changed
	b.mu.Unlock()
	if changed != nil {
		changed(c.ID)
	}
	n, err := b.trim(fileName(c.ID), int64(buf.Len()))
	if dropped += n; err != nil {
		return dropped, fmt.Errorf("drop old cases from %s: %w", b.dir, err)
	}
	return dropped, nil
}

func fileName(id string) string { return strings.ToUpper(id) + suffix }

// write makes the file whole before it has its name, and on the disk before Put returns.
func (b *Book) write(id string, text []byte) (err error) {
	// The last output may hold secrets: nobody else may read it.
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(b.dir, tempPrefix+"*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync())
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(b.dir, fileName(id))); err != nil {
		return err
	}
	return b.dirs.do(func() error { return syncDir(b.dir) })
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

// names gives the names of case files, newest first, and those of all other files. A folder that
// does not exist has none.
func (b *Book) names() (cases, other []string, err error) {
	entries, err := os.ReadDir(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), suffix)
		if _, err := ulid.ParseStrict(id); ok && err == nil && id == strings.ToUpper(id) && !e.IsDir() {
			cases = append(cases, e.Name())
		} else if !strings.HasPrefix(e.Name(), journalName) {
			other = append(other, e.Name())
		}
	}
	slices.Sort(cases)
	slices.Reverse(cases)
	return cases, other, nil
}
