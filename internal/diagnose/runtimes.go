package diagnose

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// Languages that have no report of their own: the C library's words behind a name, a shell's line.
const (
	langC     lang = "C"
	langShell lang = "shell"
)

// refusal is a way in which the kernel or the resolver says no, and how programs say it. The table of
// them is the only place where such words stand.
type refusal struct {
	id    string          // the error's name; for what is no system call's error, a name of its own
	errno evidence.Errno  // 0: of no system call
	texts []string        // as C libraries say it, glibc first, musl where it differs; others say it in lower case
	also  []string        // others' words
	by    map[lang]string // how a runtime names it in its reports, where it has a name of its own; alternatives apart by "|"
}

// Refusals that are not one error number.
const (
	noSuchName = "name does not exist"
	noAnswer   = "name server does not answer"
	noThread   = "no thread or process"
	ownTimeout = "waited too long"

	tryAgain = ": Try again" // musl of a name server that does not answer; too plain a word without what stands before it
)

// refusals is the table.
var refusals = []refusal{
	{id: "EMFILE", errno: 24, texts: []string{"Too many open files", "No file descriptors available"}, also: []string{"Error 24"}},
	{id: "ENFILE", errno: 23, texts: []string{"Too many open files in system"}, also: []string{"File table overflow", "file table overflow"}},
	{id: "ENOSPC", errno: 28, texts: []string{"No space left on device"}, also: []string{"not enough space on the disk"}, by: map[lang]string{langRust: "kind: StorageFull"}},
	{id: "EDQUOT", errno: 122, texts: []string{"Disk quota exceeded", "Quota exceeded"}, by: map[lang]string{langRust: "kind: QuotaExceeded|kind: FilesystemQuotaExceeded"}},
	{id: "EROFS", errno: 30, texts: []string{"Read-only file system"}, by: map[lang]string{langJava: "java.nio.file.ReadOnlyFileSystemException", langRust: "kind: ReadOnlyFilesystem"}},
	{id: "EIO", errno: 5, texts: []string{"Input/output error", "I/O error"}},
	{id: "ENOENT", errno: 2, texts: []string{"No such file or directory"}, also: []string{"No such file", "Directory nonexistent", "Could not find file '", "Could not find a part of the path"},
		by: map[lang]string{langPython: "FileNotFoundError", langJava: "NoSuchFileException", langDotNet: "System.IO.FileNotFoundException|System.IO.DirectoryNotFoundException", langRust: "kind: NotFound"}},
	{id: "EACCES", errno: 13, texts: []string{"Permission denied"}, also: []string{"Access to the path '"},
		by: map[lang]string{langJava: "java.nio.file.AccessDeniedException", langDotNet: "System.UnauthorizedAccessException", langRust: "kind: PermissionDenied"}},
	{id: "EPERM", errno: 1, texts: []string{"Operation not permitted"}, by: map[lang]string{langRust: "kind: PermissionDenied"}},
	{id: "ENOTDIR", errno: 20, texts: []string{"Not a directory"}, by: map[lang]string{langPython: "NotADirectoryError", langJava: "java.nio.file.NotDirectoryException", langRust: "kind: NotADirectory"}},
	{id: "EISDIR", errno: 21, texts: []string{"Is a directory"}, also: []string{"illegal operation on a directory"}, by: map[lang]string{langPython: "IsADirectoryError", langRust: "kind: IsADirectory"}},
	{id: "ELOOP", errno: 40, texts: []string{"Too many levels of symbolic links", "Symbolic link loop"}, also: []string{"too many symbolic links encountered"},
		by: map[lang]string{langJava: "java.nio.file.FileSystemLoopException", langRust: "kind: FilesystemLoop"}},
	{id: "ETXTBSY", errno: 26, texts: []string{"Text file busy"}, also: []string{"text file is busy"}, by: map[lang]string{langRust: "kind: ExecutableFileBusy"}},
	{id: "ENOEXEC", errno: 8, texts: []string{"Exec format error"}},
	{id: "E2BIG", errno: 7, texts: []string{"Argument list too long"}, by: map[lang]string{langRust: "kind: ArgumentListTooLong"}},
	{id: "EBADF", errno: 9, texts: []string{"Bad file descriptor"}, also: []string{"Bad file number"}},

	{id: "ECONNREFUSED", errno: 111, texts: []string{"Connection refused"}, also: []string{"actively refused it"}, by: map[lang]string{langPython: "ConnectionRefusedError", langRust: "kind: ConnectionRefused"}},
	{id: "ECONNRESET", errno: 104, texts: []string{"Connection reset by peer"}, also: []string{"Connection reset", "connection reset"}, by: map[lang]string{langPython: "ConnectionResetError", langRust: "kind: ConnectionReset"}},
	{id: "ETIMEDOUT", errno: 110, texts: []string{"Connection timed out", "Operation timed out"}, also: []string{"timed out"}, by: map[lang]string{langRust: "kind: TimedOut"}},
	{id: "EHOSTUNREACH", errno: 113, texts: []string{"No route to host", "Host is unreachable"}, also: []string{"Host unreachable"},
		by: map[lang]string{langJava: "NoRouteToHostException", langRust: "kind: HostUnreachable"}},
	{id: "ENETUNREACH", errno: 101, texts: []string{"Network is unreachable", "Network unreachable"}, by: map[lang]string{langRust: "kind: NetworkUnreachable"}},
	{id: "EADDRINUSE", errno: 98, texts: []string{"Address already in use", "Address in use"}, also: []string{"in use by another"}, by: map[lang]string{langRust: "kind: AddrInUse"}},
	{id: "EADDRNOTAVAIL", errno: 99, texts: []string{"Cannot assign requested address", "Address not available"}, also: []string{"Can't assign requested address", "can't assign requested address"},
		by: map[lang]string{langRust: "kind: AddrNotAvailable"}},
	{id: "EPIPE", errno: 32, texts: []string{"Broken pipe"}, by: map[lang]string{langPython: "BrokenPipeError", langRust: "kind: BrokenPipe"}},
	{id: "ENOBUFS", errno: 105, texts: []string{"No buffer space available"}},

	{id: "EAGAIN", errno: 11, texts: []string{"Resource temporarily unavailable"}, also: []string{"could not complete without blocking"}, by: map[lang]string{langPython: "BlockingIOError", langRust: "kind: WouldBlock"}},
	{id: noThread, also: []string{"can't start new thread", "unable to create native thread", "unable to create new native thread", "pthread_create failed", "failed to create new OS thread",
		"can't create Thread", "can't create thread", "failed to spawn thread", "Unable to create a new thread", "Cannot fork", "cannot fork", "Can't fork", "can't fork", "unable to fork", "Unable to fork", "fork failed", "fork: retry",
		"fork() failed", "Thread creation failed", "may need to increase max user processes"},
		by: map[lang]string{langRuby: "ThreadError"}},
	{id: "ENOMEM", errno: 12, texts: []string{"Cannot allocate memory", "Out of memory"}, also: []string{"not enough memory", "virtual memory exhausted", "memory exhausted", "memory allocation of", "failed to map", "failed to allocate memory", "Failed to map", "cannot map", "mmap failed"},
		by: map[lang]string{langPython: "MemoryError", langJava: "OutOfMemoryError", langCPP: "std::bad_alloc", langRuby: "NoMemoryError", langDotNet: "System.OutOfMemoryException"}},

	{id: noSuchName, texts: []string{"Name or service not known", "Name does not resolve"},
		also: []string{"No address associated with hostname", "No address associated with name", "no such host", "ENOTFOUND", "EAI_NONAME", "EAI_NODATA", "Unknown host", "unknown host", "nodename nor servname provided",
			"Could not resolve host", "could not resolve host", "Couldn't resolve host", "could not translate host name", "Host not found", "host not found", "unable to resolve host", "Bad hostname",
			"Unknown MySQL server host", "Unknown server host", "NXDOMAIN", "nxdomain", "bad address '", "failed to lookup address information", "getaddrinfo failed", "gethostbyname failed", "No such host is known"},
		by: map[lang]string{langPython: "gaierror", langJava: "UnknownHostException|UnresolvedAddressException", langRuby: "Socket::ResolutionError", langNode: "getaddrinfo ENOTFOUND"}},
	{id: noAnswer, texts: []string{"Temporary failure in name resolution"},
		also: []string{"EAI_AGAIN", tryAgain, "(00000001, 11): Resource temporarily unavailable", "Temporary failure resolving", "server misbehaving", "EAI_FAIL", "Non-recoverable failure in name resolution", "Host name lookup failure", "host name lookup failure", "ESERVFAIL", "EREFUSED", "SERVFAIL",
			"no servers could be reached", "Name resolution failed", "name resolution failed", "Resolving timed out", "Could not contact DNS servers"},
		by: map[lang]string{langNode: "getaddrinfo EAI_AGAIN"}},
	{id: ownTimeout, also: []string{"i/o timeout", "deadline exceeded", "Read timed out", "read timed out", "Connect timed out", "connect timed out", "timeout exceeded", "Timeout exceeded", "ESOCKETTIMEDOUT"},
		by: map[lang]string{langPython: "TimeoutError|socket.timeout", langJava: "SocketTimeoutException|HttpConnectTimeoutException", langRuby: "Net::OpenTimeout|Net::ReadTimeout", langDotNet: "System.TimeoutException"}},
}

