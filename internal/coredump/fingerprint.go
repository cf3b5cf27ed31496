package coredump

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// alikeFrames is how many of the innermost own functions tell crashes apart: with fewer, all users of one
// helper are one group; with more, each way to a fault is one.
const alikeFrames = 3

// Fingerprint groups alike crashes: by the program's name, the class of the signal, and the innermost
// functions of its own. Addresses, lines and offsets are no part of it, nor is what a compiler puts
// into names, so that it outlives a rebuild and another load address. It returns what it was made of as well.
func Fingerprint(c *evidence.Core) (print string, by []string) {
	by = append(by, path.Base(c.Program), signalClass(c))
	if c.Program == "" {
		by[0] = c.Comm
	}
	own := alike(c)
	if c.Fault == evidence.CoreStack {
		// Which function of a recursion is the last is chance.
		if all := recurring(c.Frames); len(all) > 0 {
			own = all
		}
	}
	by = append(by, own...)
	h := sha256.Sum256([]byte(strings.Join(by, "\n")))
	return hex.EncodeToString(h[:6]), by
}

func signalClass(c *evidence.Core) string {
	switch {
	case c.Fault == evidence.CoreStack:
		return "stack overflow"
	case c.Signal == sigSEGV, c.Signal == sigBUS:
		return "memory"
	case c.Signal == sigILL, c.Signal == sigTRAP:
		return "illegal"
	}
	return c.Signal.String()
}

// alike are the functions that count, each once: the program's own, behind the signal that a handler
// took if there is one; else any with a name; else places by build id.
func alike(c *evidence.Core) []string {
	frames := c.Frames
	for i := range frames {
		if frames[i].Signal && i+1 < len(frames) {
			frames = frames[i+1:]
			break
		}
	}
	builds := map[string]string{}
	for i := range c.Modules {
		builds[c.Modules[i].Path] = c.Modules[i].BuildID
	}
	pick := func(ok func(f *evidence.CoreFrame) bool) (out []string) {
		for i := range frames {
			f := &frames[i]
			if len(out) == alikeFrames {
				break
			}
			if f.Signal || !ok(f) {
				continue
			}
			name := plainFunction(f.Function)
			// Places do not outlive a rebuild: one counts only where it is the innermost.
			if name == "" && f.Module != "" && len(out) == 0 {
				name = fmt.Sprintf("%s %s+%#x", library(f.Module), builds[f.Module], f.Offset)
			}
			if name == "main" && len(out) > 0 {
				continue // all have it, unless a compiler made a jump of its last call
			}
			if name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
		return out
	}
	for _, ok := range []func(f *evidence.CoreFrame) bool{
		func(f *evidence.CoreFrame) bool { return f.Own && !f.Guess },
		func(f *evidence.CoreFrame) bool { return f.Function != "" && !f.Guess && !beforeMain[f.Function] },
		func(f *evidence.CoreFrame) bool { return f.Own },
		func(f *evidence.CoreFrame) bool { return true },
	} {
		if out := pick(ok); len(out) > 0 {
			return out
		}
	}
	return nil
}

// recurring are the functions that stand more than once in a backtrace, sorted.
func recurring(frames []evidence.CoreFrame) (out []string) {
	count := map[string]int{}
	for i := range frames[:min(len(frames), 100)] {
		name := plainFunction(frames[i].Function)
		if count[name]++; count[name] == 2 && name != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), 8)]
}

// beforeMain are frames that every program has, and ways to raise a signal.
var beforeMain = map[string]bool{"_start": true, "__libc_start_main": true, "__libc_start_call_main": true, "start_thread": true, "clone": true, "clone3": true,
	"raise": true, "abort": true, "pthread_kill": true, "__pthread_kill_implementation": true, "__pthread_kill_internal": true, "kill": true, "gsignal": true}

