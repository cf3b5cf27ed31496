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

// mappingOf is the executable segment of a program as it would be mapped with this bias.
func mappingOf(f *image, path string, bias uint64) Mapping {
	for _, s := range f.loads {
		if s.flags&pfX != 0 {
			return Mapping{Start: s.vaddr&^0xfff + bias, End: s.vaddr + s.filesz + bias, Offset: s.off &^ 0xfff, Path: path}
		}
	}
	return Mapping{}
}
