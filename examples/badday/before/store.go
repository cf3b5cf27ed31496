package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// store keeps the day's index: a line for each checkout, in four files by the order's number.
type store struct {
	dir    string
	n      int
	shards []*os.File
}

func openStore() (*store, error) {
	dir, err := os.MkdirTemp("", "cart-index-")
	if err != nil {
		return nil, err
	}
	return &store{dir: dir}, nil
}

// record adds a line to its file. The first shard is large, so it is kept for the next line.
func (s *store) record(line string) error {
	shard := s.n % 4
	s.n++
	f, err := os.OpenFile(filepath.Join(s.dir, fmt.Sprintf("%d.idx", shard)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if shard == 0 {
		s.shards = append(s.shards, f)
	} else {
		defer f.Close()
	}
	_, err = fmt.Fprintln(f, line)
	return err
}
