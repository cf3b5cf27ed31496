package coredump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Take keeps d by the store's policy and ends the dump. What could not be kept as deep as it was
// asked for is kept less deep, and Entry.Why says why; an error means that nothing is kept at all.
func (s *Store) Take(ctx context.Context, d *Dump) (*Entry, error) {
	at := d.At
	if at.IsZero() {
		at = time.Now()
	}
	ctx, cancel := context.WithTimeout(ctx, s.policy.Wait)
	defer cancel()
	defer d.Core.Close()
	// Closing makes a read return that waits for a kernel that writes nothing.
	defer context.AfterFunc(ctx, func() { d.Core.Close() })()

	t := &taking{
		s: s, d: d, from: time.Now(),
		e: &Entry{ID: newID(at), At: at.UTC(), PID: d.PID, TID: d.TID, Signal: d.Signal, Asked: s.policy.Keep, Kept: None},
	}
	t.proc = livingProc(d.Proc)
	readProcess(t.e, d.Proc, t.proc)
	t.environment = environmentOf(t.proc)
	if s.policy.Keep == None {
		t.end()
	} else {
		t.memory(ctx)
	}
	if err := s.locked(t.commit); err != nil {
		t.drop()
		return nil, fmt.Errorf("keep the core of process %d: %w", d.PID, err)
	}
	return t.e, nil
}

// maxSmallCore is more than pipes and sockets hold.
const maxSmallCore = 4 << 20

// widen makes a pipe that the kernel writes a core to as large as it may be: fewer turns between the two.
func widen(core io.Reader) {
	f, ok := core.(interface {
		SyscallConn() (syscall.RawConn, error)
	})
	if !ok {
		return
	}
	if c, err := f.SyscallConn(); err == nil {
		c.Control(func(fd uintptr) { unix.FcntlInt(fd, unix.F_SETPIPE_SZ, 1<<20) }) //nolint:errcheck // it is no pipe
	}
}

// taking is one Take under way.
type taking struct {
	s           *Store
	d           *Dump
	e           *Entry
	from        time.Time
	proc        string   // where its memory and files can be read
	environment [2]span  // where the arguments and the environment stand
	stacks      *os.File // whole, not yet under its name; nil: none
	full        *os.File // likewise
}

// end lets the process go.
func (t *taking) end() {
	if t.d.Core.Close(); t.e.WaitedMS == 0 {
		t.e.WaitedMS = float64(time.Since(t.from).Microseconds()) / 1000
	}
}

func (t *taking) less(format string, args ...any) {
	if why := fmt.Sprintf(format, args...); t.e.Why == "" {
		t.e.Why = bounded(why)
	} else if len(t.e.Why) < 2*maxProcString {
		t.e.Why += "; " + bounded(why)
	}
}

// memory keeps stacks, always and first; and then, where that was asked for, the core whole.
func (t *taking) memory(ctx context.Context) {
	var whole *partFile
	defer t.end()
	core := io.Reader(t.d.Core)
	if t.s.policy.Keep == Full {
		select {
		case t.s.stream <- struct{}{}:
			defer func() { <-t.s.stream }()
		case <-ctx.Done():
		}
		p, err := t.s.newPart(t.e.ID, Full, t.s.bounds.Core)
		if err != nil {
			t.less("the whole core cannot be written: %v", err)
		} else {
			whole, core = p, io.TeeReader(t.d.Core, p)
		}
	}
	h, err := readHead(core)
	if err != nil {
		t.less("%v", reason(ctx, err, t.s.policy.Wait))
	} else {
		t.e.Mapped = faultFile(h, t.proc)
		t.keepStacks(ctx, h, core, whole == nil)
	}
	if whole == nil {
		return
	}
	if err = t.keepWhole(h, whole); err != nil {
		t.less("the core is not kept whole: %v", reason(ctx, err, t.s.policy.Wait))
	}
}

// reason says of an error that came of closing a dump whose time was over that it was over.
func reason(ctx context.Context, err error, wait time.Duration) error {
	switch ctx.Err() {
	case nil:
		return err
	case context.DeadlineExceeded:
		return fmt.Errorf("it did not end within %v", wait)
	}
	return fmt.Errorf("it was called off: %w", context.Cause(ctx))
}

