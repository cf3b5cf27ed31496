package main

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/descry-dev/descry/internal/output"
)

// zstdWindow is the largest window that is unpacked, in bytes: zstd's own limit.
const zstdWindow = 128 << 20

// unpack gives what a log holds that begins as gzip, zstd or bzip2 do, header and all: garbage that merely begins
// so is not unpacked. done lets go of what it holds. Where it knows the form and cannot unpack it, it is an
// error: a rotated log is not garbage.
func unpack(r io.Reader) (unpacked io.Reader, done func(), err error) {
	in := bufio.NewReaderSize(r, 256<<10)
	start, err := in.Peek(1024)
	if err != nil && err != io.EOF {
		return nil, nil, reasonOf(err)
	}
	none := func() {}
	begins := func(s string) bool { return bytes.HasPrefix(start, []byte(s)) }
	switch {
	case begins("\x1f\x8b\x08"):
		if _, err := gzip.NewReader(bytes.NewReader(start)); err != nil {
			break
		}
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, fmt.Errorf("unpack its gzip: %w", err)
		}
		return z, none, nil
	case begins("\x28\xb5\x2f\xfd"):
		var h zstd.Header
		if h.Decode(start) != nil || !h.FirstBlock.OK {
			break
		}
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("unpack its zstd: %w", err)
		}
		return z, z.Close, nil
	case len(start) >= 10 && begins("BZh") && start[3] >= '1' && start[3] <= '9' && (string(start[4:10]) == "1AY&SY" || string(start[4:10]) == "\x17rE8P\x90"):
		return bzip2.NewReader(in), none, nil
	case begins("\xfd7zXZ\x00"):
		z, err := output.Unxz(in)
		if err != nil {
			return nil, nil, fmt.Errorf("unpack its xz: %w", err)
		}
		return z, none, nil
	case begins("\x04\x22\x4d\x18"):
		return nil, nil, errors.New("it is packed with lz4, which is not unpacked here: lz4 -dc FILE | descry logcheck")
	}
	return in, none, nil
}
