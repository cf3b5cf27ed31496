//go:build linux

package probe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["refuse"] = childRefuse
	children["storm"] = childStorm
	children["message"] = childMessage
	children["inotify"] = childInotify
	children["uring"] = childURing
	children["enfile"] = childENFILE
	children["grow"] = childGrow
}

const childLimit = 40

// fill takes all descriptors up to a low limit.
func fill(flags int) {
	var lim unix.Rlimit
	must(unix.Getrlimit(unix.RLIMIT_NOFILE, &lim))
	lim.Cur = childLimit
	must(unix.Setrlimit(unix.RLIMIT_NOFILE, &lim))
	path := cstr("/dev/null")
	for {
		fd, err := raw(unix.SYS_OPENAT, uintptr(0xffffffffffffff9c), path, uintptr(flags))
		if err == unix.EMFILE {
			return
		}
		if err != 0 {
			panic(err)
		}
		if int(fd) >= childLimit {
			panic(fmt.Sprint("got descriptor ", fd))
		}
	}
}

// childRefuse is refused descriptors by several calls, and tells how often by each.
func childRefuse([]string) {
	runtime.LockOSThread()
	l, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(err)
	must(unix.Listen(l, 1))
	epoll, err := unix.EpollCreate1(0)
	must(err)
	fill(unix.O_RDONLY)
	n := map[string]int{"openat": 1} // the one of fill
	try := func(name string, times int, nr uintptr, args ...uintptr) {
		for range times {
			if _, err := raw(nr, args...); err != unix.EMFILE {
				panic(fmt.Sprint(name, ": ", err))
			}
			n[name]++
		}
	}
	deep(func() { try("openat", 6, unix.SYS_OPENAT, uintptr(0xffffffffffffff9c), cstr("/etc/hostname"), 0) })
	try("socket", 4, unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)
	var p [2]int32
	try("pipe2", 2, unix.SYS_PIPE2, uintptr(unsafe.Pointer(&p)), 0)
	try("dup", 1, unix.SYS_DUP, 0)
	try("fcntl", 1, unix.SYS_FCNTL, 0, unix.F_DUPFD_CLOEXEC, 0)
	try("eventfd2", 1, unix.SYS_EVENTFD2, 0, 0)
	try("socketpair", 2, unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM, 0, uintptr(unsafe.Pointer(&p)))
	try("accept4", 1, unix.SYS_ACCEPT4, uintptr(l), 0, 0, 0)
	try("inotify_init1", 3, unix.SYS_INOTIFY_INIT1, 0) // here it is the table that is full
	try("memfd_create", 1, unix.SYS_MEMFD_CREATE, cstr("m"), 0)
	// EMFILE of a call that has nothing to do with descriptors: more than a queue can hold.
	_ = epoll
	must(unix.Close(10)) // to print, and for the directory, which makes the table full again
	ents, err := os.ReadDir("/proc/self/fd")
	must(err)
	n["open"] = len(ents) // some may be inherited and beyond the limit
	must(json.NewEncoder(os.Stdout).Encode(n))
}

var magic = [4]uint64{0x6465736372792121, 0x0102030405060708, 0x1122334455667788, 0x99aabbccddeeff00}

// deep calls f with something on the stack that can be told again.
//
//go:noinline
func deep(f func()) {
	mark := magic
	f()
	if mark != magic {
		panic("the stack was overwritten")
	}
	runtime.KeepAlive(&mark)
}

func TestRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		k := w.program("refuse")
		var want map[string]int
		if err := json.Unmarshal([]byte(k.line()), &want); err != nil {
			t.Fatal(err)
		}
		w.done(k)
		opened := int64(want["open"])
		delete(want, "open")
		total := int64(0)
		for _, n := range want {
			total += int64(n)
		}
		got := map[string]int64{}
		whole := map[string]int{}
		contexts := 0
		for _, r := range ofKind[*evidence.FDRefused](w, k.pid) {
			got[r.Call] = max(got[r.Call], r.Count)
			whole[r.Call]++
			if r.Errno != evidence.EMFILE || r.Open != opened || r.SoftLimit != childLimit || r.InMessage {
				t.Errorf("%+v, want EMFILE, %d open of %d", r, opened, childLimit)
			}
			if r.Call == "openat" && r.Count > 1 && r.Path != "/etc/hostname" || r.Call == "socket" && r.Path != "" {
				t.Errorf("%s has path %q", r.Call, r.Path)
			}
			if r.Context != nil {
				contexts++
				checkCallContext(t, r.Context, r.Call == "openat" && r.Count == 2, 8192)
			}
		}
		if contexts != 2 {
			t.Errorf("%d refusals have registers and a stack, want the first 2", contexts)
		}
		if err := w.Counts(func(o *evidence.Observation) {
			if r, ok := o.Detail.(*evidence.FDRefused); ok && int(o.PID) == k.pid {
				got[r.Call] = max(got[r.Call], r.Count)
			}
		}); err != nil {
			t.Fatal(err)
		}
		for call, n := range want {
			if got[call] != int64(n) {
				t.Errorf("%s: %d counted, %d were refused", call, got[call], n)
			}
			if whole[call] != min(n, 3) && contexts == 2 {
				t.Errorf("%s: %d whole of %d", call, whole[call], n)
			}
		}
		if len(got) != len(want) {
			t.Errorf("counted %v, want %v", got, want)
		}
		if n := w.Counters()[evidence.CountFDRefused]; n != total {
			t.Errorf("counter %d, want %d", n, total)
		}
		if _, e := w.exitOf(k.pid); e.RefusedFDs != total {
			t.Errorf("at its exit %d, want %d", e.RefusedFDs, total)
		}
		if n := ofKind[*evidence.InotifyRefused](w, k.pid); len(n) > 0 {
			t.Errorf("the table was full, and yet %+v", n[0])
		}
		if len(w.Lost()) > 0 {
			t.Errorf("lost %v", w.Lost())
		}
		w.bystander("refuse")
	})
}

