package run

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// anchor is a symbol whose address is known both ways, which tells where the binary is loaded.
var anchor [24]byte

const anchorName = "github.com/descry-dev/descry/internal/run.anchor"

// runtimeVariables finds variables of this binary by name and size, through the symbol table of
// /proc/self/exe. The linker refuses go:linkname to them, and they are only read.
func runtimeVariables(want map[string]uint64) (map[string]unsafe.Pointer, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	img, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map own binary: %w", err)
	}
	defer unix.Munmap(img)

	names := map[string]uint64{anchorName: uint64(len(anchor))}
	for n, size := range want {
		names[n] = size
	}
	found, err := elfVariables(img, names)
	if err != nil {
		return nil, err
	}
	a, ok := found[anchorName]
	if !ok {
		return nil, errors.New("own binary has no usable symbols")
	}
	base := unsafe.Pointer(&anchor)
	at := make(map[string]unsafe.Pointer, len(want))
	for n := range want {
		v, ok := found[n]
		if !ok {
			return nil, fmt.Errorf("own binary has no symbol %s of the expected size", n)
		}
		at[n] = unsafe.Add(base, int(v-a)) // also right in a position-independent binary
	}
	return at, nil
}

// elfVariables gives the values of data symbols by name and size in a 64-bit little-endian ELF
// image.
func elfVariables(img []byte, want map[string]uint64) (map[string]uint64, error) {
	const (
		headerSize, sectionSize, symbolSize = 64, 64, 24
		sectionSymtab                       = 2
		typeObject                          = 1
	)
	le := binary.LittleEndian
	if len(img) < headerSize || string(img[:6]) != "\x7fELF\x02\x01" {
		return nil, errors.New("own binary is not a 64-bit ELF file")
	}
	part := func(off, size uint64) []byte {
		if off > uint64(len(img)) || size > uint64(len(img))-off {
			return nil
		}
		return img[off : off+size]
	}
	sections := part(le.Uint64(img[40:]), uint64(le.Uint16(img[60:]))*sectionSize)
	section := func(i uint64) []byte {
		if i >= uint64(len(sections)/sectionSize) {
			return nil
		}
		return sections[i*sectionSize : (i+1)*sectionSize]
	}
	body := func(s []byte) []byte { return part(le.Uint64(s[24:]), le.Uint64(s[32:])) }

	sizes := map[uint64]bool{}
	for _, s := range want {
		sizes[s] = true
	}
	for i := uint64(0); ; i++ {
		s := section(i)
		if s == nil {
			return nil, errors.New("own binary is stripped")
		}
		if le.Uint32(s[4:]) != sectionSymtab {
			continue
		}
		link := section(uint64(le.Uint32(s[40:])))
		if link == nil {
			continue
		}
		syms, strs := body(s), body(link)
		found := make(map[string]uint64, len(want))
		for ; len(syms) >= symbolSize && len(found) < len(want); syms = syms[symbolSize:] {
			if syms[4]&0xf != typeObject || !sizes[le.Uint64(syms[16:])] {
				continue
			}
			off := uint64(le.Uint32(syms))
			if off >= uint64(len(strs)) {
				continue
			}
			name := strs[off:]
			for n, size := range want {
				if size == le.Uint64(syms[16:]) && len(name) > len(n) && name[len(n)] == 0 && bytes.HasPrefix(name, []byte(n)) {
					found[n] = le.Uint64(syms[8:])
				}
			}
		}
		return found, nil
	}
}
