package diagnose

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/descry-dev/descry/internal/evidence"
)

var update = flag.Bool("update", false, "write testdata of the made cases")

// expectations reads testdata/<cause>/expect.txt: lines of "file cause confidence".
func expectations(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	b, err := os.ReadFile(filepath.Join(dir, "expect.txt"))
	if err != nil && !*update {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if name, want, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(name, "#") {
			out[name] = want
		}
	}
	return out
}

func first(c *evidence.Case) string {
	if len(c.Findings) == 0 {
		return "unexplained"
	}
	return c.Findings[0].Cause + " " + string(c.Findings[0].Confidence)
}

// TestMade keeps the made cases in testdata up to date; TestCases judges them.
func TestMade(t *testing.T) {
	expect := map[string]map[string]string{}
	for _, m := range made() {
		m.c.ID = "01JDMADE" + strings.ToUpper(strings.NewReplacer("/", "", "-", "").Replace(m.name))
		var buf bytes.Buffer
		if err := evidence.WriteCase(&buf, m.c); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", m.name+".json")
		dir, name := filepath.Dir(file), filepath.Base(m.name)
		if expect[dir] == nil {
			os.MkdirAll(dir, 0o755)
			expect[dir] = expectations(t, dir)
		}
		if *update {
			if err := os.WriteFile(file, buf.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			expect[dir][name] = m.want
			continue
		}
		if old, err := os.ReadFile(file); err != nil || !bytes.Equal(old, buf.Bytes()) || expect[dir][name] != m.want {
			t.Errorf("%s is not what its builder makes: run go test -update (%v)", file, err)
		}
	}
	if !*update {
		return
	}
	for dir, m := range expect {
		var b strings.Builder
		b.WriteString("# file, the cause that must be found first, its confidence\n")
		names := make([]string, 0, len(m))
		for n := range m {
			names = append(names, n)
		}
		slices.Sort(names)
		for _, n := range names {
			fmt.Fprintf(&b, "%s %s\n", n, m[n])
		}
		if err := os.WriteFile(filepath.Join(dir, "expect.txt"), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// stored reads every case of testdata.
func stored(tb testing.TB) map[string]*evidence.Case {
	tb.Helper()
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no cases in testdata: %v", err)
	}
	out := map[string]*evidence.Case{}
	for _, f := range files {
		out[f] = load(tb, f)
	}
	return out
}

func load(tb testing.TB, file string) *evidence.Case {
	tb.Helper()
	r, err := os.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	c, err := evidence.ReadCase(r)
	if err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	return c
}

func TestCases(t *testing.T) {
	for file, c := range stored(t) {
		t.Run(strings.TrimPrefix(strings.TrimSuffix(file, ".json"), "testdata/"), func(t *testing.T) {
			dir, name := filepath.Dir(file), strings.TrimSuffix(filepath.Base(file), ".json")
			want := expectations(t, dir)[name]
			if want == "" {
				t.Fatalf("%s/expect.txt does not say what to find", dir)
			}
			Judge(c)
			if got := first(c); got != want {
				t.Errorf("found %s, want %s", got, want)
				for _, f := range c.Findings {
					t.Logf("%s %s: %s", f.Cause, f.Confidence, f.Summary)
				}
			}
			cause := filepath.Base(dir)
			for _, f := range c.Findings {
				if f.Cause == cause && !strings.HasPrefix(want, cause+" ") {
					t.Errorf("%s contributes, and must be silent: %s", cause, f.Summary)
				}
				if f.Title == "" || f.Summary == "" || f.Advice == "" || f.Confidence.Rank() == 0 {
					t.Errorf("incomplete finding: %+v", f)
				}
			}
			for _, r := range c.RuledOut {
				for _, f := range c.Findings {
					if f.Cause == r.Cause {
						t.Errorf("%s is both found and ruled out", r.Cause)
					}
				}
			}
		})
	}
}

// TestEveryCause sees to it that each cause has a case of each sort.
func TestEveryCause(t *testing.T) {
	for _, c := range All {
		for _, sort := range []string{"positive", "near-miss", "bystander"} {
			if m, _ := filepath.Glob(filepath.Join("testdata", c.ID, sort+"-*.json")); len(m) == 0 {
				t.Errorf("%s has no %s case", c.ID, sort)
			}
		}
		if c.Title == "" || c.Why == "" || c.Seen == "" || c.Advice == "" || c.Rule == nil {
			t.Errorf("%s is incomplete", c.ID)
		}
	}
}

func TestRelations(t *testing.T) {
	explains := map[string][]string{}
	for _, c := range All {
		if explains[c.ID] != nil {
			t.Errorf("%s is listed twice", c.ID)
		}
		explains[c.ID] = append([]string{}, c.Explains...)
	}
	for _, c := range All {
		for _, x := range slices.Concat(c.Explains, c.Swallows) {
			if explains[x] == nil {
				t.Errorf("%s names the cause %s, which is not there", c.ID, x)
			}
		}
	}
	var walk func(id string, path []string)
	walk = func(id string, path []string) {
		if slices.Contains(path, id) {
			t.Errorf("explanations form a cycle: %v %s", path, id)
			return
		}
		for _, x := range explains[id] {
			walk(x, append(slices.Clone(path), id))
		}
	}
	for id := range explains {
		walk(id, nil)
	}
}

func text2(t *testing.T, c *evidence.Case) string {
	t.Helper()
	var b bytes.Buffer
	if err := evidence.WriteCase(&b, c); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSymptoms(t *testing.T) {
	for file, want := range map[string]string{
		"fd-limit/bystander-own-bug":             "slow-death",
		"select-overflow/positive-overlap-crash": "garbled-output no-output",
		"output-stalled/bystander-own-bug":       "torn-output",
		"stdio-replaced/bystander-crash":         "no-output",
		"fd-limit/positive-real-python-files":    "",
		"killed/positive-real-c-sigkill":         "",
	} {
		c := load(t, filepath.Join("testdata", file+".json"))
		Judge(c)
		var got []string
		for _, s := range c.Symptoms {
			got = append(got, s.Kind)
		}
		if g := strings.Join(got, " "); g != want {
			t.Errorf("%s: %q, want %q", file, g, want)
		}
	}
}

// TestRuledOut: only what was watched throughout can be ruled out.
func TestRuledOut(t *testing.T) {
	c := mk("/srv/cart").samples(0, 59, 40, 1024, flat(14)).table(14, 1024, 4096).exits(3)
	Judge(c)
	got := map[string]string{}
	for _, r := range c.RuledOut {
		got[r.Cause] = r.Because
	}
	for cause, because := range map[string]string{"fd-limit": "0 refused, 14 of 1024 open at death, highest 13", "fd-leak": "14 descriptors at first, 14 at last, 59 s apart",
		"select-overflow": "it never called select()", "memory-limit": "no OOM kill"} {
		if got[cause] != because {
			t.Errorf("%s: %q, want %q", cause, got[cause], because)
		}
	}
	for _, spoil := range []func(*evidence.Case){
		func(c *evidence.Case) {
			for i := range c.Coverage {
				c.Coverage[i].Lost = 1
			}
		},
		func(c *evidence.Case) {
			for i := range c.Coverage {
				c.Coverage[i].Missing = "needs root"
			}
		},
		func(c *evidence.Case) { c.Coverage = nil },
	} {
		spoil(c)
		Judge(c)
		if len(c.RuledOut) != 0 {
			t.Errorf("not watched, and ruled out: %v", c.RuledOut)
		}
	}
}

// TestOrder: what explains another stands before it, even when it is less sure of itself.
func TestOrder(t *testing.T) {
	c := load(t, "testdata/fd-limit/positive-nil-response.json")
	Judge(c)
	var got []string
	for _, f := range c.Findings {
		got = append(got, f.Cause+" "+string(f.Confidence))
	}
	if want := []string{"fd-limit likely", "uncaught-error certain"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestForeignNames(t *testing.T) {
	const bad = "\x1b[2J\nevil\x00"
	c := mk("/srv/ca\x1brt").at(59.99, mainPID, &evidence.AddressRefused{Call: "bind", Errno: evidence.EADDRINUSE, Address: bad, Count: 1, Holder: 7, HolderCommand: bad}).
		fails(mainPID, true, call(0.2, "bind", evidence.EADDRINUSE, 3, bad)).stderr("x\x1b[31m" + bad + "\n").exits(1)
	sound(t, c)
	if first(c) != "address-in-use possible" { // its last words cannot be read
		t.Errorf("found %s", first(c))
	}
}

// TestProperties: judging again changes nothing, nor does the order of coverage; and without its
// evidence a case says nothing stronger than how it ended.
func TestProperties(t *testing.T) {
	for file, c := range stored(t) {
		Judge(c)
		once := text2(t, c)
		Judge(c)
		if d := cmp.Diff(once, text2(t, c)); d != "" {
			t.Errorf("%s: judged twice: %s", file, d)
		}
		again := load(t, file)
		slices.Reverse(again.Coverage)
		Judge(again)
		slices.Reverse(again.Coverage)
		if d := cmp.Diff(once, text2(t, again)); d != "" {
			t.Errorf("%s: coverage turned round: %s", file, d)
		}
		bare := load(t, file)
		bare.Timeline, bare.LastOutput, bare.FDTable, bare.Counters, bare.Coverage, bare.Core = nil, nil, nil, nil, nil, nil
		Judge(bare)
		for _, f := range bare.Findings {
			switch f.Cause {
			case "exit-error", "killed", "finished":
			case "start-failure": // the runtime was told by execve itself
				if !bare.Death.NotStarted {
					t.Errorf("%s without evidence: %s %s", file, f.Cause, f.Confidence)
				}
			default:
				if f.Confidence == evidence.Certain {
					t.Errorf("%s without evidence: %s %s: %s", file, f.Cause, f.Confidence, f.Summary)
				}
			}
		}
		if len(bare.RuledOut) != 0 {
			t.Errorf("%s without coverage rules out %v", file, bare.RuledOut)
		}
	}
}
