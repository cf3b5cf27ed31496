package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/evidence"
	"golang.org/x/sys/unix"
)

const (
	coreBytes   = 2 << 30
	coreWait    = 5 * time.Minute
	corePattern = "/proc/sys/kernel/core_pattern"
)

// keeping is one way of receiving a core from the kernel's pipe.
type keeping struct {
	name    string
	command []string // it reads the core from stdin; empty: descry
	depth   coredump.Depth
	wall    []float64 // seconds until all of it was read and written
	cpu     []float64 // seconds of processor time
	waited  []float64 // milliseconds that the dying process was kept
	size    int64     // bytes on the disk
	core    int64     // bytes of the core that is kept
	rss     int64     // KiB, the highest
}

// cores has a process of 2 GiB of real data die again and again, and receives its core in each way.
func cores(l *lab) error {
	dir, err := os.MkdirTemp("/dev/shm", "descry-bench-") // memory: the disk is another's
	if err != nil {
		dir = l.dir
	}
	defer os.RemoveAll(dir)
	ways := []*keeping{
		{name: "plain copy", command: []string{"cat"}},
		{name: "gzip -1", command: []string{"gzip", "-1", "-c"}},
		{name: "zstd -1", command: []string{"zstd", "-q", "-1", "-T1", "-c"}},
		{name: "zstd -1 -T2", command: []string{"zstd", "-q", "-1", "-T2", "-c"}},
		{name: "descry, full", depth: coredump.Full},
		{name: "descry, stacks", depth: coredump.Stacks},
	}
	said := ""
	for run := range min(l.runs, 5) {
		for _, w := range ways {
			if w.name == "gzip -1" && run > 0 {
				continue // half a minute each
			}
			if said, err = w.receive(l, dir); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	fmt.Printf("The process: %s.\n\n", said)
	fmt.Println("| way | seconds (median, min–max) | MiB/s | processor seconds | file, MiB | of the core | highest memory, MiB | process kept waiting, ms |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, w := range ways {
		m := median(w.wall)
		waited := "the whole time"
		if len(w.waited) > 0 {
			waited = fmt.Sprintf("%.1f (worst %.1f)", median(w.waited), w.waited[len(w.waited)-1])
		}
		fmt.Printf("| %s | %.2f (%.2f–%.2f) | %.0f | %.2f | %.2f | %.2f%% | %.1f | %s |\n", w.name, m, w.wall[0], w.wall[len(w.wall)-1],
			coreBytes/m/(1<<20), median(w.cpu), float64(w.size)/(1<<20), 100*float64(w.size)/coreBytes, float64(w.rss)/1024, waited)
	}
	best, whole := ways[3], ways[4]
	fmt.Printf("\nThroughput of descry's whole cores against `zstd -1 -T2`: %.0f%% by the medians, %.0f%% by the best runs.\n",
		100*median(best.wall)/median(whole.wall), 100*best.wall[0]/whole.wall[0])
	return nil
}

// receive has a process die and its core kept in this way.
func (w *keeping) receive(l *lab, dir string) (said string, err error) {
	out, err := os.MkdirTemp(dir, "")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(out)
	d, said, err := l.dying(out)
	if err != nil {
		return said, err
	}
	defer d.end()
	var cmd *exec.Cmd
	var told bytes.Buffer
	if w.depth != "" {
		cmd = exec.Command(l.self, "play-keep", filepath.Join(out, "cores"), string(w.depth), strconv.Itoa(d.pid))
		cmd.Stdout = &told
	} else {
		cmd = exec.Command(w.command[0], w.command[1:]...)
		f, err := os.Create(filepath.Join(out, "core"))
		if err != nil {
			return said, err
		}
		defer f.Close()
		cmd.Stdout = f
	}
	cmd.Stdin, cmd.Stderr = d.core, os.Stderr
	from := time.Now()
	if err := cmd.Start(); err != nil {
		return said, err
	}
	d.core.Close()
	if err := cmd.Wait(); err != nil {
		return said, err
	}
	w.wall = append(w.wall, time.Since(from).Seconds())
	w.cpu = append(w.cpu, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
	w.rss = max(w.rss, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
	if w.depth == "" {
		st, err := os.Stat(filepath.Join(out, "core"))
		if err != nil {
			return said, err
		}
		w.size = st.Size()
		return said, nil
	}
	var e struct {
		Kept             coredump.Depth
		Why              string
		Bytes, CoreBytes int64
		WaitedMS         float64
	}
	if err := json.Unmarshal(told.Bytes(), &e); err != nil {
		return said, fmt.Errorf("%q: %w", told.String(), err)
	}
	if e.Kept != w.depth {
		return said, fmt.Errorf("kept %s: %s", e.Kept, e.Why)
	}
	w.size, w.core, w.waited = e.Bytes, e.CoreBytes, append(w.waited, e.WaitedMS)
	return said, nil
}

// dump is a process that waits for its dump.
type dump struct {
	pid  int
	core *os.File
	end  func()
}

// dying starts a process, has it die, and catches its core. core_pattern is as before when it returns.
func (l *lab) dying(dir string) (d *dump, said string, err error) {
	cmd := exec.Command(l.self, "play-core", strconv.Itoa(coreBytes))
	cmd.Env = append(os.Environ(), "GOTRACEBACK=crash")
	cmd.Dir = dir
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	outPipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	end := func() { cmd.Process.Kill(); cmd.Wait() } //nolint:errcheck // it dies of a signal
	defer func() {
		if err != nil {
			end()
		}
	}()
	if said, err = bufio.NewReader(outPipe).ReadString('\n'); err != nil {
		return nil, "", fmt.Errorf("the process to dump: %w", err)
	}
	said = strings.TrimSpace(said)
	short := filepath.Join(dir, "h") // the pattern has room for 127 bytes
	if err := os.Symlink(l.self, short); err != nil {
		return nil, said, err
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return nil, said, err
	}
	defer listener.Close()
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "descry-core-pattern.lock"), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, said, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, said, err
	}
	old, err := os.ReadFile(corePattern)
	if err != nil {
		return nil, said, err
	}
	defer func() {
		err = errors.Join(err, os.WriteFile(corePattern, old, 0))
	}()
	if err := os.WriteFile(corePattern, []byte("|"+short+" play-hand "+filepath.Join(dir, "s")+" %P"), 0); err != nil {
		return nil, said, err
	}
	in.Close()                                                            // now it dies
	listener.(*net.UnixListener).SetDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // a socket has deadlines
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil, said, fmt.Errorf("the kernel hands over no core: %w", err)
		}
		pid, core, err := handed(conn.(*net.UnixConn))
		conn.Close()
		if err != nil {
			return nil, said, err
		}
		if pid == cmd.Process.Pid {
			return &dump{pid, core, end}, said, nil
		}
		core.Close() // of others
	}
}

