package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// descry is the built command, which test/kernel puts into its machines.
func descry(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	needMachine(t)
	bin, err := exec.LookPath("descry")
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(bin, args...)
}

// The whole command explains what only a machine of one's own may suffer.
func TestRunExplains(t *testing.T) {
	needMachine(t)
	taxed := taxedChild(t)
	for _, c := range []struct {
		child   string // or a program of testdata
		code    int
		cause   string
		prepare func(t *testing.T)
	}{
		{"pass", 0, "", func(*testing.T) {}},
		{"descriptors", 24, "fd-limit", func(*testing.T) {}},
		{"files", 23, "system-fd-limit", fewFiles},
		{"inotify", 28, "inotify-limit", func(t *testing.T) {
			sysctl(t, "fs.inotify.max_user_instances", "3")
			sysctl(t, "fs.inotify.max_user_watches", "5")
		}},
		{"overflow.c", 139, "select-overflow", func(*testing.T) {}},
	} {
		t.Run(c.child, func(t *testing.T) {
			c.prepare(t)
			report := filepath.Join(t.TempDir(), "case.json")
			program, err := os.Executable()
			if name, isC := strings.CutSuffix(c.child, ".c"); isC && err == nil {
				program, err = filepath.Abs(filepath.Join("testdata", name))
				if _, err := os.Stat(program); err != nil {
					t.Skip("not compiled on the host: ", err)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			cmd := descry(t, "run", "--report", report, "--cases", t.TempDir(), "--", program)
			cmd.Env = append(os.Environ(), "GUEST_CHILD="+c.child)
			var said bytes.Buffer
			cmd.Stderr = &said
			if code := exitCode(t, cmd); code != c.code {
				t.Fatalf("exit code %d, want %d\n%s", code, c.code, said.Bytes())
			}
			if taxed() {
				t.Error("a system call tracepoint was left on")
			}
			if c.cause == "" {
				if said.Len() > 0 {
					t.Errorf("it talked of a program that ended well:\n%s", said.Bytes())
				}
				return
			}
			b, err := os.ReadFile(report)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Death    struct{ ExitCode int }
				Findings []struct{ Cause, Confidence string }
			}
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatal(err)
			}
			if got.Death.ExitCode != c.code || len(got.Findings) == 0 || got.Findings[0].Cause != c.cause {
				t.Errorf("found %+v of a death with %d, want %s of one with %d\n%s\n%s",
					got.Findings, got.Death.ExitCode, c.cause, c.code, said.Bytes(), b)
			}
			t.Logf("%s: %+v\n%s", c.child, got.Findings, said.Bytes())
		})
	}
}

// Every probe is active on these kernels, and made of functions where that can be had.
func TestDoctor(t *testing.T) {
	out, err := descry(t, "doctor", "-o", "json").Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var table []struct{ Name, By, Missing string }
	if err := json.Unmarshal(out, &table); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	seen := false
	for _, row := range table {
		if !strings.HasPrefix(row.Name, "probe/") {
			continue
		}
		t.Logf("%s: %s %s", row.Name, row.By, row.Missing)
		seen = true
		if row.Missing != "" {
			t.Errorf("%s is missing: %s", row.Name, row.Missing)
		}
	}
	if !seen {
		t.Errorf("no probe in the table: %s", out)
	}
}
