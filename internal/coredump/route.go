package coredump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// offered is a dump on its way to whose it is.
type offered struct {
	dying
	id      uint64
	pidfd   *os.File // nil: the kernel has none
	stream  *stream
	way     Way
	started bool // the core comes through the stream
}

func (o *offered) close() {
	if o.pidfd != nil {
		o.pidfd.Close()
	}
	if o.stream != nil {
		o.stream.Close()
	}
}

func (s *supervisor) acceptKernel() {
	for id := uint64(1); ; id += 2 {
		c, err := s.kernel.AcceptUnix()
		if err != nil {
			if pausing(err) {
				continue
			}
			return
		}
		s.begun(func() { s.fromKernel(id, c) }, func() { c.Close() })
	}
}

func (s *supervisor) acceptHandlers() {
	for id := uint64(2); ; id += 2 {
		c, err := s.handler.AcceptUnix()
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
		s.begun(func() { s.fromHandler(id, c) }, func() { c.Close() })
	}
}

// begun runs take unless too much is going on already.
func (s *supervisor) begun(take, refuse func()) {
	select {
	case s.dumps <- struct{}{}:
	default:
		refuse()
		s.mu.Lock()
		s.refused++
		s.mu.Unlock()
		return
	}
	s.pending.Go(func() {
		defer func() { <-s.dumps }()
		take()
	})
}

// fromKernel finds out who is at the other end of the kernel's socket.
func (s *supervisor) fromKernel(id uint64, c *net.UnixConn) {
	o := &offered{id: id, way: s.way, stream: &stream{c}}
	defer o.close()
	o.At = time.Now()
	var err error
	o.stream.control(func(fd int) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			return
		}
		o.PID = int(cred.Pid)
		var pidfd int
		if pidfd, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
			unix.CloseOnExec(pidfd)
			o.pidfd = os.NewFile(uintptr(pidfd), "pidfd")
		}
	})
	if err != nil || o.PID <= 0 {
		return
	}
	mask, err := coreInfo(int(o.pidfd.Fd()))
	if err != nil || mask&unix.PIDFD_COREDUMPED == 0 {
		return // it connects without dying
	}
	o.Dumpable = dumpableOf(mask)
	o.complete()
	if o.way == WayRequest && o.readRequest() != nil {
		return
	}
	s.route(o)
}

func dumpableOf(mask uint32) int {
	switch {
	case mask&unix.PIDFD_COREDUMP_USER != 0:
		return 1
	case mask&unix.PIDFD_COREDUMP_ROOT != 0:
		return 2
	}
	return 0
}

// fromHandler hears from the pipe's handler who dies.
func (s *supervisor) fromHandler(id uint64, c *net.UnixConn) {
	st := &stream{c}
	o := &offered{id: id, way: WayPipe, stream: st}
	defer o.close()
	c.SetReadDeadline(time.Now().Add(answerTime))
	m, pidfd, err := (link{c}).hear()
	o.pidfd = pidfd
	if err != nil || m.Say != sayDump || m.PID <= 0 {
		return
	}
	c.SetReadDeadline(time.Time{})
	o.dying = dying{PID: m.PID, TID: m.TID, Signal: m.Signal, At: time.Unix(0, m.At), Dumpable: m.Dumpable}
	o.complete()
	s.route(o)
}

// route gives a dump to the recorder whose process it is, or to the former handler.
func (s *supervisor) route(o *offered) {
	asked := map[*recorder]bool{}
	for end := time.Now().Add(holdTime); ; {
		s.mu.Lock()
		list, came, ending := s.recorders, s.came, s.ending
		wait := min(time.Until(s.last), time.Until(end))
		s.mu.Unlock()
		for _, r := range list {
			if asked[r] {
				continue
			}
			asked[r] = true
			if r.pid != o.PID && r.offer(o) && r.take(o) {
				return
			}
		}
		if ending || wait <= 0 {
			break
		}
		select {
		case <-came:
		case <-time.After(wait):
		}
	}
	s.former(o)
}

// The protocol of WayRequest: include/uapi/linux/coredump.h.
const (
	coreByKernel = 1 << 0 // the kernel writes the core
	coreByServer = 1 << 1 // the server reads the memory itself
	coreReject   = 1 << 2 // no core
	coreWait     = 1 << 3 // the process waits until the socket is closed

	requestSize = 16
	ackSize     = 16
	markOK      = 0
)

var errRequest = errors.New("the kernel's request of a core dump is not understood")

// readRequest takes the kernel's question.
func (o *offered) readRequest() error {
	o.stream.SetReadDeadline(time.Now().Add(answerTime))
	defer o.stream.SetReadDeadline(time.Time{})
	var b [requestSize]byte
	if _, err := io.ReadFull(o.stream, b[:]); err != nil {
		return err
	}
	size, ack, mask := binary.NativeEndian.Uint32(b[:]), binary.NativeEndian.Uint32(b[4:]), binary.NativeEndian.Uint64(b[8:])
	const want = coreByKernel | coreReject | coreWait
	if size < requestSize || size > 4096 || ack < ackSize || mask&want != want {
		return errRequest
	}
	_, err := io.CopyN(io.Discard, o.stream, int64(size)-requestSize) // of a newer kernel
	return err
}

// answer tells the kernel what to do.
func (o *offered) answer(mask uint64) error { return ackRequest(o.stream, mask) }

func ackRequest(s *stream, mask uint64) error {
	s.SetDeadline(time.Now().Add(answerTime))
	defer s.SetDeadline(time.Time{})
	b := binary.NativeEndian.AppendUint32(nil, ackSize)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint64(b, mask)
	if _, err := s.Write(b); err != nil {
		return err
	}
	var mark [4]byte
	if _, err := io.ReadFull(s, mark[:]); err != nil {
		return err
	}
	if m := binary.NativeEndian.Uint32(mark[:]); m != markOK {
		return fmt.Errorf("the kernel refuses the answer to its request of a core dump: %d", m)
	}
	return nil
}

// start lets the core come through the stream.
func (o *offered) start() error {
	if o.started {
		return nil
	}
	o.started = true
	switch o.way {
	case WayRequest:
		return o.answer(coreByKernel | coreWait)
	case WayPipe:
		return (link{o.stream.UnixConn}).say(message{Say: saySend})
	}
	return nil
}

// former lets be done with the dump what was done before we came.
func (s *supervisor) former(o *offered) {
	if o.way == WayPipe && !o.started { // the handler does it, which still has the kernel's own pipe
		(link{o.stream.UnixConn}).say(message{Say: sayFormer})
		return
	}
	f := former{Pattern: s.started.Former, Limit: s.started.FormerLimit, dying: o.dying}
	if !f.wants() {
		if o.way == WayRequest && !o.started {
			o.answer(coreReject)
		}
		return
	}
	f.Request = o.way == WayRequest && !o.started
	b, err := json.Marshal(&f)
	if err != nil {
		return
	}
	var in *os.File
	if in, err = o.stream.File(); err != nil {
		return
	}
	defer in.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{reexecName, roleFormer, string(b)}
	cmd.Env, cmd.Dir, cmd.Stdin = []string{}, "/", in
	if o.pidfd != nil {
		cmd.ExtraFiles = []*os.File{o.pidfd} // formerPIDFD
	}
	if err := cmd.Start(); err != nil {
		s.mu.Lock()
		s.words = append(s.words, "the core of process "+strconv.Itoa(o.PID)+" could not be passed on: "+err.Error())
		s.mu.Unlock()
		return
	}
	in.Close()
	o.stream.UnixConn.Close() // and not ended: the helper has it
	cmd.Wait()
}
