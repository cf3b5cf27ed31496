package report

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/descry-dev/descry/internal/evidence"
)

var update = flag.Bool("update", false, "write the golden files")

func load(tb testing.TB, file string) *evidence.Case {
	tb.Helper()
	f, err := os.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	c, err := evidence.ReadCase(f)
	if err != nil {
		tb.Fatalf("%s: %v", file, err)
	}
	return c
}

func cases(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no cases: %v", err)
	}
	return files
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s differs (go test -update writes it anew):\n%s", file, d)
	}
}

func TestGolden(t *testing.T) {
	for _, file := range cases(t) {
		c := load(t, file)
		name := strings.TrimSuffix(file, ".json")
		for _, w := range []int{100, 60} {
			var b bytes.Buffer
			if err := Terminal(&b, c, Options{Width: w, CaseHint: "descry why " + c.ID}); err != nil {
				t.Fatal(err)
			}
			golden(t, fmt.Sprintf("%s.%d.golden", name, w), b.Bytes())
		}
		var b bytes.Buffer
		if err := Markdown(&b, c); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".md.golden", b.Bytes())
	}
}

func TestHeadlines(t *testing.T) {
	want := map[string]string{
		"select-overflow": "cart died of a select() overflow (certain)",
		"fd-limit":        "python3 died of running out of file descriptors (certain)",
		"unexplained":     "cart died of SIGKILL, unexplained",
		"exit-error":      "cart exited with code 3; nothing seen says why",
		"output-stalled":  "cart died of a stalled output (likely)",
		"below-a-shell":   "sh died of a null pointer in cart (certain)",
		"warning":         "cart has a descriptor leak (certain)",
		"not-started":     "/srv/nosuch could not be started (certain)",
		"stack-overflow":  "cart died of a stack overflow (certain)",
	}
	for name, w := range want {
		if got := Headline(load(t, "testdata/"+name+".json")); got != w {
			t.Errorf("%s: %q, want %q", name, got, w)
		}
	}
	c := load(t, "testdata/below-a-shell.json")
	c.Kind, c.Death.PID, c.Death.Comm = evidence.CaseChildDeath, 4300, "cart"
	if got, w := Headline(c), "cart (pid 4300), a child of sh, died of a null pointer in cart (certain)"; got != w {
		t.Errorf("child: %q, want %q", got, w)
	}
}

func TestWarning(t *testing.T) {
	g := &evidence.FDGroup{Kind: evidence.FDTCP, State: "CLOSE_WAIT", Peer: "10.0.3.7:5432", Count: 790}
	for _, x := range []struct {
		h    evidence.Headroom
		soft int64
		want string
	}{
		{evidence.Headroom{Limit: "fd_setsize", Open: 812, Max: 1024, PerSecond: 0.5, Seconds: 424, Group: g}, 4096,
			"descry: descriptors grow 0.5/s, 812 of 4096; this program uses select(), which overflows at 1024: in about 7 min (tcp CLOSE_WAIT to 10.0.3.7:5432)"},
		{evidence.Headroom{Limit: "nofile", Open: 812, Max: 1024, PerSecond: 0.05, Seconds: 4240}, 1024,
			"descry: descriptors grow 3.0/min, 812 of 1024: full in about 71 min"},
		{evidence.Headroom{Limit: "nofile", Open: 1024, Max: 1024, PerSecond: 12}, 1024,
			"descry: descriptors grow 12/s, 1024 of 1024: full"},
	} {
		if got := Warning(&x.h, x.soft); got != x.want {
			t.Errorf("got  %s\nwant %s", got, x.want)
		}
	}
}

func TestRelative(t *testing.T) {
	for ns, want := range map[int64]string{0: "0s", 900_000: "-0.9ms", 420e6: "-420ms", 2_100e6: "-2.1s", 132e9: "-2m12s", 1200e9: "-20m",
		7500e9: "-2h05m", 200_000e9: "-2d7h", -3e9: "+3.0s"} {
		if got := relative(ns); got != want {
			t.Errorf("%d: %s, want %s", ns, got, want)
		}
	}
}

