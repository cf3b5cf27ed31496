package diagnose

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestMentions(t *testing.T) {
	for _, x := range []struct {
		said  string
		errno evidence.Errno
		want  bool
	}{
		{"OSError: [Errno 11] x", evidence.EAGAIN, true},
		{"ConnectionRefusedError: [Errno 111] Verbindungsaufbau abgelehnt", evidence.EAGAIN, false},
		{"ConnectionRefusedError: [Errno 111] Verbindungsaufbau abgelehnt", evidence.ECONNREFUSED, true},
		{"OSError: [Errno 24] x", evidence.ENOENT, false},
		{"FileNotFoundError: [Errno 2] x", evidence.ENOENT, true},
		{"EIOCBQUEUED", evidence.EIO, false},
		{"write: EIO", evidence.EIO, true},
		{"read REMOTEIO", evidence.EIO, false},
		{"UV_EMFILE", evidence.EMFILE, true},
		{"make: *** [all] Error 2", evidence.ENOENT, false},
		{"No file descriptors available", evidence.EMFILE, true},
		{"Os { code: 24, kind: Uncategorized", evidence.EMFILE, true},
		{"Os { code: 2, kind: NotFound", evidence.ENOENT, true},
		{"Os { code: 28, kind: StorageFull", evidence.ENOENT, false},
	} {
		if got := mentions(x.said, errnoWords[x.errno]...); got != x.want {
			t.Errorf("%q says %s: %t", x.said, x.errno, got)
		}
	}
}

func TestRefusalsAreDistinct(t *testing.T) {
	seen := map[string]string{}
	for i := range refusals {
		r := &refusals[i]
		if r.errno != 0 && r.errno.String() != r.id {
			t.Errorf("%s has the number of %s", r.id, r.errno)
		}
		for _, w := range r.words() {
			if first := seen[w]; first != "" && w != "kind: PermissionDenied" {
				t.Errorf("%q stands for %s and %s", w, first, r.id)
			}
			seen[w] = r.id
		}
	}
}

// recorded is a file of testdata/runtimes: what a real program wrote when something was refused to it,
// made by test/runtimes.
type recorded struct {
	file, lang string
	facts      map[string]string // by, run, says, path, address, host, exit, signal
	text       string
}

// langs are the folders of testdata/runtimes.
var langs = map[string]lang{"go": langGo, "go-log": langGo, "python": langPython, "node": langNode, "java": langJava, "java-nio": langJava, "ruby": langRuby, "php": langPHP,
	"rust": langRust, "rust-main": langRust, "cpp": langCPP, "c": langC, "c-musl": langC, "perl": langPerl, "lua": langLua, "bash": langShell, "dash": langShell, "dotnet": langDotNet}

func recordings(t *testing.T) []recorded {
	t.Helper()
	files, err := filepath.Glob("testdata/runtimes/*/*.txt")
	if err != nil || len(files) < 400 {
		t.Fatalf("%d recordings: %v", len(files), err)
	}
	var out []recorded
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		r := recorded{file: f, lang: filepath.Base(filepath.Dir(f)), facts: map[string]string{}}
		head, text, ok := strings.Cut(string(b), "\n\n")
		if !ok || langs[r.lang] == "" {
			t.Fatalf("%s has no head, or its language is not known", f)
		}
		for line := range strings.Lines(head) {
			k, v, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "# ")), " ")
			r.facts[k] = v
		}
		r.text = text
		out = append(out, r)
	}
	return out
}

// view is the program's end as the case of it shows it.
func (r *recorded) view() *View {
	b := mk("/usr/bin/"+r.lang, "x").stderr(r.text)
	if n, _ := strconv.Atoi(r.facts["signal"]); n == int(evidence.SIGABRT) {
		return newView(b.dies(abrt()))
	}
	n, _ := strconv.Atoi(r.facts["exit"])
	return newView(b.exits(int32(n)))
}

// vague are refusals that words of some runtimes do not tell apart.
var vague = map[string][]string{
	noThread: {"EAGAIN"},
	noAnswer: {noSuchName},
}

