package main

import (
	"math"
	"math/rand"

	"github.com/descry-dev/descry/bench/forecast/trace"
)

// made is a series of hours or days that was made after a recorded one: nobody waits for it. Its noise, teeth and
// bursts are of the size and rate of those.
type made struct {
	name, kind, what, after string
	quantity                string
	limit, unit             int64
	hours                   float64
	step                    int // seconds between samples; 0: 1
	from                    int // second at which the leak began
	held                    bool
	value                   func(r *rand.Rand) func(at float64) float64
}

// trace makes the trace: the same each time.
func (m *made) trace() *trace.Trace {
	seed := int64(0)
	for _, c := range m.name {
		seed = seed*31 + int64(c)
	}
	value := m.value(rand.New(rand.NewSource(seed)))
	s := &trace.Series{Quantity: m.quantity, PID: 1, Comm: m.name, Max: m.limit, Unit: max(1, m.unit), Step: max(1, m.step)}
	if m.quantity != trace.NoFile {
		s.PID = 0
	}
	for at := 0; at < int(m.hours*3600); at += s.Step {
		v := int64(max(0, value(float64(at))))
		s.Values = append(s.Values, min(v, s.Max))
		if v >= s.Max {
			break
		}
	}
	return &trace.Trace{Name: m.name, Kind: m.kind, What: m.what, Recorded: "made after " + m.after, Series: []*trace.Series{s}}
}

const (
	minute = 60.0
	hour   = 3600.0
	day    = 24 * hour
)

// crowdOf is a number of connections that drifts to another one each so often, as the recorded loads do.
func crowdOf(r *rand.Rand, low, high, every float64) func(at float64) float64 {
	next, want, now := 0.0, low, low
	return func(at float64) float64 {
		if at >= next {
			next, want = at+every*(0.3+1.4*r.Float64()), low+(high-low)*r.Float64()
		}
		now += (want - now) * 0.3
		return math.Round(now + r.NormFloat64()*math.Sqrt(max(0, now))/3)
	}
}

// leakOf counts events that come by chance, rate a second, size each.
func leakOf(r *rand.Rand, size float64, rate func(at float64) float64) func(at float64) float64 {
	sum, last := 0.0, 0.0
	return func(at float64) float64 {
		mean := rate(at) * (at - last) / size
		last = at
		for l, p := math.Exp(-mean), r.Float64(); p > l; p *= r.Float64() {
			sum += size
		}
		return sum
	}
}

func steady(rate float64) func(float64) float64 { return func(float64) float64 { return rate } }

func daily(low, high float64) func(at float64) float64 {
	return func(at float64) float64 { return (low+high)/2 - (high-low)/2*math.Cos(2*math.Pi*at/day) }
}

