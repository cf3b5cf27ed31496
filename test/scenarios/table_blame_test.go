package scenarios

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// needRing skips where no io_uring can be had.
func needRing(r *Run) {
	var params [128]byte
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		r.t.Skipf("needs io_uring: %v", errno)
	}
	unix.Close(int(fd))
}

// blamed are programs whose output turns to what is no text, and by whom is to be said; what they die of is
// mostly something else.
var blamed = []Scenario{
	{Name: "tls-gets-stdout", Why: "1 is closed and a TLS connection gets it: log lines break its stream", Cmd: []string{"py:stdio-replaced/tls.py"}, Needs: []string{"openssl"}, Varies: true, AnyExit: true,
		Exit: 1, Cause: "stdio-replaced", Confidence: likelyUp, Beside: []string{"connection-loss"}, Words: []string{"INFO checkout", "stdout", "TCP socket"}},
	{Name: "c-mixed-up", Why: "a feed's socket had number 1, the log was put back there, and the feed's thread wrote on", Cmd: []string{"c:stdio-replaced/mixed_up.c"},
		Exit: 5, Cause: "stdio-replaced", Confidence: likelyUp, Words: []string{"UNIX socket", "send_records", "went into the log"}},
	{Name: "c-garbage-thread", Why: "a thread writes random bytes to stderr; it gives up for a reason of its own", Kind: NearMiss, Cmd: []string{"c:garbled/flush.c"},
		Exit: 3, Cause: "exit-error", Never: []string{"stdio-replaced"}, Words: []string{"flush_log", "thread", "stderr", "not text"}},
	{Name: "python-gzip-in-log", Why: "a compressed block in its log; dies of an exception", Kind: Pair, Cmd: []string{"py:garbled/queue.py"}, Varies: true,
		Exit: 1, Cause: "uncaught-error", Never: []string{"stdio-replaced"}, Words: []string{"RuntimeError", "gzip", "written by python", "INFO job 299 done"}},
	{Name: "node-utf16-in-log", Why: "UTF-16 on stderr; dies of an exception", Kind: Pair, Cmd: []string{"js:garbled/wide.js"},
		Exit: 1, Cause: "uncaught-error", Never: []string{"stdio-replaced"}, Words: []string{"bad state", "UTF-16", "written by node"}},
	{Name: "c-garbage-by-ring", Why: "its log is written by io_uring, a block of random bytes among it; it gives up for a reason of its own", Kind: NearMiss, Cmd: []string{"c:garbled/uring.c"},
		Setup: needRing, Exit: 3, Cause: "exit-error", Or: []string{"unexplained"}, Never: []string{"stdio-replaced"},
		Words: []string{"most likely written", "through its io_uring", "not text", "looked at closer from here on: stacks of its next writes"}},
	{Name: "helper-garbage", Why: "a helper that is gone wrote the garbage", Kind: NearMiss, Cmd: []string{"sh:garbled/helper.sh"}, Varies: true,
		Exit: 6, Cause: "exit-error", Never: []string{"stdio-replaced"}, Words: []string{"written by head", "giving up"}},
	{Name: "binary-on-purpose", Why: "a program to stdout, as asked for; the script ends for its own reason", Kind: NearMiss, Cmd: []string{"sh", "-c", "cat /bin/ls; echo no space in the shelf >&2; exit 3"},
		Exit: 3, Cause: "exit-error", Never: []string{"stdio-replaced"}, Words: []string{"no space in the shelf"}},
	{Name: "gzip-on-purpose", Why: "compressed data to stdout, and all is well", Kind: NearMiss, Cmd: []string{"gzip", "-nc", "/etc/passwd"},
		Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"stdio-replaced"}, Silent: true},
	{Name: "tar-on-purpose", Why: "an archive to stdout, which begins with a name", Kind: NearMiss, Cmd: []string{"tar", "-cC/", "etc/hostname"},
		Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"stdio-replaced"}, Silent: true},
}
