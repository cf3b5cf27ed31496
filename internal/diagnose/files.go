package diagnose

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// What the causes that are about files share.

// onFiles says whether a call is about a file, so that its error is: ENOSPC, EPERM and others have
// meanings of their own elsewhere.
func onFiles(call string) bool {
	switch strings.TrimRight(strings.TrimSuffix(call, "64"), "0123456789") {
	case "open", "openat", "creat", "write", "pwrite", "writev", "pwritev", "sendfile", "splice", "copy_file_range",
		"fsync", "fdatasync", "sync_file_range", "syncfs", "ftruncate", "truncate", "fallocate", "close", "msync",
		"mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir",
		"chdir", "fchdir", "chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "utime", "utimes", "utimensat", "futimesat",
		"stat", "lstat", "newfstatat", "statx", "access", "faccessat", "readlink", "readlinkat", "statfs",
		"read", "pread", "readv", "preadv", "getdents", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "open_by_handle_at":
		return true
	}
	return false
}

// told says how plainly last words tell an error.
type told int

const (
	toldNot     told = iota
	toldEarlier      // in a line before the last, which may be its consequence: "giving up"
	toldLast         // in the last line, or a runtime's final report
)

// followUp is a last line that only concludes from what stands above it.
var followUp = newPattern(`(?i)\b(exit\w*|abort\w*|fail\w*|giv\w+ up|stopp\w*|quit\w*|terminat\w*|shut\w*|unable|could not|couldn't|cannot|can't|usage|try|hint|see|logs?|status|more information|compilation|error \d+|not (started|saved|written|loaded|opened)|removing|cleaning|loading|retr(?:y\w*|ies)|tries|attempts?|previous errors?|unexpected|broken pipe|connection reset|hung up|disconnected|code \d+)\b|^\s*(at |in |from |\^|\.\.\.|\d+:)`)

// closingLine is a line that adds nothing: the end of a report, figures, a piece of source.
var closingLine = newPattern(`(?i)^(\S*\d\S*[ |]+){0,3}([\w./-]+(\[\d+\])?: )*(\*\*\* )?(exiting( \([^()]*\))?|aborting|terminating|giving up|quitting|stopping|aborted|compilation terminated|exiting with failure status.*|` +
	`error is not recoverable: exiting now|(collect2: )?error: ld returned \d exit status|.* error \d+|stop)\W*$|due to previous errors|^\s*\d+\+\d+ records |^\d+ bytes .*copied|^\s*\d*\s*\|\s|^\s*[~^]+\s*$|^\s*\||^\d+ errors?$|^[a-z][\w /]* [\w /]*: [\d.]+( [a-z]+)?( = .*)?$`)

// caret is a line that points at a place in the line above, a piece of source.
var caret = newPattern(`^\s*[~^]+\s*$`)

// warned is a line that its writer takes for no more than a warning.
var warned = newPattern(`(?i)\b(warn(ing)?|notice|info|debug|note|ignor(ed|ing)|skipp?(ed|ing)|optional|continuing|fall(ing)? ?back|default(s)?( instead)?)\b`)

// endLines gives the last lines of each stream, the last first, at most n.
func (v *View) endLines(n int) (out [][]string) {
	for _, s := range v.text.streams {
		var last []string
		for i := len(s.all) - 1; i >= 0 && len(last) < n; i-- {
			if i+1 < len(s.all) && caret.MatchString(s.all[i+1]) {
				continue
			}
			if strings.TrimSpace(s.all[i]) != "" && !epilogue(s.all[i]) && !closingLine.MatchString(s.all[i]) {
				last = append(last, s.all[i])
			}
		}
		out = append(out, last)
	}
	return out
}

// tells looks for the line of the last words that fits, and says how plainly it tells it.
func (v *View) tells(fits func(line string) bool) (told, string) {
	if t := v.text.final; t != nil {
		if fits(t.msg) || fits(t.typ+": "+t.msg) || fits(v.text.said()) {
			return toldLast, t.typ + ": " + t.msg
		}
		return toldNot, ""
	}
	best, line := toldNot, ""
	for _, last := range v.endLines(4) {
		for i, s := range last {
			if !fits(s) {
				continue
			}
			switch {
			case i == 0 && phpLine.MatchString(s) && best < toldEarlier: // a call that failed is no more than a warning to PHP
				best, line = toldEarlier, s
			case i == 0 && !warned.MatchString(s):
				best, line = toldLast, s
			case i > 0 && !warned.MatchString(s) && best < toldEarlier && !slices.ContainsFunc(last[:i], func(s string) bool { return !followUp.MatchString(s) }):
				best, line = toldEarlier, s
			}
			break
		}
	}
	return best, line
}

// asErrno says whether a line gives an error as the C library or a runtime does when a call has failed,
// at its end or with its number, and not in a sentence of the program's own.
func asErrno(line string, e evidence.Errno) bool {
	for i := range refusals {
		r := &refusals[i]
		if r.errno != e {
			continue
		}
		n := strconv.Itoa(int(e))
		if mentions(line, r.id, "Errno "+n, "errno "+n, "errno="+n, "errno: "+n, "os error "+n, "code: "+n, "("+n+": ") {
			return true
		}
		end := strings.ToLower(strings.TrimRight(line, " .!\"')]}"))
		for _, t := range slices.Concat(r.texts, localised[e]) {
			if strings.HasSuffix(end, strings.ToLower(t)) {
				return true
			}
		}
	}
	return false
}

