package coredump

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/symbol"
)

// frame is what gdb and we say of one frame, made alike.
type frame struct {
	pc   uint64 // 0: gdb does not say
	name string // empty: unknown
}

// gdbThread is one thread as gdb has it.
type gdbThread struct {
	tid    int
	frames []frame
}

var (
	gdbHeader = regexp.MustCompile(`^Thread \d+ \((?:Thread 0x[0-9a-f]+ \()?(?:LWP )(\d+)\)?`)
	gdbFrame  = regexp.MustCompile(`^#(\d+) +(?:0x([0-9a-f]+) in )?(.*)$`)
)

// gdbBacktraces asks gdb for the backtraces of all threads, and for the signal and the fault's address.
func gdbBacktraces(t *testing.T, gdb, prog, core string, limit int) (threads []gdbThread, signal int, addr uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, gdb, "-nx", "-batch", "-iex", "set debuginfod enabled off", "-iex", "set auto-load off",
		"-ex", "set width 0", "-ex", "set pagination off", "-ex", "set print frame-arguments none", "-ex", "set backtrace past-main on",
		"-ex", fmt.Sprintf("set backtrace limit %d", limit),
		"-ex", "thread apply all bt", "-ex", "set language c", "-ex", "printf \"SIGNAL %d %#lx\\n\", $_siginfo.si_signo, (unsigned long)$_siginfo._sifields._sigfault.si_addr", prog, core)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("gdb: %v: %s", err, errs.String())
	}
	threads, signal, addr = parseGDB(out)
	if len(threads) == 0 {
		t.Fatalf("gdb found no thread:\n%s\n%s", out, errs.String())
	}
	return threads, signal, addr
}

// parseGDB reads what gdbBacktraces had gdb print.
func parseGDB(out []byte) (threads []gdbThread, signal int, addr uint64) {
	s := bufio.NewScanner(bytes.NewReader(out))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		line := s.Text()
		if m := gdbHeader.FindStringSubmatch(line); m != nil {
			tid, _ := strconv.Atoi(m[1])
			threads = append(threads, gdbThread{tid: tid})
		} else if m := gdbFrame.FindStringSubmatch(line); m != nil && len(threads) > 0 {
			th := &threads[len(threads)-1]
			f := frame{name: gdbName(m[3])}
			if m[2] != "" {
				f.pc, _ = strconv.ParseUint(m[2], 16, 64)
			}
			if strings.HasPrefix(m[3], "<signal handler called>") {
				f.name = "<signal>"
			}
			th.frames = append(th.frames, f)
		} else if rest, ok := strings.CutPrefix(line, "SIGNAL "); ok {
			fmt.Sscanf(rest, "%d %v", &signal, &addr) //nolint:errcheck // a core without siginfo
		}
	}
	return threads, signal, addr
}

// gdbName takes the function from "ns::f<int>(int) (x=...) at file:1".
func gdbName(s string) string {
	if i := strings.LastIndex(s, " at "); i > 0 && strings.HasSuffix(s[:i], ")") {
		s = s[:i]
	}
	if i := strings.LastIndex(s, " from "); i > 0 && strings.HasSuffix(s[:i], ")") {
		s = s[:i]
	}
	if i := strings.LastIndex(s, " ("); i > 0 {
		s = s[:i]
	}
	if s == "??" {
		return ""
	}
	return plainName(s)
}

var rustHash = regexp.MustCompile(`::h[0-9a-f]{16}$`)
var closure = regexp.MustCompile(`\{\{?(closure|impl|vtable\.shim)[^}]*\}\}?`)

// plainName makes the names alike that gdb and we give to one function: neither parameters nor template
// arguments nor what a compiler adds.
func plainName(s string) string {
	s = rustHash.ReplaceAllString(s, "")
	s = closure.ReplaceAllString(s, "$1")
	s = strings.NewReplacer("(anonymous namespace)", "anonymous", "{anonymous}", "anonymous", "operator<", "operatorlt", "operator()", "operatorcall", "operator->", "operatorarrow", "operator>", "operatorgt").Replace(s)
	s, _, _ = strings.Cut(s, "[clone")
	s, _, _ = strings.Cut(s, "[abi:")
	var out strings.Builder
	depth := 0
	for _, r := range s {
		switch r {
		case '<', '(', '[':
			depth++
		case '>', ')', ']':
			depth = max(depth-1, 0)
		default:
			if depth == 0 {
				out.WriteRune(r)
			}
		}
	}
	s = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(out.String()), " const"))
	if i := strings.LastIndexByte(s, ' '); i >= 0 && !strings.Contains(s, "operator") { // a return type
		s = s[i+1:]
	}
	s, _, _ = strings.Cut(s, "@")
	for _, suffix := range []string{".cold", ".part", ".isra", ".constprop", ".llvm"} {
		s, _, _ = strings.Cut(s, suffix)
	}
	s = strings.ReplaceAll(s, "::::", "::")
	return strings.Trim(s, ":")
}

