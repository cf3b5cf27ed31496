package forecast

import (
	"flag"
	"fmt"
	"math"
	"math/rand"
	"testing"
)

var long = flag.Bool("long", false, "many more random series, each for six hours")

// said is an event and when it came.
type said struct {
	at float64
	Event
}

func (s said) String() string {
	return fmt.Sprintf("%.1fs kind %d %s %d/%d, %.3g/s, %.1fs (%.1f to %.1f)", s.at, s.Kind, s.Limit, s.Open, s.Max, s.PerSecond, s.Seconds, s.SecondsLow, s.SecondsHigh)
}

// play samples value for some seconds as a sweep does: ten times in each of the first two seconds,
// then each second. It ends where the value passes the limit.
func play(t *Tracker, w *Warner, seconds float64, limit int64, value func(at float64) float64) (events []said, died float64) {
	for at := 0.0; at < seconds; {
		v := int64(value(at))
		if v >= limit {
			return events, at
		}
		t.Add(int64(at*1e9)+1, v, v+2, limit, 0)
		if e, ok := w.Check(t); ok {
			events = append(events, said{at, e})
		}
		if at < 1.95 {
			at += 0.1
		} else {
			at++
		}
	}
	return events, seconds
}

func noise(r *rand.Rand, sd float64) float64 { return r.NormFloat64() * sd }

func poisson(r *rand.Rand, mean float64) float64 {
	if mean > 50 {
		return max(0, math.Round(mean+noise(r, math.Sqrt(mean))))
	}
	l, k, p := math.Exp(-mean), 0, 1.0
	for p > l {
		k++
		p *= r.Float64()
	}
	return float64(k - 1)
}

const (
	minute = 60.0
	hour   = 3600.0
)

// Series that end at the limit: each must be warned of, in time.
func TestLeaks(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	tooth := func(at, period, height float64) float64 { return math.Mod(at, period) / period * height }
	for name, c := range map[string]struct {
		limit    int64
		seconds  float64
		value    func(at float64) float64
		leftMin  float64 // the warning comes at least this many seconds before the end
		leftMax  float64
		rate     float64 // true one; the forecast must be within a third of it
		noRepeat bool
	}{
		"4000 a second, five seconds": {20000, 60, func(at float64) float64 { return 10 + 4000*at }, 0.5, 3, 4000, true},
		"2000 a second":               {20000, 60, func(at float64) float64 { return 10 + 2000*at }, 0.5, 8, 2000, true},
		"50 a second":                 {1024, hour, func(at float64) float64 { return 10 + 50*at }, 0.9, 10, 50, true},
		"5 a second, noisy":           {1024, hour, func(at float64) float64 { return 30 + 5*at + noise(r, 8) }, 20, 100, 5, false},
		"1 a second":                  {1024, hour, func(at float64) float64 { return 10 + at }, 3 * minute, 9 * minute, 1, false},
		"half a second, noisy":        {4096, 3 * hour, func(at float64) float64 { return 100 + at/2 + noise(r, 20) }, 40 * minute, 3 * hour, 0.5, false},
		"one a minute":                {1024, 24 * hour, func(at float64) float64 { return 10 + at/minute }, 55 * minute, 5 * hour, 1 / minute, false},
		"one a minute, late, on load": {1024, 40 * hour, func(at float64) float64 {
			return 200 + 30*math.Sin(at/500) + noise(r, 10) + max(0, at-6*hour)/minute
		}, 40 * minute, 5 * hour, 1 / minute, false},
		"after a long calm":  {1024, 8 * hour, func(at float64) float64 { return 50 + max(0, at-4*hour) }, 2 * minute, 10 * minute, 1, false},
		"below teeth of 20s": {1024, 4 * hour, func(at float64) float64 { return 50 + 0.2*at + tooth(at, 20, 200) }, 5 * minute, 70 * minute, 0.2, false},
		"after a burst": {1024, 4 * hour, func(at float64) float64 {
			if at > 300 && at < 310 {
				return 900
			}
			return 50 + 0.2*at
		}, 10 * minute, 70 * minute, 0.2, false},
		"accelerating": {4096, hour, func(at float64) float64 { return 50 + at*at/400 }, 20, 12 * minute, 0, false},
		"after the limit was lowered in effect: near it from the start": {1024, hour, func(at float64) float64 { return 900 + at/20 }, 5 * minute, 42 * minute, 0.05, false},
	} {
		t.Run(name, func(t *testing.T) {
			var tr Tracker
			var w Warner
			events, died := play(&tr, &w, c.seconds, c.limit, c.value)
			if died == c.seconds {
				t.Fatal("the series does not end at its limit")
			}
			if len(events) == 0 {
				t.Fatalf("ran out at %.1fs without a warning", died)
			}
			first := events[0]
			left := died - first.at
			if first.Kind != Warned || left < c.leftMin || left > c.leftMax {
				t.Errorf("first said with %.1fs left, want %.1f to %.1f: %v", left, c.leftMin, c.leftMax, first)
			}
			if c.rate > 0 && (math.Abs(first.PerSecond-c.rate) > c.rate/3 || first.Seconds < left/2 || first.Seconds > left*2+1) {
				t.Errorf("with %.1fs left at %.3g/s: %v", left, c.rate, first)
			}
			if !(first.SecondsLow <= first.Seconds && first.Seconds <= first.SecondsHigh && first.SecondsLow > 0) {
				t.Errorf("bounds: %v", first)
			}
			for _, e := range events[1:] {
				if e.Kind != Worse || c.noRepeat {
					t.Errorf("said more: %v", e)
				}
			}
			if len(events) > len(levels)+1 {
				t.Errorf("said %d times: %v", len(events), events)
			}
		})
	}
}

