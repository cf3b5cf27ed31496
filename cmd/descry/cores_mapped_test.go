package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/test/exclusive"
)

// mapsC maps 64 KiB of a file, says its pid, waits for a line and reads page 10. Of its own mistake it asks
// nobody how long the file is.
const mapsC = `
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
int main(int n, char **v)
{
	int fd = n > 1 ? open(v[1], O_RDONLY) : -1;
	const volatile char *p = mmap(0, 65536, PROT_READ, MAP_SHARED, fd, 0);
	if (fd < 0 || p == MAP_FAILED)
		return 90;
	printf("%d\n", getpid());
	fflush(stdout);
	getchar();
	return p[10 * 4096];
}
`

// TestRunCoresMapped cuts, replaces and removes a file that is mapped, and looks what the core, and the core
// alone, shows of it.
func TestRunCoresMapped(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("gcc is not installed")
	}
	prog := filepath.Join(t.TempDir(), "maps")
	cc := exec.Command("gcc", "-O1", "-g", "-x", "c", "-o", prog, "-")
	cc.Stdin = strings.NewReader(mapsC)
	if out, err := cc.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	fill := func(t *testing.T, path string, n int) {
		t.Helper()
		if err := os.WriteFile(path, make([]byte, n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// apart is more than the clocks of files and processes are coarse: what comes after is seen to be later.
	apart := func() { time.Sleep(50 * time.Millisecond) }
	must := func(t *testing.T, errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, x := range []struct {
		name  string
		size  int                                      // of the file at first
		do    func(t *testing.T, file string, pid int) //
		exit  int                                      //
		cause string                                   // certain; "": not file-truncated
		then  int64                                    // size of the file at the fault, -1: no file is told
		bind  bool                                     // its folder is another one in a mount namespace of its own
	}{
		{"cut", 65536, func(t *testing.T, f string, _ int) { must(t, os.Truncate(f, 4096)) }, 135, "file-truncated", 4096, false},
		{"cut and removed", 65536, func(t *testing.T, f string, _ int) { must(t, os.Truncate(f, 4096), os.Remove(f)) }, 135, "file-truncated", 4096, false},
		{"cut and replaced", 65536, func(t *testing.T, f string, _ int) {
			must(t, os.Truncate(f, 5000), os.Remove(f))
			fill(t, f, 65536)
		}, 135, "file-truncated", 5000, false},
		{"cut in a mount namespace", 65536, func(t *testing.T, f string, _ int) { must(t, os.Truncate(f, 4096)) }, 135, "file-truncated", 4096, true},
		{"replaced", 65536, func(t *testing.T, f string, _ int) {
			fill(t, f+".new", 4096)
			must(t, os.Rename(f+".new", f))
		}, 0, "", -1, false},
		{"removed", 65536, func(t *testing.T, f string, _ int) { must(t, os.Remove(f)) }, 0, "", -1, false},
		{"sent", 65536, func(t *testing.T, f string, pid int) {
			must(t, os.Truncate(f, 4096), syscall.Kill(pid, syscall.SIGBUS))
		}, 135, "", -1, false},
		{"mapped too long", 4096, func(*testing.T, string, int) {}, 135, "", 4096, false},
	} {
		for _, probes := range []bool{false, true} {
			name := x.name + ", core alone"
			if probes {
				name = x.name
			}
			t.Run(name, func(t *testing.T) {
				exclusive.CorePattern(t)
				dir := t.TempDir()
				file, seen, report := filepath.Join(dir, "data"), filepath.Join(dir, "data"), filepath.Join(dir, "case.json")
				argv := []string{prog, file}
				if x.bind {
					must(t, os.Mkdir(filepath.Join(dir, "inner"), 0o755), os.Mkdir(filepath.Join(dir, "w"), 0o755))
					file, seen = filepath.Join(dir, "inner", "data"), filepath.Join(dir, "w", "data")
					fill(t, seen, 65536) // what lies at that path outside of it
					argv = []string{"unshare", "-m", "--propagation", "private", "sh", "-c", `mount --bind "$1" "$2" && exec "$3" "$2/data"`, "sh", filepath.Dir(file), filepath.Dir(seen), prog}
				}
				fill(t, file, x.size)
				args := []string{"--cores", "--core-dir", filepath.Join(dir, "cores"), "--report", report}
				if !probes {
					args = append(args, "--no-probes")
				}
				apart()
				w := start(t, append(append(args, "--"), argv...)...)
				line, err := w.out.ReadString('\n')
				var pid int
				if _, serr := fmt.Sscan(line, &pid); serr != nil {
					t.Fatalf("the program wrote %q: %v\n%s", line, err, &w.stderr)
				}
				apart()
				x.do(t, file, pid)
				io.WriteString(w.in, "go\n") //nolint:errcheck // it may be dead by intent
				if code := w.end(); code != x.exit {
					t.Fatalf("exit code %d, want %d\n%s", code, x.exit, &w.stderr)
				}
				if x.exit == 0 {
					return
				}
				f, err := os.Open(report)
				must(t, err)
				defer f.Close()
				c, err := evidence.ReadCase(f)
				must(t, err)
				if c.Core == nil {
					t.Fatalf("no core\n%s", &w.stderr)
				}
				switch m := c.Core.Mapped; {
				case x.then < 0:
					if m != nil {
						t.Errorf("mapped %+v", m)
					}
				case m == nil || m.Size != x.then || m.Offset != 40960 || m.Path != seen || !m.Shared || m.Changed == 0:
					t.Errorf("mapped %+v, want %d bytes of %s (%s)", m, x.then, seen, c.Core.Meaning)
				case !strings.Contains(c.Core.Meaning, fmt.Sprintf("had only %d bytes at that moment", x.then)):
					t.Errorf("meaning %q", c.Core.Meaning)
				}
				found := ""
				for _, f := range c.Findings {
					if f.Cause == "file-truncated" {
						found = f.Cause
						if f.Confidence != evidence.Certain || !strings.Contains(f.Summary, "byte 40960 of "+seen) {
							t.Errorf("%s: %s", f.Confidence, f.Summary)
						}
					}
				}
				if found != x.cause || x.cause != "" && c.Findings[0].Cause != x.cause {
					t.Errorf("found %+v\nmeaning %s", c.Findings, c.Core.Meaning)
				}
			})
		}
	}
}
