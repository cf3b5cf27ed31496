//go:build linux

package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["limited"] = childLimited
}

const anonymous = unix.MAP_PRIVATE | unix.MAP_ANON

// childLimited runs into a limit of its own, five times.
func childLimited(args []string) {
	runtime.LockOSThread()
	setLimit := func(what int, max uint64) {
		must(unix.Setrlimit(what, &unix.Rlimit{Cur: max, Max: max}))
	}
	noOne, unlocked := uintptr(47110+os.Getpid()%1000), uintptr(64<<10)
	var call func() unix.Errno
	switch args[0] {
	case "address":
		setLimit(unix.RLIMIT_AS, 1<<36)
		call = func() unix.Errno {
			return refused(unix.SYS_MMAP, 0, 1<<37, unix.PROT_NONE, anonymous|unix.MAP_NORESERVE, ^uintptr(0), 0)
		}
	case "data":
		setLimit(unix.RLIMIT_DATA, 1<<32)
		call = func() unix.Errno {
			return refused(unix.SYS_MMAP, 0, 1<<33, unix.PROT_READ|unix.PROT_WRITE, anonymous|unix.MAP_NORESERVE, ^uintptr(0), 0)
		}
	case "absurd":
		call = func() unix.Errno {
			return refused(unix.SYS_MMAP, 0, 1<<60, unix.PROT_NONE, anonymous|unix.MAP_NORESERVE, ^uintptr(0), 0)
		}
	case "locked":
		b, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ, anonymous)
		must(err)
		setLimit(unix.RLIMIT_MEMLOCK, uint64(unlocked))
		if e := refused(unix.SYS_SETRESUID, noOne, noOne, noOne); e != 0 {
			panic(e)
		}
		call = func() unix.Errno { return refused(unix.SYS_MLOCK, uintptr(ptr(b)), 1<<20) }
	case "mappings":
		page := uintptr(os.Getpagesize())
		n := uintptr(readNumber("/proc/sys/vm/max_map_count"))
		b, err := unix.Mmap(-1, 0, int(page*(n+64)), unix.PROT_NONE, anonymous|unix.MAP_NORESERVE)
		must(err)
		at := uintptr(ptr(b)) + page
		for ; refused(unix.SYS_MPROTECT, at, page, unix.PROT_READ) == 0; at += 2 * page {
		}
		call = func() unix.Errno { return refused(unix.SYS_MPROTECT, at, page, unix.PROT_READ) }
	case "processes":
		setLimit(unix.RLIMIT_NPROC, 1)
		if e := refused(unix.SYS_SETRESUID, noOne, noOne, noOne); e != 0 {
			panic(e)
		}
		call = refusedClone
	case "pids":
		for refusedClone() == 0 {
		}
		call = refusedClone
	}
	var e unix.Errno
	for range 5 {
		e = call()
	}
	fmt.Println(int(e))
}

func refused(nr uintptr, args ...uintptr) unix.Errno {
	_, e := raw(nr, args...)
	return e
}

// refusedClone asks for a process, which stays as long as this thread where it is had.
func refusedClone() unix.Errno {
	parent, _, _ := unix.RawSyscall(unix.SYS_GETPID, 0, 0, 0)
	pid, _, e := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	for e == 0 && pid == 0 {
		unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0)
		if now, _, _ := unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0); now != parent { // it has died before this could ask for the signal
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
	return e
}

