package main

import "testing"

// A line of 0.5 a second reaches 1024 within an hour from the second sample on: 0.5 * 3600 = 1800.
func TestPredictLinear(t *testing.T) {
	var line, slow, tooth []int64
	for i := range int64(2000) {
		line = append(line, 10+i/2)
		slow = append(slow, 10+i/10)
		tooth = append(tooth, 10+i%100*8)
	}
	for _, c := range []struct {
		name   string
		rule   rule
		values []int64
		first  int // second of the first alarm, -1: none
	}{
		{"a line", rule{15, 3600, 0}, line, 15},
		{"a line, for 5m", rule{15, 3600, 300}, line, 315},
		{"each second", rule{1, 3600, 300}, line, 302}, // two values are the same at first
		{"0.1 a second: 360 more in an hour, from 664 on", rule{15, 600, 0}, slow, -1},
		{"teeth", rule{15, 600, 0}, tooth, 15},
		{"teeth, for 5m", rule{15, 3600, 300}, tooth, 315},
	} {
		got := c.rule.alarms(c.values, 1, 0, 1024)
		first := -1
		if len(got) > 0 {
			first = got[0].from
		}
		if first != c.first {
			t.Errorf("%s: first at %d, want %d: %v", c.name, first, c.first, got)
		}
	}
	// Missing samples are left out, a window without two gives no answer.
	if got := (rule{15, 600, 0}).alarms([]int64{5, -1, -1, -1}, 15, 0, 4); len(got) != 0 {
		t.Errorf("of one sample: %v", got)
	}
}