// TestRecordedReports reads every recording: its refusal and no other, its runtime, its operand.
func TestRecordedReports(t *testing.T) {
	found := map[string]int{}
	for _, r := range recordings(t) {
		t.Run(strings.TrimSuffix(strings.TrimPrefix(r.file, "testdata/runtimes/"), ".txt"), func(t *testing.T) {
			v := r.view()
			got := v.text.claims()
			if r.facts["says"] == "nothing" {
				if len(got) > 0 {
					t.Errorf("taken for %s by %q", got[0].id, got[0].line)
				}
				return
			}
			if len(got) == 0 {
				t.Fatalf("nothing found in\n%s", r.text)
			}
			for _, g := range got {
				if g.as == mention {
					continue
				}
				if g.id != r.facts["says"] && !slices.Contains(vague[r.facts["says"]], g.id) {
					t.Errorf("taken for %s by %q, said %q", g.id, g.line, r.facts["says"])
				}
				if g.lang != langs[r.lang] {
					t.Errorf("taken for %s: %q", g.lang, g.line)
				}
			}
			g := got[0]
			found[r.lang]++
			if p := r.facts["path"]; g.path != "" && p != "" && comparePath(g.path, p) != same || g.path != "" && p == "" && strings.Contains(g.path, "/x.") {
				t.Errorf("path %q of %q", g.path, g.line)
			}
			if a := r.facts["address"]; g.addr != "" && a != "" && compareAddress(g.addr, a) != same {
				t.Errorf("address %q of %q, not %q", g.addr, g.line, a)
			}
			if h := r.facts["host"]; g.host != "" && g.host != h {
				t.Errorf("host %q of %q, not %q", g.host, g.line, h)
			}
			for fact, got := range map[string]string{"path": g.path, "address": g.addr, "host": g.host} {
				if want := r.facts[fact]; want != "" && got == "" && strings.Contains(r.text, want) {
					t.Errorf("%s %s is named, and not found in\n%s", fact, want, r.text)
				}
			}
			if v.text.final == nil && g.as == mention {
				t.Errorf("only a mention: %q", g.line)
			}
		})
	}
	for l, n := range found {
		if n < 10 {
			t.Errorf("%s: %d refusals", l, n)
		}
	}
}

// TestLogLines: what mentions such words is not a report of an end.
func TestLogLines(t *testing.T) {
	for _, s := range []string{
		"2026-11-21 10:00:00 INFO yesterday's log said: open /srv/x: Permission denied",
		"2026-11-21T10:00:00Z ERROR retry 3: connection refused",
		`{"level":"error","error":"dial tcp 127.0.0.1:5432: connect: connection refused","time":"2026-11-21"}`,
		`{"time":"2026-11-21T10:00:00Z","level":"INFO","msg":"stats","errors":{"ECONNREFUSED":0,"EMFILE":0}}`,
		"permission denied errors: 0",
		"  -e  also retry on ECONNREFUSED, ETIMEDOUT and \"Too many open files\"",
		"usage: see errno(3) for No such file or directory",
		"[info] handled java.net.ConnectException: Connection refused, trying the next",
		"time=2026-11-21T10:00:00Z level=WARN msg=\"retrying\" err=\"lookup db: no such host\"",
		"checked: no 'No space left on device' in the last hour",
		"level=info dial tcp: lookup x: no such host (3 of 10), using the cache",
		"<3>disk full? No space left on device: 0 times",
		"INFO: the test for \"Broken pipe\" passed",
		"Nov 21 10:00:00 host app[12]: Connection reset by peer",
		"OK 12 tests: ENOENT, EACCES, EPERM are mapped",
		"# TooManyOpenFiles: raise ulimit -n if you see \"Too many open files\"",
		"WARN  Exception in thread pool: java.io.IOException: Too many open files (ignored)",
		"docs: ConnectionRefusedError: [Errno 111] Connection refused means that nobody listens",
		"remember: getaddrinfo ENOTFOUND is cached for 5 s",
		"thread 'main' may say: Os { code: 2, kind: NotFound }",
	} {
		for _, as := range []*builder{mk("/srv/cart").stderr(s + "\n"), mk("/srv/cart").stdout("begin\n" + s + "\n"), mk("/srv/cart").stderr(s + "\ndone\n")} {
			v := newView(as.exits(1))
			for _, g := range v.text.claims() {
				if g.as != mention {
					t.Errorf("%q is taken for the end's report of %s, by %s", s, g.id, g.lang)
				}
			}
		}
	}
}

