package agent

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// whyNotStarted says what a file that could not be executed shows, in words behind its name; "" where
// it shows nothing. command is what was asked for, and file what was tried last.
func whyNotStarted(command, file string, errno unix.Errno) string {
	switch info, err := os.Stat(file); {
	case err != nil && errno == unix.ENOENT && !strings.Contains(command, "/"):
		return "is in no directory of PATH"
	case err != nil && errno == unix.ENOENT:
		return "does not exist"
	case err != nil && errno == unix.EACCES && !strings.Contains(command, "/"):
		return "is in no directory of PATH that may be searched"
	case err != nil && errno == unix.EACCES:
		return "cannot be reached, since a directory on the way may not be searched"
	case err != nil:
		return ""
	case info.IsDir():
		return "is a directory"
	case !info.Mode().IsRegular():
		return "is no ordinary file"
	case errno == unix.EACCES && info.Mode().Perm()&0o111 == 0:
		return "has no execute permission"
	case errno == unix.EACCES && noexec(file):
		return "is on a file system that is mounted noexec"
	}
	if errno != unix.ENOENT && errno != unix.EACCES {
		return ""
	}
	interpreter, what := interpreterOf(file)
	if interpreter == "" {
		return ""
	}
	switch info, err := os.Stat(interpreter); {
	case err != nil && strings.HasSuffix(interpreter, "\r"):
		return fmt.Sprintf("has Windows line ends: its first line names %s with a carriage return behind it", strings.TrimSuffix(interpreter, "\r"))
	case err != nil:
		return fmt.Sprintf("names the %s %s, which does not exist", what, interpreter)
	case info.Mode().Perm()&0o111 == 0 || !info.Mode().IsRegular():
		return fmt.Sprintf("names the %s %s, which cannot be executed", what, interpreter)
	}
	return ""
}

func noexec(file string) bool {
	var st unix.Statfs_t
	return unix.Statfs(file, &st) == nil && st.Flags&unix.ST_NOEXEC != 0
}

// interpreterOf is what the kernel runs in a file's place: of a script what stands behind #!, of a
// program its loader.
func interpreterOf(file string) (path, what string) {
	f, err := os.Open(file)
	if err != nil {
		return "", ""
	}
	defer f.Close()
	line, _ := bufio.NewReader(io.LimitReader(f, 256)).ReadBytes('\n')
	if rest, ok := bytes.CutPrefix(line, []byte("#!")); ok {
		rest = bytes.Trim(bytes.TrimSuffix(rest, []byte("\n")), " \t")
		name, _, _ := strings.Cut(string(rest), " ")
		return name, "interpreter"
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return "", ""
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
			b, err := io.ReadAll(p.Open())
			if err != nil {
				return "", ""
			}
			return string(bytes.TrimRight(b, "\x00")), "loader"
		}
	}
	return "", ""
}
