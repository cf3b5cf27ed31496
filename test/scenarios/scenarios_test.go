package scenarios

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestMain(m *testing.M) {
	if l := os.Getenv(launchEnv); l != "" {
		os.Unsetenv(launchEnv)
		doLaunch(l)
	}
	code := m.Run()
	report()
	os.Exit(code)
}

var (
	slots   = make(chan struct{}, 2)
	results struct {
		sync.Mutex
		all []*found
	}
)

// descry is the command under test: DESCRY_BIN, or built.
var descry = sync.OnceValues(func() (string, error) {
	if p := os.Getenv("DESCRY_BIN"); p != "" {
		return filepath.Abs(p)
	}
	dir, err := os.MkdirTemp("", "descry-bin")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", dir+"/descry", "../../cmd/descry")
	cmd.Dir = self
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build descry: %w\n%s", err, out)
	}
	return dir + "/descry", os.Chmod(dir, 0o755)
})

func TestScenarios(t *testing.T) {
	bin := ""
	if !*bareOnly {
		if os.Geteuid() != 0 {
			t.Skip("needs root: eBPF")
		}
		var err error
		if bin, err = descry(); err != nil {
			t.Fatal(err)
		}
	}
	names := map[string]bool{}
	byCause := map[string][]*Scenario{}
	var causes []string
	list := all()
	for i := range list {
		s := &list[i]
		if names[s.Cause+"/"+s.Name] || s.Name == "" || s.Cause == "" || s.Why == "" {
			t.Fatalf("scenario %q: its name stands twice, or it says too little", s.Name)
		}
		names[s.Cause+"/"+s.Name] = true
		if byCause[s.Cause] == nil {
			causes = append(causes, s.Cause)
		}
		byCause[s.Cause] = append(byCause[s.Cause], s)
	}
	for _, c := range causes {
		t.Run(c, func(t *testing.T) {
			for _, s := range byCause[c] {
				t.Run(s.Name, func(t *testing.T) {
					t.Parallel()
					s.test(t, bin, 0)
				})
			}
		})
	}
	enough(t)
}

// enough holds the whole to what is promised: the first finding right in 95 of 100, and 95 of 100
// told in full. A wrong answer has failed its own test already.
func enough(t *testing.T) {
	results.Lock()
	defer results.Unlock()
	n, right, full := 0, 0, 0
	for _, f := range results.all {
		if f.unprivileged {
			continue
		}
		n++
		if f.verdict() == "right" {
			right++
		}
		if len(f.less) == 0 {
			full++
		}
	}
	t.Logf("%d scenarios: the first finding right in %d, told in full %d", n, right, full)
	if right*100 < n*95 || full*100 < n*95 {
		t.Errorf("of %d scenarios %d are right and %d told in full: less than 95%%", n, right, full)
	}
}

// nobody's programs: what descry says without any privilege. It sees less, so a miss is no failure; a
// wrong answer is, and so is any difference in what the program does.
const nobody = 65534

func TestWithoutRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: becoming another user")
	}
	if *bareOnly {
		t.Skip("needs descry: -bare is set")
	}
	bin, err := descry()
	if err != nil {
		t.Fatal(err)
	}
	list := all()
	for i := range list {
		s := &list[i]
		if s.Unprivileged {
			t.Run(s.Cause+"/"+s.Name, func(t *testing.T) {
				t.Parallel()
				s.test(t, bin, nobody)
			})
		}
	}
}

