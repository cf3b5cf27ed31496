package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/descry-dev/descry/test/kernel/wire"
)

// store keeps the cases that tests send among their output, see wire.StoreWord.
type store struct {
	dir  string // "": nowhere
	name string // of the case that is coming: "CAUSE/positive-real-X"
	text strings.Builder
}

// line takes a line of output, and says whether it was one of a case.
func (s *store) line(l string) (bool, error) {
	l, ok := strings.CutPrefix(l, wire.StoreWord+" ")
	if !ok {
		return false, nil
	}
	f := strings.Fields(l)
	switch {
	case len(f) == 2:
		s.name = f[0]
		s.text.WriteString(f[1])
		return true, nil
	case len(f) < 3 || f[0] != s.name || s.dir == "":
		return true, fmt.Errorf("a case came in pieces: %.80q", l)
	}
	defer s.text.Reset()
	b, err := base64.StdEncoding.DecodeString(s.text.String())
	if err != nil {
		return true, fmt.Errorf("case %s: %w", s.name, err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return true, fmt.Errorf("case %s: %w", s.name, err)
	}
	if b, err = io.ReadAll(z); err != nil {
		return true, fmt.Errorf("case %s: %w", s.name, err)
	}
	cause, name := path.Split(s.name)
	return true, s.write(filepath.Join(s.dir, cause), name, strings.Join(f[1:], " "), b)
}

// write puts a case and what is to be found in it into the folder of a cause.
func (s *store) write(dir, name, want string, b []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), b, 0o644); err != nil {
		return err
	}
	expect := filepath.Join(dir, "expect.txt")
	old, err := os.ReadFile(expect)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(old)), "\n"), func(l string) bool {
		return l == "" || strings.HasPrefix(l, name+" ")
	})
	lines = append(lines, name+" "+want)
	slices.Sort(lines) // "#" sorts before the names
	return os.WriteFile(expect, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}
