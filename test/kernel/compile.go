package main

import (
	"context"
	"debug/elf"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// compiler makes C programs for one architecture.
type compiler struct {
	argv []string
	root string // what its programs find as / in the machine; "": this computer's
}

// compiler is this computer's own for its own architecture. For another it is clang, which compiles
// for all, with the C library of that architecture out of Debian's packages.
func (d debian) compiler(ctx context.Context) (compiler, error) {
	if d.arch == runtime.GOARCH {
		return compiler{argv: []string{"gcc"}}, nil
	}
	apt, err := d.apt(ctx)
	if err != nil {
		return compiler{}, err
	}
	names, err := output(ctx, "apt-cache", append(apt, "pkgnames", "libgcc-")...)
	if err != nil {
		return compiler{}, fmt.Errorf("ask for the versions of libgcc: %w", err)
	}
	newest := 0
	for _, n := range strings.Fields(names) {
		if v, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(n, "libgcc-"), "-dev")); err == nil {
			newest = max(newest, v)
		}
	}
	root := filepath.Join(d.cache, "libc-"+d.arch)
	if err := d.unpack(ctx, apt, root, "libc6", "libc6-dev", "linux-libc-dev", "libgcc-s1", fmt.Sprintf("libgcc-%d-dev", newest)); err != nil {
		return compiler{}, err
	}
	triplet := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[d.arch]
	return compiler{argv: []string{"clang", "--target=" + triplet, "--sysroot=" + root, "-fuse-ld=lld"}, root: root}, nil
}

// compile makes the C programs of a suite's testdata, each a single file, and puts them beside their
// sources, with the libraries that they need: there is no compiler in the machine.
func (b *builder) compile(ctx context.Context, s *suite) error {
	for _, f := range s.data {
		name, isC := strings.CutSuffix(f.src, ".c")
		if !isC {
			continue
		}
		bin := filepath.Join(b.work, path.Base(s.name)+"-"+path.Base(name))
		if b.built[bin] == "" {
			argv := append(b.compiler.argv[1:len(b.compiler.argv):len(b.compiler.argv)], "-O1", "-g", "-fno-optimize-sibling-calls", "-pthread", "-o", bin, f.src)
			if _, err := output(ctx, b.compiler.argv[0], argv...); err != nil {
				return fmt.Errorf("compile %s for the machine (this needs gcc, libc6-dev, clang and lld): %w", f.src, err)
			}
			b.built[bin] = bin
		}
		s.data = append(s.data, file{bin, strings.TrimSuffix(f.dst, ".c")})
		libs, err := b.compiler.libraries(ctx, bin)
		if err != nil {
			return fmt.Errorf("find the libraries of %s: %w", bin, err)
		}
		s.data = append(s.data, libs...)
	}
	return nil
}

// libraries are the loader and the libraries that a program names. Those of the C library need no others.
func (c compiler) libraries(ctx context.Context, bin string) ([]file, error) {
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
		all = append(all, file{filepath.Join(c.root, loader), loader})
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		found, err := output(ctx, c.argv[0], append(c.argv[1:len(c.argv):len(c.argv)], "-print-file-name="+name)...)
		if err != nil {
			return nil, err
		}
		all = append(all, file{strings.TrimSpace(found), "/lib/" + name})
	}
	return all, nil
}