// TestAgreement compares what is said with what was seen.
func TestAgreement(t *testing.T) {
	for _, x := range []struct {
		said string
		call string
		path string
		want agreement
	}{
		{"x: open /srv/a: No such file or directory", "openat", "/srv/a", same},
		{"x: open /srv/a: No such file or directory", "openat", "/srv/b", differs},
		{"x: open conf/a.yml: No such file or directory", "openat", "/srv/conf/a.yml", same},
		{"x: open conf/a.yml: No such file or directory", "openat", "/usr/lib/locale/C", differs},
		{"x: cannot start: No such file or directory", "openat", "/srv/b", unknown},
		{"x: dial tcp 10.0.0.1:5432: connect: Connection refused", "connect", "10.0.0.1:5432", same},
		{"x: dial tcp 10.0.0.1:5432: connect: Connection refused", "connect", "10.0.0.2:5432", differs},
		{"x: dial tcp [::1]:80: connect: Connection refused", "connect", "[::1]:80", same},
		{"x: connect to db:80: Connection refused", "connect", "10.0.0.2:80", alike},
		{"x: connect: Connection refused", "connect", "10.0.0.2:80", alike},
	} {
		got := newView(mk("/srv/x").stderr(x.said + "\n").exits(1)).text.claims()
		if len(got) != 1 {
			t.Fatalf("%q: %d reports", x.said, len(got))
		}
		if a := got[0].agrees(&evidence.FailedCall{Call: x.call, Path: x.path, Errno: got[0].errno}); a != x.want {
			t.Errorf("%q and %s(%s): %d, want %d; %+v", x.said, x.call, x.path, a, x.want, got[0])
		}
	}
}

// TestOperands: words and a refused call confirm each other where they are of one address, and not where
// they are of two.
func TestOperands(t *testing.T) {
	const said = "panic: listen tcp 127.0.0.1:9000: bind: address already in use\n\ngoroutine 1 [running]:\nmain.main()\n\t/srv/main.go:7 +0x1d\n"
	for addr, want := range map[string]string{"127.0.0.1:9000": "address-in-use certain", "127.0.0.1:8000": "uncaught-error certain"} {
		ev := &evidence.AddressRefused{Call: "bind", Errno: evidence.EADDRINUSE, Address: addr, Count: 1}
		alone := mk("/srv/cart").at(59.9, mainPID, ev).stderr(said).exits(2)
		both := mk("/srv/cart").at(59.9, mainPID, ev).fails(mainPID, true, call(100, "bind", evidence.EADDRINUSE, 3, addr)).stderr(said).exits(2)
		for _, c := range []*evidence.Case{alone, both} {
			Judge(c)
			if got := first(c); got != want {
				t.Errorf("bind of %s: found %s, want %s", addr, got, want)
			}
		}
	}
	// Of several failed calls the one that is named is the one.
	c := mk("/srv/cart").fails(mainPID, true, call(9, "bind", evidence.EADDRINUSE, 3, "127.0.0.1:9000"), call(5, "bind", evidence.EADDRINUSE, 4, "127.0.0.1:9001")).stderr(said).exits(2)
	Judge(c)
	if first(c) != "address-in-use certain" || !strings.Contains(c.Findings[0].Summary, "127.0.0.1:9000") {
		t.Errorf("%s: %s", first(c), c.Findings[0].Summary)
	}
	// A mere mention makes nothing certain: the call was not the last that failed.
	c = mk("/srv/cart").at(59.9, mainPID, &evidence.FDRefused{Call: "openat", Errno: evidence.EMFILE, Count: 1, Open: 64, SoftLimit: 64}).table(64, 64, 64).
		fails(mainPID, true, call(100, "openat", evidence.EMFILE, -1, "/srv/a"), call(9, "connect", evidence.ECONNRESET, 4, "")).stderr("INFO stats: \"Too many open files\": 1\n").exits(2)
	Judge(c)
	if got := first(c); got == "fd-limit certain" {
		t.Errorf("found %s by a mention", got)
	}
}

