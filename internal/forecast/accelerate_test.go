package forecast

import (
	"math"
	"math/rand"
	"testing"
)

const testLimit = 1024

// arrivals makes whole events of a mean that only rises, by chance.
func arrivals(r *rand.Rand, mean func(t float64) float64) func(t float64) float64 {
	last, sum := mean(0), mean(0)
	return func(t float64) float64 {
		m := mean(t) - last
		last += m
		switch {
		case m < 0:
			sum += m
		case m > 30:
			sum += max(0, m+r.NormFloat64()*math.Sqrt(m))
		default:
			for l, p := math.Exp(-m), r.Float64(); p > l; p *= r.Float64() {
				sum++
			}
		}
		return sum
	}
}

// played gives when a series is warned of, -1: never; and when it reaches its limit, likewise.
func played(f func(t float64) float64, seconds float64) (warned, end float64) {
	var w Warner
	var tr Tracker
	warned = -1
	for t := 0.0; t < seconds; t++ {
		v := f(t)
		if v >= testLimit {
			return warned, t
		}
		tr.Add(int64(t)*second+1, int64(v), int64(v), testLimit, 0)
		if e, ok := w.Check(&tr); ok && e.Kind == Warned && warned < 0 {
			warned = t
		}
	}
	return warned, -1
}

// feeding has a rate that doubles with every so many more, and reaches the limit after that many seconds.
func feeding(doubles, base, seconds float64) func(t float64) float64 {
	k := math.Ln2 / doubles
	c := (1 - math.Exp(-k*(testLimit-base))) / seconds
	return func(t float64) float64 {
		if x := 1 - c*t; x > 0 {
			return base - math.Log(x)/k
		}
		return 2 * testLimit
	}
}

// What feeds itself is told of a minute before its end, where more than half of the limit is used by then.
func TestGrowthThatFeedsItself(t *testing.T) {
	told := 0
	for seed := range int64(24) {
		r := rand.New(rand.NewSource(seed))
		doubles, base, seconds := 90+40*r.Float64(), 5+60*r.Float64(), 1500+2500*r.Float64()
		f := feeding(doubles, base, seconds)
		if f(seconds-75) < 0.56*testLimit {
			continue
		}
		warned, end := played(arrivals(r, f), seconds+600)
		if end < 0 {
			t.Fatalf("seed %d does not reach the limit", seed)
		}
		told++
		if warned < 0 || end-warned < 60 {
			t.Errorf("doubles each %.0f from %.0f, %.0f s: warned at %.0f, %.0f s before its end", doubles, base, end, warned, end-warned)
		}
	}
	if told < 8 {
		t.Errorf("%d series alone", told)
	}
}

// Loads that rise faster and faster, and stop below two thirds of the limit, are not told of.
func TestLoadsThatAccelerateAndStop(t *testing.T) {
	between := func(r *rand.Rand, a, b float64) float64 { return a + (b-a)*r.Float64() }
	for name, load := range map[string]func(r *rand.Rand) func(t float64) float64{
		"doubles in equal times": func(r *rand.Rand) func(float64) float64 {
			d, first, top := between(r, 300, 4000), between(r, 1, 6), between(r, 350, 680)
			k := math.Log((top-20)/first) / d
			return func(t float64) float64 { return min(top, 20+first*math.Exp(k*t)) }
		},
		"as a power of time": func(r *rand.Rand) func(float64) float64 {
			d, p, top := between(r, 300, 4000), between(r, 1.3, 4), between(r, 350, 680)
			return func(t float64) float64 { return 20 + (top-20)*math.Pow(min(1, t/d), p) }
		},
		"as an S": func(r *rand.Rand) func(float64) float64 {
			d, top := between(r, 300, 4000), between(r, 350, 720)
			return func(t float64) float64 { return 20 + (top-20)/(1+math.Exp(-10*(t/d-0.5))) }
		},
		"storms": func(r *rand.Rand) func(float64) float64 {
			d, top := between(r, 300, 2000), between(r, 350, 680)
			return func(t float64) float64 {
				x := math.Mod(t, 2*d) / d
				if x > 1 {
					return 20 + (top-20)*math.Exp(-8*(x-1))
				}
				return 20 + (top-20)*math.Expm1(5*x)/math.Expm1(5)
			}
		},
		"calm, a little more, a burst": func(r *rand.Rand) func(float64) float64 {
			at, more, in, top := between(r, 300, 3500), between(r, 0, 150), between(r, 10, 240), between(r, 350, 680)
			return func(t float64) float64 {
				if t < at {
					return 20 + more*t/at
				}
				return 20 + more + (top-20-more)*math.Pow(min(1, (t-at)/in), 1+at/4000)
			}
		},
		"a fleet, doubled again and again": func(r *rand.Rand) func(float64) float64 {
			each, top := between(r, 60, 500), between(r, 350, 680)
			return func(t float64) float64 {
				n := math.Floor(t / each)
				return min(top, 10*math.Exp2(n)*(1+min(1, 2*(t/each-n))))
			}
		},
	} {
		for seed := range int64(24) {
			r := rand.New(rand.NewSource(seed))
			f := arrivals(r, load(r))
			if warned, end := played(f, 4500); end < 0 && warned >= 0 {
				t.Errorf("%s, seed %d: told of at %.0f s", name, seed, warned)
			}
		}
	}
}