// library is a module's name without its version: "libssl.so".
func library(module string) string {
	base := path.Base(module)
	if i := strings.Index(base, ".so."); i > 0 {
		base = base[:i+3]
	}
	return base
}

// plainFunction is a function's name without what changes from build to build: type arguments, a
// compiler's suffixes, hashes, a JIT's marks and places.
func plainFunction(s string) string {
	if rest, ok := strings.CutPrefix(s, "LazyCompile:"); ok {
		s = "JS:" + rest
	}
	if rest, ok := strings.CutPrefix(s, "JS:"); ok { // V8: "JS:*handle /srv/a.js:12:7"
		rest = strings.TrimLeft(rest, "*~^+")
		name, file, _ := strings.Cut(rest, " ")
		file, _, _ = strings.Cut(path.Base(file), ":")
		return strings.TrimSpace(name + " " + file)
	}
	s = plainRust(s)
	s = withoutArguments(s)
	for { // ".isra.0", ".cold", ".llvm.123", ".constprop.0.isra.0", ".gowrap1"
		i := strings.LastIndexByte(s, '.')
		if i <= 0 || !isSuffix(s[i+1:]) {
			break
		}
		s = s[:i]
	}
	s = strings.TrimSuffix(s, "-fm")
	return strings.TrimSpace(s)
}

func isSuffix(s string) bool {
	if s == "" {
		return false
	}
	digits := strings.Trim(s, "0123456789")
	switch digits {
	case "", "cold", "part", "isra", "constprop", "llvm", "lto_priv", "gowrap", "deferwrap", "clone", "warm", "hot", "abi":
		return true
	}
	return false
}

// plainRust removes Rust's hash of a symbol ("::h0123456789abcdef") and of a crate ("core[89ab01]").
func plainRust(s string) string {
	if i := strings.LastIndex(s, "::h"); i > 0 && len(s)-i == 19 && isHex(s[i+3:]) {
		s = s[:i]
	}
	return s
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// withoutArguments drops template and type arguments and parameters: what stands in <>, [] and ()
// behind a name. Rust's "<T as Trait>::f" keeps its outer pair, and so do "operator<" and "(anonymous namespace)".
func withoutArguments(s string) string {
	var b strings.Builder
	depth := 0
	var stack []bool // of each open bracket, whether it is kept
	for i := 0; i < len(s); i++ {
		ch := s[i]
		switch {
		case ch == '<' || ch == '[' || ch == '(':
			if ch == '<' && operatorAt(s, i) {
				break
			}
			keep := depth == 0 && (ch == '<' && !behindName(s, i) || ch == '(' && (strings.HasPrefix(s[i:], "(anonymous") || strings.HasPrefix(s[i:], "(*")))
			stack = append(stack, keep)
			if !keep {
				depth++
			} else {
				b.WriteByte(ch)
			}
			continue
		case ch == '>' || ch == ']' || ch == ')':
			if ch == '>' && (i > 0 && s[i-1] == '-' || operatorAt(s, i)) {
				break
			}
			if len(stack) == 0 {
				break
			}
			keep := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if keep {
				b.WriteByte(ch)
			} else {
				depth--
			}
			continue
		}
		if depth == 0 {
			b.WriteByte(ch)
		}
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "::"), "::::", "::")
}

// behindName says whether the bracket at i follows a name or "::", and so holds its arguments.
func behindName(s string, i int) bool {
	if i == 0 {
		return false
	}
	p := s[i-1]
	return p == ' ' && operatorAt(s, i-1) || p == ':' || p == '_' || p == '>' || p >= '0' && p <= '9' || p >= 'a' && p <= 'z' || p >= 'A' && p <= 'Z' || p >= 0x80
}

// operatorAt says whether the bracket at i is part of an operator's name: operator<, operator<<, operator>>.
func operatorAt(s string, i int) bool {
	for i > 0 && strings.IndexByte("<>=-", s[i-1]) >= 0 {
		i--
	}
	return strings.HasSuffix(s[:i], "operator")
}
