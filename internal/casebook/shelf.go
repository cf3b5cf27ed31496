package casebook

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// shelf is what a Book knows of its folder: to read all of it at each Put would be slow where there are
// thousands of cases and many deaths a second.
type shelf struct {
	files []shelved // newest first, with the size as it was seen
	bytes int64
	read  time.Time // when the folder was; zero: it must be
}

type shelved struct {
	name string
	size int64
}

// shelfLife is how long a Book trusts its memory, since others may use the folder too.
const shelfLife = 5 * time.Second

// look reads the folder anew, where that is due, and removes what is left of descrys that died while writing.
// Files that are not ours by name stay. b.mu is held.
func (b *Book) look() error {
	if !b.shelf.read.IsZero() && time.Since(b.shelf.read) < shelfLife {
		return nil
	}
	names, other, err := b.names()
	if err != nil {
		return err
	}
	for _, name := range other {
		if strings.HasPrefix(name, tempPrefix) {
			path := filepath.Join(b.dir, name)
			if st, err := os.Lstat(path); err == nil && time.Since(st.ModTime()) > staleAfter {
				os.Remove(path)
			}
		}
	}
	b.shelf = shelf{read: time.Now(), files: make([]shelved, 0, len(names))}
	for _, name := range names {
		st, err := os.Lstat(filepath.Join(b.dir, name))
		if err != nil {
			continue // another descry dropped it
		}
		b.shelf.files = append(b.shelf.files, shelved{name, st.Size()})
		b.shelf.bytes += st.Size()
	}
	return nil
}

// Count gives how many cases there are, as of some seconds ago where others use the folder too.
func (b *Book) Count() (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.look(); err != nil {
		return 0, err
	}
	return len(b.shelf.files), nil
}

// has puts a file on the shelf, or in place of its earlier form. b.mu is held.
func (s *shelf) has(name string, size int64) {
	at, found := slices.BinarySearchFunc(s.files, name, func(f shelved, name string) int { return cmp.Compare(name, f.name) })
	if found {
		s.bytes += size - s.files[at].size
		s.files[at].size = size
		return
	}
	s.files = slices.Insert(s.files, at, shelved{name, size})
	s.bytes += size
}

// trim drops the oldest cases beyond the bounds, but never the one in the file keep, which was just written.
func (b *Book) trim(keep string, size int64) (dropped int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.look(); err != nil {
		return 0, err
	}
	b.shelf.has(keep, size)
	for len(b.shelf.files) > b.bounds.Cases || b.shelf.bytes > b.bounds.Bytes {
		n, _, err := b.dropOldest(keep)
		dropped += n
		if err != nil || n == 0 && len(b.shelf.files) == 1 {
			return dropped, err
		}
	}
	return dropped, nil
}

// dropOldest drops the oldest case but keep. n is 0 where another descry was quicker. b.mu is held.
func (b *Book) dropOldest(keep string) (n int, size int64, err error) {
	s := &b.shelf
	at := len(s.files) - 1
	if at >= 0 && s.files[at].name == keep {
		at--
	}
	if at < 0 {
		return 0, 0, nil
	}
	f := s.files[at]
	switch err := os.Remove(filepath.Join(b.dir, f.name)); {
	case err == nil:
		n = 1
		if b.dropped != nil {
			b.dropped(strings.TrimSuffix(f.name, suffix))
		}
	case errors.Is(err, fs.ErrNotExist):
		s.read = time.Time{} // somebody else drops here
	default:
		s.read = time.Time{}
		return 0, 0, err
	}
	s.files = slices.Delete(s.files, at, at+1)
	s.bytes -= f.size
	return n, f.size, nil
}

// makeRoom drops the oldest cases on a full disk, no more than it takes to write size bytes, and none where
// all that may be dropped would not be enough: at the most half of them.
func (b *Book) makeRoom(keep string, size int64) (dropped int) {
	var st unix.Statfs_t
	if unix.Statfs(b.dir, &st) != nil {
		return 0
	}
	block := max(int64(st.Bsize), 1)
	up := func(n int64) int64 { return (n + block - 1) / block * block }
	need := up(size) + 2*block - int64(st.Bavail)*block // the folder may grow as well
	if need <= 0 {
		need = up(size) // a quota, or no more inodes: statfs knows nothing of it
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shelf.read = time.Time{}
	if b.look() != nil {
		return 0
	}
	most, room := len(b.shelf.files)/2, int64(0)
	for i := range most {
		room += up(b.shelf.files[len(b.shelf.files)-1-i].size)
	}
	if room < need {
		return 0
	}
	for i := 0; i < most && need > 0; i++ {
		n, size, err := b.dropOldest(keep)
		if err != nil {
			break
		}
		dropped += n
		need -= up(size)
	}
	return dropped
}

// group lets calls that come while one is under way share the next one.
type group struct {
	mu   sync.Mutex
	next *shared
	busy sync.Mutex
}

type shared struct {
	done chan struct{}
	err  error
}

// do returns after f was begun and ended since do was called.
func (g *group) do(f func() error) error {
	g.mu.Lock()
	s, first := g.next, false
	if s == nil {
		s, first = &shared{done: make(chan struct{})}, true
		g.next = s
	}
	g.mu.Unlock()
	if !first {
		<-s.done
		return s.err
	}
	g.busy.Lock()
	g.mu.Lock()
	g.next = nil // who comes now may have come too late
	g.mu.Unlock()
	s.err = f()
	g.busy.Unlock()
	close(s.done)
	return s.err
}