// fullWords are further ways to say that a disk is full.
var fullWords = []string{"disk is full", "Disk is full", "disk full", "Disk full", "DISK FULL", "disk_full", "out of disk space", "Out of disk space", "not enough disk space", "Not enough disk space",
	"insufficient disk space", "Insufficient disk space", "out of space", "Out of space", "not enough space", "Not enough space", "no space left", "No space left", "no space available", "filesystem full", "file system full", "File system full", "device full", "disk quota", "Disk quota"}

// deniedWords are further ways to say that something is not permitted.
var deniedWords = []string{"must be superuser", "must be root", "must be run as root", "be run as root", "Only root", "only root", "superuser", "are you root", "Are you root", "root privileges", "nsufficient permission", "nsufficient privilege",
	"Access denied", "access denied", "Access is denied", "not allowed to", "not permitted", "ermission denied", "no permission", "not writable", "not readable", "isn't writable", "not writeable", "unwritable"}

// nameWords are all ways in which programs say that a name did not resolve; some stand for other things as well.
var nameWords = append(slices.Clone(dnsWords), "Could not resolve", "could not resolve host", "could not resolve address", "Couldn't resolve", "couldn't resolve host", "cannot resolve host", "Cannot resolve host",
	"Failed to resolve host", "failed to resolve host", "Failed to resolve '", "Name lookup", "name lookup", "could not be resolved", "DNS lookup failed", "dns error", "Unresolved address", "unresolved address", "NameResolutionError", "No resolvable bootstrap urls", "Lookup timed out")