// Series that stay below the limit: none may be warned of.
func TestNoLeaks(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	tooth := func(at, period, low, high float64) float64 {
		return low + math.Mod(at, period)/period*(high-low)
	}
	for name, value := range map[string]func(at float64) float64{
		"flat":                       func(float64) float64 { return 12 },
		"flat at 97%":                func(float64) float64 { return 1024 * 0.97 },
		"noise at 90%":               func(float64) float64 { return 920 + noise(r, 20) },
		"bursts":                     func(at float64) float64 { return 50 + 800*b2f(math.Mod(at, 97) < 8) },
		"slow bursts":                func(at float64) float64 { return 50 + 700*max(0, math.Sin(at/40)) },
		"two steps to 78%":           func(at float64) float64 { return 100 + 350*min(2, math.Floor(at/900)) },
		"one step to 85%":            func(at float64) float64 { return 100 + 770*b2f(at > 60) },
		"warm-up in 1s to 85%":       func(at float64) float64 { return 870 * min(1, at) },
		"warm-up in 20s to 85%":      func(at float64) float64 { return 870 * min(1, at/20) },
		"warm-up, 5s, exponential":   func(at float64) float64 { return 870 * (1 - math.Exp(-at/5)) },
		"warm-up, 60s, exponential":  func(at float64) float64 { return 870 * (1 - math.Exp(-at/60)) },
		"warm-up, 10m, exponential":  func(at float64) float64 { return 870 * (1 - math.Exp(-at/600)) },
		"warm-up, 2h, exponential":   func(at float64) float64 { return 870 * (1 - math.Exp(-at/7200)) },
		"teeth of 20s":               func(at float64) float64 { return tooth(at, 20, 20, 800) },
		"teeth of 60s":               func(at float64) float64 { return tooth(at, 60, 50, 700) },
		"teeth of 2m":                func(at float64) float64 { return tooth(at, 120, 100, 700) },
		"teeth of 10m":               func(at float64) float64 { return tooth(at, 600, 100, 500) },
		"day and night":              func(at float64) float64 { return 500 + 250*math.Sin(at*2*math.Pi/(24*hour)) },
		"ten minutes up and down":    func(at float64) float64 { return 400 + 250*math.Sin(at*2*math.Pi/600) },
		"a fast rise that is closed": func(at float64) float64 { return 20 + 300*math.Mod(at, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			var tr Tracker
			var w Warner
			events, died := play(&tr, &w, 30*hour, 1024, value)
			if died != 30*hour {
				t.Fatal("the series reaches its limit")
			}
			if len(events) != 0 {
				t.Errorf("said: %v", events)
			}
		})
	}
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// stationary makes a random series without a trend that stays below limit.
func stationary(r *rand.Rand, limit float64) (name string, value func(at float64) float64) {
	mean := limit * (0.05 + 0.8*r.Float64())
	room := min(mean, 0.97*limit-mean)
	sd := room / 5 * r.Float64()
	clip := func(v float64) float64 { return max(0, min(0.97*limit, v)) }
	switch r.Intn(6) {
	case 0:
		return "normal", func(float64) float64 { return clip(mean + noise(r, sd)) }
	case 1:
		return "uniform", func(float64) float64 { return clip(mean + (2*r.Float64()-1)*room*0.8) }
	case 2: // autocorrelated, with a memory of seconds to hours
		a := 1 - math.Pow(10, -4*r.Float64())
		x := noise(r, sd)
		return fmt.Sprintf("ar1 %.4f", a), func(float64) float64 {
			x = a*x + noise(r, sd*math.Sqrt(1-a*a))
			return clip(mean + x)
		}
	case 3: // connections that come and go
		n, hold := mean, math.Pow(10, 3*r.Float64())
		return fmt.Sprintf("queue %.0fs", hold), func(float64) float64 {
			n = clip(n + poisson(r, mean/hold) - poisson(r, n/hold))
			return n
		}
	case 4: // teeth of any period
		period, height := 5+600*r.Float64(), room*0.6
		phase := r.Float64() * period
		return fmt.Sprintf("teeth %.0fs", period), func(at float64) float64 {
			return clip(min(mean, 0.4*limit) + math.Mod(at+phase, period)/period*min(height, 0.2*limit) + noise(r, 3))
		}
	default: // bursts
		until := 0.0
		return "bursts", func(at float64) float64 {
			if at > until && r.Float64() < 0.01 {
				until = at + 30*r.Float64()
			}
			return clip(mean + noise(r, 3) + b2f(at < until)*room*0.8)
		}
	}
}

func TestStationarySeries(t *testing.T) {
	series, span := 1000, hour/2
	if testing.Short() {
		series = 200
	}
	if *long {
		series, span = 5000, 6*hour
	}
	for i := range series {
		r := rand.New(rand.NewSource(int64(i)))
		limit := []int64{256, 1024, 4096, 20000}[r.Intn(4)]
		name, value := stationary(r, float64(limit))
		var tr Tracker
		var w Warner
		events, _ := play(&tr, &w, span, limit, value)
		if len(events) != 0 {
			t.Errorf("series %d (%s, limit %d): %v", i, name, limit, events)
		}
	}
}

// What swings up to the limit and back may be warned of once, and then not again and again.
func TestTallTeeth(t *testing.T) {
	var tr Tracker
	var w Warner
	events, _ := play(&tr, &w, 10*hour, 1024, func(at float64) float64 { return 100 + 90*math.Mod(at, 10) })
	if len(events) > 2 {
		t.Errorf("said %d times: %v", len(events), events[:3])
	}
}

// With samples ten times a second throughout, a start that rises straight to 85% in some seconds
// can be told from a leak as fast.
func TestFastLeakSampledOften(t *testing.T) {
	run := func(limit int64, value func(at float64) float64) (events []said, died float64) {
		var tr Tracker
		var w Warner
		for at := 0.0; at < 60; at += 0.1 {
			v := int64(value(at))
			if v >= limit {
				return events, at
			}
			tr.Add(int64(at*1e9)+1, v, -1, limit, 0)
			if e, ok := w.Check(&tr); ok {
				events = append(events, said{at, e})
			}
		}
		return events, 60
	}
	if events, _ := run(1024, func(at float64) float64 { return 870 * min(1, at/5) }); len(events) != 0 {
		t.Errorf("a start: %v", events)
	}
	events, died := run(20000, func(at float64) float64 { return 4000 * at })
	if len(events) != 1 || died-events[0].at < 0.3 {
		t.Errorf("a leak that ends at %.1fs: %v", died, events)
	}
}

func TestSelect(t *testing.T) {
	leak := func(soft, calls int64) (e Event, found bool) {
		var tr Tracker
		var w Warner
		for i := range int64(900) {
			tr.Add(1+i*second, 10+i, max(251, 9+i), soft, calls*i) // 251 was put there on purpose
			if got, ok := w.Check(&tr); ok && !found {
				e, found = got, true
			}
		}
		return e, found
	}
	if e, ok := leak(4096, 3); !ok || e.Limit != LimitFDSetSize || e.Max != 1024 || math.Abs(e.PerSecond-1) > 0.1 || e.Open < 512 {
		t.Errorf("a program that selects: %+v", e)
	}
	if e, ok := leak(4096, 0); ok {
		t.Errorf("a program that does not select: %+v", e)
	}
	if e, ok := leak(1024, 3); ok && e.Limit != LimitNoFile {
		t.Errorf("a limit that comes before: %+v", e)
	}
	if e, ok := leak(600, 3); !ok || e.Limit != LimitNoFile || e.Max != 600 {
		t.Errorf("a limit that comes before: %+v, %v", e, ok)
	}
}

// A leak of one a second; the limit is raised, then the leak is mended.
func TestWithdrawn(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit func(i int64) int64
		open  func(i int64) int64
	}{
		{"limit raised", func(i int64) int64 { return 1024 + b2i(i > 900)*200000 }, func(i int64) int64 { return 10 + i }},
		{"leak mended", func(int64) int64 { return 1024 }, func(i int64) int64 { return 10 + min(i, 900) }},
		{"program restarted by exec", func(int64) int64 { return 1024 }, func(i int64) int64 { return 10 + i*b2i(i < 900) }},
	} {
		var tr Tracker
		var w Warner
		var got []EventKind
		for i := range int64(1800) {
			tr.Add(1+i*second, c.open(i), -1, c.limit(i), 0)
			if e, ok := w.Check(&tr); ok {
				got = append(got, e.Kind)
				if e.Kind == Withdrawn && i < 900 {
					t.Errorf("%s: withdrawn at %d", c.name, i)
				}
			}
		}
		if n := len(got); n < 2 || got[0] != Warned || got[n-1] != Withdrawn || n > 3 {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func TestTooLittleIsKnown(t *testing.T) {
	var tr Tracker
	if h, ok := tr.Headroom(); ok {
		t.Errorf("of nothing: %+v", h)
	}
	for i := range int64(10) {
		tr.Add(1+i*second/10, 100*i, -1, 1024, 0)
		tr.Add(1, 0, -1, 1024, 0) // older: left out
		if h, ok := tr.Headroom(); ok {
			t.Errorf("of %d samples: %+v", i+1, h)
		}
	}
	for _, limit := range []int64{0, -1} {
		var tr Tracker
		for i := range int64(1000) {
			tr.Add(1+i*second, i, -1, limit, 0)
		}
		if h, ok := tr.Headroom(); ok {
			t.Errorf("without a limit: %+v", h)
		}
	}
}

func TestAllocatesNothing(t *testing.T) {
	var tr Tracker
	var w Warner
	i := int64(0)
	if n := testing.AllocsPerRun(5000, func() {
		i++
		tr.Add(i*second, i, i, 1<<20, i)
		w.Check(&tr)
		tr.Headroom()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSample(b *testing.B) {
	var tr Tracker
	var w Warner
	i := int64(0)
	for b.Loop() {
		i++
		tr.Add(i*second, i, i, 1<<40, i)
		w.Check(&tr)
	}
}

func BenchmarkSampleFlat(b *testing.B) {
	var tr Tracker
	var w Warner
	i := int64(0)
	for b.Loop() {
		i++
		tr.Add(i*second, 100+i%5, 110, 1024, 0)
		w.Check(&tr)
	}
}

// A Headroom is recorded as evidence, so it must be silent too, not only the Warner.
func TestHeadroomIsSilent(t *testing.T) {
	r := rand.New(rand.NewSource(3))
	for name, c := range map[string]struct {
		limit  int64
		from   float64 // seconds from which on it must be silent
		value  func(at float64) float64
		exempt float64 // share of samples at which it may speak
	}{
		"steps in noise":              {1024, 0, func(at float64) float64 { return 500 + 450*b2f(math.Mod(at, 600) > 300) + noise(r, 10) }, 0},
		"teeth, from the third on":    {1024, 200, func(at float64) float64 { return 50 + 8*math.Mod(at, 60) }, 0},
		"half a minute after its end": {1024, 130, func(at float64) float64 { return 10 + min(10*at, 1000) }, 0},
		"further than was seen":       {1 << 30, 0, func(at float64) float64 { return 10 + 2*at }, 0},
		"noise":                       {1024, 0, func(float64) float64 { return 960 + noise(r, 12) }, 0.0005},
		"a slow swing":                {1024, 1300, func(at float64) float64 { return 500 + 200*math.Sin(at/100) }, 0.0},
	} {
		var tr Tracker
		spoke, n := 0, 0
		for at := 0.0; at < 7200; at++ {
			v := int64(c.value(at))
			tr.Add(int64(at*1e9)+1, v, -1, c.limit, 0)
			if h, ok := tr.Headroom(); ok && at >= c.from {
				if spoke++; c.exempt == 0 && spoke == 1 {
					t.Errorf("%s: at %.0fs: %+v", name, at, h)
				}
			}
			n++
		}
		if float64(spoke) > c.exempt*float64(n) {
			t.Errorf("%s: a headroom at %d of %d samples", name, spoke, n)
		}
	}
}

func TestNotAgainSoon(t *testing.T) {
	w := warning{endedAt: 100 * second, value: 900}
	for _, c := range []struct {
		at, open int64
		want     bool
	}{{110, 890, true}, {110, 901, false}, {100 + againSeconds + 1, 890, false}} {
		if got := w.tooSoon(c.at*second, c.open); got != c.want {
			t.Errorf("%d descriptors at %ds: %v", c.open, c.at, got)
		}
	}
}
