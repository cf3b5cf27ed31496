package sample

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"golang.org/x/sys/unix"
)

// The test binary is also the process that is sampled.
func TestMain(m *testing.M) {
	if mode := os.Getenv("DESCRY_SAMPLE_CHILD"); mode != "" {
		child(mode)
		return
	}
	os.Exit(m.Run())
}

var ballast []byte

func child(mode string) {
	dir := os.Getenv("DESCRY_SAMPLE_DIR")
	must := func(err error) {
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	var keep []any
	switch mode {
	case "hold":
		must(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3000, Max: 4000}))
		for i := range 40 {
			f, err := os.Create(filepath.Join(dir, fmt.Sprint("f", i%20)))
			must(err)
			keep = append(keep, f)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		keep = append(keep, l)
		for range 10 {
			a, err := net.Dial("tcp", l.Addr().String())
			must(err)
			b, err := l.Accept()
			must(err)
			must(a.(*net.TCPConn).CloseWrite()) // the other side is then in CLOSE_WAIT
			keep = append(keep, a, b)
		}
		u, err := net.Listen("unix", filepath.Join(dir, "s o c k"))
		must(err)
		d, err := net.Dial("udp", "127.0.0.1:53")
		must(err)
		tty, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
		must(err)
		fd, err := unix.MemfdCreate("cache", 0)
		must(err)
		must(unix.Dup2(fd, 900))
		for range 3 {
			s, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			must(err)
			keep = append(keep, s)
		}
		nl, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)
		must(err)
		ev, err := unix.Eventfd(0, 0)
		must(err)
		in, err := unix.InotifyInit1(0)
		must(err)
		keep = append(keep, u, d, tty, nl, ev, in)
		ballast = make([]byte, 64<<20)
		for i := 0; i < len(ballast); i += 4096 {
			ballast[i] = 1
		}
		var ru unix.Rusage
		must(unix.Getrusage(unix.RUSAGE_SELF, &ru))
		open, err := os.ReadDir("/proc/self/fd")
		must(err)
		fmt.Println(l.Addr(), len(open)-1, ru.Maxrss)
	case "block":
		fmt.Println("ready")
		b := make([]byte, 4096)
		for {
			if _, err := syscall.Write(2, b); err != nil {
				return
			}
		}
	case "family":
		// A child, and a grandchild whose parent ends at a word.
		c := exec.Command("/proc/self/exe")
		c.Env = append(os.Environ(), "DESCRY_SAMPLE_CHILD=parent")
		in, err := c.StdinPipe()
		must(err)
		out, err := c.StdoutPipe()
		must(err)
		must(c.Start())
		grand, err := bufio.NewReader(out).ReadString('\n')
		must(err)
		fmt.Println(c.Process.Pid, grand)
		line := bufio.NewReader(os.Stdin)
		_, err = line.ReadString('\n')
		must(err)
		in.Close()
		must(c.Wait())
		fmt.Println("parent ended")
		_, _ = line.ReadString('\n')
		pid, _ := strconv.Atoi(strings.TrimSpace(grand))
		must(syscall.Kill(pid, syscall.SIGKILL))
		return
	case "parent":
		c := exec.Command("/proc/self/exe")
		c.Env = append(os.Environ(), "DESCRY_SAMPLE_CHILD=wait")
		in, err := c.StdinPipe()
		must(err)
		must(c.Start())
		fmt.Println(c.Process.Pid)
		_, _ = io.ReadAll(os.Stdin)
		runtime.KeepAlive(in)
		return
	case "wait": // select{} alone is a deadlock to Go, which would end it
		for {
			time.Sleep(time.Hour)
		}
	}
	_, _ = io.ReadAll(os.Stdin)
	fmt.Fprint(io.Discard, keep)
}

// start runs a child and gives its first line. It ends with the test.
func start(t *testing.T, mode string, more ...func(*exec.Cmd)) (cmd *exec.Cmd, stdin io.WriteCloser, lines *bufio.Reader) {
	t.Helper()
	cmd = exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "DESCRY_SAMPLE_CHILD="+mode, "DESCRY_SAMPLE_DIR="+t.TempDir())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range more {
		m(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, stdin, bufio.NewReader(out)
}

func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil || strings.HasPrefix(s, "error:") {
		t.Fatalf("child: %q, %v", s, err)
	}
	return strings.TrimSpace(s)
}

