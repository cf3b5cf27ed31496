package symbol

import (
	"os"
	"testing"
)

func openImage(t testing.TB, path string) *image {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parseELF(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
