package coredump

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// DefaultDir is where what was before ours stands, and the sockets. It goes with a restart of the
// machine, as core_pattern does.
const DefaultDir = "/run/descry"

// InstallOptions say how cores are received.
type InstallOptions struct {
	Dir    string        // "": DefaultDir
	Way    Way           // "": the best of this kernel
	Linger time.Duration // how long cores wait for a recorder that was killed and comes back
	Bound  time.Duration // the longest that a dying process waits for one recorder; 0: DefaultBound

	env []string // of the supervisor
}

// DefaultBound is how long a dying process waits for its recorder at the most.
const DefaultBound = 2 * time.Minute

// Installed receives cores until it is closed.
type Installed struct {
	o      InstallOptions
	Way    Way
	Former string // core_pattern as it was
	Words  string // what there is to say

	mu      sync.Mutex
	l       link
	closed  bool
	serving bool
	bye     chan farewell // to Close, while something is served
}

// farewell is how a supervisor ended.
type farewell struct {
	words string
	dead  bool // without a word
}

// Install makes the kernel hand cores over: it starts a supervisor, or joins that which is there
// already, which puts core_pattern aside. Nothing comes before Serve.
func Install(o InstallOptions) (*Installed, error) {
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	if o.Bound == 0 {
		o.Bound = DefaultBound
	}
	if o.Way == "" {
		o.Way = BestWay()
	}
	i := &Installed{o: o, bye: make(chan farewell, 1)}
	if err := i.join(); err != nil {
		return nil, err
	}
	return i, nil
}

