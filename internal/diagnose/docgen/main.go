// Command docgen writes docs/causes from the causes and their cases, and docs/runtimes.md from recorded reports. It runs in internal/diagnose,
// by go generate.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/descry-dev/descry/internal/diagnose"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/report"
)

func main() {
	if err := write(filepath.Join("..", "..", "docs", "causes")); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	pages, err := diagnose.Docs(os.DirFS("testdata"), func(w io.Writer, c *evidence.Case) error {
		return report.Terminal(w, c, report.Options{Width: 100})
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	runtimes, err := diagnose.RuntimesDoc(os.DirFS("testdata"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "..", "runtimes.md"), []byte(runtimes), 0o644)
}