func TestLimits(t *testing.T) {
	for what, want := range map[string]evidence.LimitRefused{
		"address":   {Call: "mmap", Errno: evidence.ENOMEM, Limit: evidence.LimitAddress, Max: 1 << 36, Asked: 1 << 37},
		"data":      {Call: "mmap", Errno: evidence.ENOMEM, Limit: evidence.LimitData, Max: 1 << 32, Asked: 1 << 33},
		"absurd":    {Call: "mmap", Errno: evidence.ENOMEM, Asked: 1 << 60},
		"locked":    {Call: "mlock", Errno: evidence.ENOMEM, Limit: evidence.LimitLocked, Max: 64 << 10, Asked: 1 << 20},
		"mappings":  {Call: "mprotect", Errno: evidence.ENOMEM, Limit: evidence.LimitMappings, Max: readNumber("/proc/sys/vm/max_map_count"), Asked: int64(os.Getpagesize())},
		"processes": {Call: "clone", Errno: evidence.EAGAIN, Limit: evidence.LimitProcesses, Max: 1},
		"pids":      {Call: "clone", Errno: evidence.EAGAIN, Limit: evidence.LimitPids, Max: 64},
	} {
		t.Run(what, func(t *testing.T) {
			var join func(int)
			if what == "pids" {
				join = pidsGroup(t)
			}
			w := open(t, Config{})
			w.need("probe/syscall")
			k := command(t, "exec", "limited", what)
			k.before, k.says = join, true
			w.run(k)
			if got := k.line(); got != strconv.Itoa(int(want.Errno)) {
				t.Fatalf("the child got errno %s", got)
			}
			k.end()
			w.flushed()
			// Of the limits that the child works up to it meets one more.
			n, whole := int64(5), 4
			if what == "mappings" || what == "pids" {
				n = 6
			}
			var all []*evidence.LimitRefused
			for _, o := range w.all(kind(evidence.KindLimitRefused)) {
				if d := o.Detail.(*evidence.LimitRefused); d.Call == want.Call && int(o.PID) == k.pid {
					all = append(all, d)
				}
			}
			if len(all) != whole {
				t.Fatalf("%d whole ones, want %d", len(all), whole)
			}
			for i, count := range []int64{1, 2, 3, 4} {
				d := all[i]
				if d.Errno != want.Errno || d.Limit != want.Limit || d.Max != want.Max || d.Asked != want.Asked || d.Count != count {
					t.Errorf("%+v, want %+v with count %d", d, want, count)
				}
				if d.Mapped <= 0 || d.Mappings <= 10 || what == "mappings" && d.Used < want.Max {
					t.Errorf("figures: %+v", d)
				}
			}
			if what == "pids" && (all[0].Used != 64 || !strings.HasSuffix(all[0].Cgroup, fmt.Sprintf("descry-pids-%d", os.Getpid()))) {
				t.Errorf("%+v", all[0])
			}
			name, other := evidence.CountMemoryRefused, evidence.CountForksRefused
			if want.Call == "clone" {
				name, other = other, name
			}
			if c := w.Counters(); c[name] != n || c[other] != 0 {
				t.Errorf("counters %v, want %s %d", c, name, n)
			}
		})
	}
}

// pidsGroup makes a cgroup of 64 processes and threads at most, of either version.
func pidsGroup(t *testing.T) (join func(pid int)) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	must(err)
	for _, line := range strings.Split(string(mounts), "\n") {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		at := f[1]
		switch {
		case f[2] == "cgroup" && strings.Contains(","+f[3]+",", ",pids,"):
		case f[2] == "cgroup2":
			has, _ := os.ReadFile(at + "/cgroup.controllers")
			if !strings.Contains(string(has), "pids") {
				continue
			}
			control := at + "/cgroup.subtree_control"
			if on, _ := os.ReadFile(control); !strings.Contains(string(on), "pids") {
				if err := os.WriteFile(control, []byte("+pids"), 0o644); err != nil {
					continue
				}
				t.Cleanup(func() { must(os.WriteFile(control, []byte("-pids"), 0o644)) })
			}
		default:
			continue
		}
		dir := filepath.Join(at, fmt.Sprintf("descry-pids-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skip("needs a cgroup of its own: ", err)
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
		return func(pid int) {
			must(os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644))
			must(os.WriteFile(filepath.Join(dir, "pids.max"), []byte("64"), 0o644))
		}
	}
	t.Skip("needs the pids controller of cgroups")
	return nil
}
