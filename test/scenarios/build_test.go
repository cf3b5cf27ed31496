package scenarios

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

var self = func() string { // this folder
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}()

// interpreters runs a word's program by the word's prefix. Debian's own come before others in
// PATH, since a wrapper script would be the program that is watched.
var interpreters = map[string][]string{
	"py": {"python3"}, "js": {"node"}, "php": {"php"}, "rb": {"ruby"}, "pl": {"perl"}, "sh": {"sh"}, "bash": {"bash"},
	"java": {"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-XX:-UsePerfData", "-cp"},
}

// lookPath prefers Debian's programs to wrappers that come before them in PATH.
func lookPath(name string) (string, bool) {
	for _, dir := range []string{"/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"} {
		if st, err := os.Stat(dir + name); err == nil && st.Mode()&0o111 != 0 {
			return dir + name, true
		}
	}
	p, err := exec.LookPath(name)
	return p, err == nil
}

// split tells "c:fd-limit/leak.c" from an ordinary word.
func split(word string) (prefix, rest string, ours bool) {
	prefix, rest, ok := strings.Cut(word, ":")
	if !ok {
		return "", word, false
	}
	_, known := interpreters[prefix]
	return prefix, rest, known || prefix == "c" || prefix == "go" || prefix == "cc"
}

// needs lists the programs that a scenario cannot do without.
func (s *Scenario) needs() []string {
	n := slices.Clone(s.Needs)
	for i, w := range s.Cmd {
		switch prefix, _, ours := split(w); {
		case ours && prefix == "c":
			n = append(n, "gcc")
		case ours && prefix == "cc":
			n = append(n, "g++")
		case ours && prefix == "java":
			n = append(n, "java", "javac")
		case ours && prefix != "go":
			n = append(n, interpreters[prefix][0])
		case !ours && i == 0 && !strings.Contains(w, "/") && !strings.HasPrefix(w, "no-such"):
			n = append(n, w)
		}
	}
	n = append(n, s.surroundingNeeds()...)
	slices.Sort(n)
	return slices.Compact(n)
}

func missing(needs []string) string {
	for _, n := range needs {
		if strings.HasPrefix(n, "root") {
			if os.Geteuid() != 0 {
				return n
			}
			continue
		}
		if _, ok := lookPath(n); !ok {
			return n
		}
	}
	return ""
}

// argv is the command with programs built and words filled in.
func (s *Scenario) argv(t testing.TB, dir string) []string {
	var argv []string
	for i, w := range s.Cmd {
		prefix, rest, ours := split(w)
		switch {
		case !ours && i == 0:
			if p, ok := lookPath(w); ok && !strings.Contains(w, "/") {
				w = p
			}
			argv = append(argv, w)
		case !ours:
			argv = append(argv, w)
		case prefix == "c", prefix == "cc":
			argv = append(argv, compileC(t, rest))
		case prefix == "go":
			argv = append(argv, filepath.Join(goPrograms(t), filepath.Base(rest)))
		case prefix == "java":
			argv = append(argv, interpreters[prefix]...)
			argv = append(argv, compileJava(t, rest), strings.TrimSuffix(filepath.Base(rest), ".java"))
		default:
			argv = append(argv, interpreters[prefix]...)
			argv = append(argv, filepath.Join(self, rest))
		}
	}
	for i, w := range argv {
		argv[i] = strings.NewReplacer("{dir}", dir, "{self}", self).Replace(w)
		if p, ok := lookPath(argv[i]); ok && !strings.Contains(w, "/") && slices.Contains([]string{"python3", "node", "java", "php", "ruby", "perl"}, w) {
			argv[i] = p
		}
	}
	return argv
}

// cacheDir keeps what was built by the hash of what it was built from.
func cacheDir(t testing.TB, parts ...[]byte) (dir string, have bool) {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		h.Write(p)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	dir = filepath.Join(base, "descry-scenarios", hex.EncodeToString(h.Sum(nil))[:20])
	_, err = os.Stat(filepath.Join(dir, "done"))
	if err != nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir, err == nil
}

