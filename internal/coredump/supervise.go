package coredump

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// The supervisor holds the listening sockets, hands each dump to the recorder whose process it is, and
// what is nobody's to the former handler. It lives as long as there are recorders, whatever becomes of
// them, and puts core_pattern back at its end.

const (
	maxDumps   = 256              // dumps at once; more are closed at once
	answerTime = 10 * time.Second // a recorder that has not answered by then is passed over: it may be starved
	holdTime   = 10 * time.Second // longest wait for a recorder that comes back
	maxLinger  = time.Minute
	maxBound   = 10 * time.Minute
)

type supervisor struct {
	dir     string
	way     Way
	started state

	life                     *os.File // its lock says that there is a supervisor
	kernel, handler, control *net.UnixListener

	mu        sync.Mutex
	recorders []*recorder
	came      chan struct{} // closed, and made anew, when a recorder comes
	last      time.Time     // until when a recorder that went without a word is waited for
	ending    bool
	words     []string
	change    chan struct{} // one recorder went
	told      bool
	end       chan struct{} // told to end
	over      chan struct{} // core_pattern is what it was

	dumps   chan struct{} // a place for each
	pending sync.WaitGroup
	refused int64
}

// superviseOptions are what a supervisor is started with.
type superviseOptions struct {
	Dir     string `json:"dir"`
	Way     Way    `json:"way"`
	Sysctls string `json:"sysctls"`
}

// started is what the supervisor says to who started it.
type startedWord struct {
	Error string `json:"error,omitzero"`
	Words string `json:"words,omitzero"`
}

// supervise is the supervisor's whole life. ready is told once that cores come, or why not.
func supervise(o superviseOptions, ready *os.File) error {
	sysctls = o.Sysctls
	// The kernel would ask us for our own core.
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	os.WriteFile("/proc/self/comm", []byte("descry-cores"), 0)
	os.Chdir("/")
	debug.SetGCPercent(20)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE)

	s := &supervisor{
		dir: o.Dir, way: o.Way, came: make(chan struct{}), change: make(chan struct{}, 1), end: make(chan struct{}), over: make(chan struct{}),
		dumps: make(chan struct{}, maxDumps), last: time.Now().Add(holdTime),
	}
	words, err := s.begin()
	say := startedWord{Words: words}
	if err != nil {
		say.Error = err.Error()
	}
	b, _ := json.Marshal(say)
	ready.Write(b)
	ready.Close()
	if err != nil {
		return err
	}
	go s.acceptKernel()
	go s.acceptHandlers()
	go s.acceptRecorders()
	s.stay(signals)
	return nil
}

// begin makes the sockets and points the kernel to them. Who started us holds the change lock.
func (s *supervisor) begin() (words string, err error) {
	if s.life, err = lockFile(s.dir, lifeLock, false); err != nil {
		return "", err
	}
	pattern, err := ourPattern(s.dir, s.way)
	if err != nil {
		return "", err
	}
	for _, l := range []struct {
		name, network string
		to            **net.UnixListener
	}{{coreSocket, "unix", &s.kernel}, {handlerSocket, "unix", &s.handler}, {controlSocket, "unixpacket", &s.control}} {
		path := filepath.Join(s.dir, l.name)
		os.Remove(path)
		ln, err := net.ListenUnix(l.network, &net.UnixAddr{Name: path, Net: l.network})
		if err != nil {
			return "", fmt.Errorf("listen for cores: %w", err)
		}
		ln.SetUnlinkOnClose(false)
		if err := os.Chmod(path, 0o600); err != nil {
			return "", fmt.Errorf("listen for cores: %w", err)
		}
		*l.to = ln
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return "", fmt.Errorf("find the own program: %w", err)
	}
	if inContainer() {
		exe = filepath.Join("/proc", strconv.Itoa(os.Getpid()), "root", exe)
	}
	link := filepath.Join(s.dir, handlerLink)
	os.Remove(link)
	if err := os.Symlink(exe, link); err != nil {
		return "", fmt.Errorf("name the handler of cores: %w", err)
	}
	st, words, err := install(s.dir, pattern)
	if err != nil {
		return "", err
	}
	s.started = *st
	return words, nil
}

// stay returns when nobody wants cores any more and core_pattern is what it was.
func (s *supervisor) stay(signals <-chan os.Signal) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		must := false
		select {
		case <-signals:
			must = true
		case <-s.end:
			must = true
		case <-s.change:
		case <-tick.C:
		}
		if (must || s.idle()) && s.stop(must) {
			return
		}
	}
}

func (s *supervisor) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.recorders) == 0 && !time.Now().Before(s.last)
}

