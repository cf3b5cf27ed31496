package output

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"slices"
	"testing"
	"time"
)

// ruined is a log in a form, with torn lines and garbage of several kinds in both streams, and NUL bytes that a cut leaves.
func ruined(form Form, seed int64) (log []byte) {
	r := rand.New(rand.NewSource(seed))
	exe, _ := os.ReadFile("/proc/self/exe")
	var streams [2][][]byte
	for s := range streams {
		b := damaged(seed + int64(1000*s))
		for range r.Intn(5) {
			piece := random(1+r.Intn(3000), r.Int63())
			switch r.Intn(4) {
			case 0:
				piece = make([]byte, 1+r.Intn(40_000))
			case 1:
				at := r.Intn(max(1, len(exe)-5000))
				piece = exe[at:min(len(exe), at+r.Intn(5000))]
			case 2:
				piece = piece[:min(len(piece), 1+r.Intn(64))]
			}
			at := r.Intn(len(b))
			b = slices.Concat(b[:at], piece, b[at:])
		}
		streams[s] = bytes.SplitAfter(b, []byte("\n"))
	}
	if form == Raw {
		return bytes.Join(streams[0], nil)
	}
	if r.Intn(4) == 0 {
		log = make([]byte, 1+r.Intn(20_000))
	}
	for len(streams[0])+len(streams[1]) > 0 {
		s := r.Intn(2)
		if len(streams[s]) == 0 {
			s = 1 - s
		}
		line := streams[s][0]
		streams[s] = streams[s][1:]
		for len(line) > 0 {
			part := line[:min(len(line), 16<<10)]
			line = line[len(part):]
			name, ends := [...]string{"stdout", "stderr"}[s], part[len(part)-1] == '\n'
			switch {
			case form == Docker:
				log = append(append(log, `{"log":"`...), escaped(part)...)
				log = append(log, `","stream":"`+name+`","time":"2026-11-22T07:24:16.000000001Z"}`+"\n"...)
			case ends:
				log = append(append(log, "2026-11-22T07:24:16.000000001Z "+name+" F "...), part...)
			default:
				log = append(append(log, "2026-11-22T07:24:16.000000001Z "+name+" P "...), part...)
				log = append(log, '\n')
			}
		}
	}
	return log
}

// escaped is text in a JSON string, with bytes that are no UTF-8 as they are.
func escaped(b []byte) (out []byte) {
	for _, c := range b {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, `\n`...)
		case c < 0x20:
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			out = append(out, c)
		}
	}
	return out
}

// Two ways to the same: a log that is followed while it grows by pieces of any size, and one that is read as a whole.
func TestWatchIsCheck(t *testing.T) {
	for _, form := range []Form{Raw, CRI, Docker} {
		for seed := range int64(40) {
			t.Run(fmt.Sprint(form, " ", seed), func(t *testing.T) {
				t.Parallel()
				log := ruined(form, seed)
				var want, wantTorn []string
				sum, err := CheckLines(bytes.NewReader(log), func(f Found) error {
					want = append(want, fmt.Sprintf("%s %d +%d line %d: %s %.3f %s", f.Stream, f.Offset, f.Length, f.Line, f.LooksLike, f.Confidence, f.Preview))
					return nil
				}, func(f FoundTorn) error {
					wantTorn = append(wantTorn, fmt.Sprintf("%s %d +%d at %d line %d: %s", f.Stream, f.Offset, f.Length, f.At, f.Line, f.Preview))
					return nil
				})
				if err != nil || sum.Form != form {
					t.Fatal(err, sum.Form)
				}
				last, at := map[string]string{}, map[string]int64{} // by place in the file and by stream: the last word on it counts
				var gotTorn []string
				w := NewWatch(func(f Found, growing bool) {
					place := fmt.Sprintf("%s %d", f.Stream, f.Offset)
					last[place] = fmt.Sprintf("%s +%d line %d: %s %.3f %s", place, f.Length, f.Line, f.LooksLike, f.Confidence, f.Preview)
					if was, told := at[place]; told && was != f.At {
						t.Errorf("%s is told at %d of the stream, and before at %d", place, f.At, was)
					}
					at[place] = f.At
				}, func(f FoundTorn) {
					gotTorn = append(gotTorn, fmt.Sprintf("%s %d +%d at %d line %d: %s", f.Stream, f.Offset, f.Length, f.At, f.Line, f.Preview))
				})
				l := newLab(t, func(o *FollowOptions) { o.New = func(string) Consumer { return w } })
				r := rand.New(rand.NewSource(seed))
				f, err := os.OpenFile(l.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
				l.must(err)
				defer f.Close()
				most := 1 << (4 + r.Intn(14))
				for rest := log; len(rest) > 0; {
					n := min(len(rest), 1+r.Intn(most))
					if len(rest) > 400*most { // not for ever
						n = min(len(rest), 100*most)
					}
					f.Write(rest[:n])
					rest = rest[n:]
					l.clock = l.clock.Add(time.Second)
					for l.Poll(l.clock) {
					}
				}
				l.Leave(l.log)
				got := slices.Sorted(maps.Values(last))
				if slices.Sort(want); !slices.Equal(got, want) {
					t.Errorf("followed\n%q\nread\n%q", got, want)
				}
				slices.Sort(gotTorn)
				if slices.Sort(wantTorn); !slices.Equal(gotTorn, wantTorn) {
					t.Errorf("followed\n%q\nread\n%q", gotTorn, wantTorn)
				}
			})
		}
	}
}
