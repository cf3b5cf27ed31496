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

// alarms evaluates the rule over values (one a second from second from on, below 0: missing), at each scrape, as
// Prometheus does: a simple linear regression over the samples of the window (funcPredictLinear and
// linearRegression in promql/functions.go), at least two of them.
func (r rule) alarms(values []int64, step, from int, limit int64) (out []alarm) {
	type point struct {
		t int
		v float64
	}
	var in []point
	pending := -1
	firing := false
	for i := 0; i < len(values)*step; i++ {
		t := from + i
		if t%r.scrape != 0 {
			continue
		}
		if v := values[i/step]; v >= 0 {
			in = append(in, point{t, float64(v)})
		}
		for len(in) > 0 && in[0].t <= t-r.window {
			in = in[1:]
		}
		over := false
		if len(in) >= 2 {
			// x is relative to the time of evaluation.
			var n, sx, sy, sxy, sxx float64
			same := true
			for _, p := range in {
				x := float64(p.t - t)
				n++
				sx, sy, sxy, sxx = sx+x, sy+p.v, sxy+x*p.v, sxx+x*x
				same = same && p.v == in[0].v
			}
			slope, intercept := 0.0, in[0].v
			if !same {
				slope = (sxy - sx*sy/n) / (sxx - sx*sx/n)
				intercept = sy/n - slope*sx/n
			}
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
