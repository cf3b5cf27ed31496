//go:build linux

package probe

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["fds"] = childFDs
}

// keep holds what must not be closed by the garbage collector.
var keep []any

// childFDs opens one of everything, tells what /proc says of its table, and dies as it is told.
func childFDs(args []string) {
	dir := args[1]
	for i := range 30 {
		f, err := os.Create(fmt.Sprintf("%s/data-%d", dir, i))
		must(err)
		keep = append(keep, f)
	}
	for range 12 {
		f, err := os.Open(dir + "/data-0")
		must(err)
		keep = append(keep, f)
	}
	gone, err := os.Create(dir + "/gone")
	must(err)
	must(os.Remove(dir + "/gone"))
	null, err := os.Open("/dev/null")
	must(err)
	d, err := os.Open(dir)
	must(err)
	keep = append(keep, gone, null, d)

	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(err)
	l6, err := net.Listen("tcp", "[::1]:0") // tcp6 where there is IPv6
	if err == nil {
		keep = append(keep, l6)
	}
	for range 15 { // 15 connections that the peer has closed
		c, err := net.Dial("tcp", l.Addr().String())
		must(err)
		s, err := l.Accept()
		must(err)
		must(s.Close())
		b := make([]byte, 1)
		_, err = c.Read(b)
		if err == nil {
			panic("not closed")
		}
		keep = append(keep, c)
	}
	both, err := net.Listen("tcp", ":0") // dual stack: addresses are IPv4-mapped
	must(err)
	port := strconv.Itoa(both.Addr().(*net.TCPAddr).Port)
	for range 5 {
		c, err := net.Dial("tcp4", "127.0.0.1:"+port)
		must(err)
		s, err := both.Accept()
		must(err)
		keep = append(keep, c, s)
	}
	u, err := net.Dial("udp4", "127.0.0.1:9")
	must(err)
	ul, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(err)
	ux, err := net.Listen("unix", dir+"/sock")
	must(err)
	uc, err := net.Dial("unix", dir+"/sock")
	must(err)
	us, err := ux.Accept()
	must(err)
	keep = append(keep, l, both, u, ul, ux, uc, us)

	var p [2]int
	must(unix.Pipe2(p[:], 0))
	must(unix.Mkfifo(dir+"/fifo", 0o600))
	_, err = unix.Open(dir+"/fifo", unix.O_RDWR, 0)
	must(err)
	_, err = unix.Eventfd(0, 0)
	must(err)
	_, err = unix.EpollCreate1(0)
	must(err)
	_, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, 0)
	must(err)
	_, err = unix.InotifyInit1(0)
	must(err)
	_, err = unix.PidfdOpen(os.Getpid(), 0)
	must(err)
	_, err = unix.MemfdCreate("scratch", 0)
	must(err)
	_, err = unix.Signalfd(-1, &unix.Sigset_t{}, 0)
	must(err)
	if fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0); err == nil {
		keep = append(keep, fd)
	}
	_, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)
	must(err)

	// What the table is, by another way.
	table := map[int]string{}
	ents, err := os.ReadDir("/proc/self/fd")
	must(err)
	for _, e := range ents {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil { // not that of the directory itself
			n, _ := strconv.Atoi(e.Name())
			table[n] = to
		}
	}
	must(json.NewEncoder(os.Stdout).Encode(table))
	fmt.Println(l.Addr(), both.Addr().(*net.TCPAddr).Port, unix.Gettid())
	die(args[0])
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// die ends the process as told. A Go process always has several threads.
func die(how string) {
	runtime.LockOSThread()
	switch how {
	case "exit":
		fmt.Println("by", unix.Gettid())
		os.Exit(7)
	case "kill": // from outside
		fmt.Println("by 0")
		forever()
	case "segv":
		signal.Reset(syscall.SIGSEGV)
		resetHandler(unix.SIGSEGV)
		fmt.Println("by", unix.Gettid())
		must(unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGSEGV))
		forever()
	case "term":
		signal.Reset(syscall.SIGTERM)
		resetHandler(unix.SIGTERM)
		fmt.Println("by 0")
		forever()
	}
}

func TestTableAtDeath(t *testing.T) {
	for how, want := range map[string]struct {
		code   int32
		signal evidence.Signal
	}{
		"exit": {7, 0}, "kill": {137, evidence.SIGKILL}, "segv": {139, evidence.SIGSEGV}, "term": {143, evidence.SIGTERM},
	} {
		t.Run(how, func(t *testing.T) {
			w := open(t, Config{})
			w.need("probe/exit")
			dir := t.TempDir()
			k := w.start("fds", how, dir)
			var table map[int]string
			if err := json.Unmarshal([]byte(k.line()), &table); err != nil {
				t.Fatal(err)
			}
			var listener string
			var port, tid int
			if _, err := fmt.Sscan(k.line(), &listener, &port, &tid); err != nil {
				t.Fatal(err)
			}
			var ender int32
			if _, err := fmt.Sscanf(k.line(), "by %d", &ender); err != nil {
				t.Fatal(err)
			}
			switch how {
			case "kill":
				must(unix.Kill(k.pid, unix.SIGKILL))
			case "term":
				must(unix.Kill(k.pid, unix.SIGTERM))
			}
			k.end()
			w.flushed()
			o, e := w.exitOf(k.pid)
			defer func() {
				if t.Failed() {
					t.Logf("%+v\n%+v", e, e.FDs)
				}
			}()
			if e.ExitCode != want.code || e.Signal != want.signal {
				t.Errorf("exit code %d signal %v, want %d %v", e.ExitCode, e.Signal, want.code, want.signal)
			}
			if int(e.Parent) != os.Getpid() {
				t.Errorf("parent %d, want %d", e.Parent, os.Getpid())
			}
			if e.EnderTID != ender {
				t.Errorf("ended by thread %d, want %d", e.EnderTID, ender)
			}
			if o.TID != 0 || o.Comm != ownComm() {
				t.Errorf("thread %d, comm %q", o.TID, o.Comm)
			}
			checkTable(t, e.FDs, table, dir, listener, port)
		})
	}
}

