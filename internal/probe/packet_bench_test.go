//go:build linux

package probe

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

func init() { children["pingpong"] = childPingPong }

const pingPongs = 500 // at a line of the child's input

// childPingPong sends messages to itself and back over TCP, and says how much processor time they took.
func childPingPong([]string) {
	runtime.LockOSThread()
	l, at := listenAt(1)
	a, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Connect(a, at))
	b, _, err := unix.Accept(l)
	must(err)
	for _, fd := range []int{a, b} {
		must(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
	}
	buf := make([]byte, 64)
	in := bufio.NewReader(os.Stdin)
	for {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		start := cpuNanos()
		for range pingPongs {
			for _, way := range [][2]int{{a, b}, {b, a}} {
				_, err := unix.Write(way[0], buf)
				must(err)
				_, err = unix.Read(way[1], buf)
				must(err)
			}
		}
		fmt.Println(cpuNanos() - start)
	}
}

// BenchmarkPackets shows what looking at packets for names costs one that asks for none: a process that sends to itself
// over TCP, in a cgroup that is watched and then is not, hundreds of times in turn, so that what else the machine does
// falls on all alike. "self" is a thing against itself.
func BenchmarkPackets(b *testing.B) {
	s, err := Open(Config{})
	if err != nil {
		b.Skip("needs eBPF: ", err)
	}
	defer s.Close()
	<-s.later
	if s.env.dns == nil {
		b.Skip("needs cgroup_skb")
	}
	all, err := findHierarchies("")
	must(err)
	dir := filepath.Join(all[0].dir, "descry-bench-"+strconv.Itoa(os.Getpid()))
	must(os.Mkdir(dir, 0o755))
	c := exec.Command("/proc/self/exe")
	c.Env = append(os.Environ(), childMode+"=pingpong")
	gate, open, err := os.Pipe()
	must(err)
	c.ExtraFiles, c.Stderr = []*os.File{gate}, os.Stderr
	out, err := c.StdoutPipe()
	must(err)
	stdin, err := c.StdinPipe()
	must(err)
	must(c.Start())
	gate.Close()
	defer func() {
		stdin.Close()
		_ = c.Wait()
		for removeTree(dir) != nil {
			runtime.Gosched()
		}
	}()
	must(os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(c.Process.Pid)), 0o644))
	open.Close()
	lines := bufio.NewReader(out)
	once := func(watched bool) float64 {
		for _, at := range []ebpf.AttachType{ebpf.AttachCGroupInetEgress, ebpf.AttachCGroupInetIngress} {
			if watched {
				l, err := link.AttachCgroup(link.CgroupOptions{Path: dir, Attach: at, Program: s.env.dns.packet})
				must(err)
				defer l.Close()
			}
		}
		_, err := fmt.Fprintln(stdin)
		must(err)
		line, err := lines.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
		must(err)
		return n / pingPongs
	}
	once(false)
	var bare, self, watched []float64
	for i := 0; b.Loop(); i++ {
		x := [3]float64{}
		for k := range x { // each in turn at another place
			k = (k + i) % 3
			x[k] = once(k == 2)
		}
		bare, self, watched = append(bare, x[0]), append(self, x[1]-x[0]), append(watched, x[2]-(x[0]+x[1])/2)
	}
	median := func(v []float64) float64 {
		slices.Sort(v)
		return v[len(v)/2]
	}
	const packets = 4 // looked at in a ping and a pong: each goes out and comes in
	b.ReportMetric(median(bare), "bare-ns/pingpong")
	b.ReportMetric(median(self)/packets, "self-ns/packet")
	b.ReportMetric(median(watched)/packets, "watched-ns/packet")
	b.ReportMetric(0, "ns/op")
}