func TestReadable(t *testing.T) {
	for in, want := range map[string]string{
		"plain\nlines\n":                  "plain|lines",
		"caf\xe9 au lait":                 `caf\xe9 au lait`,
		"\x1b[31mred\x1b[0m text":         "red text",
		"ok \x00\x4e\xf3\x7f\x00\x00 end": "ok <6 bytes, not text: 00 4e f3 7f 00 00> end",
		"\x00\x00a\x00\x00\x00b\x00":      "<8 bytes, not text: 00 00 61 00 00 00 62 00>",
		"bell\x07":                        `bell\x07`,
		"10%\r20%\rdone":                  "10%|20%|done",
		"rtl \u202e gone":                 `rtl \xe2\x80\xae gone`,
		"日本語 ログ":                          "日本語 ログ",
		"crlf\r\nnext":                    "crlf|next",
	} {
		if got := strings.Join(readable([]byte(in)), "|"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWrapAndCut(t *testing.T) {
	for _, s := range []string{"", "a b c", strings.Repeat("x", 300), "日本語日本語日本語日本語 mixed words 日本語", "one " + strings.Repeat("界", 50) + " two",
		"e\u0301e\u0301e\u0301 accents " + strings.Repeat("e\u0301", 70)} {
		for w := 2; w < 60; w++ {
			s := clean(s)
			lines := wrap(s, w)
			for _, l := range lines {
				if cells(l) > w {
					t.Errorf("wrap(%q, %d): %q has %d cells", s, w, l, cells(l))
				}
			}
			if got, want := strings.ReplaceAll(strings.Join(lines, ""), " ", ""), strings.ReplaceAll(s, " ", ""); got != want {
				t.Errorf("wrap(%q, %d) lost text: %q", s, w, got)
			}
			if got := cut(s, w); cells(got) > w {
				t.Errorf("cut(%q, %d): %q", s, w, got)
			}
			if got := middle(s, w); cells(got) > w || !utf8.ValidString(got) {
				t.Errorf("middle(%q, %d): %q", s, w, got)
			}
		}
	}
	if got := middle("/usr/lib/x86_64-linux-gnu/libcart.so.3", 20); got != "/usr/l…/libcart.so.3" {
		t.Errorf("middle: %q", got)
	}
}

func TestFences(t *testing.T) {
	c := load(t, "testdata/exit-error.json")
	c.LastOutput = &evidence.LastOutput{Stderr: []byte("```\n# not a heading\n````\n")}
	var b bytes.Buffer
	if err := Markdown(&b, c); err != nil {
		t.Fatal(err)
	}
	if want := "`````text\n```\n# not a heading\n````\n`````\n"; !strings.Contains(b.String(), want) {
		t.Errorf("%q is not in %s", want, b.String())
	}
}

// TestLongStory: a long timeline is told in a few lines, what the finding cites among them.
func TestLongStory(t *testing.T) {
	c := load(t, "testdata/exit-error.json")
	c.Timeline = nil
	for i := range 200 {
		c.Timeline = append(c.Timeline, evidence.Observation{BootNanos: c.Death.BootNanos - int64(200-i)*1e9, Source: evidence.SourceKernel, PID: c.Subject.PID,
			Detail: &evidence.AddressRefused{Call: "connect", Errno: evidence.EADDRNOTAVAIL, Address: fmt.Sprintf("10.0.0.1:%d", i), Count: 1}})
	}
	for i := range 30 { // alike ones, counted
		c.Timeline = append(c.Timeline, evidence.Observation{BootNanos: c.Death.BootNanos - int64(30-i)*1e6, Source: evidence.SourceKernel, PID: c.Subject.PID,
			Detail: &evidence.FDRefused{Call: "openat", Errno: evidence.EMFILE, Count: int64(i + 1)}})
	}
	c.Findings[0].Evidence = []int{3, 77}
	rows := story(c)
	if len(rows) != maxRows {
		t.Errorf("%d rows, want %d", len(rows), maxRows)
	}
	var all []string
	for _, r := range rows {
		all = append(all, r.what)
	}
	s := strings.Join(all, "\n")
	for _, want := range []string{"10.0.0.1:3)", "10.0.0.1:77)", "EMFILE, 30 times"} {
		if strings.Count(s, want) != 1 {
			t.Errorf("%q is not once in\n%s", want, s)
		}
	}
}

func TestList(t *testing.T) {
	var cs []*evidence.Case
	for _, f := range cases(t) {
		cs = append(cs, load(t, f))
	}
	var b bytes.Buffer
	if err := List(&b, cs, Options{Width: 100}, time.UTC); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/list.golden", b.Bytes())
	safe(t, b.String(), 100)
}

// safe fails where output could do something to a terminal, or is too wide.
func safe(t *testing.T, s string, width int) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Errorf("not UTF-8: %q", s)
	}
	for line := range strings.SplitSeq(s, "\n") {
		for _, r := range line {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == 0x2028 || r == 0x2029 {
				t.Fatalf("%U in %q", r, line)
			}
		}
		if width > 0 && cells(line) > width {
			t.Fatalf("%d cells, %d allowed: %q", cells(line), width, line)
		}
	}
}

// poison puts s into every string of a value, and n into every number.
func poison(v reflect.Value, s string, n int64) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			poison(v.Elem(), s, n)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Name != "Unknown" && f.IsExported() {
				poison(v.Field(i), s, n)
			}
		}
	case reflect.Slice, reflect.Array:
		if v.Type() == reflect.TypeFor[[]byte]() {
			v.SetBytes([]byte(s))
			return
		}
		for i := range v.Len() {
			poison(v.Index(i), s, n)
		}
	case reflect.String:
		v.SetString(s)
	case reflect.Int32, reflect.Int64:
		if n != 0 {
			v.SetInt(n)
		}
	case reflect.Uint64:
		if n != 0 {
			v.SetUint(uint64(n))
		}
	}
}

