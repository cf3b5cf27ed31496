package main

import (
	"context"
	"debug/elf"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"runtime"
	"strings"
)

// compile makes the C programs of a suite's testdata, each a single file, and puts them beside their
// sources, with the libraries that they need: there is no compiler in the machine. On another
// architecture there is none here either.
func (b *builder) compile(ctx context.Context, s *suite) error {
	if b.arch != runtime.GOARCH {
		return nil
	}
	for _, f := range s.data {
		name, isC := strings.CutSuffix(f.src, ".c")
		if !isC {
			continue
		}
		bin := filepath.Join(b.work, path.Base(s.name)+"-"+path.Base(name))
		if b.built[bin] == "" {
			if _, err := output(ctx, "gcc", "-O1", "-g", "-fno-optimize-sibling-calls", "-pthread", "-o", bin, f.src); err != nil {
				return fmt.Errorf("compile %s for the machine (this needs gcc and libc6-dev): %w", f.src, err)
			}
			b.built[bin] = bin
		}
		s.data = append(s.data, file{bin, strings.TrimSuffix(f.dst, ".c")})
		libs, err := libraries(ctx, bin)
		if err != nil {
			return fmt.Errorf("find the libraries of %s: %w", bin, err)
		}
		s.data = append(s.data, libs...)
	}
	return nil
}

// libraries are the loader and the libraries that a program names. Those of the C library need no others.
func libraries(ctx context.Context, bin string) ([]file, error) {
	f, err := elf.Open(bin)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []file
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b, err := io.ReadAll(p.Open())
		if err != nil {
			return nil, err
		}
		loader := strings.TrimRight(string(b), "\x00")
		all = append(all, file{loader, loader})
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		found, err := output(ctx, "gcc", "-print-file-name="+name)
		if err != nil {
			return nil, err
		}
		all = append(all, file{strings.TrimSpace(found), "/lib/" + name})
	}
	return all, nil
}
