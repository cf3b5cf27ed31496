package casebook

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// What the server has stands in the folder itself, in a journal: a line for each case that it took or refused.
//
//	descry-outbox 1
//	5a1c20f3 {"sent":"01JD…","as":"4711.1732276830123456789.20480"}
//
// Each line begins with the CRC-32C of the rest. A line is written only when the server has answered, so what is
// lost of the journal is sent again, and never the other way round. The journal is written anew when it
// has grown, to a file that takes its name when it is whole and on the disk.
const (
	journalName  = ".outbox"
	journalHead  = "descry-outbox 1\n"
	journalNew   = journalName + ".new"
	journalLock  = journalName + ".lock"
	journalBad   = journalName + ".damaged"
	journalLimit = 64 << 20 // bytes that are read
)

// mark is a line of the journal.
type mark struct {
	Sent    string `json:"sent,omitzero"`    // id of a case that the server has
	Refused string `json:"refused,omitzero"` // id of one that it does not want
	As      string `json:"as,omitzero"`      // the form of the case, as stampOf gives it
	Why     string `json:"why,omitzero"`
	Lost    int64  `json:"lost,omitzero"` // cases that were dropped unsent, in all
}

// answer is what the server said of a case.
type answer struct {
	as      string // to which form of it
	refused bool
	why     string
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (m *mark) line() []byte {
	text, err := json.Marshal(m)
	if err != nil { // strings and a number
		panic(err)
	}
	return fmt.Appendf(nil, "%08x %s\n", crc32.Checksum(text, castagnoli), text)
}

// readMarks reads what is whole: a line that is not is left out. ok is false where the head is not that of
// a journal. size is where the next line is to be written: behind the last whole one.
func readMarks(b []byte, take func(mark)) (size int64, damaged int, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte(journalHead))
	if !ok {
		return 0, 0, false
	}
	size = int64(len(journalHead))
	at := size
	for len(rest) > 0 {
		line, next, whole := bytes.Cut(rest, []byte("\n"))
		at += int64(len(rest) - len(next))
		rest = next
		m, good := readMark(line)
		if !whole || !good {
			damaged++
			continue
		}
		take(m)
		size = at
	}
	return size, damaged, true
}

func readMark(line []byte) (m mark, ok bool) {
	sum, text, has := bytes.Cut(line, []byte(" "))
	if !has || string(sum) != fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) {
		return m, false
	}
	return m, json.Unmarshal(text, &m) == nil
}

// journal is the open file.
type journal struct {
	dir     string
	lock    *os.File
	file    *os.File
	answers map[string]answer // by the case's id
	lost    int64
	lines   int   // since it was written anew
	dirty   bool  // something is not on the disk yet
	broken  error // why nothing can be written; it is tried anew
}

var errLocked = errors.New("another descry sends from this folder")

// openJournal takes the journal of dir, or begins one. remark says what was wrong with the one that was there.
func openJournal(dir string) (j *journal, remark string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	j = &journal{dir: dir}
	lock, err := os.OpenFile(filepath.Join(dir, journalLock), os.O_CREATE|os.O_RDWR|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, "", err
	}
	j.lock = lock
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, "", errLocked
	}
	b, err := readFile(filepath.Join(dir, journalName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", err
	}
	j.answers = map[string]answer{}
	_, damaged, ok := readMarks(b, j.take)
	switch {
	case b != nil && !ok:
		remark = fmt.Sprintf("%s is no journal of this version: it is kept as %s, and all cases are sent again", journalName, journalBad)
		if err := os.Rename(filepath.Join(dir, journalName), filepath.Join(dir, journalBad)); err != nil {
			return nil, "", err
		}
	case damaged > 0:
		remark = fmt.Sprintf("%d damaged lines in %s: their cases are sent again", damaged, journalName)
	}
	return j, remark, j.renew() // a torn end must not run into the next line
}

// readFile reads a file that is ours, if it is an ordinary one.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > journalLimit {
		return nil, fmt.Errorf("%s is no ordinary file, or too large", path)
	}
	b, err := io.ReadAll(f)
	if b == nil {
		b = []byte{}
	}
	return b, err
}

func (j *journal) take(m mark) {
	switch {
	case m.Sent != "":
		j.answers[m.Sent] = answer{as: m.As}
	case m.Refused != "":
		j.answers[m.Refused] = answer{as: m.As, refused: true, why: m.Why}
	}
	j.lost = max(j.lost, m.Lost)
}

// add writes a line; sync puts it on the disk.
func (j *journal) add(m mark) error {
	j.take(m)
	if j.broken != nil || j.lines > 1000+4*len(j.answers) {
		return j.renew()
	}
	j.dirty = true
	if _, err := j.file.Write(m.line()); err != nil {
		j.broken = err // part of it may stand there: only a new file is sound
		return err
	}
	j.lines++
	return nil
}

func (j *journal) sync() error {
	if j.broken != nil {
		return j.renew()
	}
	if !j.dirty {
		return nil
	}
	if err := j.file.Sync(); err != nil {
		j.broken = err // what an fsync lost is not written by the next one
		return err
	}
	j.dirty = false
	return nil
}

// renew writes the journal anew: whole, and on the disk, before it has its name.
func (j *journal) renew() (err error) {
	defer func() { j.broken = err }()
	var b bytes.Buffer
	b.WriteString(journalHead)
	if j.lost > 0 {
		b.Write((&mark{Lost: j.lost}).line())
	}
	for id, a := range j.answers {
		m := mark{Sent: id, As: a.as}
		if a.refused {
			m = mark{Refused: id, As: a.as, Why: a.why}
		}
		b.Write(m.line())
	}
	path := filepath.Join(j.dir, journalNew)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Sync()); err == nil {
		err = os.Rename(path, filepath.Join(j.dir, journalName))
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return err
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.lines, j.dirty = f, len(j.answers), false
	return syncDir(j.dir)
}

func (j *journal) close() error {
	err := j.sync()
	if j.file != nil {
		err = errors.Join(err, j.file.Close())
	}
	return errors.Join(err, j.lock.Close())
}

// refusals gives why cases were refused, by their ids, without taking the journal.
func (b *Book) refusals() map[string]string {
	text, err := readFile(filepath.Join(b.dir, journalName))
	if err != nil {
		return nil
	}
	out := map[string]string{}
	_, _, _ = readMarks(text, func(m mark) {
		switch {
		case m.Refused != "":
			out[m.Refused] = m.Why
			if strings.TrimSpace(m.Why) == "" {
				out[m.Refused] = "no reason given"
			}
		case m.Sent != "":
			delete(out, m.Sent)
		}
	})
	return out
}

// stampOf names the form of a case: Put makes a new file each time.
func stampOf(st fs.FileInfo) string {
	var inode uint64
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		inode = s.Ino
	}
	return fmt.Sprintf("%d.%d.%d", inode, st.ModTime().UnixNano(), st.Size())
}