var hostile = []string{"\x1b[2J\x1b]0;owned\x07", "a\nb\r\nc\td", "\x00\xff\xfe", "\u202ereversed\u2066", "</code><script>alert(1)</script>", "```\n# no\n```", "| a | b |",
	strings.Repeat("界", 200), strings.Repeat("e\u0301\u0301\u0301\u0301\u0301", 80), strings.Repeat("w", 1000), "\u0085\u009b31m", "[x](javascript:1) ![y](z) @team", ""}

func TestHostile(t *testing.T) {
	for _, file := range cases(t) {
		for _, s := range hostile {
			for _, n := range []int64{0, -1, 1 << 62} {
				c := load(t, file)
				poison(reflect.ValueOf(c), s, n)
				check(t, c)
			}
		}
	}
}

func check(t *testing.T, c *evidence.Case) {
	t.Helper()
	for _, w := range []int{0, 1, 61, 133} {
		var b bytes.Buffer
		if err := Terminal(&b, c, Options{Width: w, CaseHint: "descry why x"}); err != nil {
			t.Fatal(err)
		}
		limit := max(w, minWidth)
		if w == 0 {
			limit = 100
		}
		safe(t, b.String(), limit)
		// Colour adds its own sequences and nothing else.
		var col bytes.Buffer
		if err := Terminal(&col, c, Options{Width: w, CaseHint: "descry why x", Color: true}); err != nil {
			t.Fatal(err)
		}
		if got := strings.NewReplacer(bold, "", dim, "", red, "", reset, "").Replace(col.String()); got != b.String() {
			t.Errorf("colour changes the text: %s", cmp.Diff(b.String(), got))
		}
		b.Reset()
		if err := List(&b, []*evidence.Case{c}, Options{Width: w}, nil); err != nil {
			t.Fatal(err)
		}
		safe(t, b.String(), limit)
	}
	var b bytes.Buffer
	if err := Markdown(&b, c); err != nil {
		t.Fatal(err)
	}
	safe(t, b.String(), 0)
	outside := b.String()
	for { // what stands outside fences
		i := strings.Index(outside, "\n```")
		if i < 0 {
			break
		}
		fence := outside[i+1 : i+1+len(outside[i+1:])-len(strings.TrimLeft(outside[i+1:], "`"))]
		end := strings.Index(outside[i+1+len(fence):], "\n"+fence+"\n")
		if end < 0 {
			t.Fatalf("a fence does not end: %q", outside[i:])
		}
		outside = outside[:i] + outside[i+1+len(fence)+end+len(fence)+1:]
	}
	if at := regexp.MustCompile(`<script|[^\\]\]\(javascript|[^\\]!\[`).FindString(outside); at != "" {
		t.Errorf("%q takes effect", at)
	}
	safe(t, Headline(c), 0)
	for i := range c.Timeline {
		if h, ok := c.Timeline[i].Detail.(*evidence.Headroom); ok {
			safe(t, Warning(h, 1024), 0)
		}
	}
}

func FuzzReport(f *testing.F) {
	for _, file := range cases(f) {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, "\x1b[2J", int64(0))
		f.Add(b, "界", int64(-1))
	}
	f.Fuzz(func(t *testing.T, b []byte, s string, n int64) {
		c, err := evidence.ReadCase(bytes.NewReader(b))
		if err != nil {
			t.Skip()
		}
		check(t, c)
		poison(reflect.ValueOf(c), s, n)
		check(t, c)
	})
}

// TestAnyBytes shows that no output whatever gets through raw.
func TestAnyBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		b := make([]byte, r.IntN(400))
		for i := range b {
			b[i] = byte(r.IntN(256))
			if r.IntN(3) > 0 {
				b[i] = "abc \n\x1b[31m"[r.IntN(10)]
			}
		}
		for _, l := range readable(b) {
			safe(t, l, 0)
		}
	}
}
