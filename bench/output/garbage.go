package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/descry-dev/descry/internal/output"
)

var lengths = []int{16, 32, 64, 128, 512, 4096}

// kind is a sort of garbage and where it is from.
type kind struct {
	name   string
	labels []string // specific labels that are right of it, at its start or anywhere; the general ones always are
	load   func(e *eval) [][]byte
	start  bool // its pieces are its beginnings
}

// general labels say less, and are never wrong of what is no text.
var general = []string{"binary memory", "binary data", "random bytes"}

const (
	before = 32 << 10 // bytes of the log in front of a piece at most
	after  = 2 << 10
)

// result is what came of one kind.
type result struct {
	tried, missed, beyond, text [6]int // by length
	oddTried, oddMissed         [6]int // of 64 bytes and more, by how many bytes are no text, see oddSteps
	labels, wrong               map[string]int
	sources                     int
	example                     []string
}

func hash(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b)
	return h.Sum64()
}

// mine says whether something belongs to the half that is looked at.
func (e *eval) mine(h uint64) bool { return h>>17&1 == 1 == e.test }

func (e *eval) garbage() error {
	var logs [][]byte
	for _, f := range e.logs {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		logs = append(logs, b)
	}
	fmt.Fprintf(e.out, "\n## Garbage in logs\n\nPieces mixed into %d real logs at random places, %d of each kind and length, of files (pages, connections) that are not in the other half.\n", len(logs), e.each)
	var rows []*result
	var names []string
	var all []kind
	for _, k := range kinds {
		all = append(all, k)
		if k.start {
			k.start, k.name = false, k.name+", from anywhere"
			all = append(all, k)
		}
	}
	var last string
	var loaded [][]byte
	for _, k := range all {
		if base, _, _ := strings.Cut(k.name, ", from"); base != last {
			last, loaded = base, k.load(e)
		}
		if len(loaded) == 0 {
			fmt.Fprintf(os.Stderr, "no %s on this machine\n", k.name)
			continue
		}
		r := e.mix(k, loaded, logs)
		rows, names = append(rows, r), append(names, k.name)
		fmt.Fprintf(os.Stderr, "%-40s %5d sources, missed of 64+: %s\n", k.name, r.sources, r.share())
		for _, x := range r.example {
			fmt.Fprintln(os.Stderr, "   ", x)
		}
	}
	e.missTable(names, rows)
	e.oddTable(names, rows)
	e.labelTable(names, rows)
	return nil
}

// mix puts pieces of one kind into the logs and has them judged.
func (e *eval) mix(k kind, sources, logs [][]byte) *result {
	r := &result{labels: map[string]int{}, wrong: map[string]int{}, sources: len(sources)}
	rnd := rand.New(rand.NewSource(int64(hash([]byte(k.name)))))
	var stream []byte
	for li, n := range lengths {
		for try := 0; r.tried[li] < e.each && try < 4*e.each; try++ {
			src := sources[rnd.Intn(len(sources))]
			at := 0
			if !k.start && len(src) > n {
				at = rnd.Intn(len(src) - n)
			}
			p := src[at:min(len(src), at+n)]
			if len(p) < n {
				continue
			}
			if isText(p) {
				r.text[li]++
				continue
			}
			log := logs[rnd.Intn(len(logs))]
			where := rnd.Intn(len(log))
			head, tail := log[max(0, where-before):where], log[where:min(len(log), where+after)]
			stream = append(append(append(stream[:0], head...), p...), tail...)
			lo, hi := int64(len(head)), int64(len(head)+n)
			var j output.Judge
			var best output.Span
			var size int64
			for _, s := range j.Flush(j.Write(nil, stream)) {
				if s.Offset < lo-8 || s.Offset+s.Length > hi+16 {
					r.beyond[li]++
				}
				if in := min(hi, s.Offset+s.Length) - max(lo, s.Offset); in > size {
					best, size = s, in
				}
			}
			r.tried[li]++
			step := oddStep(p)
			if n >= 64 {
				r.oddTried[step]++
			}
			if size == 0 {
				r.missed[li]++
				if n >= 64 {
					r.oddMissed[step]++
				}
				if n >= 64 && len(r.example) < e.show {
					r.example = append(r.example, fmt.Sprintf("missed (%d odd): %.160q", odd(p), p))
				}
				continue
			}
			if n >= 64 {
				r.labels[best.LooksLike]++
				if slices.Contains(general, best.LooksLike) || slices.Contains(k.labels, best.LooksLike) ||
					best.LooksLike == "NUL bytes" && mostlyNUL(stream[best.Offset:best.Offset+best.Length]) || best.LooksLike == "UTF-16" && mostlyWide(stream[best.Offset:best.Offset+best.Length]) {
					continue
				}
				r.wrong[best.LooksLike]++
				if len(r.example) < 2*e.show {
					r.example = append(r.example, fmt.Sprintf("%s: %.100q", best.LooksLike, p))
				}
			}
		}
	}
	return r
}

