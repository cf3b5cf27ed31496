package ladder

import "testing"

func TestRise(t *testing.T) {
	type sample struct{ at, value int64 } // seconds
	for _, test := range []struct {
		name    string
		limit   int64
		samples []sample
		want    string // of the last one
	}{
		{"fast", 400, []sample{{1, 20}, {2, 60}, {3, 100}, {4, 140}}, "growth: 140 of 400 are in use, 40.0 a second more"},
		{"two rises may be chance", 400, []sample{{1, 20}, {2, 90}, {3, 140}}, ""},
		{"far from the limit", 4000, []sample{{1, 20}, {2, 60}, {3, 100}, {4, 140}}, ""},
		{"slow: a forecast will tell", 4000, []sample{{1, 2000}, {2, 2001}, {3, 2002}, {4, 2003}}, ""},
		{"a fall begins anew", 400, []sample{{1, 100}, {2, 140}, {3, 180}, {4, 90}, {5, 120}, {6, 160}}, ""},
		{"still in between", 400, []sample{{1, 100}, {2, 140}, {3, 140}, {4, 180}, {5, 220}}, "growth: 220 of 400 are in use, 30.0 a second more"},
		{"a gap", 400, []sample{{1, 100}, {2, 140}, {3, 180}, {30, 220}}, ""},
		{"near", 400, []sample{{1, 350}, {2, 361}}, "near-limit: 361 of 400 are in use"},
		{"near from the start, and steady", 400, []sample{{1, 390}, {2, 390}}, ""},
		{"at the first sight", 400, []sample{{1, 390}}, ""},
		{"a small limit", 16, []sample{{1, 4}, {2, 8}, {3, 12}, {4, 15}}, ""},
		{"no limit", 0, []sample{{1, 4}, {2, 8}, {3, 12}, {4, 15}}, ""},
	} {
		var r Rise
		got := ""
		for _, s := range test.samples {
			got = ""
			if sign, why, ok := r.Add(s.at*second, s.value, test.limit); ok {
				got = sign.String() + ": " + why
			}
		}
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
