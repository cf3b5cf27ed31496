package output

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// windowMost is the memory that unpacking a file may take for what it looks back at: zstd -19 and xz -9 need 8 and 64 MiB.
const windowMost = 128 << 20

// unpacks says whether files whose names end in ext are read as what they unpack to.
func unpacks(ext string) bool { return ext == ".gz" || ext == ".zst" || ext == ".xz" || ext == ".bz2" }

// unpack reads what f unpacks to; end gives up what that takes.
func unpack(f io.Reader, ext string) (r io.Reader, end func(), err error) {
	end = func() {}
	switch ext {
	case ".zst":
		d, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(windowMost))
		if err != nil {
			return nil, nil, err
		}
		return d, d.Close, nil
	case ".xz":
		r, err = Unxz(f)
	case ".bz2":
		r = bzip2.NewReader(f)
	default:
		r, err = gzip.NewReader(f)
	}
	return r, end, err
}

// Unxz reads what xz packed. What asks for more than 128 MiB of memory is refused; xz -9 asks for 64 MiB.
func Unxz(r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if xzWindow(in) > windowMost {
		return nil, errors.New("it needs more than 128 MiB of memory to unpack")
	}
	return xz.ReaderConfig{DictCap: 64 << 10}.NewReader(in)
}

// xzWindow is what the first block of a file says that it looks back at, in bytes. 0: it does not say.
func xzWindow(in *bufio.Reader) uint64 {
	const head, property = 12, 3 // stream header; LZMA2's identifier, size of its properties, the dictionary's size
	b, _ := in.Peek(head + 64)
	if len(b) < head+2 {
		return 0
	}
	at := bytes.Index(b[head+2:], []byte{0x21, 1})
	if at < 0 || len(b) < head+2+at+property {
		return 0
	}
	bits := uint(b[head+2+at+2])
	if bits > 40 {
		return 0 // which is refused when it is read
	}
	return uint64(2|bits&1) << (bits/2 + 11)
}