// checkCallContext checks registers and stack of the test binary's own child.
func checkCallContext(t *testing.T, x *evidence.Context, marked bool, least int) {
	t.Helper()
	if x.Arch != runtime.GOARCH || x.PC == 0 || x.SP == 0 || len(x.Regs) != contextRegs {
		t.Errorf("context of %s: pc %#x sp %#x, %d registers", x.Arch, x.PC, x.SP, len(x.Regs))
		return
	}
	if len(x.Stack) < least && len(x.Stack)%4096 != int(-x.SP&4095) {
		t.Errorf("%d bytes of stack, want at least %d, or up to the end of a page", len(x.Stack), least)
	}
	want := unsafe.Slice((*byte)(unsafe.Pointer(&magic)), int(unsafe.Sizeof(magic)))
	if marked && !bytes.Contains(x.Stack, want) {
		t.Errorf("%d bytes of stack lack what the caller has on it", len(x.Stack))
	}
}

// childStorm is refused as fast as two threads can.
func childStorm(args []string) {
	n, err := strconv.Atoi(args[0])
	must(err)
	fill(unix.O_RDONLY)
	path := cstr("/dev/null")
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			runtime.LockOSThread()
			for range n {
				if _, err := raw(unix.SYS_OPENAT, uintptr(0xffffffffffffff9c), path, 0); err != unix.EMFILE {
					panic(err)
				}
			}
		})
	}
	all.Wait()
}

// However fast they come, refusals are counted exactly. DESCRY_STORM gives the number of each of two threads.
func TestStormIsCountedExactly(t *testing.T) {
	each := int64(200_000)
	if s := os.Getenv("DESCRY_STORM"); s != "" {
		var err error
		if each, err = strconv.ParseInt(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	eachWay(t, func(t *testing.T, w *watch) {
		k := w.program("storm", strconv.FormatInt(each, 10))
		w.done(k)
		want := 2*each + 1
		if n := w.Counters()[evidence.CountFDRefused]; n != want {
			t.Errorf("counter %d, want %d; lost %v", n, want, w.Lost())
		}
		if _, e := w.exitOf(k.pid); e.RefusedFDs != want {
			t.Errorf("at its exit %d, want %d", e.RefusedFDs, want)
		}
		if n := len(ofKind[*evidence.FDRefused](w, k.pid)); n != 3 {
			t.Errorf("%d whole, want 3", n)
		}
		t.Logf("%v of processor time for %d refusals", k.ProcessState.UserTime()+k.ProcessState.SystemTime(), want)
	})
}

// childMessage loses a descriptor that came in a message.
func childMessage([]string) {
	runtime.LockOSThread()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	must(err)
	must(unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(0), nil, 0))
	fill(unix.O_RDONLY)
	buf, oob := make([]byte, 8), make([]byte, 64)
	_, _, flags, _, err := unix.Recvmsg(pair[1], buf, oob, 0)
	must(err)
	if flags&unix.MSG_CTRUNC == 0 {
		panic("nothing was lost")
	}
}

// A descriptor lost from a message is seen only where functions are: the call itself succeeds.
func TestRefusedInMessage(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		k := w.program("message")
		w.done(k)
		lost := 0
		for _, r := range ofKind[*evidence.FDRefused](w, k.pid) {
			if r.InMessage {
				lost++
				if r.Call != "recvmsg" || r.Errno != evidence.EMFILE {
					t.Errorf("%+v, want recvmsg, EMFILE", r)
				}
			}
		}
		if want := map[Way]int{SysExit: 0, Functions: 1}[w.way()]; lost != want {
			t.Errorf("%d lost in messages, want %d", lost, want)
		}
	})
}