// stop puts core_pattern back, lets the dumps end that have begun, and says whether that was done.
func (s *supervisor) stop(must bool) bool {
	lock, err := lockFile(s.dir, changeLock, must)
	if errors.Is(err, unix.EWOULDBLOCK) && !must {
		return false // somebody is coming
	}
	defer lock.Close() // nil where the directory is gone
	if !must && !s.idle() {
		return false
	}
	words, err := s.started.restore(s.dir)
	if err != nil {
		words = "core_pattern could not be put back: " + err.Error()
	}
	s.mu.Lock()
	s.ending = true
	close(s.came) // who waits for a recorder waits no longer
	if words != "" {
		s.words = append(s.words, words)
	}
	if s.refused > 0 {
		s.words = append(s.words, fmt.Sprintf("%d cores were not taken, since %d others were being taken", s.refused, maxDumps))
	}
	said := strings.Join(s.words, "; ")
	recorders := s.recorders
	s.recorders = nil
	s.mu.Unlock()
	if err == nil {
		// A process that began to die before may be about to connect.
		time.Sleep(20 * time.Millisecond)
		for _, l := range []*net.UnixListener{s.kernel, s.handler, s.control} {
			l.SetDeadline(time.Now())
		}
		clearDir(s.dir)
	}
	s.life.Close() // another one may begin, while dumps end here
	for _, r := range recorders {
		r.say(message{Say: sayBye, Words: said})
	}
	close(s.over)
	done := make(chan struct{})
	go func() {
		s.pending.Wait()
		close(done)
	}()
	lock.Close() // what comes now finds us gone
	select {
	case <-done:
	case <-time.After(maxBound):
	}
	return true
}

func (s *supervisor) acceptRecorders() {
	for {
		c, err := s.control.AcceptUnix()
		if err != nil {
			if pausing(err) {
				continue
			}
			return
		}
		if !peerIsRoot(c) {
			c.Close()
			continue
		}
		go s.follow(link{c})
	}
}

// pausing says whether accepting may go on after an error, and waits a little then.
func pausing(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		return false
	}
	time.Sleep(10 * time.Millisecond)
	return true
}

// follow hears what one recorder says until it goes.
func (s *supervisor) follow(l link) {
	defer l.Close()
	l.SetReadDeadline(time.Now().Add(answerTime))
	m, f, err := l.hear()
	if f != nil {
		f.Close()
	}
	if err != nil {
		return
	}
	switch m.Say {
	case sayUninstall:
		s.uninstall(l)
		return
	case sayHello:
	default:
		return
	}
	l.SetReadDeadline(time.Time{})
	r := &recorder{
		link: l, pid: m.PID, linger: min(max(time.Duration(m.Linger), 0), maxLinger), bound: min(max(time.Duration(m.Bound), time.Second), maxBound),
		answers: map[uint64]chan bool{}, taken: map[uint64]chan struct{}{},
	}
	s.mu.Lock()
	if s.ending {
		s.mu.Unlock()
		return
	}
	s.recorders = append(s.recorders, r)
	s.last = time.Time{}
	close(s.came)
	s.came = make(chan struct{})
	s.mu.Unlock()
	r.say(message{Say: sayWelcome, Way: s.way, Former: s.started.Former})
	left := r.listen()
	if !left {
		s.forget(r, false)
		return
	}
	s.pending.Go(func() { // the supervisor ends after it
		s.forget(r, true)
		s.farewell(l)
	})
	l.hear() // until the other side has closed
}

// farewell tells who leaves what there is to say: at once where others stay, or once core_pattern is
// what it was.
func (s *supervisor) farewell(l link) {
	s.mu.Lock()
	others := len(s.recorders) > 0
	s.mu.Unlock()
	if !others {
		select {
		case <-s.over:
		case <-time.After(answerTime):
		}
	}
	s.mu.Lock()
	said := strings.Join(s.words, "; ")
	s.mu.Unlock()
	l.say(message{Say: sayBye, Words: said})
}

// uninstall ends the supervisor, whoever wants cores.
func (s *supervisor) uninstall(l link) {
	s.pending.Go(func() {
		<-s.over
		s.farewell(l)
	})
	s.mu.Lock()
	if !s.told {
		s.told = true
		close(s.end)
	}
	s.mu.Unlock()
	l.hear()
}

// forget frees the processes whose dumps the recorder has not finished.
func (s *supervisor) forget(r *recorder, left bool) {
	r.mu.Lock()
	r.gone = true
	for id, c := range r.answers {
		close(c)
		delete(r.answers, id)
	}
	for id, c := range r.taken {
		close(c)
		delete(r.taken, id)
	}
	r.mu.Unlock()
	s.mu.Lock()
	for i, o := range s.recorders {
		if o == r {
			s.recorders = append(s.recorders[:i:i], s.recorders[i+1:]...)
			break
		}
	}
	s.last = time.Time{}
	if !left && r.linger > 0 {
		s.last = time.Now().Add(r.linger)
	}
	s.mu.Unlock()
	select {
	case s.change <- struct{}{}:
	default:
	}
}
