package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/descry-dev/descry/internal/output"
)

// tally is what came of one class of honest text.
type tally struct {
	name         string
	files        int
	lines, bytes int64
	alarms, in   int64 // spans, and files with some
	foreign      map[string]int
	foreignLines int64
	example      []string
}

// honestText are where text is on a Debian system, and what is text there by its name.
var honestText = []struct {
	name  string
	ok    func(path string) bool
	roots []string
}{
	{"manual pages", under("/man/"), []string{"/usr/share/man"}},
	{"documentation", documents, []string{"/usr/share/doc", "/usr/share/info", "/usr/share/common-licenses", "/usr/share/perl", "/usr/share/vim", "/usr/share/help"}},
	{"translations", suffix(".mo", ".po", ".ftl"), []string{"/usr/share/locale", "/usr/share/locale-langpack"}},
	{"word lists, sayings", words, []string{"/usr/share/dict", "/usr/share/hunspell", "/usr/share/games/fortunes", "/usr/share/myspell"}},
	{"sources", suffix(".c", ".h", ".go", ".py", ".pl", ".pm", ".rb", ".js", ".mjs", ".ts", ".java", ".php", ".rs", ".sh", ".lua", ".el", ".hpp", ".cc", ".S", ".s"),
		[]string{"/usr/include", "/usr/lib/python3", "/usr/lib/python3.11", "/usr/share/perl", "/usr/lib/ruby", "/usr/share/nodejs", "/usr/lib/node_modules", "/usr/local", goRoot(), os.Getenv("HOME") + "/go/pkg/mod", os.Getenv("HOME") + "/.cargo/registry/src"}},
	{"data: JSON, XML, PEM, YAML", suffix(".json", ".xml", ".svg", ".pem", ".crt", ".yaml", ".yml", ".toml", ".csv", ".html", ".css"),
		[]string{"/usr/share", "/etc", "/usr/lib/python3", goRoot(), os.Getenv("HOME") + "/go/pkg/mod"}},
	{"logs of this machine", suffix(".log", ".log.gz", ".log.1"), []string{"/var/log"}},
}

// goRoot is where the sources of Go's own library are.
func goRoot() string {
	b, err := ran("go", "env", "GOROOT")
	if err != nil {
		return "/usr/local/go"
	}
	return strings.TrimSpace(string(b))
}

func under(part string) func(string) bool {
	return func(path string) bool { return strings.Contains(path, part) }
}

func documents(path string) bool {
	switch filepath.Ext(strings.TrimSuffix(path, ".gz")) {
	case "", ".txt", ".md", ".html", ".htm", ".Debian", ".rst", ".xml", ".c", ".h", ".py", ".pl", ".pm", ".pod", ".sh", ".conf", ".info", ".vim", ".el", ".tex", ".po", ".awk", ".lua", ".rb", ".css", ".js", ".sgml", ".dbk":
		return true
	}
	return false
}

func words(path string) bool {
	switch filepath.Ext(path) {
	case ".dat", ".hash", ".idx", ".bdic", ".gz", ".pdat":
		return false
	}
	return true
}

// notText are files with such names that hold something else, or tests of what must be refused; each was
// looked at on the half for tuning.
var notText = []struct {
	is  func(path string, b []byte) bool
	why string
}{
	{func(_ string, b []byte) bool { return len(b) > 4 && b[0] == 0x30 && b[1] >= 0x81 && b[1] <= 0x83 }, "certificates and keys in DER, in files named .crt and .pem"},
	{func(path string, _ []byte) bool { return strings.Contains(path, "/invalid/encoding/") }, "files of toml-test that are in UTF-16 or broken on purpose"},
}

