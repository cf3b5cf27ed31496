// Command docgen writes docs/metrics.md. It runs in internal/metrics, by go generate.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/descry-dev/descry/internal/metrics"
)

func main() {
	if err := os.WriteFile(filepath.Join("..", "..", "docs", "metrics.md"), []byte(metrics.Docs()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}
