package output

import (
	"bytes"
	"fmt"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func torn(p []byte) []Torn {
	var l Lines
	return l.Flush(l.Write(nil, p))
}

// forms are ways in which lines of logs begin. Each gives line i.
var forms = map[string]func(i int) string{
	"ISO": func(i int) string { return fmt.Sprintf("2026-11-22 07:%02d:%02d INFO %s", i/60%60, i%60, message(i)) },
	"ISO, T": func(i int) string {
		return fmt.Sprintf("2026-11-22T07:%02d:%02d.%03dZ %s", i/60%60, i%60, i*7%1000, message(i))
	},
	"bracketed": func(i int) string {
		return fmt.Sprintf("[2026-11-22 07:%02d:%02d] [info] %s", i/60%60, i%60, message(i))
	},
	"syslog": func(i int) string {
		return fmt.Sprintf("Nov 22 07:%02d:%02d web1 app[%d]: %s", i/60%60, i%60, 900+i%300, message(i))
	},
	"klog": func(i int) string {
		return fmt.Sprintf("I1122 07:%02d:%02d.%06d       1 main.go:%d] %s", i/60%60, i%60, i*7, 10+i%300, message(i))
	},
	"Go's log": func(i int) string { return fmt.Sprintf("2026/11/22 07:%02d:%02d %s", i/60%60, i%60, message(i)) },
	"Python": func(i int) string {
		return fmt.Sprintf("2026-11-22 07:%02d:%02d,%03d - app - WARNING - %s", i/60%60, i%60, i%1000, message(i))
	},
	"level": func(i int) string {
		return fmt.Sprintf("%-5s 2026-11-22 07:%02d:%02d,%03d [main] %s", levels[i%4], i/60%60, i%60, i%1000, message(i))
	},
	"access": func(i int) string {
		return fmt.Sprintf(`10.0.%d.%d - - [22/Nov/2026:07:%02d:%02d +0000] "GET /items/%d HTTP/1.1" 200 %d "-" "curl/8.1"`, i%3, i%254, i/60%60, i%60, i, 100+i%977)
	},
	"redis": func(i int) string {
		return fmt.Sprintf("812:M 22 Nov 2026 07:%02d:%02d.%03d * %s", i/60%60, i%60, i%1000, message(i))
	},
	"logfmt": func(i int) string {
		return fmt.Sprintf(`time="2026-11-22T07:%02d:%02dZ" level=info msg=%q`, i/60%60, i%60, message(i))
	},
	"JSON": func(i int) string {
		return fmt.Sprintf(`{"level":%q,"ts":1795331%03d.%d,"msg":%q,"n":{"a":%d}}`, strings.ToLower(levels[i%4]), i%1000, i%77, message(i), i)
	},
	"JSON, time": func(i int) string {
		return fmt.Sprintf(`{"time":"2026-11-22T07:%02d:%02d.%d","severity":%q,"message":%q}`, i/60%60, i%60, i*13, levels[i%4], message(i))
	},
}

var levels = []string{"INFO", "WARN", "ERROR", "DEBUG"}

func message(i int) string {
	r := rand.New(rand.NewSource(int64(i)))
	words := strings.Fields("checkout of order took ms retry the queue is empty now user admin from 10.2.3.4 port 8080 (ok) done. items=17 total=42.50 EUR connection closed by peer, again")
	var s []string
	for range 3 + r.Intn(12) {
		s = append(s, words[r.Intn(len(words))])
	}
	s = append(s, fmt.Sprint(i))
	r.Shuffle(len(s), func(a, b int) { s[a], s[b] = s[b], s[a] })
	return strings.Join(s, " ")
}

func logOf(form string, n int) []string {
	var lines []string
	for i := range n {
		lines = append(lines, forms[form](i))
	}
	return lines
}

func TestTornForms(t *testing.T) {
	for name := range forms {
		lines := logOf(name, 400)
		if got := torn([]byte(strings.Join(lines, "\n") + "\n")); len(got) != 0 {
			t.Errorf("%s: %+v in lines that are whole", name, got)
		}
		found, all := 0, 0
		for k := 200; k < 400; k += 3 {
			cut := len(lines[k]) - 1 - k%20
			for cut > 0 && tokenOf[lines[k][cut-1]] > word {
				cut--
			}
			b := strings.Join(lines[:k], "\n") + "\n" + lines[k][:cut] + lines[k+1] + "\n" + lines[k][cut:] + "\n" + strings.Join(lines[k+2:], "\n") + "\n"
			got := torn([]byte(b))
			all++
			if len(got) == 1 && got[0].At == int64(cut) && got[0].Line == int64(k+1) && got[0].Kind == Interleaved && got[0].Length == int64(cut+len(lines[k+1])) {
				found++
			} else if all < 3 || len(got) > 1 {
				t.Logf("%s: %q: %+v", name, lines[k][:cut]+"|"+lines[k+1], got)
			}
		}
		if found*10 < all*9 {
			t.Errorf("%s: %d of %d found", name, found, all)
		}
	}
}

// chunked gives p in pieces of random length.
func chunked(p []byte, seed int64) []Torn {
	r := rand.New(rand.NewSource(seed))
	var l Lines
	var got []Torn
	for len(p) > 0 {
		n := min(len(p), 1+r.Intn(1+r.Intn(1000)))
		got = l.Write(got, p[:n])
		p = p[n:]
	}
	return l.Flush(got)
}

func damaged(seed int64) []byte {
	r := rand.New(rand.NewSource(seed))
	names := slices.Sorted(func(yield func(string) bool) {
		for k := range forms {
			if !yield(k) {
				return
			}
		}
	})
	lines := logOf(names[r.Intn(len(names))], 300)
	if r.Intn(3) == 0 {
		lines = append(lines, logOf(names[r.Intn(len(names))], 300)...)
		r.Shuffle(len(lines), func(a, b int) { lines[a], lines[b] = lines[b], lines[a] })
	}
	b := []byte(strings.Join(lines, "\n") + "\n")
	for range r.Intn(20) {
		i := r.Intn(len(b))
		switch r.Intn(4) {
		case 0:
			b = append(b[:i], b[min(len(b), i+r.Intn(200)):]...)
		case 1:
			if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
				b = append(b[:i+n], b[i+n+1:]...)
			}
		case 2:
			b = slices.Insert(b, i, []byte(lines[r.Intn(len(lines))]+"\n")...)
		case 3:
			b = slices.Insert(b, i, bytes.Repeat([]byte(message(i)), 1+r.Intn(30))...)
		}
	}
	return b
}

func TestTornChunks(t *testing.T) {
	some := 0
	for seed := range int64(300) {
		b := damaged(seed)
		want := torn(b)
		some += len(want)
		for k := range int64(3) {
			if got := chunked(b, k); !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: in pieces %+v, whole %+v", seed, got, want)
			}
		}
	}
	if some < 300 {
		t.Errorf("%d torn lines found in damaged logs", some)
	}
}

// FuzzTorn: any bytes in any chunking give the same as one chunk.
func FuzzTorn(f *testing.F) {
	for seed := range int64(8) {
		f.Add(damaged(seed), seed)
	}
	f.Fuzz(func(t *testing.T, b []byte, seed int64) {
		want := torn(b)
		if got := chunked(b, seed); !reflect.DeepEqual(got, want) {
			t.Fatalf("in pieces %+v, whole %+v", got, want)
		}
		for _, x := range want {
			if x.Offset < 0 || x.At < 0 || x.At > x.Length || x.Offset+x.Length > int64(len(b)) || strings.ContainsAny(x.Preview, "\n\r\x1b\x00") {
				t.Fatalf("%+v", x)
			}
		}
	})
}
