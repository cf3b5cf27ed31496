package output

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

// positions writes three positions of one log and one of another, and gives the file.
func positions(t *testing.T) (path string, b []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "position")
	l := newLab(t, func(o *FollowOptions) { o.Paths = append(o.Paths, o.Paths[0]+"2"); o.Position = path })
	l.write(l.log+"2", lines(0, 10))
	for i := range 3 {
		l.write(l.log, lines(10*i, 10*i+10))
		l.poll()
	}
	l.crash()
	b, err := os.ReadFile(path)
	l.must(err)
	return path, b
}

func offsets(t *testing.T, path string) (at []int64, damage string, err error) {
	t.Helper()
	j, kept, err := OpenJournal(path)
	if err != nil {
		return nil, "", err
	}
	defer j.Close()
	for name, s := range kept {
		if strings.HasSuffix(name, "x.log") {
			at = append(at, s.At[0])
		}
	}
	return at, j.damage, nil
}

// A position that is torn where its writer was killed counts up to the line before, and that is no damage.
func TestPositionTorn(t *testing.T) {
	path, b := positions(t)
	whole := int64(len(lines(0, 30)))
	if at, damage, err := offsets(t, path); err != nil || damage != "" || len(at) != 1 || at[0] != whole {
		t.Fatal(at, damage, err)
	}
	for n := range len(b) {
		if err := os.WriteFile(path, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		at, damage, err := offsets(t, path)
		if err != nil || damage != "" || len(at) > 1 || len(at) == 1 && at[0] > whole {
			t.Fatalf("cut at %d: %v %q %v", n, at, damage, err)
		}
	}
}

// A damaged one is said and kept aside, and an earlier line counts.
func TestPositionDamaged(t *testing.T) {
	path, b := positions(t)
	last := bytes.LastIndexByte(b[:len(b)-1], '\n') + 1
	for i := last; i < len(b)-1; i += 7 {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		at, damage, err := offsets(t, path)
		if err != nil || len(at) != 1 || !strings.Contains(damage, "1 lines are damaged") {
			t.Fatalf("byte %d: %v %q %v", i, at, damage, err)
		}
		if kept, err := os.ReadFile(path + ".damaged"); err != nil || !bytes.Equal(kept, bad) {
			t.Fatal("it was not kept aside", err)
		}
	}
}

// What is no position is left as it is.
func TestPositionForeign(t *testing.T) {
	for _, text := range []string{"my notes\n", "my notes", "descry position 2 x\n", "\x00\x00\x00", "{}\n"} {
		path := filepath.Join(t.TempDir(), "position")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := offsets(t, path)
		if b, _ := os.ReadFile(path); !errors.Is(err, ErrForeign) || string(b) != text {
			t.Errorf("%q: %v, now %q", text, err, b)
		}
	}
}

// Two followers do not keep their positions in one file.
func TestPositionInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "position")
	j, _, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if _, _, err := OpenJournal(path); !errors.Is(err, ErrInUse) {
		t.Fatal(err)
	}
}

func FuzzPosition(f *testing.F) {
	f.Add([]byte("descry position 1 x\n"))
	f.Add([]byte("descry position 1 x\n00000000 {}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "position")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := offsets(t, path); err != nil && !errors.Is(err, ErrForeign) {
			t.Fatal(err)
		}
	})
}

// Written by hand, a position is what the library writes.
func TestPositionForm(t *testing.T) {
	full := savedFile{Path: "/a \"b\"\n/é", Dev: 1, Ino: 1 << 63, Zip: true, Form: CRI, Offset: 2, Line: 3, Read: 4, Size: 5, MTime: -6, Head: print{7, 1 << 63}, Tail: print{8, 9}}
	for _, s := range []savedLog{{}, {Path: "/x", Gone: true}, {Path: "/x", Files: []savedFile{{}, full, full}, At: [2]int64{1, 2}, Done: [2]int64{3, 4}, Seen: seen{"x\t", 1, -2, 3}},
		{Seen: seen{Ino: 3}}, {Seen: seen{MTime: 3}}, {Seen: seen{Born: 3}}, {Seen: seen{MTime: 1, Born: 3}}, {Seen: seen{Stamp: "1", MTime: 3}}, {Files: []savedFile{full}}} {
		want, err := json.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.appendJSON(nil); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v\n%s, want\n%s", err, got, want)
		}
	}
}
