package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/descry-dev/descry/internal/evidence"
)

// realCases are cases of real programs.
func realCases(b *testing.B) (all []*evidence.Case) {
	b.Helper()
	names, err := filepath.Glob("../../internal/diagnose/testdata/*/*real*.json")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		c, err := evidence.ReadCase(f)
		f.Close()
		if err == nil {
			all = append(all, c)
		}
	}
	if len(all) < 100 {
		b.Fatalf("%d cases of real programs", len(all))
	}
	return all
}

// fillBook writes so many cases of real programs into a folder, as the casebook does but for waiting for the disk.
func fillBook(b *testing.B, dir string, count int) (size int64) {
	b.Helper()
	all := realCases(b)
	from := time.Now().Add(-time.Duration(count) * time.Minute)
	for i := range count {
		c := *all[i%len(all)]
		c.OpenedAt = from.Add(time.Duration(i) * time.Minute).UTC()
		c.ID = ulid.MustNew(ulid.Timestamp(c.OpenedAt), ulid.DefaultEntropy()).String()
		c.Subject.Namespace, c.Subject.Pod, c.Subject.Container = "shop", fmt.Sprintf("cart-%d", i%50), "app"
		var out bytes.Buffer
		if err := evidence.WriteCase(&out, &c); err != nil {
			b.Fatal(err)
		}
		size += int64(out.Len())
		if err := os.WriteFile(filepath.Join(dir, c.ID+".json"), out.Bytes(), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return size
}

// The list of 5,000 cases of real programs, as `descry cases` prints it.
func BenchmarkCases5000(b *testing.B) {
	dir := b.TempDir()
	if keep := os.Getenv("DESCRY_BENCH_CASES"); keep != "" { // to try the command itself
		dir = keep
	}
	size := fillBook(b, dir, 5000)
	for b.Loop() {
		cmd := command(bytes.NewReader(nil), io.Discard, io.Discard)
		cmd.SetArgs([]string{"cases", "--cases", dir})
		if err := cmd.Execute(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(size)/5000/1024, "KiB/case")
}
