package evidence

import (
	"strings"
	"testing"
)

func TestTextShowsGarbageAsSuch(t *testing.T) {
	garbled := func(stream string, offset, length int64) Observation {
		return Observation{Detail: &Garbled{Stream: stream, Offset: offset, Length: length}}
	}
	for _, test := range []struct {
		name     string
		out      LastOutput
		timeline []Observation
		want     string
	}{
		{"between lines", LastOutput{Stderr: []byte("ok\n\x00\x01\x02\x03\nbye\n"), StderrBytes: 12}, []Observation{garbled("stderr", 3, 4)}, "ok\n<4 bytes, not text: 00 01 02 03>\nbye\n"},
		{"in a line", LastOutput{Stderr: []byte("ok \xff\xfe\xfd\xfcpanic: x\n"), StderrBytes: 16}, []Observation{garbled("stderr", 3, 4)}, "ok <4 bytes, not text: ff fe fd fc>\npanic: x\n"},
		{"begins before what is kept", LastOutput{Stderr: []byte("\xff\xfe\nbye\n"), StderrBytes: 1007}, []Observation{garbled("stderr", 900, 102)}, "<2 bytes, not text: ff fe>\nbye\n"},
		{"hardly any text between", LastOutput{Stderr: []byte("\xff\xfeabc\xfd\xfc"), StderrBytes: 7}, []Observation{garbled("stderr", 5, 2), garbled("stderr", 0, 2)}, "<7 bytes, not text: ff fe 61 62 63 fd fc>"},
		{"of the other stream", LastOutput{Stderr: []byte("ok\n"), StderrBytes: 3}, []Observation{garbled("stdout", 0, 2)}, "ok\n"},
		{"of nowhere", LastOutput{Stderr: []byte("ok\n"), StderrBytes: 3}, []Observation{garbled("stderr", -5, 7), garbled("stderr", 1<<60, 1<<60), garbled("stderr", 100, 7)}, "ok\n"},
		{"total not known", LastOutput{Stderr: []byte("ok\n\xff")}, []Observation{garbled("stderr", 3, 1)}, "ok\n<1 byte, not text: ff>"},
	} {
		c := &Case{LastOutput: &test.out, Timeline: test.timeline}
		if got := string(c.Text("stderr")); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("ok\n\x00\x01\nbye\n"), int64(9), int64(3), int64(2), int64(5), int64(1))
	f.Add([]byte{0xff}, int64(-1), int64(-1<<63), int64(1<<62), int64(0), int64(1<<50))
	f.Fuzz(func(t *testing.T, raw []byte, total, a, n, b, m int64) {
		c := &Case{LastOutput: &LastOutput{Stderr: raw, StderrBytes: total}, Timeline: []Observation{
			{Detail: &Garbled{Stream: "stderr", Offset: a, Length: n}}, {Detail: &Garbled{Stream: "stderr", Offset: b, Length: m}},
		}}
		if got := c.Text("stderr"); strings.Count(string(got), "\n") < strings.Count(string(raw), "\n")-int(min(max(n, 0)+max(m, 0)+betweenGarbage, 1<<30)) {
			t.Fatalf("lines are lost: %q of %q", got, raw)
		}
	})
}

func TestInFirstLine(t *testing.T) {
	for _, test := range []struct {
		g    FirstGarbage
		want bool
	}{
		{FirstGarbage{}, true},
		{FirstGarbage{Offset: 12, Before: []byte("etc/hostname")}, true},
		{FirstGarbage{Offset: 12, Before: []byte("INFO start\n!")}, false},
		{FirstGarbage{Offset: 9000, Before: []byte("etc/hostname")}, false},
	} {
		if got := test.g.InFirstLine(); got != test.want {
			t.Errorf("%+v: %v", test.g, got)
		}
	}
}
