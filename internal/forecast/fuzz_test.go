package forecast

import (
	"encoding/binary"
	"math"
	"math/rand"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

// sane says what is wrong with a forecast, "" for nothing.
func sane(h evidence.Headroom) string {
	for _, v := range []float64{h.PerSecond, h.Seconds, h.SecondsLow, h.SecondsHigh} {
		if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
			return "a number that is none"
		}
	}
	switch {
	case h.SecondsLow > h.Seconds || h.Seconds > h.SecondsHigh:
		return "bounds out of order"
	case h.PerSecond <= 0:
		return "a forecast without growth"
	case h.Max <= 0:
		return "a forecast without a limit"
	}
	return ""
}

// Any samples: no panic, no NaN, the bounds in order, and never a withdrawal without a warning.
func FuzzSamples(f *testing.F) {
	f.Add([]byte("\x01\x05\x01\x06\x01\x07\x01\x08\x01\x09\x01\x0a\x01\x0b\x01\x0c\x01\x0d\x01\x0e\x01\x0f\x01\x10\x01\x11\x01\x12"), uint16(20))
	leak := make([]byte, 4000)
	r := rand.New(rand.NewSource(1))
	for i := range leak {
		leak[i] = byte(r.Intn(4))
	}
	f.Add(leak, uint16(1024))
	for i := range leak {
		leak[i] = byte(r.Intn(256))
	}
	f.Add(leak, uint16(60000))
	f.Fuzz(func(t *testing.T, b []byte, limit uint16) {
		var tr Tracker
		var w Warner
		g, gw := NewGauge(LimitMemory), Warner{}
		boot, value, calls := int64(1), int64(0), int64(0)
		on := map[string]bool{}
		for ; len(b) >= 2; b = b[2:] {
			switch step := int64(b[0]); {
			case step < 200:
				boot += step * second / 10
			case step < 250:
				boot += step * step * step * second
			default: // far away, or back
				boot += int64(int8(b[1])) * 1e16
			}
			switch by := int64(int8(b[1])); {
			case by == -128:
				value = 0
			case by == 127:
				value *= 1000
			default:
				value += by
			}
			if len(b) >= 10 && b[0] == 255 {
				value = int64(binary.LittleEndian.Uint64(b[2:]))
			}
			calls += int64(b[0] & 1)
			soft := int64(limit)
			if b[0] == 254 {
				soft = -1
			}
			tr.Add(boot, value, value, soft, calls)
			g.Add(boot, value*4096, soft*4096)
			for _, h := range []func() (evidence.Headroom, bool){tr.Headroom, g.Headroom} {
				if h, ok := h(); ok {
					if bad := sane(h); bad != "" {
						t.Fatalf("%s: %+v", bad, h)
					}
				}
			}
			for range 3 {
				e, ok := w.Check(&tr)
				if !ok {
					break
				}
				if e.Kind != Withdrawn {
					if bad := sane(e.Headroom); bad != "" {
						t.Fatalf("%s: %+v", bad, e)
					}
				}
				if (e.Kind == Warned) == on[e.Limit] {
					t.Fatalf("event %d of %s, which was warned of: %v", e.Kind, e.Limit, on[e.Limit])
				}
				on[e.Limit] = e.Kind != Withdrawn
			}
			gw.CheckGauge(g)
		}
	})
}

// What stays below a third of its limit is never warned of, whatever it does there.
func TestFarFromTheLimit(t *testing.T) {
	for seed := range int64(60) {
		r := rand.New(rand.NewSource(seed))
		limit := int64(100 + r.Intn(100000))
		g := NewGauge([]string{LimitNoFile, LimitPids, LimitMappings, LimitFileMax}[seed%4])
		var w Warner
		v, drift := 0.0, 0.0
		for at := range int64(3000) {
			if at%200 == 0 {
				drift = r.NormFloat64() * float64(limit) / 500
			}
			v = max(0, min(float64(limit)*0.33, v+drift+r.NormFloat64()*float64(limit)/300))
			if r.Intn(500) == 0 {
				v = 0
			}
			g.Add(1+at*second, int64(v), limit)
			if e, ok := w.CheckGauge(g); ok {
				t.Fatalf("series %d: at %ds: %+v", seed, at, e)
			}
		}
	}
}
