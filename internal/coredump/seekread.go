package coredump

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// seekable reads anywhere in a file of the seekable zstd format. It may be used by several goroutines.
type seekable struct {
	size   int64 // unpacked
	r      io.ReaderAt
	starts []int64 // of each frame, unpacked; and the end
	places []int64 // of each frame in the file; and the end
	close  func() error

	mu    sync.Mutex
	dec   *zstd.Decoder
	cache [cacheFrames]unpacked
	clock int64
}

const cacheFrames = 32 // 8 MiB

type unpacked struct {
	index int // of the frame
	b     []byte
	used  int64
}

// openSeekable reads the table at the end of the file; a file without one was not written to its end.
func openSeekable(r io.ReaderAt, size int64, closer func() error) (*seekable, error) {
	foot := make([]byte, footerSize)
	if size < footerSize+8 {
		return nil, fmt.Errorf("the file has %d bytes, too few for a core", size)
	}
	if _, err := r.ReadAt(foot, size-footerSize); err != nil {
		return nil, fmt.Errorf("read the end of the file: %w", err)
	}
	if le.Uint32(foot[5:]) != seekableMagic {
		return nil, errors.New("the file does not end with the table of a seekable zstd file: it was cut, or is none")
	}
	n, entry := int64(le.Uint32(foot)), int64(8)
	if foot[4]&0x80 != 0 { // with checksums
		entry = 12
	}
	length := 8 + n*entry + footerSize
	if n > maxFrames || length > size {
		return nil, fmt.Errorf("the table of the file tells of %d frames, more than its %d bytes hold", n, size)
	}
	table := make([]byte, length)
	if _, err := r.ReadAt(table, size-length); err != nil {
		return nil, fmt.Errorf("read the table of the file: %w", err)
	}
	if le.Uint32(table) != skippable || int64(le.Uint32(table[4:])) != length-8 {
		return nil, errors.New("the table of the file is damaged: it does not begin where its end says")
	}
	s := &seekable{r: r, close: closer, starts: make([]int64, n+1), places: make([]int64, n+1)}
	for i := range n {
		e := table[8+i*entry:]
		packed, plain := int64(le.Uint32(e)), int64(le.Uint32(e[4:]))
		if plain > maxFrameSize || packed > 2*maxFrameSize {
			return nil, fmt.Errorf("the table of the file is damaged: frame %d has %d bytes, %d unpacked", i, packed, plain)
		}
		s.places[i+1], s.starts[i+1] = s.places[i]+packed, s.starts[i]+plain
	}
	if s.places[n] != size-length {
		return nil, fmt.Errorf("the table of the file is damaged: frames of %d bytes in all where there are %d", s.places[n], size-length)
	}
	s.size = s.starts[n]
	for i := range s.cache {
		s.cache[i].index = -1
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(2*maxFrameSize))
	if err != nil {
		return nil, err
	}
	s.dec = dec
	return s, nil
}

// Close ends the reading and closes the file.
func (s *seekable) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dec != nil {
		s.dec.Close()
		s.dec = nil
	}
	return s.close()
}

// ReadAt reads at an offset of the core. It is io.EOF at the end.
func (s *seekable) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read core at %d: the offset is negative", off)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n < len(p) {
		if off >= s.size {
			return n, io.EOF
		}
		i := sort.Search(len(s.starts), func(i int) bool { return s.starts[i] > off }) - 1
		b, err := s.frame(i)
		if err != nil {
			return n, fmt.Errorf("read core at %d: %w", off, err)
		}
		k := copy(p[n:], b[off-s.starts[i]:])
		n, off = n+k, off+int64(k)
	}
	return n, nil
}

// frame unpacks frame i, or gives it from among the last ones.
func (s *seekable) frame(i int) ([]byte, error) {
	if s.dec == nil {
		return nil, errors.New("it is closed")
	}
	s.clock++
	oldest := &s.cache[0]
	for j := range s.cache {
		c := &s.cache[j]
		if c.index == i {
			c.used = s.clock
			return c.b, nil
		}
		if c.used < oldest.used {
			oldest = c
		}
	}
	packed := make([]byte, s.places[i+1]-s.places[i])
	if _, err := s.r.ReadAt(packed, s.places[i]); err != nil {
		return nil, fmt.Errorf("read frame %d of the file: %w", i, err)
	}
	b, err := s.dec.DecodeAll(packed, oldest.b[:0])
	oldest.index = -1
	if err != nil {
		return nil, fmt.Errorf("unpack frame %d of the file: %w", i, err)
	}
	if int64(len(b)) != s.starts[i+1]-s.starts[i] {
		return nil, fmt.Errorf("unpack frame %d of the file: it gives %d bytes and not %d", i, len(b), s.starts[i+1]-s.starts[i])
	}
	*oldest = unpacked{index: i, b: b, used: s.clock}
	return b, nil
}
