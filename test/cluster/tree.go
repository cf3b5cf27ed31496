package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// tree is what a layer of an image holds, by path without the leading slash.
type tree map[string]entry

type entry struct {
	from string // a file of this machine
	link string // or where a symbolic link points
	text string // or what stands in it
	mode fs.FileMode
}

// add takes a file of this machine to the same place in the image, with all links on the way to it.
func (t tree) add(path string) error {
	for range 10 {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return fmt.Errorf("find %s for an image: %w", path, err)
		}
		path = filepath.Join(dir, filepath.Base(path))
		st, err := os.Lstat(path)
		if err != nil {
			return fmt.Errorf("find a file for an image: %w", err)
		}
		if st.Mode()&fs.ModeSymlink == 0 {
			t[path[1:]] = entry{from: path, mode: st.Mode().Perm()}
			return nil
		}
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		t[path[1:]] = entry{link: to}
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		path = to
	}
	return fmt.Errorf("find %s for an image: too many links", path)
}

// program takes a program, by its path or name, and the libraries that it is linked with.
func (t tree) program(name string) error {
	path := name
	if !filepath.IsAbs(name) {
		for _, dir := range []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"} { // Debian's before others in PATH, which may be wrappers
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				path = filepath.Join(dir, name)
				break
			}
		}
		if path == name {
			return fmt.Errorf("the images need the program %s", name)
		}
	}
	if err := t.add(path); err != nil {
		return err
	}
	return t.libraries(path)
}

// libraries takes what a program or library of this machine is linked with.
func (t tree) libraries(path string) error {
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		return nil // it is linked with none, or no program at all
	}
	for line := range strings.Lines(string(out)) {
		for _, word := range strings.Fields(line) {
			if filepath.IsAbs(word) {
				if err := t.add(word); err != nil {
					return fmt.Errorf("the libraries of %s: %w", path, err)
				}
			}
		}
	}
	return nil
}

// pkg takes the files of an installed package of Debian, but documentation.
func (t tree) pkg(name string) error {
	out, err := exec.Command("dpkg", "-L", name).Output()
	if err != nil {
		return fmt.Errorf("list the files of the package %s: %w", name, err)
	}
	for path := range strings.Lines(string(out)) {
		path = strings.TrimSpace(path)
		st, err := os.Stat(path)
		if err != nil || st.IsDir() || strings.HasPrefix(path, "/usr/share/") {
			continue
		}
		if err := t.add(path); err != nil {
			return err
		}
		if strings.HasSuffix(path, ".so") {
			if err := t.libraries(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// folder takes the files below a directory of this machine to another place.
func (t tree) folder(dir, to string, take func(path string) bool) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !take(path) {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		e := entry{from: path, mode: st.Mode().Perm()}
		if st.Mode()&fs.ModeSymlink != 0 {
			e = entry{}
			if e.link, err = os.Readlink(path); err != nil {
				return err
			}
		}
		t[filepath.Join(to, rel)] = e
		return nil
	})
}

// stamp changes with what is in the tree.
func (t tree) stamp(h hash.Hash) error {
	for _, path := range slices.Sorted(maps.Keys(t)) {
		e := t[path]
		fmt.Fprintln(h, path, e.link, e.text, e.mode)
		if e.from != "" {
			st, err := os.Stat(e.from)
			if err != nil {
				return err
			}
			fmt.Fprintln(h, e.from, st.Size(), st.ModTime().UnixNano())
		}
	}
	return nil
}

// write packs the tree, and gives the sum of the bytes.
func (t tree) write(out io.Writer) (string, error) {
	h := sha256.New()
	w := tar.NewWriter(io.MultiWriter(out, h))
	dirs := map[string]bool{".": true}
	var parents func(path string) error
	parents = func(path string) error {
		dir := filepath.Dir(path)
		if dirs[dir] {
			return nil
		}
		dirs[dir] = true
		if err := parents(dir); err != nil {
			return err
		}
		return w.WriteHeader(&tar.Header{Name: dir + "/", Typeflag: tar.TypeDir, Mode: 0o755})
	}
	for _, path := range slices.Sorted(maps.Keys(t)) {
		if err := parents(path); err != nil {
			return "", err
		}
		if err := t[path].write(w, path); err != nil {
			return "", fmt.Errorf("pack %s: %w", path, err)
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (e entry) write(w *tar.Writer, path string) error {
	h := &tar.Header{Name: path, Typeflag: tar.TypeReg, Mode: int64(e.mode.Perm()), Size: int64(len(e.text))}
	switch {
	case e.mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, path+"/"
		if e.mode&fs.ModeSticky != 0 {
			h.Mode |= 0o1000
		}
		return w.WriteHeader(h)
	case e.link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		return w.WriteHeader(h)
	case e.from == "":
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.WriteString(w, e.text)
		return err
	}
	f, err := os.Open(e.from)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	h.Size = st.Size()
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
