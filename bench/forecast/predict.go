package main

// rule is an alert of Prometheus: predict_linear(x[window], 3600) > limit, for some time.
type rule struct {
	scrape, window, hold int // seconds
}

const predictAhead = 3600

// rules are what is compared with: at two intervals, over two windows, with and without "for".
var rules = []rule{
	{15, 3600, 300}, {15, 3600, 0}, {15, 600, 300}, {15, 600, 0},
	{1, 3600, 300}, {1, 3600, 0}, {1, 600, 300}, {1, 600, 0},
}

// alarm is a warning that stood from one time to another, seconds; to is -1 while it stands at the end.
type alarm struct{ from, to int }

// alarms evaluates the rule over values at each scrape, as Prometheus does: a simple linear regression over the
// samples of the window, at least two of them (funcPredictLinear and linearRegression in promql/functions.go). The
// sums over a window are kept, not made anew: times and values are whole numbers, so they are exact.
func (r rule) alarms(values []int64, step, from int, limit int64) (out []alarm) {
	type point struct{ x, y float64 }
	var in []point
	var n, sx, sy, sxy, sxx float64
	sum := func(p point, sign float64) {
		n, sx, sy = n+sign, sx+sign*p.x, sy+sign*p.y
		sxy, sxx = sxy+sign*p.x*p.y, sxx+sign*p.x*p.x
	}
	pending, firing := -1, false
	for i := 0; i < len(values)*step; i++ {
		t := from + i
		if t%r.scrape != 0 {
			continue
		}
		if v := values[i/step]; v >= 0 {
			p := point{float64(i), float64(v)}
			in = append(in, p)
			sum(p, 1)
		}
		for len(in) > 0 && in[0].x <= float64(i-r.window) {
			sum(in[0], -1)
			in = in[1:]
		}
		over := false
		if len(in) >= 2 {
			slope := (sxy - sx*sy/n) / (sxx - sx*sx/n)
			intercept := sy/n - slope*(sx/n-float64(i)) // at the time of evaluation
			over = slope*predictAhead+intercept > float64(limit)
		}
		switch {
		case !over:
			if firing {
				out[len(out)-1].to = t
			}
			pending, firing = -1, false
		case pending < 0:
			pending = t
			fallthrough
		default:
			if !firing && t-pending >= r.hold {
				firing = true
				out = append(out, alarm{t, -1})
			}
		}
	}
	return out
}