// ourFrames are ours as gdb would show them.
func ourFrames(frames []symbol.Frame) []frame {
	var out []frame
	for _, f := range frames {
		name := plainName(f.Function)
		if f.Signal {
			name = "<signal>"
		}
		out = append(out, frame{pc: f.PC, name: name})
	}
	return out
}

// same tells whether both say the same of a frame.
func same(g, o frame) bool {
	return (g.pc == 0 || g.pc == o.pc) && (g.name == o.name || sameFunction(g.name, o.name))
}

// sameFunction knows the names of one function of libc that has several.
func sameFunction(a, b string) bool {
	return a != "" && b != "" && (alias(a) == alias(b) || strings.HasSuffix(a, "::"+b) || strings.HasSuffix(b, "::"+a))
}

// alias removes what libc's names of one function differ in: pause and __libc_pause, __libc_start_main and
// __libc_start_main_impl, abort and __GI_abort.
func alias(s string) string {
	s = strings.TrimLeft(strings.TrimPrefix(s, "__GI_"), "_")
	return strings.TrimSuffix(strings.TrimPrefix(s, "libc_"), "_impl")
}

// difference is a frame that one of both has, or of which they say different things.
type difference struct{ gdb, ours string }

// compareFrames aligns two stacks: frames that gdb names and we do alike, that gdb names, that gdb does not name and are at
// the same place, that it does not name, and the differences.
func compareFrames(g, o []frame) (equal, named, equalBare, bare int, diffs []difference) {
	// The longest common subsequence.
	best := make([][]int, len(g)+1)
	for i := range best {
		best[i] = make([]int, len(o)+1)
	}
	for i := len(g) - 1; i >= 0; i-- {
		for j := len(o) - 1; j >= 0; j-- {
			best[i][j] = max(best[i+1][j], best[i][j+1])
			if same(g[i], o[j]) {
				best[i][j] = max(best[i][j], 1+best[i+1][j+1])
			}
		}
	}
	show := func(f frame) string { return fmt.Sprintf("%#x %s", f.pc, f.name) }
	i, j := 0, 0
	for i < len(g) || j < len(o) {
		switch {
		case i < len(g) && j < len(o) && same(g[i], o[j]) && best[i][j] == 1+best[i+1][j+1]:
			if g[i].name != "" {
				equal, named = equal+1, named+1
			} else {
				equalBare, bare = equalBare+1, bare+1
			}
			i, j = i+1, j+1
		case i < len(g) && (j == len(o) || best[i+1][j] == best[i][j]):
			d := difference{gdb: show(g[i])}
			if g[i].name != "" {
				named++
			} else {
				bare++
			}
			if j < len(o) && best[i+1][j+1] == best[i][j] {
				d.ours = show(o[j])
				j++
			}
			diffs = append(diffs, d)
			i++
		default:
			diffs = append(diffs, difference{ours: show(o[j])})
			j++
		}
	}
	return equal, named, equalBare, bare, diffs
}

// matrixText is docs/cores-gdb.md around the table.
const matrixText = `# Backtraces beside gdb's

Made by ` + "`go test ./internal/coredump -run TestAgainstGDB -matrix ../../docs/cores-gdb.md`" + `: real programs
die, and ` + "`thread apply all bt`" + ` of gdb is compared with the backtraces that descry reads of the same cores, frame by
frame: the address, and the function without parameters and template arguments. Signals and the addresses of faults were equal in all.
Each stack is compared up to 60 frames. A frame counts as equal where both name the same function by another of libc's names for it
(pause and __libc_pause).

%s
What differs, and why:

- Rust's panic runtime: descry shows the linker's name (__rustc::rust_begin_unwind), gdb the one of the source (std::panicking::panic_handler).
- A jump into data: gdb names the variable there as if it were a function; descry leaves it bare and says that it is data.
- pthread_create and sem_wait by the name that is exported: gdb has __pthread_create_2_1 and __new_sem_wait.
- Frames that only descry has: Go's runtime and interpreted or compiled JavaScript and Java, where gdb knows no unwind information, takes what
  lies on the stack for frames and loses its way; musl's libc, which has no unwind information, where descry goes on by scanning and marks the frames as guesses.
- "Frames that gdb cannot name" of a smashed stack are the bytes that overwrote it. descry ends there, says so, and scans on for what is left.
- Functions that ended with a jump to another one (tail calls) have no frame; descry finds them by the code, gdb by DWARF.
`