// honest judges text that must raise no alarm.
func (e *eval) honest() error {
	var all []*tally
	logs := &tally{name: "real logs", foreign: map[string]int{}}
	for _, path := range e.logs { // not tuned to, and each line counts
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		e.judgeText(logs, path, b)
	}
	all = append(all, logs)
	legacy := map[string]*tally{}
	seen := map[uint64]bool{}
	skipped := map[string]int{}
	var mu sync.Mutex
	for _, h := range honestText {
		t := &tally{name: h.name, foreign: map[string]int{}}
		all = append(all, t)
		roots := slices.Clone(h.roots)
		for _, d := range e.text {
			for _, r := range h.roots {
				found, _ := filepath.Glob(filepath.Join(d, "*", r)) // packages that were unpacked
				roots = append(roots, found...)
			}
		}
		paths := make(chan string)
		var wg sync.WaitGroup
		for range runtime.NumCPU() {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for path := range paths {
					b, err := textOf(path)
					if err != nil || len(b) == 0 {
						continue
					}
					id := hash(b)
					mu.Lock()
					dup := seen[id]
					seen[id] = true
					mu.Unlock()
					if dup || !e.mine(id) {
						continue
					}
					if why := excluded(path, b); why != "" {
						mu.Lock()
						skipped[why]++
						mu.Unlock()
						continue
					}
					mine := &tally{foreign: map[string]int{}}
					e.judgeText(mine, path, b)
					old := e.inOldEncodings(path, b)
					mu.Lock()
					t.add(mine)
					for _, o := range old {
						if legacy[o.name] == nil {
							legacy[o.name] = &tally{name: o.name, foreign: map[string]int{}}
						}
						legacy[o.name].add(o)
					}
					mu.Unlock()
				}
			}()
		}
		for _, root := range roots {
			filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() && h.ok(path) {
					paths <- path
				}
				return nil
			})
		}
		close(paths)
		wg.Wait()
		fmt.Fprintf(os.Stderr, "%-30s %9d lines in %6d files, %d alarms\n", t.name, t.lines, t.files, t.alarms)
		for _, x := range t.example {
			fmt.Fprintln(os.Stderr, "   ", x)
		}
	}
	all = append(all, e.printed()...)
	var old []*tally
	for _, t := range legacy {
		old = append(old, t)
		for _, x := range t.example {
			fmt.Fprintln(os.Stderr, "   ", t.name, x)
		}
	}
	slices.SortFunc(old, func(a, b *tally) int { return strings.Compare(a.name, b.name) })
	e.honestTable(all, old, skipped)
	return nil
}

func (t *tally) add(o *tally) {
	t.files, t.lines, t.bytes, t.alarms, t.in = t.files+o.files, t.lines+o.lines, t.bytes+o.bytes, t.alarms+o.alarms, t.in+o.in
	t.foreignLines += o.foreignLines
	for k, n := range o.foreign {
		t.foreign[k] += n
	}
	t.example = append(t.example, o.example...)
}

func excluded(path string, b []byte) string {
	for _, x := range notText {
		if x.is(path, b) {
			return x.why
		}
	}
	return ""
}

func (e *eval) judgeText(t *tally, path string, b []byte) {
	t.files++
	t.bytes += int64(len(b))
	n := int64(bytes.Count(b, []byte("\n")))
	if b[len(b)-1] != '\n' {
		n++
	}
	t.lines += n
	var j output.Judge
	spans := j.Flush(j.Write(nil, b))
	if len(spans) > 0 {
		t.in++
		t.alarms += int64(len(spans))
		if len(t.example) < 2*min(e.show, 1) {
			s := spans[0]
			t.example = append(t.example, fmt.Sprintf("%s: %d, %s of %d at %d: %.140q", path, len(spans), s.LooksLike, s.Length, s.Offset, b[max(0, s.Offset-20):min(int64(len(b)), s.Offset+s.Length+20)]))
		}
	}
	name := "text"
	if f, ok := j.Foreign(); ok {
		name = f.Encoding
		t.foreignLines += n
	}
	if len(spans) > 0 {
		name = "garbage"
	}
	t.foreign[name]++
}

