//go:build linux

package probe

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() { children["calls"] = childCalls }

// childCalls measures system calls, the least of many batches each, in nanoseconds.
func childCalls(args []string) {
	runtime.LockOSThread()
	null, err := unix.Open("/dev/null", unix.O_RDWR, 0)
	must(err)
	var p [2]int
	must(unix.Pipe2(p[:], unix.O_NONBLOCK))
	at := uintptr(unsafe.Pointer(&make([]byte, 8)[0]))
	path := cstr("/dev/null")
	calls := []func(){
		func() { raw(unix.SYS_GETPPID) },
		func() { raw(unix.SYS_WRITE, uintptr(null), at, 1) },
		func() { raw(unix.SYS_READ, uintptr(p[0]), at, 1) }, // EAGAIN
		func() {
			fd, _ := raw(unix.SYS_OPENAT, ^uintptr(99), path, 0)
			raw(unix.SYS_CLOSE, fd)
		},
		func() { raw(unix.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(&[]byte("/not/there\x00")[0])), 0) },
	}
	batches, err := strconv.Atoi(args[0])
	must(err)
	for _, call := range calls {
		least := time.Hour
		for range batches {
			start := time.Now()
			for range 2000 {
				call()
			}
			least = min(least, time.Since(start)/2000)
		}
		fmt.Print(least.Nanoseconds(), " ")
	}
	fmt.Println()
}

var callsMeasured = []string{"getppid", "write", "read-EAGAIN", "open+close", "open-ENOENT"}

// BenchmarkCalls shows what watching costs a system call: bare, beside the tree, and in it.
func BenchmarkCalls(b *testing.B) {
	b.Run("bare", func(b *testing.B) { measureCalls(b, nil) })
	for _, way := range []Way{SysExit, Functions} {
		b.Run(way.String(), func(b *testing.B) {
			s, err := Open(Config{Way: way})
			if err != nil {
				b.Skip("needs eBPF: ", err)
			}
			defer s.Close()
			for _, st := range s.Status() {
				if st.Name == "probe/syscall" && st.Missing != "" {
					b.Skip("needs ", way, ": ", st.Missing)
				}
			}
			go s.Run(func(*evidence.Observation) {})
			b.Run("beside", func(b *testing.B) { measureCalls(b, nil) })
			b.Run("inside", func(b *testing.B) { measureCalls(b, s) })
		})
	}
}

// measureCalls runs childCalls, in s's tree if that is given.
func measureCalls(b *testing.B, s *Set) {
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		in, gate, err := socketpair()
		if err != nil {
			b.Fatal(err)
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childMode+"=exec calls 300")
		cmd.ExtraFiles = []*os.File{in}
		var out, complaint bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &complaint
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		in.Close()
		_, err = gate.Read(make([]byte, 1))
		if err == nil && s != nil {
			err = s.Track(cmd.Process.Pid)
		}
		gate.Close()
		if err := errors.Join(err, cmd.Wait()); err != nil {
			b.Fatalf("%v %s", err, &complaint)
		}
		for i, f := range strings.Fields(out.String()) {
			n, err := strconv.ParseFloat(f, 64)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(n, callsMeasured[i]+"-ns")
		}
	}
	b.ReportMetric(0, "ns/op")
}
