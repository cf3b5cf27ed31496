package output

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// whole is the payload of a file that is read at once.
func whole(b []byte) (streams [2][]byte) {
	form := FormOf(b)
	var scratch []byte
	if form == Raw {
		streams[0] = b
		return streams
	}
	for len(b) > 0 {
		n, zeros := nextLine(b, true)
		e := entry{text: b[:n]}
		if !zeros {
			e = payload(form, b[:n], &scratch)
		}
		streams[e.stream] = append(streams[e.stream], e.text...)
		b = b[n:]
	}
	return streams
}

// grow lets a file grow in pieces of the given sizes, follows it, and compares with what it is as a whole; the follower is
// begun anew now and then.
func grow(t *testing.T, b []byte, sizes []byte, restart byte) {
	dir := t.TempDir()
	log := filepath.Join(dir, "x.log")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c := &catcher{}
	begin := func() *Follower {
		w, err := NewFollower(FollowOptions{Paths: []string{log}, Position: filepath.Join(dir, "position"), New: func(string) Consumer { return c }})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := begin()
	clock := time.Now()
	poll := func() {
		clock = clock.Add(5 * time.Second)
		for w.Poll(clock) {
		}
	}
	poll()
	rest := b
	for i := 0; len(rest) > 0; i++ {
		n := len(rest)
		if len(sizes) > 0 {
			n = min(n, 1+int(sizes[i%len(sizes)])*int(sizes[i%len(sizes)]))
		}
		f.Write(rest[:n])
		rest = rest[n:]
		poll()
		if restart > 0 && i%int(restart) == 0 {
			w.Close()
			w = begin()
			poll()
		}
	}
	// What has no end is whole when another file has begun.
	os.Rename(log, log+".1")
	os.WriteFile(log, []byte("2026-11-22T07:24:16Z stdout F x\n"), 0o600)
	poll()
	poll()
	w.Close()
	want := whole(b)
	if FormOf(b) == Raw {
		want[0] = append(bytes.Clone(want[0]), "x\n"...)
	} else {
		want[0] = append(want[0], "x\n"...)
	}
	if c.bad != "" || len(c.losses) > 0 {
		t.Fatal(c.bad, c.losses)
	}
	for s := range want {
		if !bytes.Equal(c.streams[s], want[s]) {
			t.Fatalf("stream %d: %s", s, differ(string(c.streams[s]), string(want[s])))
		}
	}
}

func TestFollowGrowth(t *testing.T) {
	for _, form := range []Form{Raw, CRI, Docker} {
		for seed := range int64(6) {
			t.Run(fmt.Sprintf("%s %d", form, seed), func(t *testing.T) {
				r := rand.New(rand.NewSource(seed))
				var b []byte
				inForm(form, r, 60, func(line []byte) { b = append(b, line...) })
				switch seed {
				case 1:
					b = append(make([]byte, 9000), b...) // cut under its writer
				case 2:
					b = b[:len(b)-3] // torn
				case 3:
					b = append(b, bytes.Repeat([]byte("endless "), 3<<17)...) // longer than any line
				}
				sizes := make([]byte, 20)
				r.Read(sizes)
				if seed == 3 {
					sizes = []byte{255, 254}
				}
				grow(t, b, sizes, byte(seed%4*3))
			})
		}
	}
}

// However a file grows, what is handed on is what it holds.
func FuzzFollow(f *testing.F) {
	for seed, form := range []Form{Raw, CRI, Docker} {
		var b []byte
		inForm(form, rand.New(rand.NewSource(int64(seed))), 10, func(line []byte) { b = append(b, line...) })
		f.Add(b[:min(len(b), 3000)], []byte{1, 30, 7}, byte(3))
	}
	f.Add([]byte("\x00\x002026-11-22T07:24:16Z stdout P a\n2026-11-22T07:24:16Z stderr F b\n\x00\x00x"), []byte{2}, byte(2))
	f.Add([]byte("2026-11-22T07"), []byte{1}, byte(1))
	f.Fuzz(func(t *testing.T, b, sizes []byte, restart byte) {
		if len(b) > 1<<14 || len(sizes) > 100 {
			return
		}
		for len(b)/max(1, len(sizes)) > 200 && len(sizes) > 0 && sizes[0] < 10 { // not forever
			sizes = append([]byte{50}, sizes[1:]...)
		}
		grow(t, b, sizes, restart)
	})
}
