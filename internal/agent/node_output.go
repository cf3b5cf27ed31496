package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/output"
)

// logs follows the logs of all containers of a node, judges them, and reads their ends at deaths. Its follower has a
// goroutine of its own, run; the methods may be called from any, and none waits for it but settle.
type logs struct {
	cfg  logsConfig
	todo chan func() // for the follower's goroutine
	done chan struct{}

	w     *output.Follower // the follower's goroutine's alone
	sinks map[string]*sink // likewise

	mu    sync.Mutex
	of    map[uint32]*containerLog
	lacks map[string]string // why a path is not followed
}

// logsConfig says where logs are, and who is told.
type logsConfig struct {
	Root     string   // where the node's files are seen; "": /
	Position string   // file that keeps where it goes on; "": none
	Ledger   ledgerOf // nil: writes are not seen
	Tell     func(subject uint32, o *evidence.Observation)
	Sign     func(subject uint32, why string) // a stream turns to garbage that has not ended yet; may be nil
	Say      func(format string, args ...any)

	// Unseen takes garbage in an output whose writer was not seen, in place of Tell; what stands before it was read at boot time
	// since. nil: Tell does.
	Unseen func(subject uint32, o *evidence.Observation, out pipeOf, since int64)
}

// followTick is how often it is looked whether logs are due.
const followTick = 100 * time.Millisecond

// logsMost is how many logs are followed.
const logsMost = 4096

// openLogs gets ready to follow. Where the position cannot be used it goes on without, and says so.
func openLogs(cfg logsConfig) (*logs, error) {
	l := &logs{cfg: cfg, todo: make(chan func(), 256), done: make(chan struct{}), sinks: map[string]*sink{}, of: map[uint32]*containerLog{}, lacks: map[string]string{}}
	o := output.FollowOptions{
		Position: cfg.Position, Later: true, MaxFiles: logsMost, Trouble: l.trouble,
		New: func(path string) output.Consumer { return l.consumer(path) },
	}
	w, err := output.NewFollower(o)
	if err != nil && cfg.Position != "" && !errors.Is(err, output.ErrInUse) {
		cfg.Say("%v: what is followed begins anew after a restart", err)
		o.Position = ""
		w, err = output.NewFollower(o)
	}
	if err != nil {
		return nil, fmt.Errorf("follow the containers' logs: %w", err)
	}
	l.w = w
	return l, nil
}

// run follows until ctx ends. Then it keeps where it goes on.
func (l *logs) run(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(followTick)
	defer tick.Stop()
	for {
		if l.w.Poll(time.Now()) { // there is more: only what others ask for comes between
			select {
			case <-ctx.Done():
			case do := <-l.todo:
				do()
				continue
			default:
				continue
			}
		}
		select {
		case <-ctx.Done():
			if err := l.w.Close(); err != nil {
				l.cfg.Say("%v", err)
			}
			return
		case do := <-l.todo:
			do()
		case <-tick.C:
		}
	}
}

// ask has the follower's goroutine do something, unless it has ended.
func (l *logs) ask(do func()) bool {
	select {
	case l.todo <- do:
		return true
	case <-l.done:
		return false
	}
}

// followed is what a log is followed for.
type followedFor struct {
	subject uint32
	pid     int32  // main process; 0: not known
	path    string // of its log, as the runtime tells it on the node; "": not known
	driver  string // where its engine sends its output; "": not known
	id      string // of the container
	found   bool   // it ran before it was watched
}

// follow begins with a container's log, and says whether there is one. Called again for the same path it changes nothing.
func (l *logs) follow(f followedFor) (found bool) {
	path, why := f.path, ""
	if path == "" {
		path = findLog(l.cfg.Root, f.id)
	}
	if path == "" {
		why = noLog(f.driver)
	} else if path, why = inRoot(l.cfg.Root, path); why != "" {
		path = ""
	}
	l.mu.Lock()
	c := l.entry(f.subject)
	arm := f.pid != 0 && c.pid == 0
	if arm {
		c.pid, c.out = f.pid, l.outputsOf(f.pid)
	}
	c.lack = why
	begin := path != "" && c.path != path
	old := c.path
	if begin {
		c.path, c.from = path, time.Now()
	}
	l.mu.Unlock()
	if arm {
		l.arm(c)
	}
	if !begin {
		return why == ""
	}
	l.ask(func() {
		if old != "" {
			l.drop(c, old)
		}
		c.watch = output.NewWatch(c.found, c.torn)
		c.watch.Ends = true
		if s := l.sinks[path]; s != nil { // of the life before: Docker starts a container again with the same log
			s.c.end()
			c.goOn(s.c)
			s.c = c
			return
		}
		l.sinks[path] = &sink{c}
		atEnd := f.found && !l.w.Known(path)
		c.partial(atEnd)
		if err := l.w.Follow(path, atEnd); err != nil {
			l.cfg.Say("%v", err)
		}
	})
	return true
}

// entry is what is known of a subject's log; the caller holds mu.
func (l *logs) entry(subject uint32) *containerLog {
	c := l.of[subject]
	if c == nil {
		c = &containerLog{logs: l, subject: subject, from: time.Now(), lack: "its log is not known"}
		l.of[subject] = c
	}
	return c
}

