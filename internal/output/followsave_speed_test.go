package output

import (
	"path/filepath"
	"testing"
	"time"
)

// What it takes to keep a log's position, which is done each time that something was handed on.
func BenchmarkSave(b *testing.B) {
	j, _, err := OpenJournal(filepath.Join(b.TempDir(), "position"))
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	s := savedLog{Path: "/var/log/pods/default_writer_0c7c2a66-3b1f-4c0f-8d4f-5b5b0f0a7f11/c/0.log", Seen: seen{"20261122-072416", 1, 1, 0}}
	for range 2 {
		s.Files = append(s.Files, savedFile{Path: s.Path, Dev: 65024, Ino: 10240196, Form: CRI, Size: 1e6, MTime: 1795385086942292945, Head: print{64, 1 << 63}, Tail: print{64, 1 << 63}})
	}
	for b.Loop() {
		s.Files[0].Offset += 100
		if err := j.Save([]savedLog{s}, time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
}
