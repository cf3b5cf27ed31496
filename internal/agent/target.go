package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// target is the file that the case goes to as JSON. What would make it fail is found out before the
// command runs.
type target struct {
	name string // as it was given
	path string // of an ordinary file, links followed; it is replaced as a whole
	mode fs.FileMode

	// file is open from the start for what cannot be replaced: a descriptor that was inherited
	// (which is released once the command runs), a FIFO, a device, a file in a directory that takes
	// no other.
	file    *os.File
	inPlace bool // file is an ordinary one and emptied first
}

// openTarget makes the file ready; "" is none and "-" is standard output. A file that exists stays
// as it is until the case is written.
func openTarget(name string) (*target, error) {
	if name == "" {
		return nil, nil
	}
	t := &target{name: name}
	if err := t.open(); err != nil {
		return nil, fmt.Errorf("the case cannot be written to --report %s: %w; the command was not started", name, reason(err))
	}
	return t, nil
}

func (t *target) open() error {
	if fd, ok := inherited(t.name); ok {
		return t.duplicate(fd)
	}
	t.path = t.name
	if real, err := filepath.EvalSymlinks(t.name); err == nil {
		t.path = real // a link stays one
	}
	info, err := os.Stat(t.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.mode = 0o600 // the last output may hold secrets
		return t.tryDirectory()
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("it is a directory")
	}
	// A FIFO that nobody reads must not hold the command up.
	t.file, err = os.OpenFile(t.path, os.O_WRONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if errors.Is(err, unix.ENXIO) {
		return errors.New("nobody reads from it")
	}
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	if t.tryDirectory() != nil {
		t.inPlace = true
		return nil
	}
	t.mode = info.Mode().Perm()
	err = t.file.Close()
	t.file = nil
	return err
}

// inherited tells the names of descriptors. To open such a name would begin at the start of the file
// behind it, and to replace it would be worse.
func inherited(name string) (fd int, ok bool) {
	switch name {
	case "-", "/dev/stdout":
		return 1, true
	case "/dev/stderr":
		return 2, true
	}
	for _, dir := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if s, found := strings.CutPrefix(name, dir); found {
			fd, err := strconv.Atoi(s)
			return fd, err == nil && fd >= 0
		}
	}
	return 0, false
}

func (t *target) duplicate(fd int) error {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	switch {
	case err != nil:
		return fmt.Errorf("descriptor %d is not open", fd)
	case flags&unix.O_ACCMODE == unix.O_RDONLY:
		return fmt.Errorf("descriptor %d is open for reading only", fd)
	}
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	t.file = os.NewFile(uintptr(dup), t.name)
	return nil
}

// tryDirectory finds out whether the file can be made.
func (t *target) tryDirectory() error {
	f, err := t.create()
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (t *target) create() (*os.File, error) {
	return os.CreateTemp(filepath.Dir(t.path), "."+filepath.Base(t.path)+".*")
}

// write writes the case. An ordinary file is replaced as a whole, so that nobody reads half a case.
func (t *target) write(c *evidence.Case) error {
	if err := t.put(c); err != nil {
		return fmt.Errorf("the case was not written to --report %s: %w", t.name, reason(err))
	}
	return nil
}

func (t *target) put(c *evidence.Case) error {
	if t.file != nil {
		if t.inPlace {
			if err := t.file.Truncate(0); err != nil {
				return err
			}
		}
		return errors.Join(evidence.WriteCase(t.file, c), t.file.Close())
	}
	tmp, err := t.create()
	if err != nil {
		return err
	}
	err = errors.Join(evidence.WriteCase(tmp, c), tmp.Chmod(t.mode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), t.path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

func (t *target) close() {
	if t != nil && t.file != nil {
		t.file.Close()
	}
}

// reason is the errno of an error about a file whose name the message has already.
func reason(err error) error {
	if e := syscall.Errno(0); errors.As(err, &e) {
		return e
	}
	return err
}
