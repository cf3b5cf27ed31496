package coredump

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxPattern is the longest core_pattern that the kernel takes, bytes (CORENAME_MAX_SIZE less the end
// of the string).
const maxPattern = 127

// maxSocketPath is the longest path of a UNIX socket that the kernel connects to.
const maxSocketPath = 107

// Way is how the kernel hands a core over.
type Way string

const (
	WayRequest Way = "@@" // a socket that is asked first; Linux 6.17
	WaySocket  Way = "@"  // a socket; Linux 6.16
	WayPipe    Way = "|"  // a program that the kernel starts
	wayFile    Way = ""   // a file; only ever somebody else's
)

// wayOf is the way that a core_pattern names, on a kernel of this version.
func wayOf(pattern string, v kernelVersion) (w Way, rest string) {
	switch {
	case strings.HasPrefix(pattern, "|"):
		return WayPipe, pattern[1:]
	case strings.HasPrefix(pattern, "@@") && v.atLeast(6, 17):
		return WayRequest, pattern[2:]
	case strings.HasPrefix(pattern, "@") && v.atLeast(6, 16):
		return WaySocket, pattern[1:]
	}
	return wayFile, pattern
}

// checkSocketPath says what the kernel would not take of a socket's path.
func checkSocketPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"), strings.ContainsAny(path, " \t\n%"), slices.Contains(strings.Split(path, "/"), ".."):
		return fmt.Errorf("use %q in core_pattern: it must be an absolute path without blanks, %% and \"..\"", path)
	case len(path) > maxSocketPath:
		return fmt.Errorf("use %q in core_pattern: it has %d bytes, %d is the most", path, len(path), maxSocketPath)
	}
	return nil
}

// specifiers gives what stands for a letter behind % in a core_pattern. Escaped are those that could
// name another directory.
type specifiers func(letter byte) (value string, escape, ok bool)

// expand is what the kernel makes of one word of a pattern (or of all of a file's).
func expand(pattern string, of specifiers) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			b.WriteByte(pattern[i])
			continue
		}
		i++
		if i == len(pattern) {
			break // a single % at the end is dropped
		}
		if pattern[i] == '%' {
			b.WriteByte('%')
			continue
		}
		if value, esc, ok := of(pattern[i]); ok {
			if esc {
				value = escapeName(value)
			}
			b.WriteString(value)
		}
	}
	return b.String()
}

// escapeName makes one component of a path of s, as the kernel does.
func escapeName(s string) string {
	switch s {
	case "":
		return "!"
	case ".":
		return "!"
	case "..":
		return "!."
	}
	return strings.ReplaceAll(s, "/", "!")
}

// helperArguments are what the kernel starts for a pattern of a pipe (without the |): it is split first and
// expanded then.
func helperArguments(pattern string, of specifiers) []string {
	var argv []string
	for _, word := range strings.FieldsFunc(pattern, func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) }) {
		argv = append(argv, expand(word, of))
	}
	return argv
}

// coreFile is the name of the file that the kernel would write for a pattern.
func coreFile(pattern string, usesPID bool, pid int, of specifiers) string {
	name := expand(pattern, of)
	if usesPID && !hasSpecifier(pattern, 'p') {
		name += "." + strconv.Itoa(pid)
	}
	return name
}

func hasSpecifier(pattern string, letter byte) bool {
	for i := 0; i+1 < len(pattern); i++ {
		if pattern[i] == '%' {
			i++
			if pattern[i] == letter {
				return true
			}
		}
	}
	return false
}

// The files in a descry's own directory.
const (
	coreSocket    = "core.sock"    // the kernel connects to it
	handlerSocket = "handler.sock" // the pipe's handler does
	controlSocket = "control.sock" // who records does
	handlerLink   = "core-handler" // what core_pattern names with a pipe
	stateFile     = "core.json"
	changeLock    = "lock"            // held while core_pattern is changed
	lifeLock      = "supervisor.lock" // held while a supervisor lives
)

// ourPattern is what core_pattern is while cores come to dir.
func ourPattern(dir string, w Way) (string, error) {
	var p string
	switch w {
	case WayRequest, WaySocket:
		path := filepath.Join(dir, coreSocket)
		if err := checkSocketPath(path); err != nil {
			return "", err
		}
		p = string(w) + path
	case WayPipe:
		path := filepath.Join(dir, handlerLink)
		if err := checkSocketPath(path); err != nil {
			return "", err
		}
		p = "|" + path + " core receive %P %I %s %t %d"
	default:
		return "", fmt.Errorf("receive cores by %q: there is no such way", string(w))
	}
	if len(p) > maxPattern {
		return "", fmt.Errorf("use %q in core_pattern: it has %d bytes, %d is the most", p, len(p), maxPattern)
	}
	return p, nil
}

// dirOf is the directory of the descry that a pattern points to, "" where it points to none.
func dirOf(pattern string) string {
	for _, w := range []Way{WayRequest, WaySocket, WayPipe} {
		rest, ok := strings.CutPrefix(pattern, string(w))
		if !ok {
			continue
		}
		path, _, _ := strings.Cut(rest, " ")
		dir := filepath.Dir(path)
		if p, err := ourPattern(dir, w); err == nil && p == pattern {
			return dir
		}
	}
	return ""
}
