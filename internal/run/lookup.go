package run

import (
	"bytes"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// executeWith tries to execute name as execvp and a shell do, with exec as the system call, which
// returns only if it fails. The result is the error that a shell would report, and the file that
// it is about.
//
// Unlike execvp it does not offer every directory of path to the kernel but, as shells do, only
// those with an executable file: refused execs are evidence that somebody may be looking at.
func executeWith(name string, args []string, path string, exec func(file string, args []string) syscall.Errno) failure {
	if name == "" {
		return failure{syscall.ENOENT, name}
	}
	if strings.Contains(name, "/") {
		return failure{execOne(name, args, exec), name}
	}
	result := failure{syscall.ENOENT, name}
	for _, dir := range strings.Split(path, ":") {
		file := dir + "/" + name
		if dir == "" {
			file = name // the working directory
		}
		errno := mayExecute(file)
		if errno == 0 {
			errno = execOne(file, args, exec)
		}
		switch errno {
		case syscall.ENOENT, syscall.ENOTDIR, syscall.ESTALE, syscall.ENODEV, syscall.ETIMEDOUT:
			// Not here. A file that is there and gives ENOENT lacks its interpreter: say which.
			if errno == syscall.ENOENT && result.path == name && exists(file) {
				result.path = file
			}
		case syscall.EACCES:
			if result.errno != syscall.EACCES {
				result = failure{errno, file}
			}
		default:
			return failure{errno, file}
		}
	}
	return result
}

// defaultPath is where a command is looked for when PATH is not set.
const defaultPath = "/bin:/usr/bin"

func exists(file string) bool {
	var st unix.Stat_t
	return unix.Stat(file, &st) == nil
}

// mayExecute says whether file is one that a shell would execute.
func mayExecute(file string) syscall.Errno {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err == unix.EACCES {
		return syscall.ENOENT // of a directory that this user may not search, shells say that it is not there
	} else if err != nil {
		return asErrno(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return syscall.EACCES // what execve says to a directory
	}
	if err := unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS); err != nil {
		return asErrno(err)
	}
	return 0
}

// execOne executes one file; a script without "#!" is run by /bin/sh.
func execOne(file string, args []string, exec func(string, []string) syscall.Errno) syscall.Errno {
	errno := exec(file, args)
	if errno != syscall.ENOEXEC || isBinary(file) {
		return errno
	}
	script := file
	if script[0] == '-' {
		script = "./" + script // not an option
	}
	return exec("/bin/sh", append([]string{"/bin/sh", script}, args[1:]...))
}

// isBinary says, as shells judge it, whether a file that the kernel does not execute is no script
// either: there is a NUL in its first line.
func isBinary(file string) bool {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	buf := make([]byte, 256)
	n, err := readFull(fd, buf)
	if err != nil {
		return true
	}
	line, _, _ := bytes.Cut(buf[:n], []byte("\n"))
	return bytes.IndexByte(line, 0) >= 0
}

func asErrno(err error) syscall.Errno {
	if e, ok := err.(syscall.Errno); ok {
		return e
	}
	return syscall.EIO
}
