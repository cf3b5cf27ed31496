package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/descry-dev/descry/test/kernel/wire"
)

// suite is the compiled tests of one package.
type suite struct {
	name   string // "internal/probe"
	binary string
	data   []file // its testdata
}

// builder compiles for machines of one architecture, static programs, and each once.
type builder struct {
	work     string
	arch     string
	compiler compiler // of C
	built    map[string]string
}

// build makes what the go command is told to, in a file named name, and returns its path.
func (b *builder) build(ctx context.Context, name string, args ...string) (string, error) {
	if to, ok := b.built[name]; ok {
		return to, nil
	}
	to := filepath.Join(b.work, name)
	args = append([]string{args[0], "-trimpath", "-o", to}, args[1:]...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+b.arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	if b.built == nil {
		b.built = map[string]string{}
	}
	b.built[name] = to
	return to, nil
}

func (b *builder) program(ctx context.Context, pkg string) (string, error) {
	return b.build(ctx, path.Base(pkg), "build", "-ldflags=-s -w", pkg)
}

func (b *builder) suites(ctx context.Context, pkgs []string) ([]suite, error) {
	var all []suite
	for _, pkg := range pkgs {
		s := suite{name: path.Clean(pkg)}
		var err error
		if s.binary, err = b.build(ctx, path.Base(pkg)+".test", "test", "-c", pkg); err != nil {
			return nil, err
		}
		if _, err := os.Stat(s.binary); err != nil {
			return nil, fmt.Errorf("%s has no tests", pkg)
		}
		err = filepath.WalkDir(filepath.Join(pkg, "testdata"), func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				s.data = append(s.data, file{p, path.Join("/src", p)})
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := b.compile(ctx, &s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// command runs one program in the machine; its output and exit code are its own.
func (m *machine) command(ctx context.Context, argv []string) (int, error) {
	m.out = os.Stderr
	l := &commandListener{}
	err := m.run(ctx, []wire.Job{{Argv: argv}}, l)
	return l.code, err
}

type commandListener struct{ code int }

func (l *commandListener) output(_ int, b []byte) { os.Stdout.Write(b) }
func (l *commandListener) exit(_, code int)       { l.code = code }

// result is how the tests of a machine went.
type result struct {
	ok    bool
	said  string   // for the end of all
	again []string // tests that alone were wrong, few enough for a second try
}

// maxAgain is how many failed tests get a second try: emulation is slow, and slower where others use the
// same processors. More are no accident.
const maxAgain = 4

// again names the tests that failed, whole, if nothing else was wrong and they are few.
func (j *judge) again() []string {
	var names []string
	for _, f := range j.failed {
		_, test, _ := strings.Cut(f, " ")
		test, _, _ = strings.Cut(test, "/")
		if !strings.HasPrefix(test, "Test") {
			return nil
		}
		if !slices.Contains(names, test) {
			names = append(names, test)
		}
	}
	if len(j.skipped)+len(j.wrong) > 0 || len(names) > maxAgain {
		return nil
	}
	return names
}

// tests runs the suites in the machine.
func (m *machine) tests(ctx context.Context, suites []suite, o options) result {
	begin := time.Now()
	var jobs []wire.Job
	j := judge{out: m.out, verbose: o.verbose, allowed: allowedOn(m.kernel), store: store{dir: o.store}}
	for _, s := range suites {
		dst := path.Join("/test", path.Base(s.binary))
		m.files = append(m.files, file{s.binary, dst})
		m.files = append(m.files, s.data...)
		// Somewhat less than the machine's limit, so that a test that hangs shows its goroutines.
		argv := []string{dst, "-test.v=test2json", "-test.timeout", (m.limit - m.limit/10).String(), "-test.paniconexit0"}
		if m.short {
			argv = append(argv, "-test.short")
		}
		if o.run != "" {
			argv = append(argv, "-test.run", o.run)
		}
		job := wire.Job{Argv: argv, Dir: path.Join("/src", s.name)}
		if o.store != "" {
			job.Env = append(job.Env, wire.StoreEnv+"=1")
		}
		jobs = append(jobs, job)
		j.suites = append(j.suites, s.name)
	}
	err := m.run(ctx, jobs, &j)
	j.end()
	switch {
	case err != nil:
		j.wrong = append(j.wrong, err.Error())
	case len(j.passed)+len(j.failed)+len(j.skipped) == 0:
		j.wrong = append(j.wrong, "no test ran")
	case o.run == "":
		j.unused()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d passed, %d failed, %d skipped as they must, %d skipped that should not; %.0f s\n", m.kernel.version,
		len(j.passed), len(j.failed), j.mustSkip, len(j.skipped), time.Since(begin).Seconds())
	for _, f := range j.failed {
		fmt.Fprintf(&b, "  failed   %s\n", f)
	}
	for _, s := range j.skipped {
		fmt.Fprintf(&b, "  skipped  %s\n           (where it cannot run on this kernel at all, say why in test/kernel/skips.go)\n", s)
	}
	for _, w := range j.wrong {
		fmt.Fprintf(&b, "  wrong    %s\n", w)
	}
	return result{len(j.failed)+len(j.skipped)+len(j.wrong) == 0, b.String(), j.again()}
}

// judge turns the output of test binaries into verdicts.
type judge struct {
	out     io.Writer
	verbose bool
	suites  []string
	allowed []*allowedSkip

	passed, failed, skipped, wrong []string
	mustSkip                       int

	job    int
	before int             // failed tests of the jobs before the present one
	begun  map[string]bool // tests of the present job that have not ended
	stdin  io.WriteCloser  // of test2json, which reads the present job's output
	events chan struct{}   // closed when all its events were seen
	said   map[string][]string
	store  store
}

// event is one of go tool test2json.
type event struct {
	Action  string
	Test    string
	Output  string
	Elapsed float64
}

func (j *judge) output(job int, b []byte) {
	if j.stdin == nil {
		j.begin(job)
	}
	j.stdin.Write(b)
}

func (j *judge) exit(job, code int) {
	if j.stdin == nil {
		j.begin(job) // it said nothing
	}
	j.end()
	for test := range j.begun {
		j.wrong = append(j.wrong, fmt.Sprintf("%s %s did not end, and those behind it did not run: %s", j.suites[job], test, strings.Join(j.said[test], "        ")))
	}
	switch {
	case code != 0 && len(j.failed) == j.before:
		j.failed = append(j.failed, fmt.Sprintf("%s: exit code %d", j.suites[job], code))
	case code != 0 && code != 1: // as a panic ends it
		j.wrong = append(j.wrong, fmt.Sprintf("%s broke off with exit code %d: not all of its tests ran", j.suites[job], code))
	}
}

func (j *judge) begin(job int) {
	j.job, j.before, j.said, j.begun, j.events = job, len(j.failed), map[string][]string{}, map[string]bool{}, make(chan struct{})
	fmt.Fprintf(j.out, "tests of %s\n", j.suites[job])
	cmd := exec.Command("go", "tool", "test2json", "-t")
	r, w := io.Pipe()
	cmd.Stdin = r
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	j.stdin = w
	if err != nil {
		j.wrong = append(j.wrong, fmt.Sprintf("go tool test2json: %v", err))
		r.CloseWithError(err)
		close(j.events)
		return
	}
	go func() {
		defer close(j.events)
		d := json.NewDecoder(out)
		for {
			var e event
			if err := d.Decode(&e); err != nil {
				break
			}
			j.event(e)
		}
		cmd.Wait()
		r.Close()
	}()
}

// end waits until all that the present job said is judged.
func (j *judge) end() {
	if j.stdin == nil {
		return
	}
	j.stdin.Close()
	<-j.events
	j.stdin = nil
}

func (j *judge) event(e event) {
	name := j.suites[j.job] + " " + e.Test
	switch e.Action {
	case "run":
		j.begun[e.Test] = true
	case "pass", "fail", "skip":
		delete(j.begun, e.Test)
	}
	switch e.Action {
	case "output":
		if took, err := j.store.line(e.Output); took {
			if err != nil {
				j.wrong = append(j.wrong, err.Error())
			}
			return
		}
		if j.verbose {
			fmt.Fprint(j.out, "    ", e.Output)
		} else if e.Test == "" && !strings.HasPrefix(e.Output, "PASS") && !strings.HasPrefix(e.Output, "FAIL") {
			fmt.Fprint(j.out, "    ", e.Output)
		}
		if e.Test != "" {
			j.said[e.Test] = append(j.said[e.Test], e.Output)
		}
	case "pass":
		if e.Test == "" {
			return
		}
		j.passed = append(j.passed, name)
		if !strings.Contains(e.Test, "/") {
			fmt.Fprintf(j.out, "  ok    %s (%.2f s)\n", e.Test, e.Elapsed)
		}
	case "fail":
		if e.Test == "" {
			return
		}
		j.failed = append(j.failed, name)
		fmt.Fprintf(j.out, "  FAIL  %s (%.2f s)\n", e.Test, e.Elapsed)
		if !j.verbose {
			fmt.Fprint(j.out, "        ", strings.Join(j.said[e.Test], "        "))
		}
	case "skip":
		if e.Test == "" {
			return
		}
		reason := j.reason(e.Test)
		if i := slices.IndexFunc(j.allowed, func(a *allowedSkip) bool { return a.covers(name, reason) }); i >= 0 {
			j.allowed[i].used = true
			j.mustSkip++
			fmt.Fprintf(j.out, "  skip  %s: %s\n        as it must: %s\n", e.Test, reason, j.allowed[i].why)
			return
		}
		j.skipped = append(j.skipped, name+": "+reason)
		fmt.Fprintf(j.out, "  SKIP  %s: %s\n", e.Test, reason)
	}
	if e.Action != "output" {
		delete(j.said, e.Test)
	}
}

// reason is what a test that skipped said, less the frame that package testing puts around it.
func (j *judge) reason(test string) string {
	var words []string
	for _, s := range j.said[test] {
		s = strings.TrimSpace(s)
		if s == "" || strings.HasPrefix(s, "=== ") || strings.HasPrefix(s, "--- ") {
			continue
		}
		words = append(words, s)
	}
	if len(words) == 0 {
		return "no reason given"
	}
	return strings.Join(words, " ")
}

// unused finds what is allowed to skip and did not.
func (j *judge) unused() {
	for _, a := range j.allowed {
		if !a.used && slices.ContainsFunc(j.suites, func(s string) bool { return strings.HasPrefix(a.test, s+" ") }) {
			j.wrong = append(j.wrong, fmt.Sprintf("%s did not skip: test/kernel/skips.go allows it with %q, take that line out", a.test, a.says))
		}
	}
}
