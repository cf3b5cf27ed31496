package agent

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/test/exclusive"
)

// shim writes what comes through a pipe to a log, as a runtime does, until the pipe is closed.
func shim(t *testing.T, log *os.File, stream string) (w *os.File, over chan struct{}) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	over = make(chan struct{})
	go func() {
		defer close(over)
		defer r.Close()
		in := bufio.NewReaderSize(r, 16<<10)
		for {
			line, err := in.ReadSlice('\n')
			if len(line) > 0 {
				tag, end := "F", ""
				if line[len(line)-1] != '\n' {
					tag, end = "P", "\n"
				}
				fmt.Fprintf(log, "%s %s %s %s%s", time.Now().UTC().Format(time.RFC3339Nano), stream, tag, line, end)
			}
			if err != nil && err != bufio.ErrBufferFull {
				if err != io.EOF {
					t.Error(err)
				}
				return
			}
		}
	}()
	return w, over
}

// The output of a container turns to garbage: it is looked at closer, what comes then has its writer, and the case has the end of
// both streams. What another one writes is not its.
func TestNodeOutput(t *testing.T) {
	n := newTestNode(t)
	root := t.TempDir()
	n.cfg.HostRoot = root
	links, pods := filepath.Join(root, "var/log/containers"), filepath.Join(root, "var/log/pods/ns_web_"+testPod)
	logOf := func(i int, name string) *os.File {
		dir := filepath.Join(pods, name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(links, 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(dir, "0.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("/var/log/pods/ns_web_"+testPod, name, "0.log"), filepath.Join(links, "web_ns_"+name+"-"+testID(i)+".log")); err != nil {
			t.Fatal(err)
		}
		return f
	}
	n.start()
	const lines = `n=0; while [ $n -lt 60 ]; do echo "2026-11-22 07:24:16 INFO request $n took 17 ms"; n=$((n+1)); done; `
	boxes := []*box{}
	for i, script := range []string{
		`read x; ` + lines + `echo to stderr >&2; head -c 400 /dev/urandom; echo; read y; ` + lines + `head -c 500 /dev/urandom; echo; ` + lines + `echo the end; kill -SEGV $$`,
		`read x; ` + lines + `echo the other end; exit 3`,
	} {
		log := logOf(i, fmt.Sprint("c", i))
		defer log.Close()
		var over [2]chan struct{}
		n.stdout, over[0] = shim(t, log, "stdout")
		n.stderr, over[1] = shim(t, log, "stderr")
		b := n.box(testPod, i, "", "sh", "-c", script)
		n.stdout.Close()
		n.stderr.Close()
		boxes = append(boxes, b.watched())
	}
	bad, good := boxes[0], boxes[1]
	good.die()
	bad.die()
	step := false
	n.until("garbage makes it look closer", func() bool {
		st, err := AskNode(n.cfg.State)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range st.Subjects {
			if s.ContainerID == bad.id && s.Step == 1 {
				step = true
			}
		}
		return step
	})
	bad.die() // goes on
	n.until("both cases", func() bool { return len(n.of(bad)) == 1 && len(n.of(good)) == 1 })
	c, other := n.of(bad)[0], n.of(good)[0]
	var pieces, blamed int
	for i := range c.Timeline {
		d, ok := c.Timeline[i].Detail.(*evidence.Garbled)
		if !ok {
			continue
		}
		pieces++
		if d.Stream != "stdout" {
			t.Errorf("garbage in %s", d.Stream)
		}
		if w := d.Writer; w != nil {
			blamed++
			if w.Comm != "head" || w.FD != 1 || !w.Exact || w.FDKind != evidence.FDPipe {
				t.Errorf("written by %+v", w)
			}
		} else if d.Unseen == "" {
			t.Errorf("%+v says nothing of its writer", d)
		}
	}
	if pieces < 2 || blamed == 0 {
		t.Errorf("%d pieces of garbage, %d with a writer", pieces, blamed)
	}
	if c.LastOutput == nil || !strings.HasSuffix(string(c.LastOutput.Stdout), "the end\n") || string(c.LastOutput.Stderr) != "to stderr\n" {
		t.Errorf("the last output is %+v", c.LastOutput)
	}
	if g := c.LastOutput.FirstGarbage; len(g) != 1 || !strings.Contains(string(g[0].Before), "request 59") {
		t.Errorf("before the first garbage: %+v", g)
	}
	if c.Counters[evidence.CountGarbled] < 800 {
		t.Errorf("%d bytes are counted", c.Counters[evidence.CountGarbled])
	}
	if !c.Covered("output") || !other.Covered("output") {
		t.Error("its log was followed from its first byte, and the case does not say so")
	}
	for i := range other.Timeline {
		if other.Timeline[i].Kind() == evidence.KindGarbled {
			t.Error("the other one has its garbage")
		}
	}
	if !strings.HasSuffix(string(other.LastOutput.Stdout), "the other end\n") {
		t.Errorf("the other's last output is %q", other.LastOutput.Stdout)
	}
	n.stop()
}

// A container's process leaves a core: its case has it.
func TestNodeCoreOfContainer(t *testing.T) {
	n := newTestNode(t)
	pattern := exclusive.CorePattern(t)
	before := pattern()
	n.cfg.Cores, n.cfg.CoreDir = "stacks", filepath.Join(t.TempDir(), "cores")
	n.start()
	b := n.box(testPod, 0, "", "sh", "-c", "ulimit -c unlimited; read x; kill -SEGV $$").watched()
	parent := n.box(testPod, 1, "", "sh", "-c", "ulimit -c unlimited; read x; sh -c 'kill -ABRT $$'; read y").watched()
	b.die()
	parent.die()
	n.until("both cases", func() bool { return len(n.of(b)) == 1 && len(n.of(parent)) == 1 })
	for _, b := range []*box{b, parent} {
		c := n.of(b)[0]
		if c.Core == nil || !c.Core.Saved || c.Core.PID != c.Death.PID {
			t.Errorf("%s: its core is %+v", c.Kind, c.Core)
		}
	}
	if c := n.of(parent)[0]; c.Kind != evidence.CaseChildDeath {
		t.Errorf("the child's death is %s", c.Kind)
	}
	parent.die()
	n.stop()
	if now := pattern(); now != before {
		t.Errorf("core_pattern is %q then, and was %q", now, before)
	}
}