// keepStacks reads the memory and writes it. Where that is all, the process goes as soon as it is read.
func (t *taking) keepStacks(ctx context.Context, h *dumpHead, core io.Reader, last bool) {
	select {
	case t.s.choose <- struct{}{}:
		defer func() { <-t.s.choose }()
	case <-ctx.Done():
		t.less("stacks: %v", reason(ctx, ctx.Err(), t.s.policy.Wait))
		return
	}
	pieces, unreadable, err := stacks(h, t.proc, t.s.bounds.Stacks)
	if err != nil && last && h.end <= maxSmallCore {
		// A core so small that the kernel had room for it between itself and us, and let the process go.
		if b, err2 := io.ReadAll(io.LimitReader(core, maxSmallCore)); err2 == nil && h.at+uint64(len(b)) >= h.end {
			pieces, unreadable, err = choose(h, liveMemory{coreMemory{h, b}}, t.proc, t.s.bounds.Stacks)
		}
	}
	if last {
		t.end()
	}
	t.e.Unreadable = unreadable
	if err != nil {
		t.less("stacks: %v", err)
		return
	}
	if !t.s.policy.Unmasked {
		t.e.Masked, t.e.MaskedAt = true, int64(t.mask(h, pieces))
	}
	p, err := t.s.newPart(t.e.ID, Stacks, t.s.bounds.Core)
	if err == nil {
		err = errors.Join(writeCore(p, h, pieces), p.end())
		if err != nil {
			p.drop()
		}
	}
	if err != nil {
		t.less("stacks cannot be written: %v", err)
		return
	}
	t.stacks = p.f
	t.e.Kept, t.e.CoreBytes, t.e.Bytes = Stacks, p.in, p.out
	for _, v := range pieces {
		t.e.Saved += int64(len(v.b))
	}
}

// mask overwrites what looks like secrets in the pieces and in the notes. What the command line and the
// environment show to be one is overwritten wherever else it stands: C libraries copy these.
func (t *taking) mask(h *dumpHead, pieces []piece) int {
	n := maskNotes(h.notes)
	in := (&spans{loads: h.loads}).pointsInto
	var known [][]byte
	for _, p := range pieces {
		for i, v := range t.environment {
			from, to := max(v.start, p.addr), min(v.end, p.addr+uint64(len(p.b)))
			if from >= to {
				continue
			}
			b := p.b[from-p.addr : to-p.addr]
			before, after := bytes.Clone(b), bytes.Clone(b)
			if i == 0 {
				n += maskWords(b, 0)
				copy(after, b)
			} else {
				MaskBytes(after) // of the environment only what is one by its name or looks
				n += maskValues(b)
			}
			known = append(known, changed(before, after)...)
		}
	}
	for _, p := range pieces {
		n += maskMemory(p.b, p.addr, in)
		n += maskCopies(p.b, known)
	}
	for b := h.notes; len(b) >= 12; {
		at := 12 + (int(le.Uint32(b))+3)&^3
		end := at + (int(le.Uint32(b[4:]))+3)&^3
		if at < 12 || end < at || end > len(b) {
			break
		}
		// The names of mapped files stay: a folder's name with many digits looks like a key, and without
		// the path of its binary a stack has no names.
		if le.Uint32(b[8:]) != ntFile {
			n += maskCopies(b[at:end], known)
		}
		b = b[end:]
	}
	return n
}

// keepWhole reads the rest of the core. h is nil where its beginning is of no known form.
func (t *taking) keepWhole(h *dumpHead, p *partFile) error {
	widen(t.d.Core) // not before: a process whose core fits into the pipe is gone before its memory was read
	_, err := p.ReadFrom(t.d.Core)
	t.end()
	err = errors.Join(err, p.end())
	if err == nil && h != nil && uint64(p.in) < h.end {
		err = fmt.Errorf("the kernel wrote %d bytes of %d", p.in, h.end)
	}
	if err == nil && h == nil && p.in < headerSize {
		err = errors.New("the kernel wrote nothing")
	}
	if err != nil {
		p.drop()
		return err
	}
	t.full = p.f
	e := t.e
	e.Kept, e.CoreBytes, e.Bytes, e.Saved = Full, p.in, p.out, 0
	if h != nil {
		for _, m := range h.loads {
			e.Saved += int64(m.Filesz)
		}
		e.Why = ""
	}
	e.Masked, e.MaskedAt, e.Unreadable = false, 0, 0
	return nil
}