type rankedWord struct {
	word string
	rank int
}

// ranked are all ways in which last words may name it, with how exact each is.
func (r *refusal) ranked() (out []rankedWord) {
	for _, s := range r.texts {
		out = append(out, rankedWord{s, byText}, rankedWord{strings.ToLower(s), byText})
	}
	for _, s := range r.also {
		out = append(out, rankedWord{s, byPhrase})
	}
	if r.errno != 0 {
		n := strconv.Itoa(int(r.errno))
		for _, s := range []string{"Errno ", "errno ", "errno=", "errno: ", "errcode: ", "Errcode: ", "os error ", "Os { code: ", "error=", "system error -", "SocketException ("} {
			out = append(out, rankedWord{s + n, byNumber})
		}
		out = append(out, rankedWord{r.id, byNumber})
	}
	for _, s := range r.by {
		for w := range strings.SplitSeq(s, "|") {
			out = append(out, rankedWord{w, byType})
		}
	}
	return out
}

// words are these alone.
func (r *refusal) words() (out []string) {
	for _, w := range r.ranked() {
		out = append(out, w.word)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// wordsOf gives the words of a refusal by its id.
func wordsOf(ids ...string) (out []string) {
	for i := range refusals {
		if slices.Contains(ids, refusals[i].id) {
			out = append(out, refusals[i].words()...)
		}
	}
	return out
}

// errnoWords are the ways in which programs say an error.
var errnoWords = func() map[evidence.Errno][]string {
	out := map[evidence.Errno][]string{}
	for i := range refusals {
		if r := &refusals[i]; r.errno != 0 {
			out[r.errno] = append(r.words(), localised[r.errno]...)
		}
	}
	return out
}()

var (
	dnsWords     = wordsOf(noSuchName, noAnswer)    // a name that does not resolve
	threadWords  = wordsOf(noThread, "EAGAIN")      // a thread or process that was not made
	timeoutWords = wordsOf(ownTimeout, "ETIMEDOUT") // an answer that did not come
)

// mentions says whether s has one of words.
func mentions(s string, words ...string) bool {
	for _, w := range words {
		for range places(s, w) {
			return true
		}
	}
	return false
}

// places gives where a word begins in s. A name in capitals or a number is not taken for a piece of a
// longer one: "EIO", "errno 11".
func places(s, w string) iter.Seq[int] {
	return func(yield func(int) bool) {
		if w == "" {
			return
		}
		name := w == strings.ToUpper(w) && !strings.Contains(w, " ")
		for from := 0; ; {
			k := strings.Index(s[from:], w)
			if k < 0 {
				return
			}
			k += from
			end := k + len(w)
			if !(name && k > 0 && wordByte(s[k-1])) && !((name || isDigit(w[len(w)-1])) && end < len(s) && wordByte(s[end])) && !yield(k) {
				return
			}
			from = k + 1
		}
	}
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func wordByte(b byte) bool { return isDigit(b) || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' }
