package sample

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestStoredNetwork(t *testing.T) {
	root := stored(t, "network.txtar")
	n, err := OpenNetwork(root, 4242)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	want := evidence.NetworkCounts{
		ListenOverflows: 12, ListenDrops: 13, PruneCalled: 3, RcvPruned: 4, TCPRcvCollapsed: 5, TCPRcvQDrop: 6,
		TCPMemoryPressures: 7, TCPAbortOnMemory: 8, TCPBacklogDrop: 9, TCPAbortOnTimeout: 10, TCPToZeroWindowAdv: 11,
		OutRsts: 21, RetransSegs: 22, EstabResets: 23, AttemptFails: 24,
		UDPInErrors: 31, UDPRcvbufErrors: 32, UDPSndbufErrors: 33, UDPMemErrors: 34,
		UDP6InErrors: 41, UDP6RcvbufErrors: 42, UDP6SndbufErrors: 43, UDP6MemErrors: 44,
	}
	for range 2 {
		got, err := n.Read()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	if n.NetNS != 4026532177 {
		t.Errorf("namespace %d", n.NetNS)
	}
	// Without IPv6 there is no snmp6.
	if err := os.Remove(filepath.Join(root, "4242/net/snmp6")); err != nil {
		t.Fatal(err)
	}
	four, err := OpenNetwork(root, 4242)
	if err != nil {
		t.Fatal(err)
	}
	defer four.Close()
	if c, err := four.Read(); err != nil || c.UDP6InErrors != 0 || c.UDPInErrors != 31 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := OpenNetwork(root, 4243); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a process that is not there: %v", err)
	}
}

func TestShared(t *testing.T) {
	root := stored(t, "network.txtar")
	inside := func(pids ...int) func(int) bool {
		return func(pid int) bool {
			for _, p := range pids {
				if p == pid {
					return true
				}
			}
			return false
		}
	}
	if !Shared(root, 4026532177, inside(4242)) {
		t.Error("process 77 is in that namespace too")
	}
	if Shared(root, 4026532177, inside(4242, 77)) {
		t.Error("all of its processes are the subject's")
	}
	link := filepath.Join(root, "self/ns/pid")
	if err := errors.Join(os.Remove(link), os.Symlink("pid:[4026532999]", link)); err != nil {
		t.Fatal(err)
	}
	if !Shared(root, 4026532177, inside(4242, 77)) {
		t.Error("inside a pid namespace others cannot be seen")
	}
}

func TestStoredMachine(t *testing.T) {
	root := stored(t, "network.txtar")
	m, err := Machine(root)
	if err != nil {
		t.Fatal(err)
	}
	if m.MemTotal < 1<<30 || m.MemAvailable < 1<<20 || m.MemAvailable > m.MemTotal {
		t.Errorf("memory: %+v", m)
	}
	m.MemTotal, m.MemAvailable, m.SwapFree = 0, 0, 0
	want := &evidence.Machine{
		TCPMem: 1230, TCPMemLimits: [3]int64{287901, 383868, 575802}, UDPMem: 17, UDPMemLimits: [3]int64{575802, 767736, 1151604},
		Sockets: 316, Orphans: 7, MaxOrphans: 131072, PageSize: int64(os.Getpagesize()),
	}
	if d := cmp.Diff(want, m); d != "" {
		t.Error(d)
	}
	if m, err := Machine(t.TempDir()); err == nil {
		t.Errorf("nothing to read gives %+v", m)
	}
}

func TestLiveMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux")
	}
	m, err := Machine("")
	if err != nil || m.MemTotal <= 0 || m.MemAvailable <= 0 || m.Sockets <= 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

// The counters of a namespace can be read after its last process has gone, and count what happened
// in it.
func TestNetworkOutlivesItsProcess(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, for a network namespace")
	}
	cmd := exec.Command("sh", "-c", "echo ready; read x")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip("needs a network namespace: ", err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	n, err := OpenNetwork("", cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	own, err := NetNSOf("", os.Getpid())
	if err != nil || own == n.NetNS {
		t.Fatalf("own namespace %d, the other's %d: %v", own, n.NetNS, err)
	}
	if Shared("", n.NetNS, func(pid int) bool { return pid == cmd.Process.Pid }) {
		if ns, _ := os.Readlink("/proc/self/ns/pid"); ns == "pid:[4026531836]" {
			t.Error("a namespace of one process is shared")
		}
	}
	before, err := n.Read()
	if err != nil {
		t.Fatal(err)
	}
	if before != (evidence.NetworkCounts{}) {
		t.Errorf("a new namespace has counted %+v", before)
	}
	in.Close()
	_ = cmd.Wait()
	if _, err := n.Read(); err != nil {
		t.Errorf("after its end: %v", err)
	}
	if _, err := os.Stat("/proc/" + strconv.Itoa(cmd.Process.Pid)); err == nil {
		t.Error("the process is still there")
	}
}

func FuzzNetwork(f *testing.F) {
	for _, name := range []string{"netstat", "snmp", "snmp6"} {
		b, err := os.ReadFile("/proc/net/" + name)
		if err == nil {
			f.Add(b)
		}
	}
	f.Add([]byte("TcpExt: ListenOverflows ListenDrops\nTcpExt: 1\nUdp: InErrors\n"))
	f.Add([]byte("TcpExt: ListenOverflows\nUdp: 5\nTcpExt:\nTcpExt: 99999999999999999999\n:\n:\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c evidence.NetworkCounts
		parsePaired(b, &c)
		parseFlat(b, &c)
		if c.Since(c) != (evidence.NetworkCounts{}) {
			t.Errorf("%+v", c)
		}
	})
}

func FuzzMachine(f *testing.F) {
	f.Add([]byte("sockets: used 1\nTCP: inuse 1 orphan 0 tw 42 alloc 3 mem 123\nUDP: mem\n"))
	f.Add([]byte("MemTotal: 99999999999999999999 kB\nMemAvailable: -1 kB\nSwapFree:\n"))
	f.Add([]byte(strings.Repeat("1 ", 100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m evidence.Machine
		parseSockstat(b, &m)
		parseMeminfo(b, &m)
		three(b)
		if m.MemTotal < 0 || m.MemAvailable < 0 || m.SwapFree < 0 {
			t.Errorf("%+v", m)
		}
	})
}