func (s *Scenario) test(t *testing.T, bin string, uid uint32) {
	if m := missing(s.needs()); m != "" {
		t.Skip("needs " + m)
	}
	slots <- struct{}{}
	defer func() { <-slots }()
	dir := filepath.Join(shortTemp(t), "w")
	var bare *Run
	if !*skipBare || bin == "" {
		bare = &Run{t: t, s: s, dir: dir, uid: uid}
		bare.play(nil)
		if bare.exit != s.Exit && !s.AnyExit {
			t.Errorf("bare: exit %d, want %d\nstdout: %.3000q\nstderr: %.3000q", bare.exit, s.Exit, bare.out, bare.err)
		}
		if bin == "" {
			t.Logf("bare: exit %d after %v\nstdout: %.600q\nstderr: %.1500q", bare.exit, bare.duration.Round(1e6), bare.out, bare.err)
			return
		}
	}
	if t.Failed() {
		return
	}
	caseFile := filepath.Join(filepath.Dir(dir), "case.json")
	under := &Run{t: t, s: s, dir: dir, watched: true, uid: uid}
	under.play([]string{bin, "run", "--report", caseFile, "--cases", filepath.Join(filepath.Dir(dir), "cases"), "--"})
	f := &found{s: s, cause: "unexplained", unprivileged: uid != 0}
	defer func() {
		results.Lock()
		defer results.Unlock()
		results.all = append(results.all, f)
	}()
	bad := func(format string, args ...any) {
		f.problems = append(f.problems, fmt.Sprintf(format, args...))
	}
	less := func(format string, args ...any) {
		f.less = append(f.less, fmt.Sprintf(format, args...))
	}
	under.judge(f, bare, caseFile, bad, less)
	if len(f.less) > 0 {
		t.Logf("less than there is to say: %s\nwhy: %s\ncase: %s\n%s", strings.Join(f.less, "\n"), s.Why, keep(s, caseFile), s.Known)
	}
	if len(f.problems) > 0 {
		kept := keep(s, caseFile)
		t.Errorf("%s\nwhy: %s\ncase: %s\ndescry's stderr:\n%s", strings.Join(f.problems, "\n"), s.Why, kept, tail(under.err.String(), 3500))
	}
}

// notStarted: the command itself cannot be started, so it has no output of its own.
func (s *Scenario) notStarted() bool {
	return s.Cause == "start-failure" && (strings.HasPrefix(s.Cmd[0], "no-such") || strings.Contains(s.Cmd[0], "{dir}") || s.Cmd[0] == "/tmp")
}

// judge compares what descry said with what is right.
func (r *Run) judge(f *found, bare *Run, caseFile string, bad, less func(string, ...any)) {
	s := r.s
	if r.exit != s.Exit && !s.AnyExit {
		bad("exit %d, want %d", r.exit, s.Exit)
	}
	stderr, said := r.err.String(), ""
	switch {
	case bare == nil || s.Varies:
		said = stderr
		if i := strings.Index("\n"+stderr, "\ndescry: "); i >= 0 {
			said = stderr[i:]
		}
	case s.notStarted():
		said = stderr
	default:
		got, want := r.out.String(), bare.out.String()
		if s.Do != nil { // who is killed at a word may or may not have ended the line
			got, want = strings.TrimSuffix(got, "\n"), strings.TrimSuffix(want, "\n")
		}
		if got != want {
			bad("stdout differs: under descry %.800q, bare %.800q", got, want)
		}
		if !s.Merge {
			rest, ok := cutOwn(stderr, bare.err.String())
			if !ok {
				bad("stderr differs: under descry %.1500q, bare %.1500q", stderr, bare.err)
			}
			said = rest
		}
	}
	file, err := os.Open(caseFile)
	if err != nil {
		bad("no case was written: %v", err)
		return
	}
	defer file.Close()
	c, err := evidence.ReadCase(file)
	if err != nil {
		bad("the case cannot be read: %v", err)
		return
	}
	if len(c.Findings) > 0 {
		f.cause, f.confidence = c.Findings[0].Cause, c.Findings[0].Confidence
	}
	if v := f.verdict(); v == "missed" {
		less("missed: found %s %s, want %s", cmp.Or(f.cause, "nothing"), f.confidence, strings.Join(append([]string{s.Cause}, s.Or...), " or "))
	} else if v != "right" {
		bad("%s: found %s %s, want %s", v, cmp.Or(f.cause, "nothing"), f.confidence, strings.Join(append([]string{s.Cause}, s.Or...), " or "))
	} else if len(s.Confidence) > 0 && !f.unprivileged && f.cause == s.Cause && !slices.Contains(s.Confidence, f.confidence) {
		tell := bad // more than is known
		if f.confidence.Rank() < s.Confidence[len(s.Confidence)-1].Rank() {
			tell = less
		}
		tell("found %s as %q, want %q", f.cause, f.confidence, s.Confidence)
	}
	for i, x := range c.Findings {
		if slices.Contains(s.Never, x.Cause) {
			bad("found %s (%s) as number %d, which is not so: %s", x.Cause, x.Confidence, i+1, x.Summary)
		} else if x.Confidence == evidence.Certain && !s.accepts(x.Cause) && !s.surface(x.Cause) && !slices.Contains(s.Beside, x.Cause) && !slices.Contains(weakest, x.Cause) {
			bad("certain of %s, which is not the cause: %s", x.Cause, x.Summary)
		}
	}
	for _, x := range c.RuledOut {
		if s.accepts(x.Cause) {
			bad("ruled out %s, which is the cause: %s", x.Cause, x.Because)
		}
	}
	if s.CaseKind != "" && c.Kind != s.CaseKind {
		bad("a case of kind %s, want %s", c.Kind, s.CaseKind)
	}
	if want := int32(s.Exit); c.Death != nil && c.Death.ExitCode != want && !s.AnyExit && c.Kind == evidence.CaseDeath {
		bad("death.exitCode %d, want %d", c.Death.ExitCode, want)
	}
	flat := strings.Join(strings.Fields(said), " ")
	if f.unprivileged {
		return
	}
	for _, w := range s.Words {
		if !strings.Contains(flat, w) {
			less("the report lacks %q", w)
		}
	}
	for _, w := range s.NoWords {
		if strings.Contains(flat, w) {
			bad("the report has %q", w)
		}
	}
	if f.unprivileged { // it says once what it cannot see
		if line, rest, _ := strings.Cut(said, "\n"); strings.HasPrefix(line, "descry: sees only ") {
			said = rest
		}
	}
	if s.Silent && strings.TrimSpace(said) != "" {
		bad("descry spoke, though there is nothing to say: %q", said)
	}
	if !s.Silent && s.Exit != 0 && strings.TrimSpace(said) == "" {
		bad("descry said nothing")
	}
	if *storeDir != "" {
		if err := store(f, caseFile); err != nil {
			bad("store: %v", err)
		}
	}
}

