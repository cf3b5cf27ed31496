package coredump

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"
)

// message is what supervisor, recorders and the pipe's handler say to each other: one packet of JSON,
// descriptors beside it.
type message struct {
	Say string `json:"say"`
	ID  uint64 `json:"id,omitzero"` // of a dump

	// hello
	PID    int   `json:"pid,omitzero"`    // also of the dying process
	Linger int64 `json:"linger,omitzero"` // nanoseconds
	Bound  int64 `json:"bound,omitzero"`

	// welcome
	Way    Way    `json:"way,omitzero"`
	Former string `json:"former,omitzero"`

	// offer, and what the pipe's handler says
	TID      int   `json:"tid,omitzero"`
	Signal   int   `json:"signal,omitzero"`
	At       int64 `json:"at,omitzero"` // nanoseconds of the wall clock
	Dumpable int   `json:"dumpable,omitzero"`

	Mine  bool   `json:"mine,omitzero"`  // answer
	Words string `json:"words,omitzero"` // bye
}

// What can be said.
const (
	sayHello     = "hello"     // recorder: I want cores
	sayWelcome   = "welcome"   // supervisor
	sayOffer     = "offer"     // supervisor, with the pidfd where there is one: is it yours?
	sayAnswer    = "answer"    // recorder
	sayTake      = "take"      // supervisor, with the stream
	sayDone      = "done"      // recorder: that dump is over
	sayLeave     = "leave"     // recorder: I want no more
	sayUninstall = "uninstall" // put back what was there before
	sayBye       = "bye"       // supervisor: it ends, and Words are what there is to say of it
	sayDump      = "dump"      // handler, with the pidfd where there is one
	saySend      = "send"      // supervisor: send the core here
	sayFormer    = "former"    // supervisor: not ours, do as before
)

const maxPacket = 4096

// link is one end of a connection of packets. One goroutine may read while others write.
type link struct{ *net.UnixConn }

func dialLink(path string, timeout time.Duration) (link, error) {
	c, err := (&net.Dialer{Timeout: timeout}).Dial("unixpacket", path)
	if err != nil {
		return link{}, err
	}
	return link{c.(*net.UnixConn)}, nil
}

// say sends m within a second: who does not read does not hold up others.
func (l link) say(m message, files ...int) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(b) > maxPacket {
		return fmt.Errorf("a message of %d bytes is too long", len(b))
	}
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	l.SetWriteDeadline(time.Now().Add(time.Second))
	defer l.SetWriteDeadline(time.Time{}) // a core may follow
	_, _, err = l.WriteMsgUnix(b, rights, nil)
	return err
}

// hear waits for a message. A descriptor that came with it is the caller's.
func (l link) hear() (m message, file *os.File, err error) {
	b := make([]byte, maxPacket)
	oob := make([]byte, unix.CmsgSpace(4*4))
	n, oobn, flags, _, err := l.ReadMsgUnix(b, oob)
	if err == nil && n == 0 {
		err = net.ErrClosed
	}
	if err != nil {
		return m, nil, err
	}
	files := received(oob[:oobn])
	switch {
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		err = errors.New("the message is too long")
	case len(files) > 1:
		err = errors.New("the message has too many descriptors")
	default:
		err = json.Unmarshal(b[:n], &m)
	}
	if err != nil {
		for _, fd := range files {
			unix.Close(fd)
		}
		return m, nil, fmt.Errorf("read what the other side said: %w", err)
	}
	if len(files) == 1 {
		file = os.NewFile(uintptr(files[0]), m.Say)
	}
	return m, file, nil
}

func received(oob []byte) []int {
	var all []int
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range msgs {
		if fds, err := unix.ParseUnixRights(&msgs[i]); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}

// peerIsRoot says whether root is at the other end.
func peerIsRoot(c *net.UnixConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	root := false
	raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		root = err == nil && cred.Uid == 0
	})
	return root
}

// stream is a connection through which a core comes. Closing it frees the process that waits at its
// other end, whoever else holds the descriptor.
type stream struct{ *net.UnixConn }

func newStream(f *os.File) (*stream, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("it is no UNIX socket")
	}
	return &stream{u}, nil
}

func (s *stream) Close() error {
	s.shut()
	return s.UnixConn.Close()
}

// shut ends the dump for all who hold the stream.
func (s *stream) shut() {
	s.control(func(fd int) { unix.Shutdown(fd, unix.SHUT_RDWR) })
}

// control runs f with the descriptor.
func (s *stream) control(f func(fd int)) {
	if raw, err := s.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { f(int(fd)) })
	}
}
