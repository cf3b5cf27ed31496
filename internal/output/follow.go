package output

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Part is a piece of what a program wrote to one of its streams, at its place in a log.
type Part struct {
	Path   string // of the log, as it is followed
	File   FileID // that the log is or was
	Form   Form
	Stream int    // 0: stdout, and all of a raw file; 1: stderr
	At     int64  // offset in the stream, over all files of the log since it is followed
	Offset int64  // in the file, as it is unpacked; of the line where it is Docker's
	Line   int64  // in the file, from 1, that Text begins in
	Text   []byte // not to be kept
	Zeros  int64  // so many NUL bytes in place of Text: a hole in the file
	stamp  []byte
}

// Time is when the runtime took the line, zero where the log does not tell.
func (p *Part) Time() time.Time { return stampTime(p.stamp) }

// Stamp is the time as the log has it, nil where it does not tell. It is not to be kept.
func (p *Part) Stamp() []byte { return p.stamp }

// StampTime is the time that a stamp tells, zero where it tells none.
func StampTime(stamp []byte) time.Time { return stampTime(stamp) }

// Loss is what was gone before it was read.
type Loss struct {
	Path   string
	File   FileID
	Offset int64 // that was read up to
	Bytes  int64 // that were seen behind it; those are lost at least: what came after the last look nobody counted
	Why    string
}

func (l *Loss) String() string {
	if l.Bytes == 0 {
		return fmt.Sprintf("%s: %s; byte %d was read last, and how much is lost nobody counted", l.Path, l.Why, l.Offset)
	}
	return fmt.Sprintf("%s: %s after byte %d was read: at least %d bytes are lost", l.Path, l.Why, l.Offset, l.Bytes)
}

// Consumer takes what one log holds, in order. All its methods are called from one goroutine.
type Consumer interface {
	// Take is given the next piece, which is valid during the call.
	Take(*Part)
	// Look comes after all there is was taken, each time that the log was looked at: also if nothing was new.
	Look()
	// Lost says that bytes will never come.
	Lost(Loss)
	// Done gives the offset in a stream before which nothing is needed again: there it goes on after a restart.
	// No more than was taken.
	Done(stream int) int64
	// End says that the log is gone, and all of it was taken.
	End()
}

// FollowOptions say what is followed, and how.
type FollowOptions struct {
	Paths    []string // files, which need not exist yet, and directories, with all below
	AtEnd    bool     // what is there at the first look is not read, only what comes after
	Position string   // file that keeps where it goes on; "": it begins anew each time
	New      func(path string) Consumer
	Trouble  func(Trouble) // may be nil

	Later bool // logs come by Follow: positions of others are kept for a while

	MaxOpen  int // descriptors, 0: half of what the process may have, 4096 at most
	MaxFiles int // logs that are followed at once, 0: 20,000
}

// Trouble is something that keeps a file from being followed. It is said once, and when it is over.
type Trouble struct {
	Path string
	Err  error // nil: what there was with Path is over
}

// How often a log is looked at.
const (
	lookSoon  = 550 * time.Millisecond // while it grows
	lookLate  = 600 * time.Millisecond // while it does not
	scanEach  = 400 * time.Millisecond // directories, for new files
	saveEach  = time.Second            // the position of a log that does not grow, where its consumer was behind
	saveBytes = 4 << 20                // handed on, of many logs, after which positions are kept
	tick      = 100 * time.Millisecond
	keepOver  = time.Minute      // a file is looked at so long after another took its name
	keepGone  = 5 * time.Minute  // and so long without growing when it has no name any more
	goneSoon  = 5 * time.Second  // a log is gone that has no file, and never had another
	keptWait  = 10 * time.Minute // so long a position waits for its log to be named
	dirsMost  = 50_000
	depthMost = 16
)

// Follower follows logs: what is written into them is handed on once, whatever is done to the files.
// It is not for several goroutines at once.
type Follower struct {
	o         FollowOptions
	logs      []*followed
	byPath    map[string]*followed
	dirs      map[string]*watchedDir
	roots     []string
	journal   *Journal
	kept      map[string]savedLog // of logs that are not yet found
	buf       []byte
	scratch   []byte
	open      list.List // of *file, the one used last in front
	opened    map[*file]*list.Element
	maxOpen   int
	scanned   time.Time
	began     time.Time
	handed    int64 // bytes, since positions were kept
	saved     time.Time
	first     bool
	forgotten map[string]bool // logs whose position is dropped
	trouble   map[string]string
	now       time.Time
	part      Part
	changed   []savedLog // scratch of save
	files     []savedFile
}

// NewFollower gets ready to follow; nothing is read before Poll or Run. It fails where the position cannot be
// read: see OpenJournal.
func NewFollower(o FollowOptions) (*Follower, error) {
	w := &Follower{o: o, byPath: map[string]*followed{}, dirs: map[string]*watchedDir{}, opened: map[*file]*list.Element{},
		trouble: map[string]string{}, buf: make([]byte, printMost+lineMost), first: true}
	if w.o.MaxFiles <= 0 {
		w.o.MaxFiles = 20_000
	}
	w.maxOpen = o.MaxOpen
	if w.maxOpen <= 0 {
		w.maxOpen = 4096
		var limit unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
			w.maxOpen = int(max(1, min(uint64(w.maxOpen), limit.Cur/2)))
		}
	}
	for _, p := range o.Paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return nil, fmt.Errorf("follow %s: %w", p, err)
		}
		w.roots = append(w.roots, abs)
	}
	if o.Position != "" {
		j, kept, err := OpenJournal(o.Position)
		if err != nil {
			return nil, err
		}
		if j.damage != "" {
			w.say(Trouble{Path: o.Position, Err: errors.New(j.damage)})
		}
		w.journal, w.kept = j, kept
	}
	return w, nil
}

