package coredump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// former does with a core what the machine did before ours: a program, a socket, or a file that the
// process itself could have written.
type former struct {
	Pattern string `json:"pattern"`
	Limit   string `json:"limit"`   // core_pipe_limit
	Request bool   `json:"request"` // the kernel still waits for an answer
	dying   `json:",inline"`
}

// formerPIDFD is the descriptor of the process's pidfd in what is started for a core, as the kernel
// has it for %F.
const formerPIDFD = 3

// minCore is the least RLIMIT_CORE with which the kernel writes a file, bytes.
const minCore = 4096

// wants says whether the former way takes this core at all.
func (f *former) wants() bool {
	if way, _ := wayOf(f.Pattern, runningKernel()); way != wayFile {
		return true
	}
	limit, err := f.limit(coreLimit)
	return f.Pattern != "" && f.Dumpable == 1 && err == nil && limit >= minCore
}

// passOn is the life of the process that the supervisor starts for a core that is nobody's: the
// stream is its standard input.
func (f *former) passOn() error {
	os.WriteFile("/proc/self/comm", []byte("descry-core-out"), 0)
	s, err := newStream(os.Stdin)
	if err != nil {
		return err
	}
	defer s.Close()
	way, rest := wayOf(f.Pattern, runningKernel())
	if f.Request && way != WayRequest {
		if err := ackRequest(s, coreByKernel|coreWait); err != nil {
			return err
		}
		f.Request = false
	}
	switch way {
	case WayPipe:
		return f.pipe(rest, s)
	case WaySocket, WayRequest:
		return f.socket(rest, way, s)
	}
	return f.file(s)
}

// pipe starts the former handler as the kernel would: no environment, root directory, a pipe as its
// standard input.
func (f *former) pipe(pattern string, s *stream) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	argv, err := f.command(pattern)
	if err != nil {
		return err
	}
	cmd := exec.Command(argv[0])
	cmd.Args, cmd.Env, cmd.Dir, cmd.Stdin = argv, []string{}, "/", r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if hasSpecifier(pattern, 'F') {
		cmd.ExtraFiles = []*os.File{os.NewFile(formerPIDFD, "pidfd")}
	}
	// So that its own crash is not handed to it.
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})
	err = cmd.Start()
	r.Close()
	if err != nil {
		return fmt.Errorf("start the former handler: %w", err)
	}
	io.Copy(w, s) // it may have read enough
	w.Close()
	if f.Limit == "0" {
		s.Close() // the kernel would not have waited
	}
	return cmd.Wait()
}

func (f *former) command(pattern string) ([]string, error) {
	id, err := f.identity()
	if err != nil {
		return nil, err
	}
	argv := helperArguments(pattern, f.specifiers(&id))
	if len(argv) == 0 || !strings.HasPrefix(argv[0], "/") {
		return nil, errors.New("the former core_pattern names no handler")
	}
	return argv, nil
}

// socket sends the core to the former server. That sees this process at the other end, and not the
// one that dies: the kernel alone can connect in another's name.
func (f *former) socket(path string, way Way, s *stream) error {
	c, err := net.DialTimeout("unix", path, answerTime)
	if err != nil {
		return fmt.Errorf("connect to the former server of cores: %w", err)
	}
	server := &stream{c.(*net.UnixConn)}
	defer server.Close()
	switch {
	case way == WayRequest && f.Request: // the kernel's question was read already
		if err := askRequest(server); err != nil {
			return err
		}
		go func() { // its answer goes to the kernel, and its end too
			io.Copy(s, server)
			s.Close()
		}()
	case way == WayRequest:
		mask, err := request(server)
		if err != nil || mask&coreByKernel == 0 {
			return err
		}
		fallthrough
	default:
		go func() {
			io.Copy(io.Discard, server)
			s.Close()
		}()
	}
	_, err = io.Copy(server, s)
	server.CloseWrite()
	if way == WayRequest || f.Limit != "0" {
		server.control(func(fd int) { // until it has closed
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
			for range 600 {
				if n, err := unix.Poll(p, 1000); n > 0 || err != nil && err != unix.EINTR {
					return
				}
			}
		})
	}
	return err
}

// askRequest says to a server what the kernel says.
func askRequest(s *stream) error {
	b := binary.NativeEndian.AppendUint32(nil, requestSize)
	b = binary.NativeEndian.AppendUint32(b, ackSize)
	b = binary.NativeEndian.AppendUint64(b, coreByKernel|coreByServer|coreReject|coreWait)
	_, err := s.Write(b)
	return err
}

// request asks a server in the kernel's place, for a core that comes already.
func request(s *stream) (mask uint64, err error) {
	if err := askRequest(s); err != nil {
		return 0, err
	}
	s.SetDeadline(time.Now().Add(answerTime))
	defer s.SetDeadline(time.Time{})
	var b [ackSize]byte
	if _, err := io.ReadFull(s, b[:]); err != nil {
		return 0, err
	}
	if size := binary.NativeEndian.Uint32(b[:]); size != ackSize {
		return 0, errRequest
	}
	_, err = s.Write(binary.NativeEndian.AppendUint32(nil, markOK))
	return binary.NativeEndian.Uint64(b[8:]), err
}
