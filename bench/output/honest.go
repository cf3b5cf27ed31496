package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"

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
		[]string{"/usr/include", "/usr/lib/python3", "/usr/lib/python3.11", "/usr/share/perl", "/usr/lib/ruby", "/usr/share/nodejs", "/usr/lib/node_modules", "/usr/local", runtime.GOROOT(), os.Getenv("HOME") + "/go/pkg/mod", os.Getenv("HOME") + "/.cargo/registry/src"}},
	{"data: JSON, XML, PEM, YAML", suffix(".json", ".xml", ".svg", ".pem", ".crt", ".yaml", ".yml", ".toml", ".csv", ".html", ".css"),
		[]string{"/usr/share", "/etc", "/usr/lib/python3", runtime.GOROOT(), os.Getenv("HOME") + "/go/pkg/mod"}},
	{"logs of this machine", suffix(".log", ".log.gz", ".log.1"), []string{"/var/log"}},
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

// old are the encodings that the scripts were written in before UTF-8, and what they are called.
var old = []struct {
	name    string
	as      string
	enc     encoding.Encoding
	scripts []*unicode.RangeTable
}{
	{"ISO-8859-1", "Latin-1", charmap.ISO8859_1, latin}, {"Windows-1252", "Latin-1", charmap.Windows1252, latin}, {"ISO-8859-15", "Latin-1", charmap.ISO8859_15, latin},
	{"ISO-8859-2", "Latin-1", charmap.ISO8859_2, latin}, {"Windows-1250", "Latin-1", charmap.Windows1250, latin}, {"Windows-1254", "Latin-1", charmap.Windows1254, latin},
	{"Windows-1257", "Latin-1", charmap.Windows1257, latin},
	{"Windows-1251", "Windows-1251", charmap.Windows1251, cyrillic}, {"KOI8-R", "KOI8-R", charmap.KOI8R, cyrillic}, {"CP866", "CP866", charmap.CodePage866, cyrillic},
	{"ISO-8859-7", "an 8-bit alphabet", charmap.ISO8859_7, []*unicode.RangeTable{unicode.Greek}}, {"Windows-1255", "an 8-bit alphabet", charmap.Windows1255, []*unicode.RangeTable{unicode.Hebrew}},
	{"Windows-1256", "an 8-bit alphabet", charmap.Windows1256, []*unicode.RangeTable{unicode.Arabic}}, {"Windows-874", "an 8-bit alphabet", charmap.Windows874, []*unicode.RangeTable{unicode.Thai}},
	{"Shift-JIS", "Shift-JIS", japanese.ShiftJIS, kana}, {"EUC-JP", "EUC-JP", japanese.EUCJP, kana}, {"ISO-2022-JP", "text", japanese.ISO2022JP, kana},
	{"EUC-KR", "EUC-KR", korean.EUCKR, []*unicode.RangeTable{unicode.Hangul}},
	{"GBK", "GBK", simplifiedchinese.GBK, han}, {"GB18030", "GBK", simplifiedchinese.GB18030, han}, {"Big5", "Big5", traditionalchinese.Big5, han},
}

var (
	latin    = []*unicode.RangeTable{unicode.Latin}
	cyrillic = []*unicode.RangeTable{unicode.Cyrillic}
	kana     = []*unicode.RangeTable{unicode.Hiragana}
	han      = []*unicode.RangeTable{unicode.Han}
)

// inOldEncodings judges a text again as it would stand in the encodings that its script was written in.
func (e *eval) inOldEncodings(path string, b []byte) (out []*tally) {
	if len(b) > 4<<20 || !utf8.Valid(b) {
		return nil
	}
	strange, sum := map[*unicode.RangeTable]int{}, 0
	for _, r := range string(b) {
		if r < 0x80 || !unicode.IsLetter(r) {
			continue
		}
		sum++
		for _, t := range []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Hebrew, unicode.Arabic, unicode.Thai, unicode.Hiragana, unicode.Hangul, unicode.Han} {
			if unicode.Is(t, r) {
				strange[t]++
				break
			}
		}
	}
	if sum < 50 {
		return nil
	}
	for _, o := range old {
		least := sum * 9 / 10
		if o.scripts[0] == unicode.Hiragana {
			least = sum / 5
		}
		if strange[o.scripts[0]] < least {
			continue
		}
		// Letters that the encoding has not would be question marks; where they are many nobody used it.
		p, lost := encoded(o.enc, b)
		if lost*50 > sum {
			continue
		}
		t := &tally{name: o.name, foreign: map[string]int{}}
		e.judgeText(t, path, p)
		for k, n := range t.foreign {
			if k != "garbage" && k != "text" {
				delete(t.foreign, k)
				if k == o.as {
					k = "named right"
				} else {
					k = "named otherwise"
				}
				t.foreign[k] += n
			}
		}
		out = append(out, t)
	}
	return out
}