func (w *Follower) say(t Trouble) {
	if w.o.Trouble != nil {
		w.o.Trouble(t)
	}
}

// problem says once what is wrong with path, and once that it is over.
func (w *Follower) problem(path string, err error) {
	was, had := w.trouble[path]
	switch {
	case err == nil && had:
		delete(w.trouble, path)
		w.say(Trouble{Path: path})
	case err != nil && was != err.Error():
		w.trouble[path] = err.Error()
		w.say(Trouble{Path: path, Err: err})
	}
}

// Run follows until the context ends. Then it keeps the position, and gives the error of that.
func (w *Follower) Run(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	for ctx.Err() == nil {
		if w.Poll(time.Now()) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	return w.Close()
}

// Poll looks at what is due and hands on what is new, some of it if it is much: more says that there is more
// at once.
func (w *Follower) Poll(now time.Time) (more bool) {
	w.now = now
	if w.first || now.Sub(w.scanned) >= scanEach {
		w.scanned = now
		w.scan()
	}
	ended := false
	for _, l := range w.logs {
		if !l.due.After(now) {
			again := w.look(l)
			more = more || again
			ended = ended || l.ended
			if w.handed > saveBytes {
				w.saveSome()
			}
		}
	}
	if ended {
		w.drop()
	}
	w.saveSome()
	return more
}

// saveSome keeps the positions that changed; once a second all of them, and only then where that failed before.
func (w *Follower) saveSome() {
	if w.journal == nil {
		return
	}
	all := w.now.Sub(w.saved) >= saveEach
	if all {
		w.saved = w.now
	}
	if all || !w.journal.failed {
		w.save(all)
	}
}

// drop forgets logs that have ended.
func (w *Follower) drop() {
	n := 0
	for _, l := range w.logs {
		if !l.ended {
			w.logs[n] = l
			n++
			continue
		}
		w.closeAll(l)
		l.to.End()
		delete(w.byPath, l.path)
		delete(w.trouble, l.path)
		w.forget(l.path)
	}
	clear(w.logs[n:])
	w.logs = w.logs[:n]
}

// Close keeps the position and gives up all files. What was taken and not done with is handed on again next time.
func (w *Follower) Close() error {
	var err error
	if w.journal != nil {
		w.save(true)
		err = w.journal.Close()
	}
	for _, l := range w.logs {
		w.closeAll(l)
	}
	return err
}

// Files is how many logs are followed, and how many descriptors they take.
func (w *Follower) Files() (logs, descriptors int) { return len(w.logs), w.open.Len() }

func (w *Follower) closeAll(l *followed) {
	for _, f := range l.files {
		w.close(f)
	}
}

// close gives up a file's descriptor.
func (w *Follower) close(f *file) {
	if f.unpack != nil {
		f.unpack.close()
		f.unpack = nil
	}
	if f.fd >= 0 {
		unix.Close(f.fd)
		f.fd = -1
	}
	if e := w.opened[f]; e != nil {
		w.open.Remove(e)
		delete(w.opened, f)
	}
}

// opens notes that f holds a descriptor. Where there are too many, the one that was not used for longest is
// given up.
func (w *Follower) opens(f *file) {
	f.used = w.now.UnixNano()
	if e := w.opened[f]; e != nil {
		w.open.MoveToFront(e)
		return
	}
	w.opened[f] = w.open.PushFront(f)
	for w.open.Len() > w.maxOpen {
		w.close(w.victim())
	}
}

// victim is the file whose descriptor is given up: the one that was not used for longest; but where all are in
// use, which are looked at in turn, the one used last, so that the others stay open. A file that is not
// read to its end yet may have no other way in, and comes last.
func (w *Follower) victim() *file {
	oldest, newest := w.open.Back(), w.open.Front()
	if f := oldest.Value.(*file); newest == oldest || f.offset >= f.size && w.now.UnixNano()-f.used > int64(5*time.Second) {
		return f
	}
	for e, n := newest.Next(), 0; e != nil && n < 16; e, n = e.Next(), n+1 {
		if f := e.Value.(*file); f.offset >= f.size {
			return f
		}
	}
	return oldest.Value.(*file)
}

// tooMany says whether a file was not opened for want of descriptors; then there are fewer now.
func (w *Follower) tooMany(err error) bool {
	if !errors.Is(err, unix.EMFILE) && !errors.Is(err, unix.ENFILE) || w.open.Len() == 0 {
		return false
	}
	left := w.open.Len() / 2
	w.maxOpen = max(1, left)
	for w.open.Len() > left {
		w.close(w.victim())
	}
	return true
}