func markBuilt(t testing.TB, dir string) {
	if err := os.WriteFile(filepath.Join(dir, "done"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func build(t testing.TB, dir string, argv ...string) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
}

var buildLock sync.Map // by file

func once(key string) func() {
	m, _ := buildLock.LoadOrStore(key, new(sync.Mutex))
	m.(*sync.Mutex).Lock()
	return m.(*sync.Mutex).Unlock
}

// compileC builds a C or C++ file. Its first line may hold flags: "// flags: -O2 -lpthread".
func compileC(t testing.TB, file string) string {
	t.Helper()
	defer once(file)()
	src, err := os.ReadFile(filepath.Join(self, file))
	if err != nil {
		t.Fatal(err)
	}
	flags := "-g -O1"
	first, _, _ := strings.Cut(string(src), "\n")
	if _, f, ok := strings.Cut(first, "flags:"); ok {
		flags = "-g " + f
	}
	compiler := "gcc"
	if strings.HasSuffix(file, ".cc") {
		compiler = "g++"
	}
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	dir, have := cacheDir(t, []byte(file+flags+runtime.GOARCH), src)
	if !have {
		var fl, libs []string
		for _, f := range strings.Fields(flags) {
			if strings.HasPrefix(f, "-l") {
				libs = append(libs, f)
			} else {
				fl = append(fl, f)
			}
		}
		argv := slices.Concat([]string{compiler, "-w", "-o", filepath.Join(dir, name)}, fl, []string{filepath.Join(self, file)}, libs)
		build(t, self, argv...)
		markBuilt(t, dir)
	}
	return filepath.Join(dir, name)
}

func compileJava(t testing.TB, file string) string {
	t.Helper()
	defer once(file)()
	src, err := os.ReadFile(filepath.Join(self, file))
	if err != nil {
		t.Fatal(err)
	}
	dir, have := cacheDir(t, []byte(file), src)
	if !have {
		build(t, self, "javac", "-nowarn", "-XDignore.symbol.file", "-d", dir, filepath.Join(self, file))
		markBuilt(t, dir)
	}
	return dir
}

var goDir = sync.OnceValues(func() (string, error) {
	var src bytes.Buffer
	var pkgs []string
	err := filepath.WalkDir(self, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || filepath.Dir(path) == self {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&src, "%s\n%s", path, b)
		if rel, _ := filepath.Rel(self, filepath.Dir(path)); !slices.Contains(pkgs, "./"+rel) {
			pkgs = append(pkgs, "./"+rel)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	badday, err := os.ReadDir(filepath.Join(self, "../../examples/badday/before"))
	if err != nil {
		return "", err
	}
	for _, f := range badday {
		b, _ := os.ReadFile(filepath.Join(self, "../../examples/badday/before", f.Name()))
		src.Write(b)
	}
	h := sha256.Sum256(append(src.Bytes(), runtime.Version()...))
	base, err := os.UserCacheDir()
	if err != nil {
		base = os.TempDir()
	}
	dir := filepath.Join(base, "descry-scenarios", "go-"+hex.EncodeToString(h[:])[:20])
	if _, err := os.Stat(filepath.Join(dir, "done")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	cmd := exec.Command("go", append([]string{"build", "-o", dir + "/"}, pkgs...)...)
	cmd.Dir = self
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	cmd = exec.Command("go", "build", "-o", filepath.Join(dir, "badday"), "../../examples/badday/before")
	cmd.Dir = self
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return dir, os.WriteFile(filepath.Join(dir, "done"), nil, 0o644)
})

// goPrograms is the folder with all of our Go programs, by the names of their packages' folders.
func goPrograms(t testing.TB) string {
	t.Helper()
	dir, err := goDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
