//go:build linux

package probe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["many"] = childMany
	children["stalled"] = childStalled
}

// childMany holds so many descriptors of files in its folder, and asks for its end.
func childMany(args []string) {
	n, _ := strconv.Atoi(args[0])
	for i := range n {
		// Half of them are one file, half are files of their own.
		name := args[1] + "/one"
		if i%2 == 1 {
			name = fmt.Sprintf("%s/own-%d", args[1], i)
		}
		_, err := unix.Open(name, unix.O_CREAT|unix.O_RDWR, 0o600)
		must(err)
	}
	ents, err := os.ReadDir("/proc/self/fd")
	must(err)
	highest := 0
	for _, e := range ents {
		fd, _ := strconv.Atoi(e.Name())
		highest = max(highest, fd)
	}
	fmt.Println(len(ents)-1, highest) // without the directory itself, which is not the highest
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// childStalled fills its standard output, which nobody reads, and blocks in a write to it.
func childStalled(args []string) {
	runtime.LockOSThread()
	fmt.Fprintln(os.Stderr, unix.Gettid())
	for {
		_, _ = unix.Write(1, make([]byte, 4096))
	}
}

func (w *watch) sweepOf(pid int) *evidence.Observation {
	w.t.Helper()
	var found *evidence.Observation
	if err := w.Sweep(func(o *evidence.Observation) {
		if int(o.PID) == pid {
			found = o
		}
	}); err != nil {
		w.t.Fatal(err)
	}
	return found
}

func TestSweep(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/sweep")
	k := w.start("many", "700", t.TempDir())
	var n, highest int64
	if _, err := fmt.Sscan(k.line(), &n, &highest); err != nil {
		t.Fatal(err)
	}
	outside := command(t, "sleep")
	w.outside(outside)
	outside.line()
	o := w.sweepOf(k.pid)
	if o == nil {
		t.Fatal("not swept")
	}
	d := o.Detail.(*evidence.Process)
	var lim unix.Rlimit
	must(unix.Prlimit(k.pid, unix.RLIMIT_NOFILE, nil, &lim))
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", k.pid))
	var size, resident int64
	_, _ = fmt.Sscan(string(status), &size, &resident)
	resident *= int64(os.Getpagesize())
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", k.pid))
	if d.Open != n || d.Highest != highest-1 && d.Highest != highest || d.SoftLimit != int64(lim.Cur) || d.HardLimit != int64(lim.Max) || d.Threads != int64(len(threads)) {
		t.Errorf("%+v; want %d open, highest %d, limits %v, %d threads", d, n, highest, lim, len(threads))
	}
	if d.RSSBytes < resident/2 || d.RSSBytes > resident*2 {
		t.Errorf("resident %d, /proc says %d", d.RSSBytes, resident)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", o.PID))
	if err != nil {
		t.Fatal(err)
	}
	if n := int64(bytes.Count(b, []byte("\n"))); d.Mappings < n-20 || d.Mappings > n+20 || d.Mappings == 0 {
		t.Errorf("%d mappings, /proc says %d", d.Mappings, n)
	}
	if o.Source != evidence.SourceSample || o.Comm != ownComm() {
		t.Errorf("%+v", o)
	}
	if len(d.Stdio) != 3 || d.Stdio[0].FDKind != evidence.FDPipe || d.Stdio[1].FDKind != evidence.FDPipe {
		t.Errorf("stdio %+v", d.Stdio)
	}
	if len(d.Output) == 0 || d.Output[0].FD != 1 || fmt.Sprintf("pipe:[%d]", d.Output[0].Inode) != d.Stdio[1].Path || d.Output[0].Used != 0 || d.Output[0].Slots != 16 {
		t.Errorf("output %+v, stdio %+v", d.Output, d.Stdio)
	}
	if again := w.sweepOf(k.pid).Detail.(*evidence.Process); again.Stdio != nil {
		t.Errorf("unchanged stdio again: %+v", again.Stdio)
	}
	if w.sweepOf(outside.pid) != nil {
		t.Error("a process outside the tree was swept")
	}

	table, err := w.Table(k.pid)
	if err != nil {
		t.Fatal(err)
	}
	if table.Open != n || table.ByKind[evidence.FDFile] < 700 || len(table.Groups) < 2 || table.Groups[0].Count != 350 || table.Groups[1].Count != 350 {
		b, _ := json.Marshal(table)
		t.Errorf("%s", b)
	}
	k.in.Close()
	k.end()
	w.flushed()
	_, e := w.exitOf(k.pid)
	if e.FDs.Open != n || e.FDs.ByKind[evidence.FDFile] != table.ByKind[evidence.FDFile] {
		t.Errorf("at death %+v", e.FDs)
	}
	if w.sweepOf(k.pid) != nil {
		t.Error("a process that is gone was swept")
	}
	if _, err := w.Table(k.pid); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("table of a process that is gone: %v", err)
	}
}

func TestSweepSeesABlockedWriter(t *testing.T) {
	w := open(t, Config{})
	w.need("probe/sweep")
	k := command(t, "stalled")
	r, out, err := os.Pipe()
	must(err)
	defer r.Close()
	said, say, err := os.Pipe()
	must(err)
	defer said.Close()
	k.Stderr = say
	k.Stdout = out
	w.run(k)
	out.Close()
	say.Close()
	var tid int32
	if _, err := fmt.Fscan(said, &tid); err != nil {
		t.Fatal(err)
	}
	var d *evidence.Process
	for d == nil || len(d.Blocked) == 0 { // it blocks as soon as the pipe is full
		d = w.sweepOf(k.pid).Detail.(*evidence.Process)
	}
	if d.Blocked[0].TID != tid || d.Blocked[0].FD != 1 || len(d.Output) == 0 || d.Output[0].Used != d.Output[0].Slots || d.Output[0].Slots == 0 {
		t.Errorf("%+v, want thread %d", d, tid)
	}
	d = w.sweepOf(k.pid).Detail.(*evidence.Process)
	if len(d.Blocked) != 1 || d.Blocked[0].Nanos <= 0 {
		t.Errorf("later: %+v", d.Blocked)
	}
	if _, err := r.Read(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	must(k.Process.Kill())
}
