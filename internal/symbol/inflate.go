package symbol

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Types of a compressed section (ch_type).
const (
	compressZlib = 1
	compressZstd = 2
)

var errInflate = errors.New("damaged or too large a compressed section")

// inflate unpacks a section that begins with struct Elf64_Chdr, if that makes at most limit bytes.
func inflate(p []byte, limit uint64) ([]byte, error) {
	if len(p) < 24 || le.Uint64(p[8:]) > limit {
		return nil, errInflate
	}
	size := le.Uint64(p[8:])
	switch body := p[24:]; le.Uint32(p) {
	case compressZlib:
		z, err := zlib.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("unpack a section: %w", err)
		}
		defer z.Close() //nolint:errcheck // reads memory
		return readExactly(z, size)
	case compressZstd:
		z, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(limit), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, fmt.Errorf("unpack a section: %w", err)
		}
		defer z.Close()
		return readExactly(z, size)
	}
	return nil, errInflate
}

// readExactly reads a section whose header says size. What cannot be read ends it.
func readExactly(r io.Reader, size uint64) ([]byte, error) {
	w := bytes.NewBuffer(make([]byte, 0, min(size, 1<<20))) // a liar's size takes no memory
	if _, err := io.Copy(w, io.LimitReader(r, int64(size))); err != nil {
		return nil, fmt.Errorf("unpack a section: %w", err)
	}
	return w.Bytes(), nil
}

// maxXZWindow is the largest window of xz that is unpacked, as its first block header names it: 64 MiB, what xz -9 uses.
const maxXZWindow = 28

// unxz unpacks at most limit bytes; more is an error.
func unxz(p []byte, limit uint64) ([]byte, error) {
	// The block header follows the stream's 12 bytes: its size, flags, the filter LZMA2 (0x21), 1 byte of properties.
	const at = 12
	if len(p) < at+8 || p[at+1] == 0 && (p[at+2] != 0x21 || p[at+3] != 1 || p[at+4] > maxXZWindow) {
		return nil, errInflate
	}
	z, err := xz.ReaderConfig{SingleStream: true}.NewReader(bytes.NewReader(p))
	if err != nil {
		return nil, fmt.Errorf("unpack xz: %w", err)
	}
	var w bytes.Buffer
	n, err := io.Copy(&w, io.LimitReader(z, int64(limit)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("unpack xz: %w", err)
	case uint64(n) > limit:
		return nil, errInflate
	}
	return w.Bytes(), nil
}
