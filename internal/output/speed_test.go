package output

import (
	"bytes"
	"os"
	"testing"
)

// programs are some that this machine has, one behind the other.
func programs(tb testing.TB) []byte {
	var b []byte
	for _, name := range []string{"/proc/self/exe", "/bin/bash", "/bin/ls", "/usr/bin/python3", "/usr/bin/perl", "/usr/bin/git"} {
		p, err := os.ReadFile(name)
		if err == nil {
			b = append(b, p[:min(len(p), 4<<20)]...)
		}
	}
	if len(b) == 0 {
		tb.Skip("needs a program that can be read")
	}
	return b
}

func BenchmarkPrograms(b *testing.B) {
	data := programs(b)
	b.SetBytes(int64(len(data)))
	var j Judge
	var spans []Span
	for b.Loop() {
		spans = j.Write(spans[:0], data)
	}
}

func BenchmarkLegacy(b *testing.B) {
	data := bytes.Repeat([]byte("2026-11-22 07:24:16 INFO Der Zugriff wurde verweigert: \xfcberpr\xfcfen Sie \xd6ffnung \xa7 4, gr\xfc\xdfe\n"), 1000)
	b.SetBytes(int64(len(data)))
	var j Judge
	for b.Loop() {
		j.Write(nil, data)
	}
}
