package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// extract writes the kernel proper, an ELF file, out of a bzImage. Where it lies and how long it
// is stands in the boot header (Documentation/arch/x86/boot.rst, payload_offset).
func extract(ctx context.Context, image, elf string) error {
	b, err := os.ReadFile(image)
	if err != nil {
		return err
	}
	packed, err := payload(b)
	if err != nil {
		return err
	}
	unpacked, err := decompress(ctx, packed)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(unpacked, []byte("\x7fELF")) {
		return fmt.Errorf("it unpacks to something that is no ELF file: % x", unpacked[:min(4, len(unpacked))])
	}
	// Another run may do the same at the same time.
	tmp := elf + ".new" + fmt.Sprint(os.Getpid())
	if err := os.WriteFile(tmp, unpacked, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, elf)
}

// payload returns the compressed kernel within a bzImage.
func payload(image []byte) ([]byte, error) {
	if len(image) < 0x250 || string(image[0x202:0x206]) != "HdrS" {
		return nil, errors.New("no boot header: not a bzImage")
	}
	if v := binary.LittleEndian.Uint16(image[0x206:]); v < 0x208 {
		return nil, fmt.Errorf("boot protocol %#x is too old, it does not say where the kernel lies", v)
	}
	setup := int(image[0x1f1])
	if setup == 0 {
		setup = 4
	}
	begin := (setup+1)*512 + int(binary.LittleEndian.Uint32(image[0x248:]))
	size := int(binary.LittleEndian.Uint32(image[0x24c:]))
	if size < 8 || begin+size > len(image) {
		return nil, fmt.Errorf("the boot header points to %d bytes at %d of %d: cut short?", size, begin, len(image))
	}
	return image[begin : begin+size-4], nil // the last four bytes are the unpacked size
}

func decompress(ctx context.Context, b []byte) ([]byte, error) {
	for _, c := range []struct {
		magic string
		cmd   []string
	}{
		{"\xfd7zXZ\x00", []string{"xz", "-dc", "--single-stream"}},
		{"\x28\xb5\x2f\xfd", []string{"zstd", "-dcq"}},
		{"\x02\x21\x4c\x18", []string{"lz4", "-dc"}},
	} {
		if !bytes.HasPrefix(b, []byte(c.magic)) {
			continue
		}
		cmd := exec.CommandContext(ctx, c.cmd[0], c.cmd[1:]...)
		var out, complaint bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(b), &out, &complaint
		if err := cmd.Run(); errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("it is packed with %s: install the program %s", c.cmd[0], c.cmd[0])
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", c.cmd[0], err, bytes.TrimSpace(complaint.Bytes()))
		}
		return out.Bytes(), nil
	}
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return io.ReadAll(r)
	}
	return nil, fmt.Errorf("unknown compression: % x", b[:min(6, len(b))])
}