// encoded is text in an encoding, with ? for each letter that it has not.
func encoded(e encoding.Encoding, b []byte) (out []byte, lost int) {
	enc := encoding.ReplaceUnsupported(e.NewEncoder())
	out, err := enc.Bytes(bytes.ReplaceAll(b, []byte{0x1a}, nil))
	if err != nil {
		return nil, math.MaxInt32
	}
	lost = bytes.Count(out, []byte{0x1a}) // what x/text puts
	return bytes.ReplaceAll(out, []byte{0x1a}, []byte{'?'}), lost
}

// printed is what programs print: recordings of terminals, progress, dumps, traces.
func (e *eval) printed() []*tally {
	var out []*tally
	for _, k := range []struct {
		name  string
		texts func() map[string][]byte
	}{{"terminal recordings, progress bars", e.recordings}, {"base64 and hex dumps", e.dumps}, {"stack traces", traces}} {
		t := &tally{name: k.name, foreign: map[string]int{}}
		for name, b := range k.texts() {
			if len(b) > 0 && (e.mine(hash(b)) || k.name != "base64 and hex dumps") {
				e.judgeText(t, name, b)
			}
		}
		out = append(out, t)
		fmt.Fprintf(os.Stderr, "%-30s %9d lines in %6d files, %d alarms\n%s\n", t.name, t.lines, t.files, t.alarms, strings.Join(t.example, "\n"))
	}
	return out
}

// recordings are of programs on a terminal of their own.
func (e *eval) recordings() map[string][]byte {
	out := map[string][]byte{}
	for _, c := range []string{
		"ls -la --color=always /usr/bin", "top -b -n 3", "top -n 3 -d 0.2", "man -P cat bash", "apt-cache show bash coreutils", "dpkg -l", "git --no-pager -c color.ui=always log -p -5", "ps axf", "lsblk", "df -h", "nano --version", "vim -c 'sleep 300m' -c q /etc/services", "less -f /etc/services </dev/null", "tput longname; tput smso; tput sgr0; tput clear",
		"dd if=/dev/zero of=/dev/null bs=1M count=3000 status=progress", "curl -# -o /dev/null file:///usr/bin/python3.11", "pv -f -L 20m /usr/bin/gdb >/dev/null", "rsync -a --progress --dry-run /usr/share/doc/ /tmp/nothing", "python3 -c \"import time,sys\nfor i in range(101): sys.stdout.write('\\r%3d%% [%-50s] \\u2588' % (i, '\\u2588'*(i//2)))\"",
		"bash -c 'for i in $(seq 0 255); do printf \"\\e[38;5;${i}m%3d\\e[48;5;${i}m  \\e[0m \" $i; done'", "bash -c 'for i in $(seq 30); do printf \"\\e[%d;%dH*\" $i $i; done'", "tree -C /etc", "strace -f ls /", "ip -c addr", "gcc -fdiagnostics-color=always -c /etc/passwd -x c -o /dev/null", "find /etc -print0 | head -c 3000", "cat /proc/self/environ", "openssl s_client -help", "openssl ciphers -v",
	} {
		b, err := exec.Command("timeout", "20", "script", "-qefc", c, "/dev/null").Output()
		if err == nil || len(b) > 0 {
			out[c] = b
		}
	}
	return out
}