// join connects to a supervisor, which it starts where there is none.
func (i *Installed) join() error {
	dir, err := filepath.Abs(i.o.Dir)
	if err != nil {
		return err
	}
	i.o.Dir = dir
	if unix.Geteuid() == 0 {
		if err := makeDir(dir); err != nil {
			return err
		}
	}
	if err := canReceive(dir, i.o.Way); err != nil {
		return err
	}
	lock, err := lockFile(dir, changeLock, true)
	if err != nil {
		return fmt.Errorf("receive core dumps: %w", err)
	}
	defer lock.Close()
	l, m, err := i.hello()
	if err != nil {
		if i.Words, err = start(superviseOptions{dir, i.o.Way, sysctls}, i.o.env); err != nil {
			return fmt.Errorf("receive core dumps: %w", err)
		}
		if l, m, err = i.hello(); err != nil {
			return fmt.Errorf("receive core dumps: speak to the supervisor: %w", err)
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.l, i.Way, i.Former = l, m.Way, m.Former
	return nil
}

func (i *Installed) hello() (l link, m message, err error) {
	l, err = dialLink(filepath.Join(i.o.Dir, controlSocket), answerTime)
	if err != nil {
		return l, m, err
	}
	err = l.say(message{Say: sayHello, PID: os.Getpid(), Linger: int64(i.o.Linger), Bound: int64(i.o.Bound)})
	if err == nil {
		l.SetReadDeadline(time.Now().Add(answerTime))
		m, _, err = l.hear()
		l.SetReadDeadline(time.Time{})
	}
	if err == nil && m.Say != sayWelcome {
		err = fmt.Errorf("it says %q", m.Say)
	}
	if err != nil {
		l.Close()
	}
	return l, m, err
}

// start starts a supervisor, and returns when cores come to it. The directory is locked.
func start(o superviseOptions, env []string) (words string, err error) {
	b, err := json.Marshal(&o)
	if err != nil {
		return "", err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{reexecName, roleSupervisor, string(b)}
	cmd.Env, cmd.Dir, cmd.ExtraFiles = append([]string{"GOMAXPROCS=2"}, env...), "/", []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return "", fmt.Errorf("start the supervisor: %w", err)
	}
	go cmd.Wait()
	r.SetReadDeadline(time.Now().Add(holdTime))
	said, err := io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("wait for the supervisor: %w", err)
	}
	var s startedWord
	if err := json.Unmarshal(said, &s); err != nil {
		return "", errors.New("the supervisor has died")
	}
	if s.Error != "" {
		return "", errors.New(s.Error)
	}
	return s.Words, nil
}

// Close receives no more cores, and ends the dumps that are still being taken. The last one that does
// so puts core_pattern back, and returns when that is done. The words are what there is to say of it.
func (i *Installed) Close() (words string, err error) {
	i.mu.Lock()
	l, closed, serving := i.l, i.closed, i.serving
	i.closed = true
	i.mu.Unlock()
	if closed {
		return "", nil
	}
	defer l.Close()
	end := farewell{dead: true}
	if l.say(message{Say: sayLeave}) == nil {
		if serving {
			select {
			case end = <-i.bye:
			case <-time.After(2 * answerTime):
				return "", errors.New("put core_pattern back: the supervisor does not answer")
			}
		} else {
			end = hearFarewell(l)
		}
	}
	if end.dead {
		return Uninstall(i.o.Dir)
	}
	return end.words, nil
}

func hearFarewell(l link) farewell {
	l.SetReadDeadline(time.Now().Add(2 * answerTime))
	for {
		m, f, err := l.hear()
		if f != nil {
			f.Close()
		}
		if err != nil {
			return farewell{dead: true}
		}
		if m.Say == sayBye {
			return farewell{words: m.Words}
		}
	}
}

// Uninstall puts core_pattern back, whoever still receives cores, and repairs what a descry has left
// that was killed. It is no error where there is nothing to put back.
func Uninstall(dir string) (words string, err error) {
	if dir == "" {
		dir = DefaultDir
	}
	if unix.Geteuid() != 0 {
		return "", errors.New("put core_pattern back: only root may set kernel.core_pattern")
	}
	pattern, err := readSysctl("core_pattern")
	if err != nil {
		return "", fmt.Errorf("put core_pattern back: %w", err)
	}
	if d := dirOf(pattern); d != "" {
		dir = d
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) && dirOf(pattern) == "" {
		return "", nil
	}
	if living(dir) {
		return uninstallBySupervisor(dir)
	}
	if err := makeDir(dir); err != nil {
		return "", err
	}
	lock, err := lockFile(dir, changeLock, true)
	if err != nil {
		return "", fmt.Errorf("put core_pattern back: %w", err)
	}
	defer lock.Close()
	return repair(dir)
}

// Repair puts core_pattern back where a descry has left it that was killed, and nobody receives cores any more. It is
// no error where there is nothing to put back.
func Repair() (words string, err error) {
	pattern, err := readSysctl("core_pattern")
	if err != nil {
		return "", fmt.Errorf("put core_pattern back: %w", err)
	}
	dir := dirOf(pattern)
	if dir == "" || living(dir) {
		return "", nil
	}
	lock, err := lockFile(dir, changeLock, true)
	if err != nil {
		return "", fmt.Errorf("put core_pattern back: %w", err)
	}
	defer lock.Close()
	return repair(dir)
}

func uninstallBySupervisor(dir string) (string, error) {
	l, err := dialLink(filepath.Join(dir, controlSocket), answerTime)
	if err != nil {
		return "", fmt.Errorf("tell the supervisor to put core_pattern back: %w", err)
	}
	defer l.Close()
	if err := l.say(message{Say: sayUninstall}); err != nil {
		return "", fmt.Errorf("tell the supervisor to put core_pattern back: %w", err)
	}
	l.SetReadDeadline(time.Now().Add(2 * holdTime))
	m, _, err := l.hear()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return "", fmt.Errorf("wait until the supervisor has put core_pattern back: %w", err)
	}
	return m.Words, nil
}

// repair undoes what a supervisor has left that was killed. The directory is locked.
func repair(dir string) (words string, err error) {
	if living(dir) {
		return "", nil // another one came meanwhile
	}
	pattern, err := readSysctl("core_pattern")
	if err != nil {
		return "", err
	}
	limit, err := readSysctl("core_pipe_limit")
	if err != nil {
		return "", err
	}
	var all []string
	s, err := readState(dir)
	switch {
	case err == nil:
		var w string
		if s.Former, s.FormerLimit, w = truly(dir, s.Former, s.FormerLimit); w != "" {
			all = append(all, w)
		}
	case dirOf(pattern) == dir:
		s = &state{Ours: pattern, OursLimit: limit}
		var w string
		s.Former, s.FormerLimit, w = truly(dir, pattern, limit)
		all = append(all, w)
	case errors.Is(err, os.ErrNotExist):
		return "", clearDir(dir)
	default:
		return "", err
	}
	w, err := s.restore(dir)
	if err != nil {
		return "", fmt.Errorf("put core_pattern back: %w", err)
	}
	if w != "" {
		all = append(all, w)
	}
	return strings.Join(all, "; "), clearDir(dir)
}