// cutOwn takes the program's own stderr off; what is left is descry's.
func cutOwn(stderr, own string) (rest string, ok bool) {
	if rest, ok := strings.CutPrefix(stderr, own); ok {
		return rest, true
	}
	// A line of descry's (a forecast) may stand between two of the program's.
	var mine strings.Builder
	var left []string
	for _, line := range strings.SplitAfter(stderr, "\n") {
		if strings.HasPrefix(line, "descry: ") {
			left = append(left, line)
			continue
		}
		mine.WriteString(line)
	}
	rest, ok = strings.CutPrefix(mine.String(), own)
	return strings.Join(left, "") + rest, ok
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// shortTemp is short, so that paths of UNIX sockets fit.
func shortTemp(t *testing.T) string {
	dir, err := os.MkdirTemp("", "scn")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o777)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// keep saves the case of a failed scenario for a look at it.
func keep(s *Scenario, file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	dir := filepath.Join(os.TempDir(), "descry-scenario-cases")
	os.MkdirAll(dir, 0o755)
	name := filepath.Join(dir, s.Cause+"_"+s.Name+".json")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		return err.Error()
	}
	return name
}

var storing sync.Mutex

// store writes a case that was judged rightly as internal/diagnose keeps them: DIR/CAUSE/NAME.json,
// and what is to be found in DIR/CAUSE/expect.txt. A near miss belongs to the cause that it resembles.
func store(f *found, file string) error {
	if f.verdict() != "right" || f.unprivileged {
		return nil
	}
	storing.Lock()
	defer storing.Unlock()
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	cause, sort := f.s.Cause, "positive"
	if len(f.s.Never) > 0 && f.s.Kind != "" {
		cause, sort = f.s.Never[0], "near-miss"
		if f.s.Kind == Pair {
			sort = "bystander"
		}
	}
	dir := filepath.Join(*storeDir, cause)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := sort + "-real-" + f.s.Name
	if err := os.WriteFile(filepath.Join(dir, name+".json"), b, 0o644); err != nil {
		return err
	}
	expect := filepath.Join(dir, "expect.txt")
	old, err := os.ReadFile(expect)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(old)), "\n"), func(l string) bool {
		return l == "" || strings.HasPrefix(l, name+" ")
	})
	want := f.cause
	if f.confidence != "" {
		want += " " + string(f.confidence)
	}
	lines = append(lines, name+" "+want)
	slices.Sort(lines) // "#" sorts before the names
	return os.WriteFile(expect, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}
