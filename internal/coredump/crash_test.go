package coredump

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const corePattern = "/proc/sys/kernel/core_pattern"

// plainCores sees to it that a process that dies leaves "core" in its own folder, until the test ends.
func plainCores(t testing.TB) {
	t.Helper()
	machineWide(t)
	if err := writeSysctl("core_pattern", "core"); err != nil {
		t.Skipf("core dumps: core_pattern cannot be set: %v", err)
	}
}

// crashed runs a program that dies and gives the path of its core. Of the output it gives the end.
func crashed(t testing.TB, env []string, argv ...string) (core, output string) {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `ulimit -c unlimited; exec "$@"`, "sh"}, argv...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", argv, err)
	}
	for _, pattern := range []string{"core", "core.*"} {
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) > 0 {
			return found[0], string(out)
		}
	}
	t.Fatalf("%v: no core (%v): %s", argv, err, out)
	return "", ""
}

// build compiles with the words of a command line, in which OUT is the program's path and SRC the source's.
func build(t testing.TB, source, name string, command ...string) string {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skipf("%s is not installed", command[0])
	}
	dir := t.TempDir()
	src, out := filepath.Join(dir, name), filepath.Join(dir, strings.TrimSuffix(name, filepath.Ext(name)))
	if err := os.WriteFile(src, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	words := append([]string(nil), command...)
	for i := range words {
		words[i] = strings.NewReplacer("OUT", out, "SRC", src).Replace(words[i])
	}
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = dir
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", words, err, b)
	}
	return out
}

// open opens a core file until the test ends.
func open(t testing.TB, path string) *Core {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() }) //nolint:errcheck // read only
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(f, st.Size())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return c
}
