package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/probe"
)

// logged are lines of a log in a shell that begins no process for them.
const logged = `n=0; while [ $n -lt 60 ]; do echo "2026-11-22 07:24:16 INFO request $n took 17 ms"; n=$((n+1)); done; `

// oddBytes is garbage as printf of a shell takes it.
func oddBytes() string {
	var b strings.Builder
	for i, x := 0, uint32(1); i < 96; i++ {
		x = x*1664525 + 1013904223
		fmt.Fprintf(&b, `\%03o`, x>>24)
	}
	return b.String()
}

// The first garbage of a container comes before any write was looked at: where one process alone had the output open, it is
// most likely its; where a child that has ended had it, too, nobody's.
func TestNodeAlone(t *testing.T) {
	n := newTestNode(t)
	root := t.TempDir()
	n.cfg.HostRoot = root
	n.start()
	boxes := []*box{}
	for i, script := range []string{
		`read x; ` + logged + `printf '` + oddBytes() + `\n'; ` + logged + `read y; kill -SEGV $$`,
		`read x; ` + logged + `(printf '` + oddBytes() + `\n'; kill -KILL $(exec sh -c 'echo $PPID')); ` + logged + `read y; kill -SEGV $$`,
		`sleep 1000 & read x; ` + logged + `printf '` + oddBytes() + `\n'; ` + logged + `read y; kill $!; kill -SEGV $$`,
	} {
		name := fmt.Sprint("c", i)
		dir := filepath.Join(root, "var/log/pods/ns_web_"+testPod, name)
		links := filepath.Join(root, "var/log/containers")
		for _, d := range []string{dir, links} {
			if err := os.MkdirAll(d, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		log, err := os.OpenFile(filepath.Join(dir, "0.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		if err := os.Symlink(filepath.Join("/var/log/pods/ns_web_"+testPod, name, "0.log"), filepath.Join(links, "web_ns_"+name+"-"+testID(i)+".log")); err != nil {
			t.Fatal(err)
		}
		n.stdout, _ = shim(t, log, "stdout")
		b := n.box(testPod, i, "", "sh", "-c", script)
		n.stdout.Close()
		boxes = append(boxes, b.watched())
	}
	n.stdout = nil
	from := time.Now()
	n.until("they have lived for longer than a runtime takes to read", func() bool { return time.Since(from) > 3*time.Duration(aloneSlack)/2 })
	for _, b := range boxes {
		b.die()
	}
	n.until("garbage was seen in all", func() bool {
		st, err := AskNode(n.cfg.State)
		if err != nil {
			t.Fatal(err)
		}
		k := 0
		for _, s := range st.Subjects {
			k += s.Step
		}
		return k == len(boxes)
	})
	for _, b := range boxes {
		b.die()
	}
	n.until("their cases", func() bool { return len(n.of(boxes[0])) > 0 && len(n.of(boxes[1])) > 0 && len(n.of(boxes[2])) > 0 })
	for i, b := range boxes {
		var first *evidence.Garbled
		c := n.of(b)[0]
		for k := range c.Timeline {
			if d, ok := c.Timeline[k].Detail.(*evidence.Garbled); ok && first == nil {
				first = d
			}
		}
		switch {
		case first == nil:
			t.Errorf("box %d: no garbage", i)
		case i == 0 && (first.Writer == nil || first.By != evidence.ByAlone || first.Writer.PID != c.Subject.PID || first.Writer.Exact || first.Writer.FD != 1 || first.Unseen != ""):
			t.Errorf("alone: %+v, written by %+v", first, first.Writer)
		case i > 0 && (first.Writer != nil || first.Unseen == ""):
			t.Errorf("box %d: %+v, written by %+v", i, first, first.Writer)
		}
	}
	n.stop()
}

// Of some processes the one is found that has a pipe open for writing.
func TestAloneOf(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(w.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	start := func(out, in *os.File) int32 {
		cmd := exec.Command("sleep", "1000")
		if cmd.Stdin = nil; in != nil {
			cmd.Stdin = in
		}
		if out != nil {
			cmd.Stdout = out
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		return int32(cmd.Process.Pid)
	}
	writer, other, reader, none := start(w, nil), start(w, nil), start(nil, r), start(nil, nil)
	w.Close()
	out := pipeOf{Inode: st.Ino}
	for _, c := range []struct {
		name string
		pids []int32
		want int32
	}{
		{"alone", []int32{none, writer, reader}, writer},
		{"two", []int32{writer, other}, 0},
		{"a reader", []int32{reader}, 0},
		{"none", []int32{none}, 0},
		{"one is gone", []int32{writer, 1 << 30}, 0},
		{"nobody", nil, 0},
	} {
		got := aloneOf(c.pids, out)
		if c.want == 0 && got != nil || c.want != 0 && (got == nil || got.PID != c.want || got.FD != 1 || got.Comm != "sleep" || got.FDKind != evidence.FDPipe || got.Exact) {
			t.Errorf("%s: %+v, want %d", c.name, got, c.want)
		}
	}
}

// What stands before a byte was read when the piece in front of its own was.
func TestStampsBefore(t *testing.T) {
	var s stamps
	at := func(sec int) time.Time { return time.Date(2026, 11, 22, 7, 24, sec, 0, time.UTC) }
	for i := range stampsKept + 3 { // the first three are forgotten
		s.add(int64(10*i), []byte(at(i).Format(time.RFC3339Nano)))
	}
	for _, c := range []struct {
		at   int64
		want time.Time
	}{{20, time.Time{}}, {30, time.Time{}}, {39, time.Time{}}, {40, at(3)}, {45, at(3)}, {99, at(8)}, {100, at(9)}, {1000, at(9)}} {
		if got := s.before(c.at); !got.Equal(c.want) {
			t.Errorf("before %d: %v, want %v", c.at, got, c.want)
		}
	}
}

// The sources that tell which processes there are go by the names that the probes have.
func TestLostProcesses(t *testing.T) {
	n := newTestNode(t)
	set, err := probe.Open(probe.Config{Node: &probe.Node{Scope: n.scope}})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	known := map[string]bool{"probe": true}
	for _, st := range set.Status() {
		known[st.Name] = true
	}
	for _, source := range tellProcesses {
		if !known[source] {
			t.Errorf("no probe is called %s", source)
		}
		if !lostProcesses(map[string]int64{source: 1}) {
			t.Errorf("what %s has lost does not count", source)
		}
	}
	if lostProcesses(map[string]int64{"probe/dns": 1}) || lostProcesses(nil) {
		t.Error("lost names of DNS count")
	}
}
