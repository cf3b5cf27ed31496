package sample

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
)

const maxMaps = 1 << 20 // bytes of text that are kept of one process

type mapsKept struct {
	text []byte
	size string // VmSize, in pages, when the text was read
}

// Maps gives the text of /proc/PID/maps, and whether it changed since the last call. It is read again
// only when the size of the address space has changed: reading it holds up the process's own
// mmap calls. Where it is longer than a MiB, the lines of executable mappings alone are kept. The
// text must not be written to.
func (s *Sampler) Maps(pid int) (text []byte, changed bool, err error) {
	st, err := s.stat(pid)
	if err != nil {
		return nil, false, err
	}
	p := s.remember(pid, st.start)
	b, err := s.read(pid, "statm")
	if err != nil {
		return nil, false, fmt.Errorf("read memory of process %d: %w", pid, err)
	}
	size, _, _ := bytes.Cut(b, []byte(" "))
	if p.maps.text != nil && p.maps.size == string(size) {
		return p.maps.text, false, nil
	}
	p.maps.size = string(size)
	b, err = s.readMaps(pid)
	if err != nil {
		return nil, false, s.ended(pid, fmt.Errorf("read mappings of process %d: %w", pid, err))
	}
	if bytes.Equal(b, p.maps.text) {
		return p.maps.text, false, nil
	}
	p.maps.text = bytes.Clone(b)
	return p.maps.text, true, nil
}

func (s *Sampler) readMaps(pid int) ([]byte, error) {
	b, err := s.read(pid, "maps")
	if err != nil || len(b) < maxMaps {
		return b, err
	}
	f, err := os.Open(s.path(pid, "maps"))
	if err != nil {
		return nil, gone(err)
	}
	defer f.Close()
	return executable(f), nil
}

// executable gives the whole lines of executable mappings, at most maxMaps bytes of them.
func executable(r io.Reader) (out []byte) {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil || len(out)+len(line) > maxMaps {
			return out
		}
		if _, rest, ok := bytes.Cut(line, []byte(" ")); ok && len(rest) > 4 && rest[2] == 'x' {
			out = append(out, line...)
		}
	}
}