func FuzzClaims(f *testing.F) {
	for _, s := range []string{"x: open /srv/a: No such file or directory", "Error: Os { code: 2, kind: NotFound, message: \"x\" }", "panic: dial tcp [::1]:80: connect: connection refused\n\ngoroutine 1 [running]:\n",
		"x.sh: line 3: /dev/tcp/a/80: Connection refused", "x.sh: 3: a: not found", "Unhandled exception. A.B (98): c\n   at D.E() in f.cs:line 1\n", "PHP Warning:  fopen(/x): Failed to open stream: Permission denied in /a.php on line 2",
		"x.rb:3:in `a': Connection refused - connect(2) for \"a\" port 80 (Errno::ECONNREFUSED)", "a: lookup b on c: no such host", "EIO EIO EIO", "('a', 1) Connection refused"} {
		f.Add(s, "/srv/a", "openat")
	}
	f.Fuzz(func(t *testing.T, said, path, call string) {
		v := newView(mk("/srv/cart").stderr(said).exits(2))
		for _, c := range v.text.claims() {
			if c.refusal == nil || len(c.line) > maxLine {
				t.Errorf("%+v", c)
			}
			c.agrees(&evidence.FailedCall{Call: call, Path: path, Errno: c.errno})
		}
	})
}

// TestConfirmed: each recorded report and the failed call that it reports confirm each other, also where
// other calls failed behind it; a call on another path or address is not confirmed.
func TestConfirmed(t *testing.T) {
	confirmed, denied := 0, 0
	for _, r := range recordings(t) {
		var errno evidence.Errno
		for i := range refusals {
			if refusals[i].id == r.facts["says"] {
				errno = refusals[i].errno
			}
		}
		if errno == 0 || r.facts["signal"] != "" && r.facts["signal"] != "6" {
			continue
		}
		operand := cmp.Or(r.facts["path"], r.facts["address"])
		name := "openat"
		if r.facts["address"] != "" {
			name = "connect"
		}
		linked := func(operand string) evidence.Confidence {
			b := mk("/usr/bin/"+r.lang, "x").stderr(r.text).
				fails(mainPID, true, call(200, name, errno, 3, operand), call(100, "ioctl", 25, 1, ""), call(50, "unlink", evidence.EPERM+evidence.EACCES-errno, -1, "/run/x.pid"))
			var c *evidence.Case
			if r.facts["signal"] != "" {
				c = b.dies(abrt())
			} else {
				n, _ := strconv.Atoi(r.facts["exit"])
				c = b.exits(int32(n))
			}
			v := newView(c)
			return v.link(others, func(c *evidence.FailedCall) bool { return c.Errno == errno && c.Call == name }, errnoWords[errno], seen{}).conf
		}
		if got := linked(operand); got != evidence.Certain {
			t.Errorf("%s: %s(%s) of %s is linked as %q", r.file, name, operand, errno, got)
		} else {
			confirmed++
		}
		cs := r.view().text.claims()
		if len(cs) == 0 || cs[0].path == "" && cs[0].addr == "" || shared(errno) || operand == "" {
			continue
		}
		other := "/usr/share/elsewhere/thing"
		if r.facts["address"] != "" {
			other = "192.0.2.99:9"
		}
		if got := linked(other); got != "" {
			t.Errorf("%s: it names %q, and %s(%s) is linked as %q", r.file, operand, name, other, got)
		} else {
			denied++
		}
	}
	if confirmed < 350 || denied < 200 {
		t.Errorf("%d confirmed, %d denied", confirmed, denied)
	}
}