func TestKnownDescriptors(t *testing.T) {
	cmd, _, out := start(t, "hold")
	var addr string
	var open, maxKB int64
	if _, err := fmt.Sscan(line(t, out), &addr, &open, &maxKB); err != nil {
		t.Fatal(err)
	}
	var s Sampler
	pid := cmd.Process.Pid
	p, err := s.Process(pid)
	if err != nil {
		t.Fatal(err)
	}
	if p.Open != open || p.Highest != 900 || p.SoftLimit != 3000 || p.HardLimit != 4000 {
		t.Errorf("open %d (want %d), highest %d (900), limits %d and %d (3000, 4000)", p.Open, open, p.Highest, p.SoftLimit, p.HardLimit)
	}
	// The unit of memory, against what the process was told by the kernel in another way.
	if ratio := float64(p.RSSBytes) / float64(maxKB<<10); ratio < 0.9 || ratio > 1.1 {
		t.Errorf("resident %d bytes, by getrusage %d", p.RSSBytes, maxKB<<10)
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil || p.Threads < 1 || p.Threads > int64(len(tasks))+5 {
		t.Errorf("%d threads, %d tasks", p.Threads, len(tasks))
	}
	if len(p.Stdio) != 3 || p.Stdio[0].FDKind != evidence.FDPipe || !strings.HasPrefix(p.Stdio[1].Path, "pipe:[") || p.Stdio[2].FDKind != evidence.FDDevice {
		t.Errorf("stdio %+v", p.Stdio)
	}

	table, err := s.Table(pid)
	if err != nil {
		t.Fatal(err)
	}
	if table.Open != open || table.Highest != 900 {
		t.Errorf("table: open %d (want %d), highest %d", table.Open, open, table.Highest)
	}
	found := map[string]int64{}
	for _, g := range table.Groups {
		found[g.What()] += g.Count
	}
	dir := ""
	for _, e := range cmd.Env {
		if v, ok := strings.CutPrefix(e, "DESCRY_SAMPLE_DIR="); ok {
			dir = v
		}
	}
	for what, n := range map[string]int64{
		"tcp CLOSE_WAIT 127.0.0.1:* " + addr: 10,
		"tcp FIN_WAIT2 " + addr:              10,
		"tcp LISTEN " + addr:                 1,
		"tcp CLOSE":                          3,
		"unix LISTEN " + dir + "/s o c k":    1,
		"udp 127.0.0.1:53":                   1,
		"file " + dir + "/*":                 40,
		"memfd memfd:cache (deleted)":        2,
		"netlink":                            1,
		"inotify":                            1,
	} {
		if found[what] != n {
			t.Errorf("%q: %d, want %d; found %v", what, found[what], n, found)
		}
	}
	var sum int64
	for _, g := range table.Groups {
		sum += g.Count
	}
	if sum != open {
		t.Errorf("groups sum to %d of %d", sum, open)
	}
}

func TestBlockedWriter(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd, _, out := start(t, "block", func(c *exec.Cmd) { c.Stderr = w })
	w.Close()
	line(t, out)
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", cmd.Process.Pid)); err != nil {
		t.Skipf("needs CONFIG_HAVE_ARCH_TRACEHOOK and the right to trace: %v", err)
	}
	var s Sampler
	var first evidence.BlockedWrite
	for deadline := time.Now().Add(20 * time.Second); first.TID == 0; {
		p, err := s.Process(cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Blocked) > 0 && p.Blocked[0].Nanos > 0 {
			first = p.Blocked[0]
		}
		if time.Now().After(deadline) {
			t.Fatal("the writer that waits was not seen")
		}
	}
	if first.FD != 2 {
		t.Errorf("%+v", first)
	}
	p, err := s.Process(cmd.Process.Pid)
	if err != nil || len(p.Blocked) != 1 || p.Blocked[0].Nanos <= first.Nanos {
		t.Errorf("later: %+v, %v; before: %+v", p.Blocked, err, first)
	}
}

func TestFamily(t *testing.T) {
	cmd, in, out := start(t, "family")
	var child, grand int
	if _, err := fmt.Sscan(line(t, out), &child, &grand); err != nil {
		t.Fatal(err)
	}
	line(t, out) // empty
	var s Sampler
	want := []int{cmd.Process.Pid, child, grand}
	slices.Sort(want)
	if got := s.Tree(cmd.Process.Pid); !slices.Equal(got, want) {
		t.Errorf("tree %v, want %v", got, want)
	}
	io.WriteString(in, "end it\n")
	if l := line(t, out); l != "parent ended" {
		t.Fatal(l)
	}
	want = []int{cmd.Process.Pid, grand}
	slices.Sort(want)
	if got := s.Tree(cmd.Process.Pid); !slices.Equal(got, want) {
		t.Errorf("after the child ended: tree %v, want %v", got, want)
	}
	io.WriteString(in, "and that\n")
	cmd.Wait()
}

