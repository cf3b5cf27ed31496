package coredump

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// realCore is a core of a small program with threads.
func realCore(t testing.TB) []byte {
	t.Helper()
	plainCores(t)
	path, _ := crashed(t, nil, build(t, threadsC, "threads.c", "gcc", "-O0", "-pthread", "-o", "OUT", "SRC"))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// use does with a core all that can be done, and checks what must hold of any.
func use(t testing.TB, b []byte) (*Core, error) {
	t.Helper()
	c, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		if !errors.Is(err, ErrNotCore) || c != nil {
			t.Fatalf("Open gave %v, %v", c, err)
		}
		return nil, err
	}
	if len(c.Threads) > maxThreads || len(c.Mappings) > maxHeaders+maxLines+maxLines || len(c.Damage) > maxDamage {
		t.Fatalf("%d threads, %d mappings, %d damages", len(c.Threads), len(c.Mappings), len(c.Damage))
	}
	var end uint64
	for _, m := range c.Mappings {
		if m.Start < end || m.End <= m.Start {
			t.Fatalf("mapping %+v after %#x", m, end)
		}
		end = m.End
	}
	p := make([]byte, 64)
	for i := range min(len(c.Mappings), 100) {
		m := &c.Mappings[i]
		if n := c.Memory(m.Start, p); m.Saved != (n > 0) {
			t.Fatalf("%d bytes of %+v", n, m)
		}
		c.Memory(m.End-1, p)
	}
	c.Memory(^uint64(0), p)
	c.Memory(^uint64(0)-10, p)
	return c, nil
}

func TestOpenCut(t *testing.T) {
	b := realCore(t)
	whole, err := use(t, b)
	if err != nil || len(whole.Damage) > 0 {
		t.Fatal(err, whole.Damage)
	}
	headers := 0
	for at := 0; at < len(b); at++ {
		if at > 24<<10 && at%4096 != 0 && at%4096 != 1 && at%4096 != 4095 {
			continue
		}
		c, err := use(t, b[:at])
		switch {
		case err != nil:
			if at > 64+56 {
				t.Fatalf("cut at %d: %v", at, err)
			}
			headers++
		case len(c.Damage) == 0:
			t.Fatalf("cut at %d of %d: no damage told", at, len(b))
		case c.MissingBytes == 0 || c.MissingBytes > c.MemoryBytes:
			if c.MemoryBytes > 0 {
				t.Fatalf("cut at %d: %d of %d bytes missing", at, c.MissingBytes, c.MemoryBytes)
			}
		}
		if at > 24<<10 && (c.Signal != whole.Signal || len(c.Threads) != len(whole.Threads) || !strings.Contains(strings.Join(c.Damage, " "), "the file ends early")) {
			t.Fatalf("cut at %d: signal %v, %d threads, %q", at, c.Signal, len(c.Threads), c.Damage)
		}
	}
	if headers < 64 {
		t.Errorf("only %d cuts were refused", headers)
	}
}

func TestOpenFlipped(t *testing.T) {
	b := realCore(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	head := min(len(b), 24<<10)
	for at := range head {
		for _, v := range []byte{0, 0xff, b[at] ^ 0x80, byte(rnd.Uint32())} {
			old := b[at]
			b[at] = v
			use(t, b) //nolint:errcheck // only that it ends well
			b[at] = old
		}
	}
	for range 2000 {
		c := bytes.Clone(b[:head])
		from := rnd.IntN(head)
		for i := from; i < min(head, from+1+rnd.IntN(64)); i++ {
			c[i] = byte(rnd.Uint32()) >> rnd.IntN(8)
		}
		use(t, c) //nolint:errcheck // only that it ends well
	}
}

func FuzzOpen(f *testing.F) {
	// Not a core made here: each worker of the fuzzer would wait for the lock of core_pattern.
	z, err := zstd.NewReader(nil)
	if err != nil {
		f.Fatal(err)
	}
	defer z.Close()
	b, err := z.DecodeAll(read(f, "testdata/arm64/c.core.zst"), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:min(len(b), 16<<10)])
	f.Add(b[:200])
	f.Fuzz(func(t *testing.T, b []byte) {
		use(t, b) //nolint:errcheck // only that it ends well
	})
}
