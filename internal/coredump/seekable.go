package coredump

import (
	"errors"
	"io"
	"os"
)

// seekable reads anywhere in a file of the seekable zstd format.
type seekable struct {
	io.ReaderAt
	size int64
	f    *os.File
}

func (r *seekable) Close() error { return r.f.Close() }

func openSeekable(f *os.File) (*seekable, error) { return nil, errors.New("not there yet") }