// generic are names that stand in text for other reasons than that a file is meant.
var generic = map[string]bool{"": true, ".": true, "..": true, "/": true, "tmp": true, "log": true, "data": true, "lib": true, "bin": true, "etc": true, "dev": true, "usr": true,
	"var": true, "run": true, "home": true, "root": true, "file": true, "in": true, "a": true, "error": true, "test": true, "main": true, "app": true, "null": true, "config": true}

// namesPath says whether a line names a file that was asked for, whole or by its last component.
func namesPath(line, p string) bool {
	p = strings.TrimRight(p, "/")
	if len(p) > 1 && bounded(line, strings.TrimPrefix(p, "./")) {
		return true
	}
	b := path.Base(p)
	return len(p) < 95 && len(b) > 1 && !generic[b] && bounded(line, b) // a longer one was cut
}

// bounded says whether s has w, and not as a part of a longer name.
func bounded(s, w string) bool {
	part := func(b byte) bool { return wordByte(b) || b == '_' || b == '-' }
	for from := 0; ; {
		k := strings.Index(s[from:], w)
		if k < 0 {
			return false
		}
		k += from
		end := k + len(w)
		// A dot may end a sentence or begin a suffix.
		if !(k > 0 && part(s[k-1]) && part(w[0])) && !(end < len(s) && (part(s[end]) || s[end] == '.' && end+1 < len(s) && part(s[end+1]))) {
			return true
		}
		from = k + 1
	}
}

// refusedFiles gives the refused calls on files of a process, or of all where pid is 0, with one of the errors.
func (v *View) refusedFiles(pid int32, errnos ...evidence.Errno) (out []int) {
	for i, r := range ofPID[*evidence.FileRefused](v, pid) {
		if slices.Contains(errnos, r.Errno) && v.boot(i) <= v.End {
			out = append(out, i)
		}
	}
	return out
}

func (v *View) fileRefused(i int) *evidence.FileRefused {
	return v.Case.Timeline[i].Detail.(*evidence.FileRefused)
}

// failedChild says whether a process below the culprit ended with an error before it, so near that
// the culprit may have ended for that.
func (v *View) failedChild(pid int32) bool {
	if pid == v.PID || pid == 0 || slices.Contains(v.Passed, pid) {
		return false
	}
	for i, e := range ofPID[*evidence.Exit](v, pid) {
		if gap := v.End - v.boot(i); gap >= 0 && gap < window && (e.ExitCode != 0 || e.Signal != 0) {
			return true
		}
	}
	return false
}

// fullPath is a refused path with the directory that it starts at.
func fullPath(r *evidence.FileRefused) string {
	if r.Dir != "" && r.Path != "" && !path.IsAbs(r.Path) {
		return path.Join(r.Dir, r.Path)
	}
	return r.Path
}

// ofCall finds what is known beside a thread's failed call: the refused one with its surroundings,
// best the same path, else the nearest in time. -1: none.
func (v *View) ofCall(c *evidence.FailedCall) int {
	best, near := -1, int64(0)
	for i, r := range ofPID[*evidence.FileRefused](v, 0) {
		if r.Errno != c.Errno || r.Call != c.Call || c.Path != "" && r.Path != "" && r.Path != c.Path && !strings.HasPrefix(r.Path, c.Path) {
			continue
		}
		d := v.boot(i) - c.BootNanos
		if d = max(d, -d); best < 0 || d < near && (r.Path != "" || v.fileRefused(best).Path == "") || v.fileRefused(best).Path == "" && r.Path != "" {
			best, near = i, d
		}
	}
	return best
}

// filesystem is "tmpfs, mounted at /x", with what is known.
func filesystem(r *evidence.FileRefused) string {
	var parts []string
	if r.FSType != "" {
		parts = append(parts, plain(r.FSType, 30))
	}
	if r.Device != "" && strings.HasPrefix(r.Device, "/") {
		parts = append(parts, "on "+plain(r.Device, 60))
	}
	if r.Mount != "" {
		parts = append(parts, "mounted at "+plain(r.Mount, 80))
	}
	return strings.Join(parts, ", ")
}

// asUser is "user 1000", "root".
func asUser(uid int32) string {
	if uid == 0 {
		return "root"
	}
	return fmt.Sprintf("user %d", uid)
}

// afterwards is a confidence for the time that a program went on after an error that it wrote a line of: a
// server writes such lines in health, and may end for something that it does not write.
func (v *View) afterwards(c evidence.Confidence, gap int64, most evidence.Confidence) evidence.Confidence {
	if gap > 2*second && v.text.final == nil {
		return capped(c, most)
	}
	return c
}

// capped is a confidence that is no better than most.
func capped(c, most evidence.Confidence) evidence.Confidence {
	if c.Rank() > most.Rank() {
		return most
	}
	return c
}