// childURing has io_uring open a file with no descriptor left: the call that asks for it succeeds.
func childURing([]string) {
	runtime.LockOSThread()
	var p struct {
		sqEntries, cqEntries, flags, _, _, features, _ uint32
		_                                              [3]uint32
		sq                                             struct {
			head, tail, mask, entries, flags, dropped, array, _ uint32
			_                                                   uint64
		}
		cq struct {
			head, tail, mask, entries, overflow, cqes, flags, _ uint32
			_                                                   uint64
		}
	}
	fd, errno := raw(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&p)))
	if errno != 0 {
		fmt.Println("no io_uring:", errno)
		return
	}
	ring, err := unix.Mmap(int(fd), 0, 65536, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	must(err)
	sqes, err := unix.Mmap(int(fd), 0x10000000, 64, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	must(err)
	fill(unix.O_RDONLY)
	const opOpenAt = 18
	sqes[0] = opOpenAt
	le.PutUint32(sqes[4:], 0xffffff9c) // AT_FDCWD
	le.PutUint64(sqes[16:], uint64(cstr("/dev/null")))
	le.PutUint32(ring[p.sq.array:], 0)
	le.PutUint32(ring[p.sq.tail:], 1)
	if n, errno := raw(unix.SYS_IO_URING_ENTER, fd, 1, 1, 1 /* IORING_ENTER_GETEVENTS */); errno != 0 || n != 1 {
		panic(fmt.Sprint("io_uring_enter: ", n, errno))
	}
	fmt.Println("result", int32(le.Uint32(ring[p.cq.cqes+8:])))
}

func TestRefusedInIOURing(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		k := w.program("uring")
		if said := k.line(); said != fmt.Sprint("result ", -int(unix.EMFILE)) {
			t.Skip("needs io_uring: ", said)
		}
		w.done(k)
		seen := 0
		for _, r := range ofKind[*evidence.FDRefused](w, k.pid) {
			if r.Call == "io_uring_enter" {
				seen++
			}
		}
		if want := map[Way]int{SysExit: 0, Functions: 1}[w.way()]; seen != want {
			t.Errorf("%d seen, want %d", seen, want)
		}
		want := map[Way]int64{SysExit: 1, Functions: 2}[w.way()] // the other one is that of fill
		if _, e := w.exitOf(k.pid); e.RefusedFDs != want {
			t.Errorf("%d counted, want %d", e.RefusedFDs, want)
		}
	})
}

// childENFILE opens what the machine still has, as a user whom its limit holds for.
func childENFILE([]string) {
	runtime.LockOSThread()
	if _, err := raw(unix.SYS_SETRESUID, 65534, 65534, 65534); err != 0 {
		panic(err)
	}
	path := cstr("/dev/null")
	for n := 0; n < 5; {
		_, err := raw(unix.SYS_OPENAT, ^uintptr(99), path, 0)
		if err == unix.ENFILE {
			n++
		} else if err != 0 {
			panic(err)
		}
	}
}

func TestRefusedByTheMachine(t *testing.T) {
	if os.Getenv("DESCRY_VM") == "" {
		t.Skip("needs the VM: fs.file-max is the whole machine's")
	}
	const limit = "/proc/sys/fs/file-max"
	was, err := os.ReadFile(limit)
	must(err)
	defer func() { must(os.WriteFile(limit, was, 0)) }()
	eachWay(t, func(t *testing.T, w *watch) {
		nr, err := os.ReadFile("/proc/sys/fs/file-nr")
		must(err)
		used, err := strconv.Atoi(strings.Fields(string(nr))[0])
		must(err)
		k := command(t, "exec", "enfile")
		k.says = true
		must(os.WriteFile(limit, []byte(strconv.Itoa(used+100)), 0))
		w.run(k)
		w.done(k)
		must(os.WriteFile(limit, was, 0))
		seen := ofKind[*evidence.FDRefused](w, k.pid)
		if len(seen) != 3 || seen[0].Errno != evidence.ENFILE || seen[0].Call != "openat" || seen[0].Path != "/dev/null" || seen[0].Open >= seen[0].SoftLimit {
			t.Errorf("%d told of, first %+v; want 3 with ENFILE, openat", len(seen), seen)
		}
		c := w.Counters()
		if c[evidence.CountFDRefused] != 5 || c[evidence.CountFDRefusedTable] != 5 {
			t.Errorf("counters %v, want 5 of the machine's", c)
		}
	})
}

