package diagnose

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/report"
)

func TestDocsAreCurrent(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "causes")
	pages, err := Docs(os.DirFS("testdata"), func(w io.Writer, c *evidence.Case) error {
		return report.Terminal(w, c, report.Options{Width: 100})
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatalf("%v: run go generate ./internal/diagnose", err)
		}
		if d := cmp.Diff(string(got), want); d != "" {
			t.Errorf("docs/causes/%s is not current: run go generate ./internal/diagnose\n%s", name, d)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if pages[f.Name()] == "" {
			t.Errorf("docs/causes/%s belongs to no cause", f.Name())
		}
	}
}

func TestRuntimesDocIsCurrent(t *testing.T) {
	want, err := RuntimesDoc(os.DirFS("testdata"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join("..", "..", "docs", "runtimes.md"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(got), want); d != "" {
		t.Errorf("docs/runtimes.md is not current: run go generate ./internal/diagnose\n%s", d)
	}
}