// consumer is who takes what a log holds.
func (l *logs) consumer(path string) output.Consumer {
	return l.sinks[path]
}

// trouble says once what keeps a log from being followed.
func (l *logs) trouble(t output.Trouble) {
	l.mu.Lock()
	if t.Err == nil {
		delete(l.lacks, t.Path)
	} else {
		l.lacks[t.Path] = t.Err.Error()
	}
	l.mu.Unlock()
	if t.Err == nil {
		l.cfg.Say("%s: it goes on", t.Path)
	} else {
		l.cfg.Say("%v", t.Err)
	}
}

// Settling: how often and how long a log is looked at again after a death, until nothing comes any more.
const (
	settleLook  = 15 * time.Millisecond
	settleQuiet = 2 // looks without anything new
	settleMost  = 150 * time.Millisecond
	settleLate  = time.Second // likewise, while nothing came of a program that has written something
)

// settle reads what a subject has written last, and ends its judgement: its runtime hands on the last bytes a moment
// after the death.
func (l *logs) settle(subject uint32, wrote bool) {
	c := l.get(subject)
	if c == nil || c.path == "" {
		return
	}
	until, late := time.Now().Add(settleMost), time.Now().Add(settleLate)
	last, quiet := int64(-1), 0
	for time.Now().Before(until) && quiet < settleQuiet || wrote && !c.any() && time.Now().Before(late) {
		at := make(chan int64, 1)
		if !l.ask(func() {
			l.w.Look(c.path, time.Now())
			at <- c.taken()
		}) {
			return
		}
		select {
		case n := <-at:
			if n == last {
				quiet++
			} else {
				last, quiet = n, 0
				c.keepTail() // at once: some engines remove it with its container
			}
		case <-l.done:
			return
		}
		time.Sleep(settleLook)
	}
	c.keepTail()
	ended := make(chan struct{})
	if l.ask(func() { c.end(); close(ended) }) {
		select {
		case <-ended:
		case <-l.done:
		}
	}
}

// leave ends with a subject's log: its container will write no more.
func (l *logs) leave(subject uint32) {
	l.closer(subject, false)
	l.mu.Lock()
	c := l.of[subject]
	delete(l.of, subject)
	l.mu.Unlock()
	if c != nil && c.path != "" {
		l.ask(func() { l.drop(c, c.path) })
	}
}

// drop ends with a log, unless a later life of its container has taken it over.
func (l *logs) drop(c *containerLog, path string) {
	if s := l.sinks[path]; s != nil && s.c == c {
		l.w.Leave(path)
		delete(l.sinks, path)
	}
}

func (l *logs) get(subject uint32) *containerLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[subject]
}

// last is the end of what a subject wrote, as its log has it; nil where there is none.
func (l *logs) last(subject uint32) *evidence.LastOutput {
	c := l.get(subject)
	if c == nil || c.path == "" {
		return nil
	}
	c.keepTail()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tail == nil {
		return nil
	}
	out := *c.tail
	out.StdoutBytes, out.StderrBytes = max(c.at[0], int64(len(out.Stdout))), max(c.at[1], int64(len(out.Stderr)))
	out.FirstGarbage = slices.Clone(c.first)
	return &out
}

// outlived notes that a later life of a subject's container has begun, which may write to the same log: what its end
// was before stays.
func (l *logs) outlived(subject uint32) {
	if c := l.get(subject); c != nil {
		c.mu.Lock()
		c.over = true
		c.mu.Unlock()
	}
}

// keepTail reads the end of a log, unless it is gone by now: an engine removes it with its container.
func (c *containerLog) keepTail() {
	t, err := output.ReadTail(c.path, keepOutput)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tail != nil && (c.over || len(t.Stream[0])+len(t.Stream[1]) == 0) {
		return
	}
	c.tail = &evidence.LastOutput{Stdout: t.Stream[0], Stderr: t.Stream[1], Truncated: !t.Whole[0] || !t.Whole[1]}
}

// coverage says from when on a subject's output was read, and what was missed.
func (l *logs) coverage(subject uint32, to time.Time) evidence.Coverage {
	v := evidence.Coverage{Source: "output"}
	c := l.get(subject)
	if c == nil {
		v.Missing = "its log was never followed"
		return v
	}
	l.mu.Lock()
	v.From, v.Missing, v.Partial = c.from.UTC(), c.lack, l.lacks[c.path]
	l.mu.Unlock()
	if v.Missing != "" {
		v.From, v.Partial = time.Time{}, ""
		return v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v.By, v.To, v.Lost = "its log", to, c.lost
	if c.late != "" && v.Partial == "" {
		v.Partial = c.late
	}
	return v
}

// counters adds what was counted of a subject's output.
func (l *logs) counters(subject uint32, n map[string]int64) {
	c := l.get(subject)
	if c == nil || c.path == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n[evidence.CountGarbled] += c.garbled
	n[evidence.CountOutput] += c.at[0] + c.at[1] - c.base[0] - c.base[1]
	n[evidence.CountLines], n[evidence.CountTorn] = c.lines, c.tears
}

// turned says whether a subject's text turned to garbage: what is none from its first line on was meant so.
func (l *logs) turned(subject uint32) bool {
	c := l.get(subject)
	if c == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.turned
}