// childInotify uses up the user's instances and watches, in a user namespace where there are few.
func childInotify([]string) {
	runtime.LockOSThread()
	must(os.WriteFile("/proc/sys/user/max_inotify_instances", []byte("1"), 0))
	must(os.WriteFile("/proc/sys/user/max_inotify_watches", []byte("1"), 0))
	fd, err := raw(unix.SYS_INOTIFY_INIT1, 0)
	if err != 0 {
		panic(err)
	}
	for range 5 {
		if _, err := raw(unix.SYS_INOTIFY_INIT1, 0); err != unix.EMFILE {
			panic(fmt.Sprint("inotify_init1: ", err))
		}
	}
	if _, err := raw(unix.SYS_INOTIFY_ADD_WATCH, fd, cstr("/"), unix.IN_CREATE); err != 0 {
		panic(err)
	}
	if _, err := raw(unix.SYS_INOTIFY_ADD_WATCH, fd, cstr("/proc"), unix.IN_CREATE); err != unix.ENOSPC {
		panic(fmt.Sprint("inotify_add_watch: ", err))
	}
}

func TestInotifyRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		k := command(t, "exec", "inotify")
		k.says = true
		k.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		}
		w.run(k)
		w.done(k)
		var init, watch []*evidence.InotifyRefused
		for _, r := range ofKind[*evidence.InotifyRefused](w, k.pid) {
			if r.Call == "inotify_init1" {
				init = append(init, r)
			} else {
				watch = append(watch, r)
			}
			if r.Open == 0 || r.Open >= r.SoftLimit || r.MaxInstances == 0 || r.MaxWatches == 0 {
				t.Errorf("%+v, want descriptors and limits", r)
			}
		}
		if len(init) != 3 || init[0].Errno != evidence.EMFILE {
			t.Errorf("inotify_init1: %d whole, want 3 with EMFILE", len(init))
		}
		if len(watch) != 1 || watch[0].Errno != evidence.ENOSPC || watch[0].Path != "/proc" {
			t.Errorf("inotify_add_watch: %+v, want one, ENOSPC, /proc", watch)
		}
		c := w.Counters()
		if c[evidence.CountInotifyRefused] != 6 || c[evidence.CountFDRefused] != 0 {
			t.Errorf("counters %v, want 6 of inotify and no descriptor", c)
		}
		if r := ofKind[*evidence.FDRefused](w, k.pid); len(r) > 0 {
			t.Errorf("descriptors are free, and yet %+v", r[0])
		}
	})
}

// childGrow opens many descriptors and closes them, twice, and tells the highest.
func childGrow([]string) {
	runtime.LockOSThread()
	high := 0
	for range 2 {
		var fds []int
		for i := range 400 {
			var fd int
			var err error
			if i%2 == 0 {
				fd, err = unix.Open("/proc/self/status", unix.O_RDONLY, 0)
			} else {
				fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			}
			must(err)
			fds = append(fds, fd)
			high = max(high, fd)
		}
		for _, fd := range fds {
			must(unix.Close(fd))
		}
	}
	// The highest by a pipe, whose numbers are in memory, not in the result.
	var fds []int
	for {
		fd, err := unix.Dup(0)
		must(err)
		if fds = append(fds, fd); fd > high+100 {
			break
		}
	}
	var p [2]int
	must(unix.Pipe2(p[:], 0))
	for _, fd := range fds {
		must(unix.Close(fd))
	}
	var low [2]int
	must(unix.Pipe2(low[:], 0))
	fmt.Println(p[1])
}

func TestGrown(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		k := w.program("grow")
		high, err := strconv.Atoi(k.line())
		if err != nil {
			t.Fatal(err)
		}
		w.done(k)
		var grown []*evidence.FDGrown
		calls := map[string]int{}
		for _, g := range ofKind[*evidence.FDGrown](w, k.pid) {
			grown = append(grown, g)
			calls[g.Call]++
			switch g.Call {
			case "openat":
				if g.FDKind != evidence.FDFile || g.Path != "/proc/self/status" && g.Path != fmt.Sprintf("/proc/%d/status", k.pid) {
					t.Errorf("%+v, want the file", g)
				}
			case "socket":
				if g.FDKind != evidence.FDTCP {
					t.Errorf("%+v, want tcp", g)
				}
			}
			if g.Context == nil {
				t.Errorf("descriptor %d has no stack", g.FD)
			} else {
				checkCallContext(t, g.Context, false, 4096)
			}
		}
		if len(grown) < 10 || len(grown) > 25 {
			t.Fatalf("%d told of, want about 17 up to %d", len(grown), high)
		}
		for i, g := range grown {
			if i > 0 && g.FD < grown[i-1].FD+16 || g.FD < 64 {
				t.Errorf("descriptor %d after %d", g.FD, grown[max(i-1, 0)].FD)
			}
		}
		if calls["openat"] == 0 || calls["socket"] == 0 || calls["dup"] == 0 {
			t.Errorf("calls %v", calls)
		}
		if _, e := w.exitOf(k.pid); int(e.HighestEver) != high {
			t.Errorf("highest at exit %d, want %d", e.HighestEver, high)
		}
		w.bystander("grow")
	})
}