// commit gives the file its name, and writes the entry. The folder is locked.
func (t *taking) commit() error {
	keep, other := t.stacks, t.full
	if t.full != nil {
		keep, other = t.full, t.stacks
	}
	if other != nil {
		os.Remove(other.Name())
		other.Close()
	}
	if keep != nil {
		t.e.File = t.e.ID + coreSuffix
		path := filepath.Join(t.s.dir, t.e.File)
		if err := os.Rename(keep.Name(), path); err != nil {
			return err
		}
		keep.Close()
	}
	if err := t.s.put(t.e); err != nil {
		if keep != nil {
			os.Remove(filepath.Join(t.s.dir, t.e.File))
		}
		return err
	}
	return nil
}

func (t *taking) drop() {
	for _, f := range []*os.File{t.stacks, t.full} {
		if f != nil {
			os.Remove(f.Name())
			f.Close()
		}
	}
}

// partFile is a core's file that is being written: packed, within the bounds.
type partFile struct {
	*packer
	f     *os.File
	s     *Store
	id    string
	bound int64 // bytes of the file
	wrote int64
	room  int64 // bytes that the folder had room for when it was last asked
}

// roomStep is how many bytes are written between two looks at the folder and the disk.
const roomStep = 16 << 20

func (s *Store) newPart(id string, kind Depth, bound int64) (*partFile, error) {
	f, err := s.part(id, kind)
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, err
	}
	p := &partFile{f: f, s: s, id: id, bound: bound}
	if p.packer, err = newPacker(writerFunc(p.write)); err != nil {
		os.Remove(f.Name())
		f.Close()
		return nil, err
	}
	return p, nil
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func (p *partFile) write(b []byte) (int, error) {
	n := int64(len(b))
	if p.bound > 0 && p.wrote+n > p.bound {
		return 0, fmt.Errorf("it takes more than the %d MiB that one core may have", p.bound>>20)
	}
	if p.wrote+n > p.room {
		if err := p.s.locked(func() error { return p.s.makeRoom(p.id, p.wrote+n, n) }); err != nil {
			return 0, err
		}
		p.room = p.wrote + max(n, roomStep)
	}
	k, err := p.f.Write(b)
	p.wrote += int64(k)
	return k, err
}

// end brings all of it to the disk.
func (p *partFile) end() error {
	if err := p.Close(); err != nil {
		return err
	}
	return p.f.Sync()
}

func (p *partFile) drop() {
	os.Remove(p.f.Name())
	p.f.Close()
}

// makeRoom drops the oldest cores until there is room for n more bytes of a core that then has size.
// One core takes no more than half of what all may take: a large one must not drop all others and
// then not fit itself. The folder is locked.
func (s *Store) makeRoom(id string, size, n int64) error {
	used, err := s.used()
	if err != nil {
		return err
	}
	limit, err := s.limit(used)
	if err != nil {
		return err
	}
	if size > limit/2 {
		return fmt.Errorf("it takes more than half of the %d MiB that all cores may have, by their bounds and by what the disk has free: %w", limit>>20, errNoRoom)
	}
	_, err = s.trim(id, n)
	return err
}

// environmentOf gives where the arguments and the environment of a process stand in its memory.
func environmentOf(proc string) (v [2]span) {
	b, _ := readFile(filepath.Join(proc, "stat"))
	_, rest, _ := strings.Cut(string(b[max(0, strings.LastIndexByte(string(b), ')')):]), " ")
	f := strings.Fields(rest) // the third field of the file is the first here
	const argStart = 48 - 3
	if len(f) < argStart+4 {
		return v
	}
	var at [4]uint64
	for i := range at {
		fmt.Sscan(f[argStart+i], &at[i])
	}
	return [2]span{{at[0], at[1]}, {at[2], at[3]}}
}
