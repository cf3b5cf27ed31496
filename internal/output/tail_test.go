package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// inForm writes output as a runtime does, in parts of a line, and gives what each stream was. Rotation: it is told of
// each line's end.
func inForm(form Form, r *rand.Rand, n int, next func(line []byte)) (streams [2][]byte) {
	for i := range n {
		s := r.Intn(2)
		if form == Raw {
			s = 0
		}
		text := fmt.Appendf(nil, "line %06d %s", i, bytes.Repeat([]byte("words "), r.Intn(20)))
		if r.Intn(30) == 0 {
			text = append(text, bytes.Repeat([]byte("long "), 1+r.Intn(12000))...)
		}
		switch r.Intn(10) {
		case 0:
			text = append(text, "é \" \\ \t <&> \u2028 😀"...)
		case 1:
			text = append(text, random(50, int64(i))...)
			text = bytes.ReplaceAll(text, []byte("\n"), nil)
		}
		text = append(text, '\n')
		for len(text) > 0 {
			part := text[:min(len(text), 16<<10)]
			text = text[len(part):]
			ends := part[len(part)-1] == '\n'
			switch name := [...]string{"stdout", "stderr"}[s]; form {
			case Raw:
				next(part)
			case CRI:
				mark := "P"
				if ends {
					mark = "F"
				}
				next(fmt.Appendf(nil, "2026-11-22T07:24:16.%09dZ %s %s %s\n", i, name, mark, bytes.TrimSuffix(part, []byte("\n"))))
			case Docker:
				part = bytes.ToValidUTF8(part, []byte("\ufffd"))
				q, _ := json.Marshal(string(part))
				next(fmt.Appendf(nil, `{"log":%s,"stream":%q,"time":"2026-11-22T07:24:16.%09dZ"}`+"\n", q, name, i))
			}
			streams[s] = append(streams[s], part...)
		}
	}
	return streams
}

func TestTail(t *testing.T) {
	for _, form := range []Form{Raw, CRI, Docker} {
		for _, n := range []int{1, 30, 3000} {
			for seed := range int64(3) {
				t.Run(fmt.Sprintf("%s, %d lines, %d", form, n, seed), func(t *testing.T) {
					r := rand.New(rand.NewSource(seed))
					log := filepath.Join(t.TempDir(), "x.log")
					f, err := os.Create(log)
					if err != nil {
						t.Fatal(err)
					}
					files := 0
					streams := inForm(form, r, n, func(line []byte) {
						f.Write(line)
						if r.Intn(n/5+3) == 0 { // rotate
							old := fmt.Sprintf("%s.20261122-%06d", log, files)
							files++
							f.Close()
							if err := os.Rename(log, old); err != nil {
								t.Fatal(err)
							}
							if r.Intn(2) == 0 {
								if out, err := exec.Command("gzip", old).CombinedOutput(); err != nil {
									t.Fatalf("gzip: %v: %s", err, out)
								}
							}
							f, _ = os.Create(log)
						}
					})
					f.Close()
					for _, most := range []int{1, 100, 4096, 64 << 10, 10 << 20} {
						got, err := ReadTail(log, most)
						if err != nil {
							t.Fatal(err)
						}
						for s, all := range streams {
							want := all[max(0, len(all)-most):]
							if !bytes.Equal(got.Stream[s], want) {
								t.Errorf("most %d, stream %d: %s", most, s, differ(string(got.Stream[s]), string(want)))
							}
							if most > len(all) && !got.Whole[s] && (form != Raw || s == 0) || most < len(all) && got.Whole[s] {
								t.Errorf("most %d of %d, stream %d: whole %v", most, len(all), s, got.Whole[s])
							}
						}
					}
				})
			}
		}
	}
}

// A large log is not read whole: its end is near, and so is the end of what is silent for long.
func TestTailReadsLittle(t *testing.T) {
	log := filepath.Join(t.TempDir(), "x.log")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("2026-11-22T07:24:16Z stderr F early\n")
	f.WriteAt([]byte("2026-11-22T07:24:16Z stdout F late\n"), 1<<40) // a file of a terabyte
	got, err := ReadTail(log, 5)
	if err != nil || string(got.Stream[0]) != "late\n" || len(got.Stream[1]) != 0 || got.Whole[1] {
		t.Errorf("%q %v %v", got.Stream, got.Whole, err)
	}
	if _, err := ReadTail(log+"x", 5); !os.IsNotExist(err) {
		t.Error(err)
	}
}
