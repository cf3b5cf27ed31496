package coredump

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// state is what the machine had before cores came to us. It stands in the directory from before the
// change until after it was undone.
type state struct {
	Former      string    `json:"former"` // core_pattern
	FormerLimit string    `json:"formerLimit"`
	Ours        string    `json:"ours"`
	OursLimit   string    `json:"oursLimit"`
	At          time.Time `json:"at"`
	PID         int       `json:"pid"` // of the supervisor
}

// kernelDefault is the core_pattern of a kernel that was told nothing.
const kernelDefault = "core"

// pipeLimit is what core_pipe_limit becomes where it is 0: with 0 the kernel does not wait until
// /proc of the process was read. More dumps than that at once are lost with a pipe.
const pipeLimit = "1024"

func readState(dir string) (*state, error) {
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	s := new(state)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, stateFile), err)
	}
	return s, nil
}

// write puts the state on the disk, whole or not at all.
func (s *state) write(dir string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, stateFile)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("put the former core_pattern aside: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("put the former core_pattern aside: %w", err)
	}
	return nil
}

// lockFile locks a file of the directory; the lock goes with the returned file. Where it must not wait
// and another process has it, the error is EWOULDBLOCK.
func lockFile(dir, name string, wait bool) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX | unix.LOCK_NB
	for end := time.Now().Add(10 * time.Second); ; {
		switch err = unix.Flock(int(f.Fd()), how); {
		case err == nil:
			return f, nil
		case err == unix.EINTR, err == unix.EWOULDBLOCK && wait && time.Now().Before(end):
			time.Sleep(2 * time.Millisecond)
		default:
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", filepath.Join(dir, name), err)
		}
	}
}

// living says whether a supervisor lives that works in dir.
func living(dir string) bool {
	if _, err := os.Stat(filepath.Join(dir, lifeLock)); err != nil {
		return false
	}
	f, err := lockFile(dir, lifeLock, false)
	if err != nil {
		return errors.Is(err, unix.EWOULDBLOCK)
	}
	f.Close()
	return false
}

// truly is what the machine had before any descry came that lives no more: a descry that was killed
// with its supervisor leaves its own pattern behind. own is a directory whose supervisor does not live, or
// is this process. The words say of what could not be found.
func truly(own, pattern, limit string) (former, formerLimit, words string) {
	for range 8 {
		dir := dirOf(pattern)
		if dir == "" {
			return pattern, limit, ""
		}
		if dir != own && living(dir) {
			return pattern, limit, ""
		}
		s, err := readState(dir)
		if err != nil || s.Ours != pattern {
			return kernelDefault, limit, fmt.Sprintf("core_pattern was left behind by a descry (%s), and what it was before is not known: taking the kernel's own %q", pattern, kernelDefault)
		}
		if limit == s.OursLimit {
			limit = s.FormerLimit
		}
		pattern = s.Former
	}
	return kernelDefault, limit, "core_pattern was left behind by too many descrys that were killed"
}

// install points the kernel to pattern, and puts what was there before aside first. The directory is
// locked.
func install(dir, pattern string) (s *state, words string, err error) {
	now, err := readSysctl("core_pattern")
	if err != nil {
		return nil, "", err
	}
	limit, err := readSysctl("core_pipe_limit")
	if err != nil {
		return nil, "", err
	}
	s = &state{Ours: pattern, At: time.Now().UTC(), PID: os.Getpid()}
	s.Former, s.FormerLimit, words = truly(dir, now, limit)
	if old, err := readState(dir); err == nil && old.Ours != now && old.OursLimit == limit {
		s.FormerLimit = old.FormerLimit // it was killed between the two changes
	}
	if s.Former == pattern {
		return nil, "", fmt.Errorf("put core_pattern %q aside: it is descry's own", pattern)
	}
	if s.OursLimit = s.FormerLimit; s.OursLimit == "0" {
		s.OursLimit = pipeLimit
	}
	if err := s.write(dir); err != nil {
		return nil, "", err
	}
	fault("written")
	if limit != s.OursLimit {
		if err := writeSysctl("core_pipe_limit", s.OursLimit); err != nil {
			s.restore(dir)
			return nil, "", err
		}
	}
	fault("limited")
	if err := writeSysctl("core_pattern", pattern); err != nil {
		s.restore(dir)
		return nil, "", err
	}
	fault("installed")
	return s, words, nil
}

// restore undoes install, and says what it left alone since someone else has changed it. The
// directory is locked.
func (s *state) restore(dir string) (words string, err error) {
	now, err := readSysctl("core_pattern")
	if err != nil {
		return "", err
	}
	switch now {
	case s.Ours:
		if err := writeSysctl("core_pattern", s.Former); err != nil {
			return "", err
		}
	case s.Former:
	default:
		words = fmt.Sprintf("core_pattern is %q now, which someone else has set meanwhile: it stays so (before descry it was %q)", now, s.Former)
	}
	fault("restored")
	if limit, err := readSysctl("core_pipe_limit"); err == nil && limit == s.OursLimit && limit != s.FormerLimit {
		if err := writeSysctl("core_pipe_limit", s.FormerLimit); err != nil {
			return words, err
		}
	}
	fault("unlimited")
	return words, nil
}

// clearDir removes what stands in the directory while cores come to it. It is locked.
func clearDir(dir string) error {
	for _, name := range []string{coreSocket, handlerSocket, controlSocket, handlerLink, stateFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what receiving cores has left: %w", err)
		}
	}
	return nil
}

// fault is where tests kill the process.
var fault = func(at string) {}

// makeDir makes the directory, root's alone.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make a place for the former core_pattern: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Uid != 0 || st.Mode&0o022 != 0 {
		return fmt.Errorf("use %s: it is no directory that only root may write to (mode %s, uid %d)", dir, strconv.FormatUint(uint64(st.Mode&0o7777), 8), st.Uid)
	}
	return nil
}
