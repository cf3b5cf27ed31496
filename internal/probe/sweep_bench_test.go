//go:build linux

package probe

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() { children["crowd"] = childCrowd }

// childCrowd makes processes that wait, each with so many descriptors.
func childCrowd(args []string) {
	runtime.LockOSThread()
	n, _ := strconv.Atoi(args[0])
	fds, _ := strconv.Atoi(args[1])
	for range fds {
		_, err := unix.Open(os.DevNull, unix.O_RDONLY, 0)
		must(err)
	}
	var p [2]int
	must(unix.Pipe(p[:]))
	for range n {
		if fork() == 0 {
			var b [1]byte // until this one has ended
			_, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(p[1]), 0, 0)
			_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(p[0]), uintptr(ptr(b[:])), 1)
			exitRaw(0)
		}
	}
	fmt.Println("there")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func cpuNanos() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return ts.Nano()
}

// BenchmarkSweepNode sweeps processes of which nothing changes: "kernel" is the iterator alone.
func BenchmarkSweepNode(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			all, err := findHierarchies("")
			must(err)
			dir := filepath.Join(all[0].dir, "descry-bench-"+strconv.Itoa(os.Getpid()))
			must(os.Mkdir(dir, 0o755))
			in := filepath.Join(dir, newID())
			must(os.Mkdir(in, 0o755))
			defer func() { // children end with their parent, a moment later
				for removeTree(dir) != nil {
					runtime.Gosched()
				}
			}()
			s, err := Open(Config{Node: &Node{Scope: "/" + filepath.Base(dir)}})
			must(err)
			defer s.Close()
			c := exec.Command("/proc/self/exe")
			c.Env = append(os.Environ(), childMode+"=crowd "+strconv.Itoa(n)+" 50")
			gate, open, err := os.Pipe()
			must(err)
			c.ExtraFiles = []*os.File{gate}
			out, err := c.StdoutPipe()
			must(err)
			stdin, err := c.StdinPipe()
			must(err)
			must(c.Start())
			must(os.WriteFile(filepath.Join(in, "cgroup.procs"), []byte(strconv.Itoa(c.Process.Pid)), 0o644))
			open.Close()
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "there") {
				b.Fatal(line, err)
			}
			runtime.LockOSThread()
			told := 0
			sweep := func() { must(s.Sweep(func(*evidence.Observation) { told++ })) }
			sweep()
			if told < n {
				b.Fatalf("%d processes swept", told)
			}
			told = 0
			var kernel int64
			for b.Loop() {
				start := cpuNanos()
				s.sweep.mu.Lock()
				_, err := s.rows("on_sweep")
				s.sweep.mu.Unlock()
				must(err)
				kernel += cpuNanos() - start
			}
			b.ReportMetric(float64(kernel)/float64(b.N)/1e6, "kernel-ms/op")
			must(s.env.maps["wanted"].Put(uint32(0), uint32(1<<31)))
			start := cpuNanos()
			for range 20 {
				s.sweep.mu.Lock()
				_, err := s.rows("on_find")
				s.sweep.mu.Unlock()
				must(err)
			}
			b.ReportMetric(float64(cpuNanos()-start)/20e6, "visit-ms/op") // all tasks of the machine, doing nothing
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start = cpuNanos()
			const rounds = 20
			for range rounds {
				sweep()
			}
			b.ReportMetric(float64(cpuNanos()-start)/rounds/1e6, "sweep-ms/op")
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/rounds, "mallocs/sweep")
			b.ReportMetric(float64(told)/rounds, "told/sweep")
			stdin.Close()
			_ = c.Wait()
		})
	}
}
