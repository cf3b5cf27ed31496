package output

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestFormOf(t *testing.T) {
	long := strings.Repeat("x", 16<<10)
	for _, c := range []struct {
		start string
		all   bool
		form  Form
		sure  bool
	}{
		{"2026-11-22T07:24:16.123456789Z stdout F text\n", false, CRI, true},
		{"2026-11-22T07:24:16+01:00 stderr P te", false, CRI, true},
		{"2026-11-22T07:24:16.123456789Z std", false, Raw, false},
		{"2026-11-22T07:24:16.123456789Z std", true, Raw, true},
		{"2026-11-22T07:24:16Z INFO text", false, Raw, false},
		{"2026-11-22T07:24:16Z INFO text\n", false, Raw, true},
		{"2026-11-22 07", false, Raw, true},
		{"2026-11", false, Raw, false},
		{"", false, Raw, false},
		{"", true, Raw, true},
		{"\x00\x00\x00\x002026-11-22T07:24:16Z stdout F text", false, CRI, true},
		{"\x00\x00", false, Raw, false},
		{`{"log":"text\n","stream":"stdout","time":"2026-11-22T07:24:16Z"}` + "\n", false, Docker, true},
		{`{"log":"` + long + `","stream":"stdout","time":"2026-11-22T07:24:16Z"}` + "\n", false, Docker, true},
		{`{"log":"` + long, false, Raw, false},
		{`{"log":"text"}` + "\n", false, Raw, true},
		{`{"lo`, false, Raw, false},
		{`{"level":"info"`, false, Raw, true},
		{"listening", false, Raw, true},
	} {
		if form, sure := formOf([]byte(c.start), c.all); form != c.form || sure != c.sure {
			t.Errorf("%.60q, %v: %s, %v", c.start, c.all, form, sure)
		}
	}
}

func TestPayload(t *testing.T) {
	for _, c := range []struct {
		form         Form
		line         string
		text, stamp  string
		skip, stream int
	}{
		{CRI, "2026-11-22T07:24:16.1Z stdout F text\n", "text\n", "2026-11-22T07:24:16.1Z", 32, 0},
		{CRI, "2026-11-22T07:24:16.1Z stderr P text\n", "text", "2026-11-22T07:24:16.1Z", 32, 1},
		{CRI, "2026-11-22T07:24:16.1Z stderr P:x:y text\n", "text", "2026-11-22T07:24:16.1Z", 36, 1},
		{CRI, "2026-11-22T07:24:16.1Z stdout F \n", "\n", "2026-11-22T07:24:16.1Z", 32, 0},
		{CRI, "2026-11-22T07:24:16.1Z stdout F\n", "\n", "2026-11-22T07:24:16.1Z", 31, 0},
		{CRI, "2026-11-22T07:24:16.1Z stdout F", "", "2026-11-22T07:24:16.1Z", 31, 0},
		{CRI, "2026-11-22T07:24:16.1Z stdout Q text\n", "2026-11-22T07:24:16.1Z stdout Q text\n", "", 0, 0},
		{CRI, "2026-11-22T07:24:16.1Z stdout Ftext\n", "2026-11-22T07:24:16.1Z stdout Ftext\n", "", 0, 0},
		{CRI, "text\n", "text\n", "", 0, 0},
		{Docker, `{"log":"a\n","stream":"stderr","time":"T"}` + "\n", "a\n", "T", 0, 1},
		{Docker, `{"log":"a \"\\\/\b\f\r\t\u00e9\ud83d\ude00\ud83d\u0000","stream":"stdout","attrs":{"tag":"x"},"time":"T"}`, "a \"\\/\b\f\r\té😀\ufffd\x00", "T", 0, 0},
		{Docker, `{"stream":"stderr","log":"a","time":"T"}`, "a", "T", 0, 1},
		{Docker, `{"log":"a`, `{"log":"a`, "", 0, 0},
		{Docker, "{\"log\":\"a\xff\x01\",\"stream\":\"stdout\",\"time\":\"T\"}", "a\xff\x01", "T", 0, 0},
	} {
		var scratch []byte
		e := payload(c.form, []byte(c.line), &scratch)
		if string(e.text) != c.text || string(e.stamp) != c.stamp || e.skip != c.skip || e.stream != c.stream {
			t.Errorf("%s: %q %q %d %d", c.line, e.text, e.stamp, e.skip, e.stream)
		}
	}
	if at := stampTime([]byte("2026-11-22T07:24:16.123456789Z")); at != time.Date(2026, 11, 22, 7, 24, 16, 123456789, time.UTC) {
		t.Error(at)
	}
}

// What a library reads of a line is what is read here.
func FuzzDocker(f *testing.F) {
	f.Add([]byte("a\n\"\\\x00\x7f\xff\u2028<é😀"), false)
	f.Add([]byte(`\ud83d\ude00\u00zz\`), true)
	f.Fuzz(func(t *testing.T, text []byte, raw bool) {
		quoted := []byte(`"` + string(text) + `"`)
		if !raw {
			quoted, _ = json.Marshal(string(text))
		}
		line := append(append([]byte(`{"log":`), quoted...), `,"stream":"stderr","time":"T"}`+"\n"...)
		var want struct{ Log, Stream string }
		if json.Unmarshal(line, &want) != nil || strings.Contains(want.Log, "\ufffd") {
			payload(Docker, line, nil) // must not panic
			return
		}
		var scratch []byte
		if e, ok := parseDocker(line, &scratch); !ok || string(e.text) != want.Log || want.Stream == "stderr" && e.stream != 1 {
			t.Fatalf("%s: %q, %v, want %q", line, e.text, ok, want.Log)
		}
	})
}

func BenchmarkCRI(b *testing.B) {
	line := []byte("2026-11-22T07:24:16.123456789Z stdout F INFO checkout 8812 ok, 17 items, 42.50 EUR, and some more words in the line\n")
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		payload(CRI, line, nil)
	}
}

func BenchmarkDocker(b *testing.B) {
	line := []byte(`{"log":"INFO checkout 8812 ok, 17 items, 42.50 EUR, and \"some\" more words in the line\n","stream":"stdout","time":"2026-11-22T07:24:16.123456789Z"}` + "\n")
	var scratch []byte
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		payload(Docker, line, &scratch)
	}
}
