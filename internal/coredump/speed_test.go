package coredump

import (
	"os"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/symbol"
)

// BenchmarkSummary opens the core that DESCRY_CORE names, unwinds all its threads and tells what it means.
func BenchmarkSummary(b *testing.B) {
	path := os.Getenv("DESCRY_CORE")
	if path == "" {
		b.Skip("DESCRY_CORE names no core")
	}
	for b.Loop() {
		begin := time.Now()
		c := open(b, path)
		opened := time.Since(begin)
		res := symbol.New(symbol.Options{})
		stacks, err := c.Backtraces(res, "", BacktraceOptions{})
		if err != nil || len(stacks) == 0 {
			b.Fatal(err)
		}
		c.Meaning(res, "", &stacks[0])
		res.Close()
		b.ReportMetric(opened.Seconds()*1000, "ms-to-open")
	}
}
