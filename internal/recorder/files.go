package recorder

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/descry-dev/descry/internal/evidence"
	"golang.org/x/sys/unix"
)

// ErrInUse says that another recorder writes to the directory.
var ErrInUse = errors.New("another descry records there")

const (
	lockName    = "lock"
	previousDir = "previous"
	syncEvery   = time.Second
)

// files are the rings on disk: segments of fixed size, allocated ahead and mapped.
//
// What a record costs is a copy into the mapping; no system call. A kill -9, even in the middle of
// the copy, loses nothing that was complete: the pages belong to the kernel, which writes them to
// the disk whatever happens to us, so that needs no fsync. A loss of power does: once a second a
// goroutine calls fdatasync on the segments that changed, without holding up Record, so at most the
// last second or so is lost, and reading tells where whole records end. Waiting for the disk at each
// observation would make the recorder the slowest part of descry, for a second of evidence
// that a machine without power rarely needs. After such a sync the next record of a page takes a
// fault, and waits where a file system wants pages that are being written to stay as they are.
type files struct {
	dir  string
	lock *os.File
	rec  *Recorder

	// Under rec.mu.
	rings    [rings]fileRing
	lost     int64 // observations that the directory did not take
	told     int64 // of them, those that a "lost" observation has told
	lossWhy  string
	lossTold bool // to onLoss
	closing  bool
	closed   bool // takes no more

	onLoss func(evidence.Lost)
	sparse bool
	kick   chan struct{} // wakes the goroutine early
	stop   chan struct{}
	done   sync.WaitGroup
}

// fileRing is one ring on disk.
type fileRing struct {
	segs       []*segment
	cur        int
	generation uint64
}

// segment is one file of a ring. It is not usable while m is nil or bad is set.
type segment struct {
	path  string
	ring  uint32
	size  int
	f     *os.File
	m     []byte // the mapping, size bytes
	end   int    // behind the last record; 0: not started
	high  int    // behind the last byte of earlier content, which restart clears
	seed  uint32
	bad   bool // writing to the mapping faulted: no space behind it
	dirty bool // since the last fdatasync
}

// openFiles makes the directory ready. A full disk is left to be tried again later.
func openFiles(opt Options, budget [rings]int, r *Recorder) (_ *files, err error) {
	if err := os.MkdirAll(opt.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep the recording in %s: %w", opt.Dir, err)
	}
	lock, err := os.OpenFile(filepath.Join(opt.Dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("keep the recording in %s: %w", opt.Dir, err)
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	// The lock goes when the last holder of the open file does, so also by kill -9.
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, fmt.Errorf("keep the recording in %s: %w", opt.Dir, err)
	}
	if err := setAside(opt.Dir); err != nil {
		return nil, fmt.Errorf("keep the earlier recording in %s: %w", opt.Dir, err)
	}
	f := &files{dir: opt.Dir, lock: lock, rec: r, onLoss: opt.OnLoss, sparse: opt.sparse,
		kick: make(chan struct{}, 1), stop: make(chan struct{})}
	for i := range f.rings {
		n := 2
		if i == ringFirst { // never emptied, so it needs no second
			n = 1
		}
		for j := range n {
			s := &segment{path: filepath.Join(opt.Dir, segmentName(i, j)), ring: uint32(i), size: segmentSize(budget[i])}
			f.rings[i].segs = append(f.rings[i].segs, s)
			if err := s.open(f.sparse); err != nil {
				if !noSpace(err) {
					f.unmap()
					return nil, fmt.Errorf("keep the recording in %s: %w", opt.Dir, err)
				}
				f.lossWhy = err.Error()
			}
		}
	}
	return f, nil
}

func segmentName(ring, i int) string { return fmt.Sprintf("%s.%d.rec", ringNames[ring], i) }

// segmentSize is that of the ring in memory, with room for what headers and padding take more on
// disk than there, in whole pages.
func segmentSize(budget int) int {
	return (budget + budget/4 + segmentHeader + 1<<12 - 1) &^ (1<<12 - 1)
}

func noSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG)
}

// setAside moves an earlier recording to "previous", in place of one that is there: it may be what
// somebody will want to read.
func setAside(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, "*.rec"))
	if err != nil || len(old) == 0 {
		return err
	}
	prev := filepath.Join(dir, previousDir)
	if err := os.MkdirAll(prev, 0o700); err != nil {
		return err
	}
	older, err := filepath.Glob(filepath.Join(prev, "*.rec"))
	if err != nil {
		return err
	}
	for _, p := range older {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, p := range old {
		if err := os.Rename(p, filepath.Join(prev, filepath.Base(p))); err != nil {
			return err
		}
	}
	return nil
}

