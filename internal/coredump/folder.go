package coredump

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"
)

// locked runs f while no other process and no other goroutine changes the folder.
func (s *Store) locked(f func() error) error {
	lock, err := os.OpenFile(filepath.Join(s.dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() // frees the lock
	if err := flock(lock, unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return f()
}

func flock(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

// part makes the file that becomes id's core, locked as long as its writer lives.
func (s *Store) part(id string, kind Depth) (f *os.File, err error) {
	err = s.locked(func() error {
		f, err = os.OpenFile(filepath.Join(s.dir, "."+id+"."+string(kind)+partSuffix), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		return flock(f, unix.LOCK_EX|unix.LOCK_NB)
	})
	return f, err
}

// sweep removes what writers that died have left: parts that nobody holds, and cores without an
// entry. The folder is locked.
func (s *Store) sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, d := range entries {
		path := filepath.Join(s.dir, d.Name())
		if id, ok := strings.CutSuffix(d.Name(), coreSuffix); ok && isID(id) {
			if _, err := os.Lstat(filepath.Join(s.dir, id+entrySuffix)); errors.Is(err, fs.ErrNotExist) {
				os.Remove(path)
			}
			continue
		}
		if !isPart(d.Name()) {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		if flock(f, unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.Remove(path)
		}
		f.Close()
	}
	return nil
}

func isPart(name string) bool {
	id, rest, ok := strings.Cut(strings.TrimPrefix(name, "."), ".")
	return ok && strings.HasPrefix(name, ".") && isID(id) && strings.HasSuffix(rest, partSuffix[1:])
}

func isID(id string) bool {
	_, err := ulid.ParseStrict(id)
	return err == nil && id == strings.ToUpper(id)
}

// ids gives the ids of what is kept, newest first.
func (s *Store) ids() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, d := range entries {
		if id, ok := strings.CutSuffix(d.Name(), entrySuffix); ok && isID(id) && !d.IsDir() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids, nil
}

// errNoRoom means that the bounds leave no room, even without all other cores.
var errNoRoom = errors.New("no room")

// trim drops the oldest cores, but never keep, until all bounds hold with more bytes beside what is
// there. The folder is locked. errNoRoom: they do not hold with nothing left to drop.
func (s *Store) trim(keep string, more int64) (dropped int, err error) {
	ids, err := s.ids()
	if err != nil {
		return 0, err
	}
	size := func(name string) int64 {
		st, err := os.Lstat(filepath.Join(s.dir, name))
		if err != nil {
			return 0
		}
		return st.Size()
	}
	bytes, err := s.partBytes(size)
	if err != nil {
		return 0, err
	}
	sizes := make(map[string]int64, len(ids))
	for _, id := range ids {
		sizes[id] = size(id+entrySuffix) + size(id+coreSuffix)
		bytes += sizes[id]
	}
	count := len(ids)
	if !slices.Contains(ids, keep) {
		count++
	}
	limit, err := s.limit(bytes)
	if err != nil {
		return 0, err
	}
	oldest := time.Now().Add(-s.bounds.Age)
	for _, id := range slices.Backward(ids) {
		old := s.bounds.Age > 0 && ulid.Time(ulid.MustParse(id).Time()).Before(oldest)
		if id == keep || !old && (s.bounds.Count < 0 || count <= s.bounds.Count) && bytes+more <= limit {
			continue
		}
		if err := s.remove(id); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return dropped, err
		}
		dropped++
		count--
		bytes -= sizes[id]
	}
	if bytes+more > limit {
		return dropped, errNoRoom
	}
	return dropped, nil
}

// used is what all files take.
func (s *Store) used() (n int64, err error) {
	entries, err := os.ReadDir(s.dir)
	for _, d := range entries {
		if st, err := d.Info(); err == nil {
			n += st.Size()
		}
	}
	return n, err
}

// partBytes is what files take that are being written.
func (s *Store) partBytes(size func(string) int64) (n int64, err error) {
	entries, err := os.ReadDir(s.dir)
	for _, d := range entries {
		if isPart(d.Name()) {
			n += size(d.Name())
		}
	}
	return n, err
}

// limit is how many bytes all files may take, where they take used now. A disk that fills up with
// other things lowers it: the share is of what would be free without the cores.
func (s *Store) limit(used int64) (int64, error) {
	limit := s.bounds.Bytes
	if limit < 0 {
		limit = 1 << 62
	}
	if s.bounds.DiskShare < 0 {
		return limit, nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(s.dir, &fs); err != nil {
		return 0, fmt.Errorf("ask for the free space of %s: %w", s.dir, err)
	}
	free := int64(fs.Bavail) * fs.Bsize
	return min(limit, int64(float64(free+used)*s.bounds.DiskShare)), nil
}
