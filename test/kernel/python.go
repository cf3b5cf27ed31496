package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// python returns a small Python of the machine's architecture, out of Debian's packages: a program as
// people run them, with a runtime between it and the kernel.
func (d debian) python(ctx context.Context) ([]file, error) {
	apt, err := d.apt(ctx)
	if err != nil {
		return nil, err
	}
	needs, err := output(ctx, "apt-cache", append(apt, "depends", "python3-minimal")...)
	if err != nil {
		return nil, fmt.Errorf("ask for the version of python3-minimal: %w", err)
	}
	var minimal string // python3.11-minimal
	for _, word := range strings.Fields(needs) {
		if strings.HasPrefix(word, "python3.") && strings.HasSuffix(word, "-minimal") {
			minimal = word
		}
	}
	if minimal == "" {
		return nil, fmt.Errorf("the package lists have no python3-minimal: run apt-get update first")
	}
	root := filepath.Join(d.cache, "python-"+d.arch)
	if err := d.unpack(ctx, apt, root, minimal, "lib"+minimal, "libexpat1", "zlib1g", "libc6"); err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(minimal, "-minimal")
	files := []file{{filepath.Join(root, "usr/bin", name), "/bin/python3"}}
	library := filepath.Join(root, "usr/lib", name)
	err = filepath.WalkDir(library, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(library, p)
		switch {
		case e.IsDir() && slices.Contains([]string{"email", "importlib/metadata", "lib-dynload"}, rel):
			return filepath.SkipDir
		case filepath.Ext(p) == ".py" && !strings.HasPrefix(rel, "encodings/cp") && !strings.HasPrefix(rel, "encodings/iso"):
			if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() { // sitecustomize.py links to nowhere
				files = append(files, file{p, path.Join("/usr/lib", name, rel)})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, pattern := range []string{"lib/*/ld-linux*.so.*", "lib/*/libc.so.6", "lib/*/libm.so.6", "lib/*/libz.so.1", "lib/*/libexpat.so.1", "usr/lib/*/libz.so.1", "usr/lib/*/libexpat.so.1"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, p := range found {
			files = append(files, file{p, "/lib/" + filepath.Base(p)})
			if d.arch == "amd64" && strings.HasPrefix(filepath.Base(p), "ld-linux") {
				files = append(files, file{p, "/lib64/" + filepath.Base(p)})
			}
		}
	}
	return files, nil
}