var generated = []made{
	{name: "made-leak-day", kind: trace.Leak, what: "one a minute on the mean, with the load of a day", after: "leak-python-day", quantity: trace.NoFile, limit: 1024, hours: 40, step: 5, value: func(r *rand.Rand) func(float64) float64 {
		load, leak := daily(20, 150), leakOf(r, 1, daily(0.2/minute, 1.8/minute))
		return func(at float64) float64 { return 12 + math.Round(load(at)+r.NormFloat64()*5) + leak(at) }
	}},
	{name: "made-leak-hours", kind: trace.Leak, held: true, what: "ten hours, under 10 to 250 connections", after: "leak-python-noisy", quantity: trace.NoFile, limit: 1024, hours: 14, value: func(r *rand.Rand) func(float64) float64 {
		load, leak := crowdOf(r, 10, 250, 50), leakOf(r, 1, steady(0.025))
		return func(at float64) float64 { return 12 + load(at) + leak(at) }
	}},
	{name: "made-leak-teeth", kind: trace.Leak, held: true, what: "0.05 a second below teeth of five minutes", after: "java-gc-tall and leak-java-teeth", quantity: trace.NoFile, limit: 1024, hours: 8, value: func(r *rand.Rand) func(float64) float64 {
		tooth, leak := leakOf(r, 1, steady(0.7)), leakOf(r, 1, steady(0.05))
		base := 0.0
		return func(at float64) float64 {
			t := tooth(at)
			if t-base > 210 {
				base = t
			}
			return 30 + t - base + leak(at)
		}
	}},
	{name: "made-leak-late", kind: trace.Leak, what: "six hours of changing load, then 0.1 a second", after: "leak-go-tcp", quantity: trace.NoFile, limit: 1024, hours: 10, from: 6 * 3600, value: func(r *rand.Rand) func(float64) float64 {
		load, leak := crowdOf(r, 20, 200, 60), leakOf(r, 1, func(at float64) float64 {
			if at < 6*hour {
				return 0
			}
			return 0.1
		})
		return func(at float64) float64 { return 10 + load(at) + leak(at) }
	}},
	{name: "made-leak-restart", kind: trace.Leak, held: true, what: "0.06 a second, replaced by exec after three hours, and on", after: "leak-exec", quantity: trace.NoFile, limit: 1024, hours: 9, from: 3 * 3600, value: func(r *rand.Rand) func(float64) float64 {
		leak := leakOf(r, 1, steady(0.06))
		base := 0.0
		return func(at float64) float64 {
			v := leak(at)
			if at >= 3*hour && base == 0 {
				base = v
			}
			return 8 + v - base
		}
	}},
	{name: "made-leak-step", kind: trace.Leak, what: "a job leaves 40 open each half hour", after: "leak-step-large", quantity: trace.NoFile, limit: 1024, hours: 15, value: func(r *rand.Rand) func(float64) float64 {
		load := crowdOf(r, 2, 30, 60)
		return func(at float64) float64 { return 10 + load(at) + 40*math.Floor(at/(30*minute)) }
	}},
	{name: "made-leak-million", kind: trace.Leak, what: "20 a second, limit 1048576 as containers have it", after: "leak-perl", quantity: trace.NoFile, limit: 1 << 20, hours: 16, value: func(r *rand.Rand) func(float64) float64 {
		leak := leakOf(r, 1, steady(20))
		return func(at float64) float64 { return 10 + leak(at) }
	}},
	{name: "made-leak-memory", kind: trace.Leak, held: true, what: "100 KiB a second below a heap's teeth, limit 2 GiB", after: "leak-python-memory", quantity: trace.Memory, limit: 8192, unit: memoryUnit, hours: 8, value: func(r *rand.Rand) func(float64) float64 {
		leak := leakOf(r, 0.4, steady(0.4))
		return func(at float64) float64 { return 700 + math.Mod(at, 97)/97*400 + leak(at) }
	}},
	{name: "made-leak-bursts", kind: trace.Leak, held: true, what: "25 at once, each quarter of an hour by chance", after: "leak-python-burst", quantity: trace.NoFile, limit: 1024, hours: 20, value: func(r *rand.Rand) func(float64) float64 {
		load, leak := crowdOf(r, 2, 30, 60), leakOf(r, 25, steady(25/(15*minute)))
		return func(at float64) float64 { return 10 + load(at) + leak(at) }
	}},
	{name: "made-leak-accelerating", kind: trace.Leak, what: "a rate that doubles each hour", after: "leak-accelerating", quantity: trace.NoFile, limit: 4096, hours: 10, value: func(r *rand.Rand) func(float64) float64 {
		leak := leakOf(r, 1, func(at float64) float64 { return 0.01 * math.Pow(2, at/hour) })
		return func(at float64) float64 { return 20 + leak(at) }
	}},
	{name: "made-leak-feeding", kind: trace.Leak, what: "its rate doubles with each 100 more", after: "leak-accelerating and leak-perl", quantity: trace.NoFile, limit: 1024, hours: 2, value: func(r *rand.Rand) func(float64) float64 {
		leak := leakOf(r, 1, feeding(100, 10, 1024, 2500))
		return func(at float64) float64 { return 10 + leak(at) }
	}},
	{name: "made-leak-feeding-large", kind: trace.Leak, what: "its rate doubles with each 500 more, beside 40 to 90 connections", after: "leak-accelerating and leak-python-2", quantity: trace.NoFile, limit: 4096, hours: 3, value: func(r *rand.Rand) func(float64) float64 {
		load, leak := crowdOf(r, 40, 90, 50), leakOf(r, 1, feeding(500, 80, 4096, 5000))
		return func(at float64) float64 { return 10 + load(at) + leak(at) }
	}},
	{name: "made-leak-feeding-pool", kind: trace.Leak, what: "a pool of 150 is filled in two minutes; its rate doubles with each 120 more", after: "leak-accelerating and leak-pool-then", quantity: trace.NoFile, limit: 1024, hours: 2, value: func(r *rand.Rand) func(float64) float64 {
		leak := leakOf(r, 1, feeding(120, 160, 1024, 3000))
		return func(at float64) float64 { return 10 + math.Round(150*min(1, at/120)) + leak(at) }
	}},
	{name: "made-leak-doubling", kind: trace.Leak, what: "doubles each five minutes", after: "leak-accelerating", quantity: trace.NoFile, limit: 1024, hours: 2, value: func(r *rand.Rand) func(float64) float64 {
		leak := leakOf(r, 1, doubling(2, 300, 4096))
		return func(at float64) float64 { return 10 + leak(at) }
	}},
	{name: "made-leak-doubling-fast", kind: trace.Leak, what: "doubles each 75 seconds", after: "leak-accelerating", quantity: trace.NoFile, limit: 1024, hours: 2, value: func(r *rand.Rand) func(float64) float64 {
		leak := leakOf(r, 1, doubling(2, 75, 4096))
		return func(at float64) float64 { return 10 + leak(at) }
	}},
	{name: "made-leak-square", kind: trace.Leak, what: "a rate that grows as long as it runs", after: "leak-accelerating", quantity: trace.NoFile, limit: 1024, hours: 2, value: func(r *rand.Rand) func(float64) float64 {
		leak := leakOf(r, 1, func(at float64) float64 { return 2 * 1000 * at / (1800 * 1800) })
		return func(at float64) float64 { return 10 + leak(at) }
	}},
	{name: "made-warm-up", kind: trace.Honest, what: "caches and pools that double each minute, to 60% of the limit, and stay", after: "go-cache and python-pool-large", quantity: trace.NoFile, limit: 1024, hours: 2, value: func(r *rand.Rand) func(float64) float64 {
		load, pool := crowdOf(r, 2, 30, 60), leakOf(r, 1, doubling(2, 60, 600))
		return func(at float64) float64 { return 10 + load(at) + pool(at) }
	}},
	{name: "made-warm-up-slow", kind: trace.Honest, what: "connections that double each four minutes, to 65% of the limit, and stay", after: "redis-clients-held", quantity: trace.NoFile, limit: 1024, hours: 2, value: func(r *rand.Rand) func(float64) float64 {
		clients := leakOf(r, 1, doubling(2, 240, 655))
		return func(at float64) float64 { return 10 + clients(at) }
	}},
	{name: "made-ramp", kind: trace.Honest, what: "connections that rise faster and faster for half an hour, to 65% of the limit, and stay", after: "haproxy-ramp", quantity: trace.NoFile, limit: 1024, hours: 2, value: func(r *rand.Rand) func(float64) float64 {
		return func(at float64) float64 {
			x := min(1, at/(30*minute))
			return math.Round(20 + 645*x*x*x + r.NormFloat64()*4)
		}
	}},
	{name: "made-ramp-morning", kind: trace.Honest, what: "a morning: connections rise as an S to 70% of the limit within twenty minutes, and fall at night", after: "haproxy-ramp and haproxy-day", quantity: trace.NoFile, limit: 1024, hours: 24, step: 5, value: func(r *rand.Rand) func(float64) float64 {
		return func(at float64) float64 {
			up, down := 1/(1+math.Exp(-(at-8*hour)/(2*minute))), 1/(1+math.Exp(-(at-20*hour)/(10*minute)))
			return math.Round(30 + 690*(up-down) + r.NormFloat64()*5)
		}
	}},
	{name: "made-storms", kind: trace.Honest, what: "storms of retries that double each 100 s, to 60% of the limit, and are over", after: "postgres-storm and memcached", quantity: trace.NoFile, limit: 1024, hours: 4, value: func(r *rand.Rand) func(float64) float64 {
		load := crowdOf(r, 5, 25, 60)
		return func(at float64) float64 {
			x := math.Mod(at, 40*minute) - 10*minute
			switch {
			case x < 0:
				return 10 + load(at)
			case x < 900:
				return math.Round(10 + load(at) + 1.2*math.Exp2(x/100))
			}
			return math.Round(10 + load(at) + 614*math.Exp(-(x-900)/60))
		}
	}},
	{name: "made-fleet", kind: trace.Honest, what: "a deployment each six hours: twice as many clients every two minutes, to 65% of the limit, and the old ones leave", after: "nginx-reload and redis-steps", quantity: trace.NoFile, limit: 1024, hours: 24, step: 5, value: func(r *rand.Rand) func(float64) float64 {
		load := crowdOf(r, 5, 25, 60)
		return func(at float64) float64 {
			x := math.Mod(at, 6*hour) / (2 * minute)
			n := math.Floor(x)
			return math.Round(10 + load(at) + min(640, 10*math.Exp2(min(n, 7))*(1+min(1, 3*(x-n)))))
		}
	}},
	{name: "made-day", kind: trace.Honest, what: "three days between 100 and 700 connections", after: "haproxy-day", quantity: trace.NoFile, limit: 1024, hours: 72, step: 5, value: func(r *rand.Rand) func(float64) float64 {
		load, noise := daily(100, 700), crowdOf(r, 0, 60, 60)
		return func(at float64) float64 { return load(at) + noise(at) }
	}},
	{name: "made-nights", kind: trace.Honest, what: "three nights, each with a batch that opens 600 files in forty minutes", after: "python-batch", quantity: trace.NoFile, limit: 1024, hours: 72, step: 5, value: func(r *rand.Rand) func(float64) float64 {
		load := crowdOf(r, 5, 60, 60)
		return func(at float64) float64 {
			v := 20 + load(at)
			if t := math.Mod(at, day) - 3*hour; t > 0 && t < hour {
				v += 600 * min(1, t/(40*minute))
			}
			return v
		}
	}},
	{name: "made-mornings", kind: trace.Honest, held: true, what: "two days: 50 to 550 connections within two hours, as they are for eight, and back", after: "haproxy-ramp", quantity: trace.NoFile, limit: 1024, hours: 48, step: 5, value: func(r *rand.Rand) func(float64) float64 {
		return func(at float64) float64 {
			t := math.Mod(at, day) / hour
			return math.Round(50 + 500*max(0, min(1, (t-7)/2, (19-t)/2)) + r.NormFloat64()*6)
		}
	}},
	{name: "made-teeth-hour", kind: trace.Honest, what: "teeth of an hour, half of the limit", after: "java-gc-tall", quantity: trace.NoFile, limit: 1024, hours: 24, value: func(r *rand.Rand) func(float64) float64 { return teeth(r, 500, 500/hour) }},
	{name: "made-teeth-hours", kind: trace.Honest, held: true, what: "teeth of three hours, two thirds of the limit", after: "java-gc-tall", quantity: trace.NoFile, limit: 1024, hours: 24, value: func(r *rand.Rand) func(float64) float64 { return teeth(r, 680, 680/(3*hour)) }},
	{name: "made-deploys", kind: trace.Honest, held: true, what: "leaks 0.05 a second, and is replaced each three hours in time", after: "gunicorn-replaced", quantity: trace.NoFile, limit: 1024, hours: 24, value: func(r *rand.Rand) func(float64) float64 { return teeth(r, 540, 0.05) }},
	{name: "made-heap", kind: trace.Honest, what: "a heap that grows to 80% of the cgroup within six hours, then its teeth", after: "java-gc-short and heap-cache", quantity: trace.Memory, limit: 8192, unit: memoryUnit, hours: 24, value: func(r *rand.Rand) func(float64) float64 {
		return func(at float64) float64 {
			top := 6500 * (1 - math.Exp(-at/(2*hour)))
			return top*(0.85+0.15*math.Mod(at, 211)/211) + r.NormFloat64()*4
		}
	}},
	{name: "made-open-files", kind: trace.Honest, held: true, what: "the machine's open files: 50000 ± 8000, limit 100000", after: "the machine that all was recorded on", quantity: trace.FileNr, limit: 100000, hours: 24, step: 5, value: func(r *rand.Rand) func(float64) float64 {
		load := crowdOf(r, 42000, 58000, 600)
		return func(at float64) float64 { return load(at) }
	}},
	{name: "made-stops", kind: trace.Stops, what: "0.05 a second for three hours, then it is switched off", after: "leak-stops", quantity: trace.NoFile, limit: 1024, hours: 12, value: func(r *rand.Rand) func(float64) float64 {
		load, leak := crowdOf(r, 2, 40, 60), leakOf(r, 1, func(at float64) float64 {
			if at > 3*hour {
				return 0
			}
			return 0.05
		})
		return func(at float64) float64 { return 10 + load(at) + leak(at) }
	}},
}

// feeding is the rate of what feeds itself: it doubles with every so many more, and reaches limit after that many seconds.
func feeding(doubles, base, limit, seconds float64) func(at float64) float64 {
	k := math.Ln2 / doubles
	c := (1 - math.Exp(-k*(limit-base))) / seconds
	return func(at float64) float64 { return c / k / max(1e-3, 1-c*at) }
}

// doubling is the rate of what doubles each so often, from first on, until it has reached top.
func doubling(first, each, top float64) func(at float64) float64 {
	k := math.Ln2 / each
	return func(at float64) float64 {
		if v := first * math.Exp(k*at); v < top {
			return k * v
		}
		return 0
	}
}

// teeth are what a collector closes when there are height of them.
func teeth(r *rand.Rand, height, rate float64) func(at float64) float64 {
	opened := leakOf(r, 1, steady(rate))
	base := 0.0
	return func(at float64) float64 {
		v := opened(at)
		if v-base > height {
			base = v
		}
		return 20 + v - base
	}
}
