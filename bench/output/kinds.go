package main

import (
	"archive/zip"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"io"
	"math/rand"
	"os"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const files = 400 // of a kind, at most

var kinds = []kind{
	{"ELF program", []string{"ELF"}, elf("/usr/bin/", "/usr/sbin/", "/usr/libexec/"), true},
	{"ELF library", []string{"ELF"}, elf("/usr/lib/x86_64-linux-gnu/", "/usr/lib/aarch64-linux-gnu/"), true},
	{"core", []string{"core dump (ELF)"}, (*eval).cores, true},
	{"memory of processes", nil, (*eval).memory, false},
	{"Python bytecode", []string{"Python bytecode"}, anyOf(suffix(".pyc"), "/usr/lib/python3", "/usr/lib/python3.11", "/usr/share"), true},
	{"Java class", []string{"Java class"}, (*eval).classes, true},
	{"WebAssembly", []string{"WebAssembly"}, anyOf(suffix(".wasm"), "/usr", "/root"), true},
	{"gzip", []string{"gzip"}, anyOf(suffix(".gz", ".tgz"), "/usr/share"), true},
	{"xz", []string{"xz"}, anyOf(suffix(".xz"), "/usr", "/var", "/lib"), true},
	{"zstd", []string{"zstd"}, (*eval).zstds, true},
	{"zip and jar", []string{"zip"}, anyOf(suffix(".jar", ".zip", ".jmod", ".whl"), "/usr"), true},
	{"Debian package", []string{"xz", "zstd"}, anyOf(suffix(".deb"), "/var/cache", "/var/tmp"), true},
	{"PNG", []string{"PNG"}, anyOf(suffix(".png"), "/usr"), true},
	{"JPEG and GIF", []string{"JPEG", "GIF"}, anyOf(suffix(".jpg", ".gif", ".jpeg"), "/usr"), true},
	{"fonts, databases, locales", nil, anyOf(suffix(".ttf", ".otf", ".woff2", ".sqlite", ".db", ".cache", "LC_COLLATE", "LC_CTYPE"), "/usr/share", "/usr/lib", "/var/lib"), true},
	{"UTF-16", []string{"UTF-16"}, (*eval).utf16s, false},
	{"NUL run", []string{"NUL bytes"}, func(*eval) [][]byte { return [][]byte{make([]byte, 8<<10)} }, false},
	{"encrypted", nil, (*eval).encrypted, false},
	{"TLS connection", []string{"TLS records"}, func(e *eval) [][]byte { return e.captured("tls") }, true},
	{"HTTP/2 connection", []string{"HTTP/2 frames", "gRPC messages", "protobuf"}, func(e *eval) [][]byte { return e.captured("h2") }, true},
	{"gRPC connection", []string{"HTTP/2 frames", "gRPC messages", "protobuf"}, func(e *eval) [][]byte { return e.captured("grpc") }, true},
	{"gRPC message", []string{"gRPC messages", "protobuf"}, func(e *eval) [][]byte { return e.messages(true) }, true},
	{"protobuf", []string{"protobuf"}, func(e *eval) [][]byte { return e.messages(false) }, true},
}

func anyOf(ok func(string) bool, roots ...string) func(*eval) [][]byte {
	return func(e *eval) [][]byte { return e.found(files, ok, roots...) }
}

func elf(dirs ...string) func(*eval) [][]byte {
	return func(e *eval) [][]byte {
		all := e.found(4*files, func(path string) bool { return !strings.HasSuffix(path, ".pyc") && !strings.HasSuffix(path, ".py") }, dirs...)
		var out [][]byte
		for _, b := range all {
			if bytes.HasPrefix(b, []byte("\x7fELF")) && len(out) < files {
				out = append(out, b)
			}
		}
		return out
	}
}

// classes are those in jars.
func (e *eval) classes() (out [][]byte) {
	for _, jar := range e.found(60, suffix(".jar"), "/usr") {
		z, err := zip.NewReader(bytes.NewReader(jar), int64(len(jar)))
		if err != nil {
			continue
		}
		n := 0
		for _, f := range z.File {
			if !strings.HasSuffix(f.Name, ".class") || n == 40 {
				continue
			}
			r, err := f.Open()
			if err != nil {
				continue
			}
			if b, err := io.ReadAll(io.LimitReader(r, 1<<20)); err == nil && len(b) > 64 {
				out = append(out, b)
				n++
			}
			r.Close()
		}
	}
	return out
}

// zstds are text packed by zstd, and files that come so.
func (e *eval) zstds() [][]byte {
	out := e.found(50, suffix(".zst"), "/usr", "/var", "/root")
	for i, b := range e.found(100, suffix(".txt", ".html", ".so.1"), "/usr/share/doc", "/usr/lib") {
		path := e.dir + "/z"
		if os.WriteFile(path, b, 0o600) != nil {
			break
		}
		if z, err := ran("zstd", "-c", "-"+string('1'+rune(i%9)), path); err == nil && len(z) > 64 {
			out = append(out, z)
		}
	}
	return out
}

// utf16s are documents in both orders, of several scripts.
func (e *eval) utf16s() (out [][]byte) {
	for i, b := range e.found(200, suffix(".txt", ".md", ".html", ".po", ".gmo", ".mo"), "/usr/share/doc", "/usr/share/locale") {
		if bytes.HasPrefix(b, []byte("\xde\x12\x04\x95")) {
			b = catalogue(b)
		}
		if !utf8.Valid(b) || len(b) < 64 {
			continue
		}
		var w []byte
		for _, u := range utf16.Encode([]rune(string(b))) {
			if i%2 == 0 {
				w = append(w, byte(u), byte(u>>8))
			} else {
				w = append(w, byte(u>>8), byte(u))
			}
		}
		out = append(out, w)
	}
	return out
}

// encrypted is AES in counter mode, of another key for each half.
func (e *eval) encrypted() [][]byte {
	key := make([]byte, 16)
	if e.test {
		key[0] = 1
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	b := make([]byte, 4<<20)
	rand.New(rand.NewSource(1)).Read(b[:16])
	cipher.NewCTR(c, key).XORKeyStream(b, b)
	return [][]byte{b}
}