// open makes the file, gives it its space and maps it.
func (s *segment) open(sparse bool) (err error) {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(s.path)
		}
	}()
	if err := allocate(f, s.size, sparse); err != nil {
		return fmt.Errorf("allocate %d bytes for %s: %w", s.size, s.path, err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, s.size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", s.path, err)
	}
	s.f, s.m = f, m
	return nil
}

// allocate gives f its size and its space, so that a write to the mapping finds room. Where the
// file system cannot, zeros are written.
func allocate(f *os.File, size int, sparse bool) error {
	if sparse {
		return f.Truncate(int64(size))
	}
	err := unix.Fallocate(int(f.Fd()), 0, 0, int64(size))
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	zero := make([]byte, 64<<10)
	st, err := f.Stat()
	if err != nil {
		return err
	}
	for off := st.Size(); off < int64(size); off += int64(len(zero)) {
		if _, err := f.WriteAt(zero[:min(int64(len(zero)), int64(size)-off)], off); err != nil {
			return err
		}
	}
	return nil
}

// put stores b, a sequence number and its payload, in a ring. rec.mu is held.
func (f *files) put(ring int, b []byte) {
	if f.closed {
		return
	}
	err := f.rings[ring].put(b)
	if err == nil {
		return
	}
	f.lost++
	if f.lossWhy == "" {
		f.lossWhy = err.Error()
	}
	if !f.lossTold {
		f.wake()
	}
}

func (f *files) wake() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

var (
	errFull   = errors.New("no space left for it")
	errFault  = errors.New("no space left on the device, or the file was cut short")
	errTooBig = errors.New("larger than a segment")
)

func (r *fileRing) put(b []byte) (err error) {
	need := recordHeader - 8 + len(b)
	need = (need + 7) &^ 7
	s := r.segs[r.cur]
	if segmentHeader+need > s.size {
		return errTooBig
	}
	if !s.usable() || s.end == 0 || s.end+need > s.size {
		if s = r.next(); s == nil {
			return errFull
		}
	}
	// A hole in the file that gets no space, or a file that was cut, shows as SIGBUS.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if e := recover(); e != nil {
			mustBeFault(e)
			s.bad = true
			err = errFault
		}
	}()
	if s.end == 0 {
		s.restart(r.generation)
	}
	s.append(b, need)
	return nil
}

// next chooses the segment to go on in where the present one has no room or is of no use. Where the
// other one has no space, the present one is emptied: the newest observations count most.
func (r *fileRing) next() *segment {
	if cur := r.segs[r.cur]; !cur.usable() || cur.end > 0 {
		for i, s := range r.segs {
			if i != r.cur && s.usable() {
				r.cur = i
				break
			}
		}
	}
	s := r.segs[r.cur]
	if !s.usable() || s.ring == ringFirst && s.end > 0 {
		return nil
	}
	r.generation++
	s.high, s.end = max(s.high, s.end), 0
	return s
}

// mustBeFault lets mistakes of ours through.
func mustBeFault(e any) {
	if _, ok := e.(interface{ Addr() uintptr }); !ok {
		panic(e)
	}
}

func (s *segment) usable() bool { return s.m != nil && !s.bad }

// restart empties the segment. Its header goes first and comes last: in between it has no records.
func (s *segment) restart(generation uint64) {
	clear(s.m[:min(s.high, segmentHeader)])
	clear(s.m[:s.high])
	var id [8]byte
	rand.Read(id[:]) // never fails
	h := header{ring: s.ring, id: binary.LittleEndian.Uint64(id[:]), generation: generation, startWall: time.Now().UnixNano()}
	s.seed = h.seed()
	b := h.encode()
	copy(s.m, b[:])
	s.end, s.dirty = segmentHeader, true
}

// append stores a record. Length and sum go in last, as one word, so that a kill in the middle
// leaves nothing that looks like a record.
func (s *segment) append(b []byte, need int) {
	n := uint64(len(b) - 8)
	sum := uint64(crc32c(s.seed, b))
	copy(s.m[s.end+8:], b)
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&s.m[s.end])), n|sum<<32) // both CPUs of ours are little endian
	s.end += need
	s.dirty = true
}