// textOf reads a text, unpacked, a catalogue of translations as its messages.
func textOf(path string) ([]byte, error) {
	b, err := readMost(path, 16<<20)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(b, []byte("\x1f\x8b\x08")) {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		if b, err = io.ReadAll(io.LimitReader(z, 16<<20)); err != nil {
			return nil, err
		}
	}
	if filepath.Ext(path) == ".mo" {
		b = catalogue(b)
	}
	return b, nil
}

// catalogue gives the messages of a gettext file, one behind the other.
func catalogue(b []byte) (out []byte) {
	if len(b) < 28 || binary.LittleEndian.Uint32(b) != 0x950412de {
		return nil
	}
	n, table := int(binary.LittleEndian.Uint32(b[8:])), int(binary.LittleEndian.Uint32(b[16:]))
	for i := range n {
		if table+8*i+8 > len(b) {
			break
		}
		size, at := int(binary.LittleEndian.Uint32(b[table+8*i:])), int(binary.LittleEndian.Uint32(b[table+8*i+4:]))
		if at+size > len(b) {
			break
		}
		out = append(append(out, bytes.ReplaceAll(b[at:at+size], []byte{0}, []byte{'\n'})...), '\n') // a NUL parts plurals
	}
	return out
}

func (e *eval) honestTable(all, old []*tally, skipped map[string]int) {
	w := e.out
	var sum tally
	fmt.Fprint(w, "\n## Honest text\n\n| text | files | lines | MB | false alarms | files read as in another encoding |\n| --- | ---: | ---: | ---: | ---: | --- |\n")
	row := func(t *tally) {
		var others []string
		for k, n := range t.foreign {
			if k != "text" && k != "garbage" {
				others = append(others, fmt.Sprintf("%s %d", k, n))
			}
		}
		slices.Sort(others)
		fmt.Fprintf(w, "| %s | %d | %d | %.0f | %d | %s |\n", t.name, t.files, t.lines, float64(t.bytes)/1e6, t.alarms, strings.Join(others, ", "))
		sum.files, sum.lines, sum.bytes, sum.alarms = sum.files+t.files, sum.lines+t.lines, sum.bytes+t.bytes, sum.alarms+t.alarms
	}
	for _, t := range all {
		row(t)
	}
	fmt.Fprintf(w, "| **together** | %d | %d | %.0f | %d | |\n", sum.files, sum.lines, float64(sum.bytes)/1e6, sum.alarms)
	first := sum
	fmt.Fprint(w, "\nThe same texts in the encodings that their scripts were written in before UTF-8 (rows: truth; columns: verdict, in files):\n\n| in | files | lines | named right | named otherwise | text | garbage (false alarms) |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, t := range old {
		fmt.Fprintf(w, "| %s | %d | %d | %d | %d | %d | %d (%d) |\n", t.name, t.files, t.lines, t.foreign["named right"], t.foreign["named otherwise"], t.foreign["text"], t.foreign["garbage"], t.alarms)
		sum.lines, sum.alarms = sum.lines+t.lines, sum.alarms+t.alarms
	}
	fmt.Fprintf(w, "\nFalse alarms in %d lines of UTF-8 and as they came: %d, with 95%% confidence fewer than %.2g a line. With the old encodings: %d in %d lines, fewer than %.2g a line.\n",
		first.lines, first.alarms, bound(first.alarms, first.lines), sum.alarms, sum.lines, bound(sum.alarms, sum.lines))
	if len(skipped) > 0 {
		fmt.Fprint(w, "\nNot counted, since it is no text though it is named so:\n\n")
		for _, x := range notText {
			if n := skipped[x.why]; n > 0 {
				fmt.Fprintf(w, "- %s (%d files)\n", x.why, n)
				delete(skipped, x.why)
			}
		}
	}
}

// bound is the upper end, with 95% confidence, of a rate of which n were seen among so many (Poisson; Wilson and
// Hilferty's approximation of its quantile, exact enough).
func bound(n, of int64) float64 {
	k := float64(n + 1)
	z := 1.6449
	x := k * math.Pow(1-1/(9*k)+z/(3*math.Sqrt(k)), 3)
	return x / float64(max(of, 1))
}