func TestAgainstGDB(t *testing.T) {
	gdb, err := exec.LookPath("gdb")
	if err != nil {
		t.Skip("gdb is not installed")
	}
	plainCores(t)
	type line struct {
		name                         string
		threads, equal, named, eb, b int
		extra                        int
	}
	var lines []line
	var all line
	for _, p := range crashes {
		t.Run(p.name, func(t *testing.T) {
			argv, env := p.make(t)
			corePath, output := crashed(t, env, argv...)
			c := open(t, corePath)
			prog := argv[0]
			if entry, ok := c.Aux(atEntry); ok && c.MappingAt(entry) != nil {
				prog = c.MappingAt(entry).Path // argv[0] may be a script
			}
			if len(c.Damage) > 0 {
				t.Errorf("damage: %q", c.Damage)
			}
			const limit = 60
			threads, signal, addr := gdbBacktraces(t, gdb, prog, corePath, limit)
			if signal != int(c.Signal) || isFault(c.Signal) && c.Code > 0 && c.Code != siKernel && addr != c.FaultAddress {
				t.Errorf("signal %d at %#x, gdb has %d at %#x", c.Signal, c.FaultAddress, signal, addr)
			}
			res := symbol.New(symbol.Options{MaxFrames: limit, LineTime: 5 * time.Second, MaxInflate: 256 << 20, AllLines: true, TailCalls: true})
			defer res.Close()
			stacks, err := c.Backtraces(res, "", BacktraceOptions{Time: time.Minute})
			if err != nil {
				t.Error(err)
			}
			l := line{name: p.name, threads: len(stacks)}
			var shown int
			for _, g := range threads {
				k := slices.IndexFunc(stacks, func(s Stack) bool { return int(s.TID) == g.tid })
				if k < 0 {
					t.Errorf("gdb has a thread %d", g.tid)
					continue
				}
				eq, named, eb, b, diffs := compareFrames(g.frames, ourFrames(stacks[k].Frames))
				l.equal, l.named, l.eb, l.b = l.equal+eq, l.named+named, l.eb+eb, l.b+b
				for _, d := range diffs {
					if d.gdb == "" {
						l.extra++
					}
					if shown++; shown < 30 {
						t.Logf("thread %d: gdb %-60s ours %s", g.tid, d.gdb, d.ours)
					}
				}
				if len(diffs) > 0 && shown < 60 {
					t.Logf("by %s, truncated %q, notes %q", stacks[k].By, stacks[k].Truncated, stacks[k].Notes)
				}
			}
			if len(threads) != len(stacks) {
				t.Errorf("gdb has %d threads, we %d", len(threads), len(stacks))
			}
			if shown > 0 && os.Getenv("DESCRY_SHOW") != "" {
				t.Logf("output %s", output)
			}
			lines = append(lines, l)
		})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| Program | threads | frames that gdb names | equal | frames that gdb cannot name | same place | only ours |\n|---|--:|--:|--:|--:|--:|--:|\n")
	row := func(l line) {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d |\n", l.name, l.threads, l.named, l.equal, l.b, l.eb, l.extra)
	}
	for _, l := range lines {
		row(l)
		all.threads, all.equal, all.named, all.eb, all.b, all.extra = all.threads+l.threads, all.equal+l.equal, all.named+l.named, all.eb+l.eb, all.b+l.b, all.extra+l.extra
	}
	all.name = "all"
	row(all)
	t.Logf("\n%s", b.String())
	if all.equal*100 < all.named*95 {
		t.Errorf("%d of %d frames are as gdb has them: less than 95%%", all.equal, all.named)
	}
	if *matrix != "" {
		if err := os.WriteFile(*matrix, []byte(fmt.Sprintf(matrixText, b.String())), 0o644); err != nil {
			t.Error(err)
		}
	}
}