// start runs what is done beside recording.
func (f *files) start() {
	f.done.Add(1)
	go func() {
		defer f.done.Done()
		tick := time.NewTicker(syncEvery)
		defer tick.Stop()
		f.tell()
		syncDir(f.dir) // the names of the segments too must survive
		for {
			select {
			case <-f.stop:
				return
			case <-f.kick:
				f.tell()
			case <-tick.C:
				f.tell()
				f.mend()
				f.sync()
			}
		}
	}()
}

// tell reports the first loss, once.
func (f *files) tell() {
	f.rec.mu.Lock()
	due := f.lossWhy != "" && !f.lossTold
	l := evidence.Lost{By: "recorder", Count: f.lost, Why: "keep the recording in " + f.dir + ": " + f.lossWhy + "; it goes on in memory"}
	f.lossTold = f.lossTold || due
	f.rec.mu.Unlock()
	if due && f.onLoss != nil {
		f.onLoss(l)
	}
}

// mend tries to get the segments that had no space, and records what was lost meanwhile.
func (f *files) mend() {
	broken := 0
	for i := range f.rings {
		for _, s := range f.rings[i].segs {
			f.rec.mu.Lock()
			usable, mapped := s.usable(), s.m != nil
			f.rec.mu.Unlock()
			switch {
			case usable:
				continue
			case mapped:
				if allocate(s.f, s.size, false) != nil {
					broken++
					continue
				}
				f.rec.mu.Lock()
				s.reuse()
				f.rec.mu.Unlock()
			default:
				n := &segment{path: s.path, ring: s.ring, size: s.size}
				if n.open(f.sparse) != nil {
					broken++
					continue
				}
				f.rec.mu.Lock()
				*s = *n
				f.rec.mu.Unlock()
			}
		}
	}
	if broken == 0 {
		f.recordLost()
	}
}

// recordLost puts into the recording itself how many observations it lacks.
func (f *files) recordLost() {
	f.rec.mu.Lock()
	missing := f.lost - f.told
	f.told = f.lost
	f.rec.mu.Unlock()
	if missing > 0 {
		f.rec.Record(&evidence.Observation{
			BootNanos: bootNanos(), WallNanos: time.Now().UnixNano(), Source: evidence.SourceRuntime,
			Detail: &evidence.Lost{By: "recorder", Count: missing, Why: "the directory of the recording took no more for a while"},
		})
	}
}

// reuse takes a segment that has its space again: from where it was, or anew where what it held is
// gone. rec.mu is held.
func (s *segment) reuse() {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if e := recover(); e != nil {
			mustBeFault(e)
			s.bad = true
		}
	}()
	if h, _ := decodeHeader(s.m); h == nil || h.seed() != s.seed {
		s.end, s.high = 0, s.size
	} else {
		clear(s.m[s.end:]) // what the fault left of a record
	}
	s.bad = false
}

// sync brings what changed to the disk. The mutex is held only to look.
func (f *files) sync() {
	for i := range f.rings {
		for _, s := range f.rings[i].segs {
			f.rec.mu.Lock()
			due := s.dirty && s.m != nil
			s.dirty = false
			file := s.f
			f.rec.mu.Unlock()
			if due {
				_ = unix.Fdatasync(int(file.Fd())) // what the disk does not take now it takes at the next second
			}
		}
	}
}

// close ends writing: segments are cut to what they hold, so that a short recording is a small one.
func (f *files) close() error {
	f.rec.mu.Lock()
	again := f.closing
	f.closing = true
	f.rec.mu.Unlock()
	if again {
		return nil
	}
	close(f.stop)
	f.done.Wait()
	f.tell()
	f.recordLost()
	f.rec.mu.Lock()
	f.closed = true
	f.rec.mu.Unlock()
	f.sync()
	err := f.unmap()
	syncDir(f.dir)
	return errors.Join(err, f.lock.Close())
}

func (f *files) unmap() error {
	f.rec.mu.Lock()
	defer f.rec.mu.Unlock()
	var errs []error
	for i := range f.rings {
		for _, s := range f.rings[i].segs {
			if s.m == nil {
				continue
			}
			errs = append(errs, unix.Munmap(s.m), s.f.Truncate(int64(s.end)), s.f.Close())
			if s.end == 0 {
				errs = append(errs, os.Remove(s.path))
			}
			s.m, s.f = nil, nil
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the recording in %s: %w", f.dir, err)
	}
	return nil
}

func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}

func bootNanos() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return ts.Nano()
}
