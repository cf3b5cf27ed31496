package run

import (
	"io"
	"slices"
	"testing"
	"time"
)

// From Prepare to the executed command, and from its death to the return of Wait.
func BenchmarkStartAndDeath(b *testing.B) {
	var start, verdict []time.Duration
	for b.Loop() {
		begin := time.Now()
		c, r := prepare(b, Config{Args: []string{"true"}})
		if err := c.Go(); err != nil {
			b.Fatal(err)
		}
		start = append(start, time.Since(begin))
		res := c.Wait()
		verdict = append(verdict, time.Since(res.EndedAt))
		r.Close()
		c.Close()
	}
	at := func(d []time.Duration, part float64) float64 {
		slices.Sort(d)
		return float64(d[int(float64(len(d)-1)*part)].Microseconds()) / 1000
	}
	b.ReportMetric(at(start, 0.5), "ms-start-p50")
	b.ReportMetric(at(start, 0.99), "ms-start-p99")
	b.ReportMetric(at(verdict, 0.5), "ms-death-p50")
	b.ReportMetric(at(verdict, 0.99), "ms-death-p99")
}

func BenchmarkOutput(b *testing.B) {
	const size = 1 << 20
	b.SetBytes(size)
	c, r := prepare(b, Config{Args: []string{"cat", "/dev/zero"}})
	if err := c.Go(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := io.CopyN(io.Discard, r, size); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRing(b *testing.B) {
	var s sharedStream
	chunk := make([]byte, 4096)
	b.SetBytes(4096)
	b.ReportAllocs()
	now := int64(0)
	for b.Loop() {
		now += 1000
		s.put(chunk, now)
	}
}
