package ladder

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

const second = int64(time.Second)

func TestLadder(t *testing.T) {
	type step struct {
		at   int64 // seconds
		who  string
		sign Sign
		gone bool
		want []string // at the tick, and then at the sign
	}
	small := Config{Most: 2, Longest: 100 * time.Second, Rest: 50 * time.Second, Hold: [signs]time.Duration{Garbage: 10 * time.Second, Growth: 20 * time.Second}}
	for _, test := range []struct {
		name    string
		cfg     Config
		steps   []step
		refused int64
	}{
		{"up and down", small, []step{
			{at: 1, who: "a", sign: Garbage, want: []string{"look closer at a: garbage"}},
			{at: 10},
			{at: 11, want: []string{"look no closer at a: no garbage for 10s"}},
			{at: 12, who: "a", sign: Garbage, want: []string{"look closer at a: garbage"}},
		}, 0},
		{"a sign again holds on", small, []step{
			{at: 1, who: "a", sign: Garbage, want: []string{"look closer at a: garbage"}},
			{at: 9, who: "a", sign: Garbage},
			{at: 18},
			{at: 19, want: []string{"look no closer at a: no garbage for 10s"}},
		}, 0},
		{"the sign that asks longest counts", small, []step{
			{at: 0, who: "a", sign: Growth, want: []string{"look closer at a: growth"}},
			{at: 1, who: "a", sign: Garbage},
			{at: 19},
			{at: 20, want: []string{"look no closer at a: no growth for 20s"}},
		}, 0},
		{"not for ever, and then a rest", small, []step{
			{at: 0, who: "a", sign: Growth, want: []string{"look closer at a: growth"}},
			{at: 19, who: "a", sign: Growth}, {at: 38, who: "a", sign: Growth}, {at: 57, who: "a", sign: Growth}, {at: 76, who: "a", sign: Growth}, {at: 95, who: "a", sign: Growth},
			{at: 100, who: "a", sign: Growth, want: []string{"look no closer at a: that lasted 1m40s, as long as it may"}},
			{at: 149, who: "a", sign: Garbage},
			{at: 150, who: "a", sign: Growth, want: []string{"look closer at a: growth"}},
		}, 2},
		{"few at once", small, []step{
			{at: 0, who: "a", sign: Growth, want: []string{"look closer at a: growth"}},
			{at: 1, who: "b", sign: Garbage, want: []string{"look closer at b: garbage"}},
			{at: 2, who: "c", sign: Growth},
			{at: 3, who: "c", sign: Garbage, want: []string{"look no closer at a: 2 others ask more urgently", "look closer at c: garbage"}},
			{at: 4, who: "d", sign: Garbage},
		}, 2},
		{"it ends", small, []step{
			{at: 0, who: "a", sign: StdioReplaced, want: []string{"look closer at a: stdio-replaced"}},
			{at: 1, who: "a", gone: true, want: []string{"look no closer at a: it has ended"}},
			{at: 2, who: "b", gone: true},
		}, 0},
		{"defaults", Config{}, []step{
			{at: 0, who: "a", sign: NearLimit, want: []string{"look closer at a: near-limit"}},
			{at: 59},
			{at: 60, want: []string{"look no closer at a: no near-limit for 1m0s"}},
		}, 0},
	} {
		l := New(test.cfg)
		for _, s := range test.steps {
			changes := l.Tick(s.at * second)
			switch {
			case s.gone:
				changes = append(changes, l.Gone(s.at*second, s.who)...)
			case s.who != "":
				changes = append(changes, l.See(s.at*second, s.who, s.sign, s.sign.String())...)
			}
			var got []string
			for _, c := range changes {
				got = append(got, c.String())
				if c.At != s.at*second || l.Closer(c.Subject) != c.Closer {
					t.Errorf("%s: %+v at %d s", test.name, c, s.at)
				}
			}
			if !slices.Equal(got, s.want) {
				t.Errorf("%s, at %d s: got %q, want %q", test.name, s.at, got, s.want)
			}
		}
		if l.Refused() != test.refused {
			t.Errorf("%s: %d refused, want %d", test.name, l.Refused(), test.refused)
		}
	}
}

// However many subjects come, few are looked at and few remembered.
func TestLadderIsBounded(t *testing.T) {
	l := New(Config{Most: 3, Known: 100})
	up := map[string]bool{}
	for i := range 10_000 {
		for _, c := range l.See(int64(i)*second/10, fmt.Sprint("s", i*7%1000), Sign(i%int(signs)), "") {
			up[c.Subject] = c.Closer
		}
		for _, c := range l.Tick(int64(i) * second / 10) {
			up[c.Subject] = c.Closer
		}
		n := 0
		for _, is := range up {
			if is {
				n++
			}
		}
		if n > 3 || len(l.of) > 100 {
			t.Fatalf("%d looked at, %d remembered", n, len(l.of))
		}
	}
}

func TestSignOf(t *testing.T) {
	for _, test := range []struct {
		d    evidence.Detail
		want string
	}{
		{&evidence.Garbled{Stream: "stderr", Offset: 7}, "garbage: its stderr turned to garbage at byte 7"},
		{&evidence.Stdio{FD: 1, Action: "allocated", Is: evidence.FDTCP}, "stdio-replaced: descriptor 1 was closed and given to a tcp"},
		{&evidence.Stdio{FD: 1, Action: "closed"}, ""},
		{&evidence.Stdio{FD: 1, Action: "allocated", Is: evidence.FDDevice}, ""},
		{&evidence.Headroom{Limit: "nofile", Open: 100, Max: 1000, PerSecond: 1, Seconds: 900}, "growth: nofile grows by 1.0 a second, 100 of 1000"},
		{&evidence.Headroom{Limit: "nofile", Open: 100, Max: 1000, PerSecond: 9, Seconds: 100}, "near-limit: nofile: 100 of 1000"},
		{&evidence.Headroom{}, ""},
		{&evidence.Process{Turned: []evidence.StdioTurned{{FD: 0, Was: evidence.FDDevice, Is: evidence.FDTCP}, {FD: 1, Was: evidence.FDPipe, Is: evidence.FDTCP}}}, "stdio-replaced: descriptor 1 was a pipe and is a tcp"},
		{&evidence.Process{Turned: []evidence.StdioTurned{{FD: 1, Was: evidence.FDPipe, Is: evidence.FDFile}, {FD: 2, Was: evidence.FDPipe}}}, ""},
		{&evidence.Process{}, ""},
		{&evidence.Exit{ExitCode: 3}, "earlier-death: it died lately"},
		{&evidence.Exit{}, ""},
		{&evidence.Fork{}, ""},
	} {
		got := ""
		if s, why, ok := SignOf(&evidence.Observation{Detail: test.d}); ok {
			got = s.String() + ": " + why
		}
		if got != test.want {
			t.Errorf("%+v: got %q, want %q", test.d, got, test.want)
		}
	}
}
