package casebook

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A journal of which any part is missing, or wrong, never says of a case that the server has it when nobody said so.
func TestJournalTornAtEveryByte(t *testing.T) {
	dir := t.TempDir()
	j, _, err := openJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	var marks []mark
	var ends []int
	size := len(journalHead)
	for i := range 12 {
		m := mark{Sent: numbered(i % 9).ID, As: fmt.Sprintf("%d.1.2", i)}
		if i%4 == 3 {
			m.Sent, m.Refused, m.Why = "", m.Sent, "no \"such\" node\n"
		}
		if err := j.add(m); err != nil {
			t.Fatal(err)
		}
		size += len(m.line())
		marks, ends = append(marks, m), append(ends, size)
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, journalName)
	whole, err := os.ReadFile(path)
	if err != nil || len(whole) != size {
		t.Fatal(err, len(whole), size)
	}
	read := func(b []byte) (got []mark, ok bool) {
		_, _, ok = readMarks(b, func(m mark) { got = append(got, m) })
		return got, ok
	}
	for n := range len(whole) + 1 {
		for name, tail := range map[string][]byte{"cut": nil, "zeroes": make([]byte, 700), "noise": []byte("\xff\x00\n{}\n00000000 {}\n")} {
			got, ok := read(append(slices.Clone(whole[:n]), tail...))
			if ok != (n >= len(journalHead)) {
				t.Fatalf("%s at %d: a journal: %v", name, n, ok)
			}
			lines := 0
			for lines < len(ends) && ends[lines] <= n {
				lines++
			}
			if ok && !slices.Equal(got, marks[:lines]) {
				t.Fatalf("%s at %d: %d marks, want %d", name, n, len(got), lines)
			}
		}
		if n == len(whole) {
			break
		}
		for _, wrong := range []byte{0, 0xff, '\n', ' ', whole[n] ^ 1} {
			b := slices.Clone(whole)
			b[n] = wrong
			got, _ := read(b)
			for _, m := range got {
				if !slices.Contains(marks, m) {
					t.Fatalf("byte %d as %d: %+v, which nobody said", n, wrong, m)
				}
			}
		}
	}
	// Cut in the middle, and opened: what is written next does not run into it.
	for _, n := range []int{0, 5, len(journalHead), ends[3] - 7, ends[3] - 1, len(whole) - 1} {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		j, remark, err := openJournal(dir)
		if err != nil || (remark == "") != (n == len(journalHead)) {
			t.Fatal(n, remark, err)
		}
		next := mark{Sent: numbered(100).ID, As: "x"}
		if err := errors.Join(j.add(next), j.close()); err != nil {
			t.Fatal(err)
		}
		b, _ := os.ReadFile(path)
		if got, ok := read(b); !ok || got[len(got)-1] != next {
			t.Errorf("after a cut at %d: %+v", n, got)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, journalBad)); err != nil || len(b) != 5 {
		t.Errorf("what is no journal was not kept: %q, %v", b, err)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(journalHead + string((&mark{Sent: "x", As: "y"}).line())))
	f.Add([]byte(journalHead + string((&mark{Lost: 7}).line()) + "torn"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again bytes.Buffer
		again.WriteString(journalHead)
		size, damaged, ok := readMarks(b, func(m mark) { again.Write(m.line()) })
		if size > int64(len(b)) || !ok && (size != 0 || damaged != 0) {
			t.Errorf("%d of %d, %d damaged", size, len(b), damaged)
		}
		if _, damaged, ok := readMarks(again.Bytes(), func(mark) {}); !ok || damaged != 0 {
			t.Errorf("written again it is damaged: %q", again.Bytes())
		}
	})
}

func TestJournalIsWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	j, _, err := openJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		if err := j.add(mark{Sent: numbered(i % 3).ID[:10], As: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(filepath.Join(dir, journalName))
	if err != nil || st.Size() > 200_000 {
		t.Errorf("%v, %v", st, err)
	}
	j, remark, err := openJournal(dir)
	if err != nil || remark != "" || len(j.answers) != 3 {
		t.Fatal(err, remark, j.answers)
	}
	_ = j.close()
}
