package coredump

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// material is n bytes that compress as memory does: text, zeros and noise.
func material(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 0, n+4096)
	for len(b) < n {
		switch r.IntN(3) {
		case 0:
			b = append(b, bytes.Repeat([]byte("some text of a program "), 150)...)
		case 1:
			b = append(b, make([]byte, r.IntN(200<<10))...)
		default:
			for range 4096 {
				b = append(b, byte(r.Uint32()))
			}
		}
	}
	return b[:n]
}

func seekableOf(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	p, err := newPacker(&out)
	if err != nil {
		t.Fatal(err)
	}
	half := len(b) / 2
	if _, err := p.Write(b[:half]); err != nil {
		t.Fatal(err)
	}
	if n, err := p.ReadFrom(bytes.NewReader(b[half:])); err != nil || n != int64(len(b)-half) {
		t.Fatalf("%d, %v", n, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if p.out != int64(out.Len()) || p.in != int64(len(b)) {
		t.Errorf("it counts %d and %d bytes, there are %d and %d", p.in, p.out, len(b), out.Len())
	}
	return out.Bytes()
}

func nothing() error { return nil }

func TestSeekable(t *testing.T) {
	for _, n := range []int{0, 1, frameSize - 1, frameSize, frameSize + 1, 5<<20 + 77} {
		want := material(n)
		file := seekableOf(t, want)
		s, err := openSeekable(bytes.NewReader(file), int64(len(file)), nothing)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if s.size != int64(n) {
			t.Errorf("%d bytes: it says %d", n, s.size)
		}
		got, err := io.ReadAll(io.NewSectionReader(s, 0, s.size))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: read from begin to end: %v, equal %v", n, err, bytes.Equal(got, want))
		}
		r := rand.New(rand.NewPCG(3, 4))
		for range 300 {
			if n == 0 {
				break
			}
			off := r.IntN(n)
			p := make([]byte, r.IntN(600<<10))
			k, err := s.ReadAt(p, int64(off))
			if k != min(len(p), n-off) || !bytes.Equal(p[:k], want[off:off+k]) || (err == nil) != (k == len(p)) || err != nil && !errors.Is(err, io.EOF) {
				t.Fatalf("%d bytes: %d at %d: %d, %v", n, len(p), off, k, err)
			}
		}
		s.Close()
		if _, err := s.ReadAt(make([]byte, 1), 0); err == nil && n > 0 {
			t.Error("it reads after it was closed")
		}
	}
}

// Zstandard's own program must unpack what we write, and find it undamaged.
func TestSeekableByZstd(t *testing.T) {
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Skip("zstd is not installed")
	}
	want := material(3<<20 + 5)
	path := filepath.Join(t.TempDir(), "core.zst")
	if err := os.WriteFile(path, seekableOf(t, want), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := exec.Command("zstd", "-dcq", path).Output()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("zstd -d: %v, equal %v", err, bytes.Equal(got, want))
	}
}

func TestSeekableDamaged(t *testing.T) {
	want := material(2 << 20)
	file := seekableOf(t, want)
	for cut := 1; cut < len(file); cut += 1 + len(file)/300 {
		if _, err := openSeekable(bytes.NewReader(file[:cut]), int64(cut), nothing); err == nil {
			t.Fatalf("a file cut at %d of %d opened", cut, len(file))
		}
	}
	for i := 0; i < len(file); i += 1 + len(file)/500 {
		b := bytes.Clone(file)
		b[i] ^= 0x41
		s, err := openSeekable(bytes.NewReader(b), int64(len(b)), nothing)
		if err != nil {
			continue
		}
		got, err := io.ReadAll(io.NewSectionReader(s, 0, s.size))
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("byte %d of %d flipped: other bytes and no error", i, len(file))
		}
	}
}

func FuzzSeekable(f *testing.F) {
	f.Add(seekableOf(f, []byte("a core")))
	f.Add(seekableOf(f, make([]byte, frameSize+1)))
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) {
		s, err := openSeekable(bytes.NewReader(b), int64(len(b)), nothing)
		if err != nil {
			return
		}
		p := make([]byte, 4096)
		for _, off := range []int64{0, s.size / 2, s.size - 1} {
			s.ReadAt(p, off)
		}
		s.Close()
	})
}

type failing struct{ left int }

var errFull = errors.New("full")

func (w *failing) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestPackerFails(t *testing.T) {
	for _, left := range []int{0, 100 << 10} {
		p, err := newPacker(&failing{left})
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.ReadFrom(rand.NewChaCha8([32]byte{}))
		if !errors.Is(err, errFull) {
			t.Errorf("reading on a full disk: %v", err)
		}
		if err := p.Close(); !errors.Is(err, errFull) {
			t.Errorf("closing on a full disk: %v", err)
		}
	}
}
