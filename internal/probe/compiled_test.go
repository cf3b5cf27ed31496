//go:build linux

package probe

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// compiled gives the program of testdata/name.c. It is made with gcc, unless it lies there already: as in the
// machines of test/kernel, which makes it on the host, from the same file with the same flags.
func compiled(t *testing.T, name string) string {
	t.Helper()
	src, err := filepath.Abs(filepath.Join("testdata", name+".c"))
	must(err)
	if made := strings.TrimSuffix(src, ".c"); os.Getenv("DESCRY_VM") != "" {
		if _, err := os.Stat(made); err == nil {
			return made
		}
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc: ", err)
	}
	bin := filepath.Join(t.TempDir(), name)
	out, err := exec.Command(gcc, "-O1", "-g", "-fno-optimize-sibling-calls", "-pthread", "-o", bin, src).CombinedOutput()
	if err != nil {
		t.Fatalf("compile %s: %v: %s", src, err, out)
	}
	return bin
}