// mostlyNUL says of the bytes of a span that the name is right, whatever they were taken from.
func mostlyNUL(p []byte) bool { return bytes.Count(p, []byte{0})*10 > len(p)*9 }

// mostlyWide says that most are letters and NULs in turn: programs hold strings of two bytes a letter.
func mostlyWide(p []byte) bool {
	n := 0
	for i := 1; i < len(p); i++ {
		if (p[i] == 0) != (p[i-1] == 0) && p[i]|p[i-1] < 0x7f {
			n++
		}
	}
	return n*2 > len(p)
}

// share is how many pieces of 64 bytes and more were missed.
func (r *result) share() string {
	t, m := 0, 0
	for i, n := range lengths {
		if n >= 64 {
			t, m = t+r.tried[i], m+r.missed[i]
		}
	}
	return fmt.Sprintf("%.2f%% (%d of %d)", 100*float64(m)/float64(max(t, 1)), m, t)
}

// isText says whether a piece is honest text by itself: valid UTF-8, but for characters that were cut at its
// ends, without a control that no text has; or, but for one letter in 64 bytes, Latin-1. Nobody could tell that
// it is from a program.
func isText(p []byte) bool {
	for i := 0; i < 3 && len(p) > 0 && p[0]&0xc0 == 0x80; i++ {
		p = p[1:]
	}
	for i := 1; i <= 3 && i <= len(p); i++ {
		if b := p[len(p)-i]; b >= 0xc0 {
			if !utf8.FullRune(p[len(p)-i:]) {
				p = p[:len(p)-i]
			}
			break
		} else if b < 0x80 {
			break
		}
	}
	if !utf8.Valid(p) { // a name in Latin-1 here and there: a letter between letters of ASCII
		q := slices.Clone(p)
		n := 0
		for i, b := range p {
			if b >= 0xdf && i > 0 && i+1 < len(p) && p[i-1] < 0x80 && p[i+1] < 0x80 && unicode.IsLetter(rune(p[i-1])) && unicode.IsLetter(rune(p[i+1])) {
				q[i] = 'x'
				n++
			}
		}
		if n*64 > len(p) {
			return false
		}
		p = q
	}
	return utf8.Valid(p) && bytes.IndexFunc(p, func(r rune) bool {
		return r < 0x07 || r > 0x0f && r < 0x20 && r != 0x1b || r == 0x7f || r == utf8.RuneError
	}) < 0
}

// found gives the files under the roots whose names match, at most most of this half, no two alike.
func (e *eval) found(most int, ok func(name string) bool, roots ...string) [][]byte {
	var paths []string
	for _, root := range roots {
		filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() && ok(path) {
				paths = append(paths, path)
			}
			return nil
		})
	}
	rand.New(rand.NewSource(1)).Shuffle(len(paths), func(i, k int) { paths[i], paths[k] = paths[k], paths[i] })
	seen := map[uint64]bool{}
	var out [][]byte
	for _, p := range paths {
		if len(out) == most {
			break
		}
		b, err := readMost(p, 4<<20)
		if err != nil || len(b) < 64 {
			continue
		}
		if h := hash(b); e.mine(h) && !seen[h] {
			seen[h] = true
			out = append(out, b)
		}
	}
	return out
}

func readMost(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(most, st.Size()))
	n, err := f.ReadAt(b, 0)
	return b[:n], err
}

func suffix(s ...string) func(string) bool {
	return func(name string) bool {
		return slices.ContainsFunc(s, func(x string) bool { return strings.HasSuffix(name, x) })
	}
}
