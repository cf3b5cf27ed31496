package coredump

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/symbol"
)

func run(t testing.TB, argv ...string) {
	t.Helper()
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", argv, err, out)
	}
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBacktraceFromWhatThereIs names the frames of one core with its program there in one form or another.
func TestBacktraceFromWhatThereIs(t *testing.T) {
	plainCores(t)
	built := build(t, deathsC, "deaths.c", "gcc", "-pthread", "-w", "-O1", "-g", "-fno-omit-frame-pointer", "-o", "OUT", "SRC")
	dir := filepath.Dir(built)
	prog, debug, mini, other := filepath.Join(dir, "prog"), filepath.Join(dir, "prog.debug"), filepath.Join(dir, "mini"), filepath.Join(dir, "other")
	write(t, prog, read(t, built))
	core, _ := crashed(t, nil, prog, "null")
	c := open(t, core)
	id := c.MappingAt(c.Threads[0].PC).BuildID
	if len(id) != 40 {
		t.Fatalf("build id %q", id)
	}
	run(t, "objcopy", "--only-keep-debug", built, debug)
	run(t, "gcc", "-w", "-O0", "-pthread", "-DOTHER", "-o", other, built+".c")
	debugDir := filepath.Join(dir, "debug")
	byID := filepath.Join(debugDir, ".build-id", id[:2], id[2:]+".debug")

	const full = "item_size>inner*>walk>walk>walk>walk>walk>main"
	const bare = "item_size>walk>walk>walk>walk>walk>main"
	const none = "?"
	for _, x := range []struct {
		name  string
		make  func(t *testing.T)
		want  string // of the program's frames; * of inlined ones
		lines bool
		note  string
	}{
		{"as it was", func(t *testing.T) { write(t, prog, read(t, built)) }, full, true, ""},
		{"stripped", func(t *testing.T) { run(t, "strip", "-o", prog, built) }, none, false, ""},
		{"debug link", func(t *testing.T) {
			run(t, "strip", "-o", prog, built)
			run(t, "objcopy", "--add-gnu-debuglink="+debug, prog)
		}, full, true, ""},
		{"debug file by build id", func(t *testing.T) {
			run(t, "strip", "-o", prog, built)
			write(t, byID, read(t, debug))
		}, full, true, ""},
		{"debug file of another build", func(t *testing.T) {
			run(t, "strip", "-o", prog, built)
			write(t, byID, read(t, other))
		}, none, false, ""},
		{".gnu_debugdata", func(t *testing.T) {
			run(t, "strip", "-g", "-o", mini, built)
			run(t, "objcopy", "--only-keep-debug", mini)
			run(t, "xz", "-f", "--check=crc32", mini)
			run(t, "strip", "-o", prog, built)
			run(t, "objcopy", "--add-section", ".gnu_debugdata="+mini+".xz", prog)
		}, bare, false, ""},
		{"sections packed with zlib", func(t *testing.T) { run(t, "objcopy", "--compress-debug-sections=zlib", built, prog) }, full, true, ""},
		{"sections packed with zstd", func(t *testing.T) {
			run(t, "objcopy", "--compress-debug-sections=zstd", built, prog)
			out, err := exec.Command("readelf", "-tW", prog).CombinedOutput()
			if err != nil || !strings.Contains(string(out), "ZSTD") {
				t.Fatalf("objcopy made no section with zstd: %v", err)
			}
		}, full, true, ""},
		{"replaced", func(t *testing.T) { write(t, prog, read(t, other)) }, none, false, "the one that was mapped " + id},
		{"replaced by what is no program", func(t *testing.T) { write(t, prog, make([]byte, 5000)) }, none, false, "not a 64-bit"},
		{"cut short", func(t *testing.T) { write(t, prog, read(t, built)[:3000]) }, none, false, "ends before its segments"},
		{"gone", func(t *testing.T) {}, none, false, "the file was deleted"},
		{"gone, with its debug file", func(t *testing.T) { write(t, byID, read(t, debug)) }, full, true, "the file was deleted"},
	} {
		t.Run(x.name, func(t *testing.T) {
			for _, p := range []string{prog, byID, mini, mini + ".xz"} {
				os.Remove(p) //nolint:errcheck // of the case before
			}
			x.make(t)
			res := symbol.New(symbol.Options{DebugDirs: []string{debugDir}, LineTime: 5 * time.Second, MaxInflate: 64 << 20})
			defer res.Close()
			stacks, err := c.Backtraces(res, "", BacktraceOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			lines := false
			for _, f := range stacks[0].Frames {
				if f.Module != prog || f.Function == "_start" {
					continue
				}
				name := f.Function
				if name == "" {
					name = "?"
					if f.Offset == 0 || f.Offset > 0x10000 {
						t.Errorf("offset %#x of a frame without a name", f.Offset)
					}
				}
				if f.Inlined {
					name += "*"
				}
				names = append(names, name)
				lines = lines || strings.HasSuffix(f.File, "deaths.c") && f.Line > 0
			}
			got := strings.Join(names, ">")
			switch {
			case x.want == none: // all that is the program's, and _start; frame pointers alone miss the leaf's caller
				if len(names) < 6 || strings.Trim(got, "?>") != "" {
					t.Errorf("%s", got)
				}
			case x.note != "":
				if !strings.HasPrefix(got, "item_size>walk>walk") || !strings.HasSuffix(got, "walk>main") {
					t.Errorf("%s", got)
				}
			case got != x.want:
				t.Errorf("%s, not %s", got, x.want)
			}
			if lines != x.lines {
				t.Errorf("lines: %v", lines)
			}
			notes := strings.Join(stacks[0].Notes, "; ")
			if !strings.Contains(notes, x.note) || x.note == "" && notes != "" {
				t.Errorf("notes %q", notes)
			}
		})
	}
}
