package run

import (
	"encoding/binary"
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// plan is what the launcher is told, over its control socket: not as arguments and environment,
// whose size is limited and which would reach its Go runtime (GODEBUG).
type plan struct {
	args      []string
	env       []string
	path      string // PATH to look the command up in
	ignored   uint64
	blocked   uint64
	inherited []int   // descriptors from 3 on that the command gets
	closed    [3]bool // standard descriptors that the command does not get
	rlimits   [16]unix.Rlimit
	limitSet  [16]bool
}

func (p *plan) encode() []byte {
	b := make([]byte, 8, 4096)
	num := func(n uint64) { b = binary.LittleEndian.AppendUint64(b, n) }
	str := func(s string) { num(uint64(len(s))); b = append(b, s...) }
	list := func(l []string) {
		num(uint64(len(l)))
		for _, s := range l {
			str(s)
		}
	}
	list(p.args)
	list(p.env)
	str(p.path)
	num(p.ignored)
	num(p.blocked)
	num(uint64(len(p.inherited)))
	for _, fd := range p.inherited {
		num(uint64(fd))
	}
	for _, c := range p.closed {
		num(boolNum(c))
	}
	for i, l := range p.rlimits {
		num(boolNum(p.limitSet[i]))
		num(l.Cur)
		num(l.Max)
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	return b
}

func boolNum(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

var errPlan = errors.New("the watcher's plan is cut short")

// decodePlan reads what encode made, without the length in front.
func decodePlan(b []byte) (p plan, err error) {
	num := func() uint64 {
		if len(b) < 8 {
			err = errPlan
			return 0
		}
		n := binary.LittleEndian.Uint64(b)
		b = b[8:]
		return n
	}
	str := func() string {
		n := num()
		if n > uint64(len(b)) {
			err = errPlan
			return ""
		}
		s := string(b[:n])
		b = b[n:]
		return s
	}
	list := func() []string {
		n := num()
		if n > uint64(len(b)/8) {
			err = errPlan
			return nil
		}
		l := make([]string, n)
		for i := range l {
			l[i] = str()
		}
		return l
	}
	p.args = list()
	p.env = list()
	p.path = str()
	p.ignored = num()
	p.blocked = num()
	for n := num(); n > 0 && err == nil; n-- {
		p.inherited = append(p.inherited, int(num()))
	}
	for i := range p.closed {
		p.closed[i] = num() != 0
	}
	for i := range p.rlimits {
		p.limitSet[i] = num() != 0
		p.rlimits[i] = unix.Rlimit{Cur: num(), Max: num()}
	}
	return p, err
}

// What the launcher says over its control socket, in this order. When the socket ends after
// saidExec without saidFailed, the command runs.
const (
	saidReady  = 'R'
	saidExec   = 'E' // usage follows
	saidFailed = 'F' // failure follows
)

// goAhead is what the watcher says after the plan.
const goAhead = 'G'

// usage is what the launcher itself has used before it became the command.
type usage struct {
	user, system int64 // microseconds
	maxRSS       int64 // KiB
}

const usageSize = 24

func (u usage) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(u.user))
	b = binary.LittleEndian.AppendUint64(b, uint64(u.system))
	return binary.LittleEndian.AppendUint64(b, uint64(u.maxRSS))
}

func decodeUsage(b []byte) usage {
	n := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[8*i:])) }
	return usage{n(0), n(1), n(2)}
}

// failure says why the command could not be executed: an errno and the file, which is the name as
// it was given where none was found.
type failure struct {
	errno syscall.Errno
	path  string
}

const failureHead = 8

func (f failure) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(f.errno))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.path)))
	return append(b, f.path...)
}

// readFailure reads what append made from a blocking descriptor.
func readFailure(fd int) (failure, error) {
	var head [failureHead]byte
	if n, err := readFull(fd, head[:]); err != nil || n < len(head) {
		return failure{}, errPlan
	}
	path := make([]byte, binary.LittleEndian.Uint32(head[4:]))
	if n, err := readFull(fd, path); err != nil || n < len(path) {
		return failure{}, errPlan
	}
	return failure{syscall.Errno(binary.LittleEndian.Uint32(head[:])), string(path)}, nil
}
