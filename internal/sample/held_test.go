package sample

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHeld(t *testing.T) {
	name := filepath.Join(t.TempDir(), "memory.stat")
	if err := os.WriteFile(name, []byte("anon 5\ninactive_file 100\nactive_file 50\ntotal_inactive_file 300\ntotal_active_file 200\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		version       int
		current, want int64
	}{{2, 1000, 850}, {1, 1000, 500}, {2, 120, 1}} { // the last was read later than memory.current
		if got := held(name, c.version, c.current); got != c.want {
			t.Errorf("version %d: %d of %d, want %d", c.version, got, c.current, c.want)
		}
	}
	if got := held(name+".none", 2, 1000); got != 0 {
		t.Errorf("of no file: %d", got)
	}
}