func TestZombie(t *testing.T) {
	cmd, in, _ := start(t, "hold")
	in.Close()
	// Wait until it has ended, and do not reap it.
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	var s Sampler
	if _, err := s.Process(cmd.Process.Pid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a zombie: %v", err)
	}
	if got := s.Tree(cmd.Process.Pid); len(got) != 0 {
		t.Errorf("its tree: %v", got)
	}
}

// Processes that end while they are read give fs.ErrNotExist and nothing else.
func TestVanishing(t *testing.T) {
	var s Sampler
	for range 15 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^$")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }()
		for ended := false; !ended; {
			select {
			case <-done:
				ended = true
			default:
			}
			_, err1 := s.Process(cmd.Process.Pid)
			_, err2 := s.Table(cmd.Process.Pid)
			_, _, err3 := s.Maps(cmd.Process.Pid)
			for _, err := range []error{err1, err2, err3} {
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
			}
		}
	}
}

func TestMaps(t *testing.T) {
	var s Sampler
	pid := os.Getpid()
	text, changed, err := s.Maps(pid)
	if err != nil || !changed || !strings.Contains(string(text), "r-xp") {
		t.Fatalf("%v, %v", changed, err)
	}
	m, err := unix.Mmap(-1, 0, 256<<20, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	text, changed, err = s.Maps(pid)
	if err != nil || !changed || !strings.Contains(string(text), fmt.Sprintf("%x-", &m[0])[2:]) {
		t.Errorf("after mmap: changed %v, %v", changed, err)
	}
	if err := unix.Munmap(m); err != nil {
		t.Fatal(err)
	}
	if _, changed, err = s.Maps(pid); err != nil || !changed {
		t.Errorf("after munmap: changed %v, %v", changed, err)
	}
	other := sleeper(t)
	if _, changed, err = s.Maps(other); err != nil || !changed {
		t.Errorf("another process: %v, %v", changed, err)
	}
	if _, changed, err = s.Maps(other); err != nil || changed {
		t.Errorf("another process that sleeps: changed %v, %v", changed, err)
	}
}

// sleeper is a child that sleeps.
func sleeper(t testing.TB) int {
	cmd := exec.Command("/bin/sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Skipf("needs /bin/sleep: %v", err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	// It sleeps when the program and its libraries are there.
	for {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", cmd.Process.Pid))
		if err != nil {
			t.Skipf("needs /proc/PID/syscall: %v", err)
		}
		exe, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
		if f := strings.Fields(string(b)); string(exe) == "sleep\n" && (f[0] == "230" || f[0] == "35" || f[0] == "115" || f[0] == "101") {
			return cmd.Process.Pid
		}
	}
}

func TestManyDescriptorsAreNotCounted(t *testing.T) {
	s := Sampler{HighestUpTo: 3}
	p, err := s.Process(os.Getpid())
	if err != nil || p.Highest != -1 || p.Open < 4 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestSchedule(t *testing.T) {
	ms, sec := time.Millisecond, time.Second
	for _, c := range []struct {
		s                   Schedule
		elapsed, exhaustion time.Duration
		want                time.Duration
	}{
		{Schedule{}, 0, 0, 100 * ms},
		{Schedule{}, 1999 * ms, 0, 100 * ms},
		{Schedule{}, 2 * sec, 0, sec},
		{Schedule{}, time.Hour, 0, sec},
		{Schedule{}, time.Hour, 9 * sec, 100 * ms},
		{Schedule{}, time.Hour, 11 * sec, sec},
		{Schedule{Fast: 10 * ms, Slow: 5 * sec, FastFor: sec}, 999 * ms, 0, 10 * ms},
		{Schedule{Fast: 10 * ms, Slow: 5 * sec, FastFor: sec}, sec, 0, 5 * sec},
	} {
		if got := c.s.Next(c.elapsed, c.exhaustion); got != c.want {
			t.Errorf("%+v after %v: %v, want %v", c.s, c.elapsed, got, c.want)
		}
	}
}

func BenchmarkProcess(b *testing.B) {
	pid := sleeper(b)
	var s Sampler
	for b.Loop() {
		if _, err := s.Process(pid); err != nil {
			b.Fatal(err)
		}
	}
}
