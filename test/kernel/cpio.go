package main

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// archive writes an initramfs: the "newc" form of cpio, as the kernel reads it
// (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	w    io.Writer
	made []string // directories written so far
	ino  int
	err  error
}

// add writes a regular file, and the directories above it.
func (a *archive) add(name string, mode fs.FileMode, content []byte) {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	a.dir(path.Dir(name))
	a.entry(name, 0o100000|uint32(mode.Perm()), content)
}

// link writes a symbolic link.
func (a *archive) link(name, to string) {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	a.dir(path.Dir(name))
	a.entry(name, 0o120777, []byte(to))
}

// dir writes a directory and those above it, unless that was done.
func (a *archive) dir(name string) {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" || name == "." || slices.Contains(a.made, name) {
		return
	}
	a.dir(path.Dir(name))
	a.made = append(a.made, name)
	a.entry(name, 0o040755, nil)
}

// close writes the trailer and returns the first error of all writes.
func (a *archive) close() error {
	a.entry("TRAILER!!!", 0, nil)
	return a.err
}

func (a *archive) entry(name string, mode uint32, content []byte) {
	a.ino++
	// ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
	a.print("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		a.ino, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0, name)
	a.pad(110 + len(name) + 1)
	if a.err == nil {
		_, a.err = a.w.Write(content)
	}
	a.pad(len(content))
}

func (a *archive) print(format string, args ...any) {
	if a.err == nil {
		_, a.err = fmt.Fprintf(a.w, format, args...)
	}
}

func (a *archive) pad(n int) { a.print("%s", "\x00\x00\x00"[:-n&3]) }
