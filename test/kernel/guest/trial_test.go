package guest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descry-dev/descry/test/kernel/wire"
)

// trial is a program that descry watches while something happens to the whole machine.
type trial struct {
	name  string
	argv  []string // "child:NAME": this binary; a word that ends in .py or .c: a program of testdata
	code  int      // of descry run; -1: any but 0
	cause string   // the first finding
	or    []string // others that are as right
	never []string // must not be found
	words []string // each stands in the report
	store string   // keep the case under this name, "CAUSE/positive-real-NAME"
	known string   // why descry cannot tell it yet
	once  bool     // judges what other trials have shown of each kernel: one machine is enough

	before func(t *testing.T)             // before descry starts
	midway func(t *testing.T, r *running) // once the program wrote "ready"
}

// running is a trial's program.
type running struct {
	in    io.WriteCloser
	pid   int // of the program: what it wrote after "ready", 0: nothing
	ended chan struct{}
	lines chan string // of its standard output
}

// await reads lines until one begins with text, and returns it.
func (r *running) await(t *testing.T, text string) string {
	t.Helper()
	for {
		select {
		case l := <-r.lines:
			if strings.HasPrefix(l, text) {
				return l
			}
		case <-r.ended:
			t.Fatalf("it ended before it said %q", text)
		case <-time.After(patience):
			t.Fatalf("it never said %q", text)
		}
	}
}

// tell writes a line to the program's standard input.
func (r *running) tell(t *testing.T) {
	if _, err := io.WriteString(r.in, "go\n"); err != nil {
		t.Errorf("tell the program to go on: %v", err)
	}
}

const patience = 60 * time.Second

// command makes a trial's argv one for the machine, and adds what its environment must have.
func command(t *testing.T, argv []string) (words, env []string) {
	t.Helper()
	words = slices.Clone(argv)
	for i, w := range argv {
		name, isChild := strings.CutPrefix(w, "child:")
		switch {
		case isChild:
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			words[i], env = self, append(env, "GUEST_CHILD="+name)
		case strings.HasSuffix(w, ".py"):
			words[i] = filepath.Join("testdata", w)
		case strings.HasSuffix(w, ".c"):
			p, err := filepath.Abs(filepath.Join("testdata", strings.TrimSuffix(w, ".c")))
			if err == nil {
				_, err = os.Stat(p)
			}
			if err != nil {
				t.Skip("not compiled on the host: ", err)
			}
			words[i] = p
		}
	}
	return words, env
}

func (c *trial) run(t *testing.T) {
	argv, env := command(t, c.argv)
	if c.before != nil {
		c.before(t)
	}
	report := filepath.Join(t.TempDir(), "case.json")
	cmd := descry(t, append([]string{"run", "--report", report, "--cases", t.TempDir(), "--"}, argv...)...)
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It passes the signal on: killed itself, it would leave the program behind.
	hung := time.AfterFunc(2*patience, func() {
		t.Errorf("not done after %s", 2*patience)
		cmd.Process.Signal(syscall.SIGTERM)
	})
	defer hung.Stop()
	r := &running{in: in, ended: make(chan struct{}), lines: make(chan string, 64)}
	go func() {
		defer close(r.ended)
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case r.lines <- s.Text():
			default:
			}
		}
	}()
	if c.midway != nil {
		fmt.Sscanf(r.await(t, "ready"), "ready %d", &r.pid)
		c.midway(t, r)
	}
	<-r.ended
	cmd.Wait()
	code := cmd.ProcessState.ExitCode()
	if code != c.code && (c.code != -1 || code <= 0) {
		t.Errorf("exit code %d, want %d", code, c.code)
	}
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("no case: %v\n%s", err, said.Bytes())
	}
	c.judge(t, b, said.String())
}

func (c *trial) judge(t *testing.T, b []byte, said string) {
	var got struct {
		Findings []struct{ Cause, Confidence, Summary string }
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	first, confidence := "", ""
	if len(got.Findings) > 0 {
		first, confidence = got.Findings[0].Cause, got.Findings[0].Confidence
	}
	right := first == c.cause || slices.Contains(c.or, first)
	bad := t.Errorf
	if c.known != "" {
		bad = t.Logf
	}
	if !right {
		bad("found %q, want %s %s", first, c.cause, c.known)
	}
	for _, f := range got.Findings {
		if slices.Contains(c.never, f.Cause) {
			t.Errorf("found %s, which is not so: %s", f.Cause, f.Summary)
		}
	}
	flat := strings.Join(strings.Fields(said), " ")
	for _, w := range c.words {
		if !strings.Contains(flat, w) {
			bad("the report lacks %q", w)
		}
	}
	t.Logf("%+v\n%s", got.Findings, said)
	if os.Getenv(wire.StoreEnv) == "" {
		return
	}
	switch {
	case !right:
		store("wrong/"+c.name, first+" "+confidence, b) // for a look at it
	case c.store != "":
		store(c.store, first+" "+confidence, b)
	}
}

// store sends a case to the host, see wire.StoreWord.
func store(name, want string, b []byte) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	text := base64.StdEncoding.EncodeToString(z.Bytes())
	for len(text) > 0 {
		n := min(len(text), 400) // longer lines come in pieces
		fmt.Printf("%s %s %s\n", wire.StoreWord, name, text[:n])
		text = text[n:]
	}
	fmt.Printf("%s %s %s\n", wire.StoreWord, name, want)
}