// ownComm is the command name of this program, and of what it starts.
func ownComm() string {
	name := filepath.Base(os.Args[0])
	return name[:min(len(name), 15)]
}

// checkTable compares a table of the kernel's with that of /proc.
func checkTable(t *testing.T, got *evidence.FDTable, want map[int]string, dir, listener string, port int) {
	t.Helper()
	if got == nil {
		t.Fatal("no table")
	}
	if got.Partial != "" {
		t.Errorf("partial: %s", got.Partial)
	}
	highest, sum, grouped := 0, int64(0), int64(0)
	for fd := range want {
		highest = max(highest, fd)
	}
	for _, n := range got.ByKind {
		sum += n
	}
	for i := range got.Groups {
		grouped += got.Groups[i].Count
	}
	if got.Open != int64(len(want)) || got.Highest != int64(highest) || sum != got.Open || grouped != got.Open {
		t.Errorf("open %d, highest %d, by kind %d, in groups %d; want %d and %d", got.Open, got.Highest, sum, grouped, len(want), highest)
	}
	var lim unix.Rlimit
	must(unix.Getrlimit(unix.RLIMIT_NOFILE, &lim))
	if got.HardLimit != int64(lim.Max) || got.SoftLimit <= 0 {
		t.Errorf("limits %d %d, want hard %d", got.SoftLimit, got.HardLimit, lim.Max)
	}
	has := func(n int64, g evidence.FDGroup) {
		t.Helper()
		var found int64
		for i := range got.Groups {
			h := got.Groups[i]
			if h.Kind == g.Kind && h.State == g.State && h.Peer == g.Peer && h.Local == g.Local && h.Path == g.Path {
				found += h.Count
			}
		}
		if found != n {
			t.Errorf("%d of %s, want %d", found, g.What(), n)
		}
	}
	has(15, evidence.FDGroup{Kind: evidence.FDTCP, State: "CLOSE_WAIT", Peer: listener})
	has(1, evidence.FDGroup{Kind: evidence.FDTCP, State: "LISTEN", Local: listener})
	has(5, evidence.FDGroup{Kind: evidence.FDTCP, State: "ESTABLISHED", Peer: fmt.Sprintf("127.0.0.1:%d", port)})
	has(5, evidence.FDGroup{Kind: evidence.FDTCP, State: "ESTABLISHED", Peer: "127.0.0.1:*", Local: fmt.Sprintf("127.0.0.1:%d", port)})
	has(1, evidence.FDGroup{Kind: evidence.FDUDP, Peer: "127.0.0.1:9"})
	has(13, evidence.FDGroup{Kind: evidence.FDFile, Path: dir + "/data-0"})
	has(30, evidence.FDGroup{Kind: evidence.FDFile, Path: dir + "/*"}) // 29 and the one that is gone
	has(1, evidence.FDGroup{Kind: evidence.FDDir, Path: dir})
	has(1, evidence.FDGroup{Kind: evidence.FDFIFO, Path: dir + "/fifo"})
	has(1, evidence.FDGroup{Kind: evidence.FDUnix, State: "LISTEN", Local: dir + "/sock"})
	has(1, evidence.FDGroup{Kind: evidence.FDUnix, State: "ESTABLISHED", Local: dir + "/sock"})
	has(1, evidence.FDGroup{Kind: evidence.FDUnix, State: "ESTABLISHED", Peer: dir + "/sock"})
	kinds := map[evidence.FDKind]int64{}
	for _, to := range want {
		switch {
		case strings.HasPrefix(to, "pipe:"):
			kinds[evidence.FDPipe]++
		case strings.HasPrefix(to, "anon_inode:"):
			kinds[evidence.AnonKind(to)]++
		case strings.HasPrefix(to, "/memfd:"):
			kinds[evidence.FDMemfd]++
		case to == "/dev/ptmx" || strings.HasPrefix(to, "/dev/pts"):
			kinds[evidence.FDTTY]++
		}
	}
	for kind, n := range kinds {
		if got.ByKind[kind] != n {
			t.Errorf("%d of kind %s, want %d", got.ByKind[kind], kind, n)
		}
	}
}

func TestOpen(t *testing.T) {
	w := open(t, Config{})
	for _, st := range w.Status() {
		t.Logf("%+v", st)
	}
}
