package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func check(t *testing.T, r io.Reader) ([]Found, Summary) {
	t.Helper()
	var all []Found
	s, err := Check(r, func(f Found) error { all = append(all, f); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return all, s
}

// noisy is text with garbage of many sizes in it, some of it longer than what is read at once.
func noisy(seed int64) []byte {
	r := rand.New(rand.NewSource(seed))
	var b []byte
	for i := range 60 {
		for range r.Intn(40) {
			b = fmt.Appendf(b, "2026-11-22 07:24:16 INFO checkout %d ok\n", i)
		}
		switch r.Intn(5) {
		case 0:
			b = append(b, random(100+r.Intn(3000), int64(i))...)
		case 1:
			b = append(b, make([]byte, 50+r.Intn(200))...)
		case 2:
			b = append(b, structures()...)
		case 3:
			b = append(b, random(300<<10, int64(i))...)
		}
	}
	return b
}

// What is read in pieces is what the judge says of the whole, at its lines.
func TestCheckRaw(t *testing.T) {
	for seed := range int64(4) {
		b := noisy(seed)
		want := spans(b)
		for name, r := range map[string]io.Reader{
			"whole": bytes.NewReader(b), "halves": iotest.HalfReader(bytes.NewReader(b)), "with the error": iotest.DataErrReader(bytes.NewReader(b)),
		} {
			got, s := check(t, r)
			if s.Form != Raw || s.Bytes != int64(len(b)) || s.Lines != int64(bytes.Count(b, []byte("\n"))) || len(got) != len(want) {
				t.Fatalf("%s: %+v, %d spans, want %d", name, s, len(got), len(want))
			}
			for i, f := range got {
				line := int64(1 + bytes.Count(b[:want[i].Offset], []byte("\n")))
				if f.Span != want[i] || f.Line != line {
					t.Fatalf("%s: %+v, want %+v in line %d", name, f, want[i], line)
				}
			}
		}
	}
}

// The same output in the forms of container runtimes gives the same spans, at their places in the file.
func TestCheckForms(t *testing.T) {
	var out []byte
	for i := range 30 {
		out = fmt.Appendf(out, "INFO checkout %d ok, and some more words in the line\n", i)
		if i%5 == 2 {
			out = append(out, random(400, int64(i))...)
			out = append(out, '\n')
		}
	}
	want := spans(out)
	if len(want) < 5 {
		t.Fatalf("%d spans", len(want))
	}
	var cri, docker []byte
	starts := []int64{} // of lines in the stream
	at := int64(0)
	for line := range bytes.Lines(out) {
		for part := line; len(part) > 0; {
			n := min(len(part), 100)
			mark := "P"
			if n == len(part) {
				mark = "F"
			}
			cri = fmt.Appendf(cri, "2026-11-22T07:24:16.123456789Z stderr %s %s\n", mark, bytes.TrimSuffix(part[:n], []byte("\n")))
			j, _ := json.Marshal(map[string]string{"log": string(part[:n]), "stream": "stderr", "time": "2026-11-22T07:24:16Z"})
			docker = append(append(docker, strings.Replace(string(j), `{"log"`, `{"log"`, 1)...), '\n')
			starts = append(starts, at)
			at += int64(n)
			part = part[n:]
		}
	}
	got, s := check(t, bytes.NewReader(cri))
	if s.Form != CRI || len(got) != len(want) {
		t.Fatalf("%+v: %d spans, want %d", s, len(got), len(want))
	}
	for i, f := range got {
		n, _ := slices.BinarySearch(starts, want[i].Offset+1)
		if f.Line != int64(n) || f.Stream != "stderr" || f.Length != want[i].Length || f.LooksLike != want[i].LooksLike {
			t.Errorf("%+v, want %+v in line %d", f, want[i], n)
		}
		if p := fmt.Sprintf("%x", cri[f.Offset:f.Offset+8]); !strings.HasPrefix(f.Preview, p) {
			t.Errorf("at %d stands %s, not %s", f.Offset, p, f.Preview)
		}
	}
	got, s = check(t, bytes.NewReader(docker))
	if s.Form != Docker || len(got) < len(want) {
		t.Fatalf("%+v: %d spans, want %d", s, len(got), len(want))
	}
	for _, f := range got {
		if f.Stream != "stderr" || f.Line < 1 || int64(bytes.Count(docker[:f.Offset], []byte("\n")))+1 != f.Line {
			t.Errorf("%+v", f)
		}
	}
}

func TestCheckForeign(t *testing.T) {
	line := "\xee\xf8\xe8\xe1\xea\xe0: \xf4\xe0\xe9\xeb \xed\xe5 \xed\xe0\xe9\xe4\xe5\xed"
	raw := "plain\n" + strings.Repeat(line+"\n", 20)
	if _, s := check(t, strings.NewReader(raw)); len(s.Foreign) != 1 || s.Foreign[0].Encoding != "Windows-1251" || s.Foreign[0].Offset != 6 || s.Spans != 0 {
		t.Errorf("%+v", s)
	}
	cri := strings.Repeat("2026-11-22T07:24:16.123456789Z stdout F "+line+"\n", 20)
	if _, s := check(t, strings.NewReader(cri)); len(s.Foreign) != 1 || s.Foreign[0].Encoding != "Windows-1251" || s.Foreign[0].Offset != int64(strings.Index(cri, line)) {
		t.Errorf("%+v", s)
	}
}

func TestCheckErrors(t *testing.T) {
	broken := fmt.Errorf("the disk is gone")
	if _, err := Check(io.MultiReader(strings.NewReader("text\n"), iotest.ErrReader(broken)), func(Found) error { return nil }); err != broken {
		t.Errorf("%v", err)
	}
	stop := fmt.Errorf("enough")
	if _, err := Check(bytes.NewReader(random(1000, 1)), func(Found) error { return stop }); err != stop {
		t.Errorf("%v", err)
	}
	if _, s := check(t, strings.NewReader("")); s.Bytes != 0 || s.Form != Raw {
		t.Errorf("%+v", s)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte("2026-11-22T07:24:16.1Z stdout P a\n2026-11-22T07:24:16.1Z stderr F \x00\x01\n"))
	f.Add([]byte(`{"log":"a\u0000\ufffd","stream":"stderr","time":"x"}` + "\nnonsense\n"))
	f.Add(random(2000, 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		end := int64(0)
		s, err := Check(iotest.HalfReader(bytes.NewReader(b)), func(x Found) error {
			if x.Offset < 0 || x.Offset > int64(len(b)) || x.Line < 1 || x.Length < 1 {
				t.Fatalf("%+v of %d bytes", x, len(b))
			}
			end = max(end, x.Offset)
			return nil
		})
		if err != nil || s.Bytes != int64(len(b)) {
			t.Fatalf("%+v, %v", s, err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	text := []byte(strings.Repeat("2026-11-22 07:24:16 INFO checkout 8812 ok, 17 items, 42.50 EUR\n", 100000))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Check(bytes.NewReader(text), func(Found) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
