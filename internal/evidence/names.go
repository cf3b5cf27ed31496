package evidence

import (
	"fmt"
	"strconv"
	"strings"
)

// Errno is a Linux error number, whatever system reads it. Its text is the name: "EMFILE".
type Errno int32

// The error numbers that causes reason about (asm-generic/errno.h).
const (
	EPERM         Errno = 1
	ENOENT        Errno = 2
	EINTR         Errno = 4
	EIO           Errno = 5
	ENOEXEC       Errno = 8
	EBADF         Errno = 9
	EAGAIN        Errno = 11
	ENOMEM        Errno = 12
	EACCES        Errno = 13
	ENFILE        Errno = 23
	EMFILE        Errno = 24
	EISDIR        Errno = 21
	EINVAL        Errno = 22
	ENOSPC        Errno = 28
	EROFS         Errno = 30
	EDQUOT        Errno = 122
	EPIPE         Errno = 32
	EADDRINUSE    Errno = 98
	EADDRNOTAVAIL Errno = 99
	ENETDOWN      Errno = 100
	ENETUNREACH   Errno = 101
	ECONNABORTED  Errno = 103
	ECONNRESET    Errno = 104
	ENOBUFS       Errno = 105
	ETIMEDOUT     Errno = 110
	ECONNREFUSED  Errno = 111
	EHOSTDOWN     Errno = 112
	EHOSTUNREACH  Errno = 113
)

// String is the symbolic name, or "errno N" where there is none.
func (e Errno) String() string { return name(errnoNames[:], int(e), "errno ") }

// MarshalText writes the name.
func (e Errno) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads a name, or "errno N".
func (e *Errno) UnmarshalText(b []byte) error {
	n, err := number(errnoNames[:], string(b), "errno ")
	*e = Errno(n)
	return err
}

// Signal is a Linux signal number, whatever system reads it. Its text is the name: "SIGSEGV".
type Signal int32

// The signals that causes reason about (asm-generic/signal.h).
const (
	SIGHUP  Signal = 1
	SIGINT  Signal = 2
	SIGQUIT Signal = 3
	SIGILL  Signal = 4
	SIGTRAP Signal = 5
	SIGABRT Signal = 6
	SIGBUS  Signal = 7
	SIGFPE  Signal = 8
	SIGKILL Signal = 9
	SIGSEGV Signal = 11
	SIGPIPE Signal = 13
	SIGTERM Signal = 15
	SIGXCPU Signal = 24
	SIGXFSZ Signal = 25
	SIGSYS  Signal = 31
)

// String is the symbolic name; real-time signals are "SIGRTMIN+n" with glibc's SIGRTMIN, 34.
func (s Signal) String() string {
	if s >= 34 && s <= 64 {
		return "SIGRTMIN+" + strconv.Itoa(int(s)-34)
	}
	return name(signalNames[:], int(s), "signal ")
}

// MarshalText writes the name.
func (s Signal) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name, "SIGRTMIN+n" or "signal N".
func (s *Signal) UnmarshalText(b []byte) error {
	if rest, ok := strings.CutPrefix(string(b), "SIGRTMIN+"); ok {
		n, err := strconv.Atoi(rest)
		*s = Signal(n + 34)
		return err
	}
	n, err := number(signalNames[:], string(b), "signal ")
	*s = Signal(n)
	return err
}

func name(table []string, n int, prefix string) string {
	if n > 0 && n < len(table) && table[n] != "" {
		return table[n]
	}
	return prefix + strconv.Itoa(n)
}

func number(table []string, s, prefix string) (int, error) {
	if rest, ok := strings.CutPrefix(s, prefix); ok {
		return strconv.Atoi(rest)
	}
	for i, n := range table {
		if n == s && n != "" {
			return i, nil
		}
	}
	return 0, fmt.Errorf("unknown name %q", s)
}