func handed(conn *net.UnixConn) (pid int, core *os.File, err error) {
	b, oob := make([]byte, 64), make([]byte, 64)
	n, on, _, _, err := conn.ReadMsgUnix(b, oob)
	if err != nil {
		return 0, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:on])
	if err != nil || len(messages) != 1 {
		return 0, nil, fmt.Errorf("no descriptor came with %q: %v", b[:n], err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, nil, err
	}
	pid, err = strconv.Atoi(string(b[:n]))
	return pid, os.NewFile(uintptr(fds[0]), "core"), err
}

// playHand is what the kernel starts: it gives its stdin to the measurement.
func playHand(socket, pid string) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	conn.(*net.UnixConn).WriteMsgUnix([]byte(pid), unix.UnixRights(0), nil) //nolint:errcheck // the measurement notices
	conn.Close()
}

// playKeep is descry's part: it keeps what comes from stdin.
func playKeep(dir, depth, pid string) error {
	s, err := coredump.NewStore(dir, coredump.Bounds{DiskShare: -1}, coredump.Policy{Keep: coredump.Depth(depth), Wait: coreWait})
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(pid)
	if err != nil {
		return err
	}
	unix.SetNonblock(0, true) //nolint:errcheck // only for closing early
	e, err := s.Take(context.Background(), &coredump.Dump{
		PID: int32(n), Proc: "/proc/" + pid, Signal: evidence.SIGABRT, Core: os.NewFile(0, "core"), At: time.Now(),
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"Kept": e.Kept, "Why": e.Why, "Bytes": e.Bytes, "CoreBytes": e.CoreBytes, "WaitedMS": e.WaitedMS})
}

// playCore fills its memory with the files of /usr, says so, and dies when its stdin ends.
func playCore(size int) error {
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	n := 0
	// Large files first come by name: libraries and programs, then text and pictures.
	err = filepath.WalkDir("/usr", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || n == size {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return nil
		}
		defer f.Close()
		// Not more than 4 MiB of one: the mixture counts.
		k, _ := io.ReadFull(f, m[n:min(size, n+4<<20)])
		n += k
		return nil
	})
	if err != nil {
		return err
	}
	zero, pages := 0, 0
	var page [4096]byte
	for i := 0; i < size; i += len(page) {
		pages++
		if bytes.Equal(m[i:i+len(page)], page[:]) {
			zero++
		}
	}
	fmt.Printf("%d MiB of files of /usr (4 MiB of each at most), %.1f%% of its pages zero\n", n>>20, 100*float64(zero)/float64(pages))
	io.Copy(io.Discard, os.Stdin) //nolint:errcheck // it ends
	*(*int)(nil) = n
	return nil
}