// dumps are of programs, as people print them.
func (e *eval) dumps() map[string][]byte {
	out := map[string][]byte{}
	for i, b := range e.found(60, func(string) bool { return true }, "/usr/bin") {
		b = b[:min(len(b), 1<<19)]
		out[fmt.Sprint("hex.Dump ", i)] = []byte(hex.Dump(b))
		s := base64.StdEncoding.EncodeToString(b)
		out[fmt.Sprint("base64 ", i)] = []byte(s + "\n")
		var lines bytes.Buffer
		for ; len(s) > 76; s = s[76:] {
			lines.WriteString(s[:76] + "\n")
		}
		out[fmt.Sprint("base64 in lines ", i)] = lines.Bytes()
		out[fmt.Sprint("quoted ", i)] = fmt.Appendf(nil, "%q\n%x\n%v\n", b[:min(len(b), 1<<16)], b[:min(len(b), 1<<16)], b[:min(len(b), 1<<14)])
	}
	return out
}

// traces are of programs that fail.
func traces() map[string][]byte {
	out := map[string][]byte{}
	for _, c := range [][]string{
		{"python3", "-c", "def f(n):\n  return f(n-1) if n else {}['größe']\nf(30)"},
		{"node", "-e", "function f(n){return n?f(n-1):null.x} f(30)"},
		{"ruby", "-e", "def f(n) n>0 ? f(n-1) : raise('größe') end; f(30)"},
		{"perl", "-MCarp", "-e", "sub f { $_[0] ? f($_[0]-1) : confess 'gr\\x{f6}sse' } f(30)"},
		{"php", "-r", "function f($n){ return $n ? f($n-1) : throw new Exception('größe'); } f(30);"},
		{"bash", "-c", "set -x; for i in 1 2 3; do ls /nothing$i; done; kill -SEGV $$"},
		{"gdb", "-batch", "-nx", "-ex", "run", "-ex", "bt full", "-ex", "info registers", "-ex", "x/200xb $sp", "-ex", "disassemble", "--args", "sh", "-c", "kill -ABRT $$"},
	} {
		b, _ := exec.Command("timeout", append([]string{"60"}, c...)...).CombinedOutput()
		out[strings.Join(c, " ")] = b
	}
	return out
}

// packages of Debian that are text in many languages.
var packages = strings.Fields(`manpages-ja manpages-cs manpages-da manpages-de manpages-es manpages-fr manpages-hu manpages-it manpages-nl manpages-pl manpages-pt-br
manpages-ro manpages-ru manpages-sr manpages-sv manpages-uk manpages-vi manpages-zh manpages-tr manpages-mk manpages-ja-dev
fortunes fortunes-zh fortunes-bg fortunes-br fortunes-cs fortunes-de fortunes-eo fortunes-es fortunes-ga fortunes-it fortunes-pl fortunes-ru
hunspell-ar hunspell-be hunspell-bn hunspell-bo hunspell-dz hunspell-el hunspell-gu hunspell-he hunspell-hi hunspell-hu hunspell-is hunspell-kk hunspell-ko hunspell-lo
hunspell-lt hunspell-lv hunspell-ml hunspell-mn hunspell-ne hunspell-ro hunspell-ru hunspell-si hunspell-sr hunspell-te hunspell-th hunspell-tr hunspell-uk hunspell-vi
hunspell-de-de hunspell-fr-classical hunspell-es hunspell-pl hunspell-cs hunspell-sw
wbulgarian wukrainian wpolish wngerman wfrench wbrazilian wdutch wdanish wfaroese wgaelic wcatalan wswedish wspanish witalian
debian-reference-ja debian-reference-zh-cn debian-reference-zh-tw debian-reference-fr debian-reference-de debian-reference-en installation-guide-amd64
maint-guide-ru maint-guide-vi maint-guide-ja linux-doc-6.1 postgresql-doc-15 debian-handbook python3-doc toilet-fonts vim-runtime emacs-common unicode-data`)

// downloadText unpacks the packages into a folder, each into its own, unless they are there.
func downloadText(dir string) error {
	debs := filepath.Join(dir, ".debs")
	if err := os.MkdirAll(debs, 0o755); err != nil {
		return err
	}
	for _, p := range packages {
		to := filepath.Join(dir, p)
		if _, err := os.Stat(to); err == nil {
			continue
		}
		cmd := exec.Command("apt-get", "download", "-q", p)
		cmd.Dir = debs
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "download %s: %v: %.100s\n", p, err, out)
			continue
		}
		found, _ := filepath.Glob(filepath.Join(debs, p+"_*.deb"))
		if len(found) != 1 {
			continue
		}
		if out, err := exec.Command("dpkg-deb", "-x", found[0], to).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", p, err, out)
		}
		os.Remove(found[0])
	}
	return nil
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
