package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// numbered makes n small files.
func numbered(n int) func(*Run) {
	return func(r *Run) {
		for i := range n {
			if err := os.WriteFile(filepath.Join(r.dir, fmt.Sprintf("part%03d", i)), []byte("x\n"), 0o644); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// endAfter sends sig to comm once the program wrote text.
func endAfter(text, comm string, sig syscall.Signal) func(*Run) {
	return func(r *Run) {
		r.Await(text)
		r.Signal(comm, sig)
	}
}

var fdLimit = []Scenario{
	{Name: "c-files", Unprivileged: true, Why: "leaks files, names the error and exits with 1", Cmd: []string{"c:fd-limit/catalogue.c"}, NoFile: 200,
		Exit: 1, Cause: "fd-limit", Confidence: certain, Words: []string{"200", "file", "page-"}, Never: []string{"select-overflow", "inotify-limit"}},
	{Name: "c-mute", Why: "leaks by dup and exits with 3 without a word", Cmd: []string{"c:fd-limit/mute.c"}, NoFile: 64,
		Exit: 3, Cause: "fd-limit", Confidence: certain, Words: []string{"64", "dup"}},
	{Name: "c-hard-limit", Why: "leaks by dup under a hard limit that was set inside", Cmd: limit("40", "c:fd-limit/mute.c"),
		Exit: 3, Cause: "fd-limit", Confidence: certain, Words: []string{"40"}},
	{Name: "c-close-wait", Why: "keeps sockets that the peer has closed; its message blames the backend", Cmd: []string{"c:fd-limit/closewait.c"}, NoFile: 300, NetNS: true,
		Exit: 4, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"CLOSE_WAIT", "127.0.0.1:5432", "300"}, Never: []string{"connect-failure"}},
	{Name: "c-pipes-abort", Why: "pipe() is refused and the program aborts over it", Kind: Pair, Cmd: []string{"c:fd-limit/pipes_abort.c"}, NoFile: 100,
		Exit: 134, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"pipe"}},
	{Name: "c-null-after-refusal", Why: "epoll_create is refused, the result is used unchecked: SIGSEGV", Kind: Pair, Cmd: []string{"c:fd-limit/eventfds.c"}, NoFile: 128,
		Exit: 139, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"128"}, Beside: []string{"invalid-access"}},
	{Name: "c-in-a-shell", Why: "the program dies of it in a shell, which passes its code on", Kind: Pair, Cmd: []string{"sh", "-c", `ulimit -n 50; "$0"; exit $?`, "c:fd-limit/mute.c"},
		Exit: 3, Cause: "fd-limit", Words: []string{"50"}},
	{Name: "go-http", Why: "response bodies are never closed; log.Fatal says something else", Cmd: []string{"go:fd-limit/gofetch"}, NetNS: true,
		Exit: 1, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"80", "tcp"}},
	{Name: "go-panic", Why: "os.Open's error is dropped; a nil pointer panic follows", Kind: Pair, Cmd: limit("60", "go:fd-limit/gopanic"), Varies: true,
		Exit: 2, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"60"}, Beside: []string{"uncaught-error", "invalid-access"}},
	{Name: "go-other-thread", Why: "one thread is refused, another ends the process", Cmd: limit("64", "go:fd-limit/goworkers"),
		Exit: 5, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"unix"}},
	{Name: "python-files", Unprivileged: true, Why: "a list keeps its files; the traceback reports EMFILE", Cmd: []string{"py:fd-limit/ledger.py"}, NoFile: 120,
		Exit: 1, Cause: "fd-limit", Confidence: certain, Words: []string{"120", "receipt.txt"}},
	{Name: "python-burst", Why: "more clients at once than the limit holds", Cmd: []string{"py:fd-limit/burst.py"}, NoFile: 64, NetNS: true,
		Exit: 2, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"64", "accept"}},
	{Name: "python-name-lookup", Why: "with no descriptor left names do not resolve, and DNS looks guilty", Kind: Pair, Cmd: []string{"py:fd-limit/resolver.py"}, NoFile: 60, NetNS: true,
		Exit: 69, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"60"}, Never: []string{"dns-failure"}},
	{Name: "python-passed-descriptors", Why: "descriptors passed over a socket are dropped; no call fails", Cmd: []string{"py:fd-limit/passing.py"}, NoFile: 48,
		Exit: 8, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"48"}},
	{Name: "node-files", Unprivileged: true, Why: "openSync without close; the error is not caught", Cmd: limit("70", "js:fd-limit/scanner.js"),
		Exit: 1, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"70", "scanner.js"}},
	{Name: "node-half-open", Why: "half-open sockets are kept; the message blames the upstream", Cmd: limit("90", "js:fd-limit/proxy.js"), NetNS: true,
		Exit: 12, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"90", "tcp"}},
	{Name: "java-streams", Why: "FileInputStreams in a cache", Cmd: limit("100", "java:fd-limit/Vault.java"),
		Exit: 1, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"100", "/etc/hostname"}},
	{Name: "php-handles", Why: "fopen's failure is silenced, the handle is used", Cmd: limit("50", "php:fd-limit/gallery.php"),
		Exit: 255, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"50"}},
	{Name: "ruby-locks", Why: "one lock file per message", Cmd: limit("60", "rb:fd-limit/mailbox.rb"),
		Exit: 1, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"60", "box.lock"}},
	{Name: "perl-logs", Why: "log files of each rotation stay open; die exits with errno, 24", Cmd: limit("30", "pl:fd-limit/rotate.pl"),
		Exit: 24, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"30", "app.log"}},
	{Name: "bash-exec", Why: "a script takes a descriptor in each turn", Cmd: limit("24", "bash:fd-limit/loop.bash"),
		Exit: 1, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"24"}},
	{Name: "nginx-low", Why: "a limit too low to start with", Cmd: limit("4", "nginx", "-c", "{dir}/n.conf", "-e", "stderr"), NetNS: true, Varies: true,
		Files: map[string]string{"n.conf": nginxConf("8099")},
		Exit:  1, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"4"}},
	{Name: "git-low", Why: "git under a limit of 4", Cmd: limit("4", "git", "-C", "{dir}", "init", "-q"),
		Exit: 128, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"4"}},
	{Name: "paste-many", Why: "coreutils' paste opens all its files at once", Needs: []string{"paste"}, Setup: numbered(40),
		Cmd:  limit("20", "sh", "-c", "exec paste part*"),
		Exit: 1, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"20", "part"}},
	{Name: "loader", Why: "the dynamic loader cannot open a library: it looks like a broken installation", Kind: Pair, Cmd: limit("3", "ls", "/"),
		Exit: 127, Cause: "fd-limit", Confidence: likelyUp, Words: []string{"3"}},
}

func nginxConf(port string) string {
	return "daemon off;\nmaster_process off;\npid {DIR}/n.pid;\nerror_log stderr notice;\nevents { worker_connections 16; }\nhttp { access_log off; server { listen 127.0.0.1:" + port + "; } }\n"
}

var fdLimitNear = []Scenario{
	{Name: "emfile-survived-then-killed", Why: "probed its limit long ago; then SIGKILL from outside", Kind: NearMiss, Cmd: []string{"c:fd-limit/survives.c", "wait"}, NoFile: 200,
		Do: endAfter("ready\n", "survives", syscall.SIGKILL), Exit: 137, Cause: "killed", Never: []string{"fd-limit"}},
	{Name: "emfile-survived-then-null", Why: "probed its limit; then a null pointer", Kind: Pair, Cmd: []string{"c:fd-limit/survives.c", "crash"}, NoFile: 200,
		Exit: 139, Cause: "invalid-access", Words: []string{"main"}, Never: []string{"fd-limit"}},
	{Name: "emfile-survived-then-config", Why: "probed its limit; then ends for its configuration", Kind: NearMiss, Cmd: []string{"c:fd-limit/survives.c", "config"}, NoFile: 200,
		Exit: 78, Cause: "exit-error", Or: []string{"file-missing"}, Never: []string{"fd-limit"}, Words: []string{"no configuration"}},
	{Name: "emfile-survived-then-assert", Why: "probed its limit; then its own check", Kind: Pair, Cmd: []string{"c:fd-limit/survives.c", "assert"}, NoFile: 200,
		Exit: 134, Cause: "assertion", Never: []string{"fd-limit"}, Words: []string{"balance"}},
	{Name: "emfile-survived-and-well", Why: "probed its limit and ended with 0", Kind: NearMiss, Cmd: []string{"c:fd-limit/survives.c"}, NoFile: 200,
		Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"fd-limit"}, Silent: true},
	{Name: "says-too-many-open-files", Unprivileged: true, Why: "quotes another machine's log, nothing was refused", Kind: NearMiss, Cmd: []string{"py:fd-limit/says.py"},
		Exit: 1, Cause: "exit-error", Never: []string{"fd-limit"}},
	{Name: "raises-emfile-itself", Why: "a client library raises a server's EMFILE; here nothing was refused", Kind: NearMiss, Cmd: []string{"py:fd-limit/raises.py"},
		Exit: 1, Cause: "uncaught-error", Never: []string{"fd-limit"}, Words: []string{"call"}},
	{Name: "child-ran-out", Why: "a child ran out of descriptors; the parent ends later for its own reason", Kind: Pair, Cmd: []string{"py:fd-limit/child.py"},
		Exit: 6, Cause: "exit-error", Never: []string{"fd-limit"}, Words: []string{"stock is negative"}},
	{Name: "filled-to-the-brim", Why: "uses all descriptors but one and ends well", Kind: NearMiss, Cmd: []string{"py:fd-limit/brim.py"}, NoFile: 150,
		Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"fd-limit"}, Silent: true},
	{Name: "node-retries", Why: "EMFILE is met as graceful-fs meets it", Kind: NearMiss, Cmd: limit("60", "js:fd-limit/retry.js"),
		Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"fd-limit"}, Silent: true},
	{Name: "python-emfile-then-keyerror", Why: "EMFILE survived; the traceback is of a KeyError", Kind: Pair, Cmd: []string{"py:fd-limit/later.py"}, NoFile: 90,
		Exit: 1, Cause: "uncaught-error", Never: []string{"fd-limit"}, Words: []string{"KeyError"}},
	{Name: "redis-refuses-limit", Why: "redis checks the limit itself and leaves; no call is refused a descriptor", Kind: NearMiss, NetNS: true, Varies: true,
		Cmd:  limit("20", "redis-server", "--port", "7301", "--save", "", "--dir", "{dir}"),
		Exit: 1, Cause: "exit-error", Never: []string{"fd-limit"}, Words: []string{"ulimit -n"}},
}

var fdLeak = []Scenario{
	{Name: "steady-leak-ended", Why: "a leak is forecast while the program lives; then SIGTERM ends it", Kind: Pair, Cmd: []string{"c:fd-leak/meter.c", "60"}, NoFile: 700, Varies: true,
		Do: func(r *Run) {
			if r.watched {
				r.AwaitErr("descry: descriptors")
			} else {
				r.Await("reading 1")
			}
			r.Signal("meter", syscall.SIGTERM)
		},
		Exit: 143, Cause: "killed", Or: []string{"fd-leak"}, Words: []string{"/s", "of 700", "SIGTERM"}, Never: []string{"fd-limit", "select-overflow"}},
	{Name: "leaky-sessions-ended", Why: "opens and closes, and closes too few", Kind: Pair, Cmd: []string{"py:fd-leak/sessions.py"}, NoFile: 400, Varies: true,
		Do: func(r *Run) {
			if r.watched {
				r.AwaitErr("descry: descriptors")
			} else {
				r.Await("session 40\n")
			}
			r.Signal("python3", syscall.SIGKILL)
		},
		Exit: 137, Cause: "killed", Or: []string{"fd-leak"}, Words: []string{"unix"}, Never: []string{"fd-limit", "select-overflow"}},
	{Name: "pool-fills-and-stops", Why: "a pool grows to its size and stays: no forecast", Kind: NearMiss, Cmd: []string{"c:fd-leak/meter.c", "60", "40"}, NoFile: 1000, Varies: true,
		Do:   endAfter("reading 4", "meter", syscall.SIGTERM),
		Exit: 143, Cause: "killed", Never: []string{"fd-leak", "fd-limit", "select-overflow"}, NoWords: []string{"descriptors grow"}},
}

var selectOverflow = []Scenario{
	{Name: "c-adjacent-sets", Why: "two sets side by side, pointers behind them", Cmd: []string{"c:select-overflow/relay_struct.c"}, NoFile: 4096,
		Exit: 139, Cause: "select-overflow", Confidence: certain, Words: []string{"1023", "SIGSEGV", "main"}, Beside: []string{"invalid-access"}},
	{Name: "c-heap-sets-grow", Why: "a set from malloc(sizeof(fd_set)), one more descriptor at each turn", Cmd: []string{"c:select-overflow/heap_grows.c"}, NoFile: 4096,
		Exit: 139, Cause: "select-overflow", Confidence: likelyUp},
	{Name: "c-heap-sets-jump", Why: "a set from malloc(sizeof(fd_set)) that is filled at once; glibc finds the heap corrupt", Cmd: []string{"c:select-overflow/heap_sets.c"}, NoFile: 4096,
		Exit: 134, Cause: "select-overflow", Confidence: likelyUp, Beside: []string{"memory-corruption"}},
	{Name: "c-fortified", Unprivileged: true, Why: "glibc's fortified FD_SET refuses", Cmd: []string{"c:select-overflow/fortified.c"}, NoFile: 4096,
		Exit: 134, Cause: "select-overflow", Confidence: certain, Words: []string{"1024"}},
	{Name: "c-one-set-on-stack", Why: "one set in a local variable: the return address is overwritten", Cmd: []string{"c:select-overflow/one_on_stack.c"}, NoFile: 4096,
		Exit: 139, Cause: "select-overflow", Confidence: likelyUp, Beside: []string{"invalid-access"}},
	{Name: "c-nfds-1024", Why: "select(FD_SETSIZE, …): nfds never shows it", Cmd: []string{"c:select-overflow/setsize.c"}, NoFile: 4096,
		Exit: 139, Cause: "select-overflow", Confidence: likelyUp, Beside: []string{"invalid-access"}},
	{Name: "python-select", Unprivileged: true, Why: "Python refuses descriptors of 1024 or more", Cmd: []string{"py:select-overflow/chat.py"}, NoFile: 4096,
		Exit: 1, Cause: "select-overflow", Confidence: certain, Words: []string{"1024"}},
	{Name: "php-stream-select", Why: "stream_select() refuses; the job gives up", Cmd: []string{"php:select-overflow/stream.php"}, NoFile: 4096,
		Exit: 1, Cause: "select-overflow", Confidence: likelyUp},
	{Name: "go-fdset", Why: "x/sys's FdSet.Set panics: index out of range", Cmd: []string{"go:select-overflow/goselect"}, NoFile: 4096, Varies: true,
		Exit: 2, Cause: "select-overflow", Confidence: likelyUp, Beside: []string{"uncaught-error"}},
	{Name: "badday", Why: "the example: a log next to a set, connections in CLOSE_WAIT", Cmd: []string{"go:badday"}, NoFile: 4096, NetNS: true, Varies: true,
		Exit: 2, Cause: "select-overflow", Confidence: likelyUp, Words: []string{"CLOSE_WAIT", "no text"}, Beside: []string{"uncaught-error", "invalid-access"}},
}

var selectNear = []Scenario{
	{Name: "c-log-buffer", Why: "the log's buffer lies behind the set: what select() wrote is printed; the program aborts itself", Cmd: []string{"c:select-overflow/log_buffer.c"}, NoFile: 4096,
		Exit: 134, Cause: "select-overflow", Confidence: likelyUp, Words: []string{"stood 128 bytes behind the set's start", "written by", "INFO request alpha"}},
	{Name: "c-log-buffer-stack", Why: "the same in a local variable, and it gives up", Cmd: []string{"c:select-overflow/log_buffer.c", "stack"}, NoFile: 4096,
		Exit: 3, Cause: "select-overflow", Confidence: likelyUp, Words: []string{"behind the set's start"}},
	{Name: "c-dynamic-sets-records", Why: "sets as large as they must be, whose block is used for binary records later", Kind: NearMiss, Cmd: []string{"c:select-overflow/log_buffer.c", "heap"}, NoFile: 4096,
		Exit: 3, Cause: "exit-error", Never: []string{"select-overflow"}},
	{Name: "c-wide-stack-records", Why: "large sets on the stack of one function, binary records there in another", Kind: NearMiss, Cmd: []string{"c:select-overflow/log_buffer.c", "other"}, NoFile: 4096,
		Exit: 3, Cause: "exit-error", Never: []string{"select-overflow"}},
	{Name: "c-dynamic-sets", Why: "5,000 descriptors, sets as large as they must be, ends well", Kind: NearMiss, Cmd: []string{"c:select-overflow/dynamic.c"}, NoFile: 8192,
		Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"select-overflow"}, Silent: true},
	{Name: "c-dynamic-sets-exit", Why: "5,000 descriptors, sets as large as they must be, then exit code 4", Kind: NearMiss, Cmd: []string{"c:select-overflow/dynamic.c", "fail"}, NoFile: 8192,
		Exit: 4, Cause: "exit-error", Never: []string{"select-overflow"}},
	{Name: "c-dynamic-sets-1025", Why: "nfds 1026 in heap sets that are large enough, then a null pointer", Kind: NearMiss, Cmd: []string{"c:select-overflow/dynamic.c", "crash", "1025"}, NoFile: 8192,
		Exit: 139, Cause: "invalid-access", Never: []string{"select-overflow"}},
	{Name: "c-dynamic-sets-null", Why: "5,000 descriptors in heap sets, then a null pointer", Kind: NearMiss, Cmd: []string{"c:select-overflow/dynamic.c", "crash"}, NoFile: 8192,
		Exit: 139, Cause: "invalid-access", Never: []string{"select-overflow"}},
	{Name: "c-wide-stack-sets-exit", Why: "large sets on the stack, then exit code 1", Kind: NearMiss, Cmd: []string{"c:select-overflow/wide_stack.c", "exit"}, NoFile: 4096,
		Exit: 1, Cause: "exit-error", Never: []string{"select-overflow"}},
	{Name: "c-wide-stack-sets-wild", Why: "large sets on the stack, then a wild pointer: not to be told from an overflow, so not certain", Kind: NearMiss, Cmd: []string{"c:select-overflow/wide_stack.c"}, NoFile: 4096,
		Exit: 139, Cause: "invalid-access", Or: []string{"select-overflow"}},
	{Name: "c-poll-many", Why: "3,000 descriptors and poll; dies of a division by zero", Kind: NearMiss, Cmd: []string{"c:select-overflow/polls.c"}, NoFile: 4096,
		Exit: 136, Cause: "invalid-access", Never: []string{"select-overflow"}, Words: []string{"SIGFPE"}},
	{Name: "c-fortify-strcpy-many", Why: "glibc's overflow message with 1,500 descriptors and select in use: strcpy's", Kind: NearMiss, Cmd: []string{"c:select-overflow/strcpy_many.c"}, NoFile: 4096,
		Env: []string{"LONG_NAME=a-name-that-is-longer-than-sixteen"}, Exit: 134, Cause: "memory-corruption", Confidence: likelyUp},
	{Name: "python-quotes-select", Why: "quotes the error messages, three descriptors open", Kind: NearMiss, Cmd: []string{"py:select-overflow/quoted.py"},
		Exit: 1, Cause: "exit-error", Never: []string{"select-overflow", "memory-corruption"}},
	{Name: "python-select-closed", Why: "select on a closed socket: -1, no overflow", Kind: NearMiss, Cmd: []string{"py:select-overflow/wrong_fd.py"},
		Exit: 1, Cause: "uncaught-error", Never: []string{"select-overflow"}},
	{Name: "python-select-survived", Why: "select refused, poll took over, ends for another reason", Kind: Pair, Cmd: []string{"py:select-overflow/survives_select.py"}, NoFile: 4096,
		Exit: 3, Cause: "exit-error", Never: []string{"select-overflow"}, Words: []string{"tariff"}},
	{Name: "ruby-io-select", Why: "Ruby sizes its sets", Kind: NearMiss, Cmd: []string{"rb:select-overflow/lounge.rb"}, NoFile: 4096,
		Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"select-overflow"}, Silent: true},
	{Name: "perl-vec-select", Why: "Perl's bit strings have any length", Kind: NearMiss, Cmd: []string{"pl:select-overflow/vec.pl"}, NoFile: 4096,
		Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"select-overflow"}, Silent: true},
}

var stdio = []Scenario{
	{Name: "c-double-close", Why: "a double close gives 1 to the table; a line of progress damages it", Cmd: []string{"c:stdio-replaced/import.c"},
		Exit: 1, Cause: "stdio-replaced", Confidence: likelyUp, Words: []string{"stock.tbl", "1"}},
	{Name: "python-trace-to-peer", Why: "2 became a socket: the traceback went to the peer", Cmd: []string{"py:stdio-replaced/lost_trace.py"},
		Exit: 1, Cause: "stdio-replaced", Confidence: likelyUp, Words: []string{"2"}},
	{Name: "php-fclose-stderr", Why: "STDOUT and STDERR closed; data files get 1 and 2", Cmd: []string{"php:stdio-replaced/closing.php"},
		Exit: 255, Cause: "stdio-replaced", Confidence: likelyUp, Words: []string{"orders"}},
	{Name: "perl-warn-to-wire", Why: "a warning goes over the wire and breaks the protocol", Cmd: []string{"pl:stdio-replaced/reuse.pl"},
		Exit: 76, Cause: "stdio-replaced", Confidence: likelyUp, Words: []string{"2"}},
	{Name: "daemon-log-killed", Why: "a daemon's own log on 1 and 2, then SIGTERM", Kind: NearMiss, Cmd: []string{"c:stdio-replaced/daemon.c", "wait"},
		Do: func(r *Run) {
			r.Await("background")
			awaitFile(r, "daemon.log.1", "day 2")
			r.Signal("daemon", syscall.SIGTERM)
		}, Exit: 143, Cause: "killed", Never: []string{"stdio-replaced"}},
	{Name: "daemon-log-fails", Why: "a daemon's own log on 1 and 2, then exit code 5", Kind: NearMiss, Cmd: []string{"c:stdio-replaced/daemon.c", "fail"},
		Exit: 5, Cause: "exit-error", Never: []string{"stdio-replaced"}},
	{Name: "daemon-log-well", Why: "a daemon's own log on 1 and 2, ends well", Kind: NearMiss, Cmd: []string{"c:stdio-replaced/daemon.c"},
		Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"stdio-replaced"}, Silent: true},
	{Name: "daemon-closes-and-fills", Why: "closes 0 to 2, fills them with /dev/null, then a null pointer", Kind: Pair, Cmd: []string{"c:stdio-replaced/closes_all.c"},
		Exit: 139, Cause: "invalid-access", Never: []string{"stdio-replaced"}},
	{Name: "shell-redirects", Why: "a shell redirects its output to a file and back", Kind: NearMiss, Cmd: []string{"sh:stdio-replaced/redirect.sh"},
		Exit: 9, Cause: "exit-error", Never: []string{"stdio-replaced"}},
}

func awaitFile(r *Run, name, text string) {
	r.t.Helper()
	eventually(r, name+" holds "+text, func() bool {
		b, _ := os.ReadFile(r.Path(name))
		return strings.Contains(string(b), text)
	})
}

var inotify = []Scenario{
	{Name: "python-instances", Why: "inotify instances of the user used up", Cmd: []string{"setpriv", "--reuid=54321", "--clear-groups", "py:inotify-limit/watch.py"},
		Needs: []string{"root: another user"}, Exit: 1, Cause: "inotify-limit", Confidence: certain, Words: []string{"instances"}, Never: []string{"fd-limit"}},
	{Name: "c-instances-mute", Why: "inotify instances of the user used up, without a word", Cmd: []string{"setpriv", "--reuid=54322", "--clear-groups", "c:inotify-limit/instances.c"},
		Needs: []string{"root: another user"}, Exit: 11, Cause: "inotify-limit", Confidence: certain, Never: []string{"fd-limit"}},
	{Name: "node-watches", Why: "watches used up: ENOSPC, which looks like a full disk", Cmd: []string{"unshare", "-U", "-r", "sh", "-c", `echo 10 >/proc/sys/user/max_inotify_watches; exec "$@"`, "sh", "js:inotify-limit/watches.js"},
		Exit: 1, Cause: "inotify-limit", Confidence: likelyUp, Words: []string{"watches"}, Never: []string{"fd-limit", "disk-full"}},
	{Name: "falls-back-killed", Why: "no instance left, it polls; then SIGTERM", Kind: NearMiss, Cmd: []string{"setpriv", "--reuid=54323", "--clear-groups", "py:inotify-limit/falls_back.py"},
		Needs: []string{"root: another user"}, Do: endAfter("polling", "python3", syscall.SIGTERM), Exit: 143, Cause: "killed", Never: []string{"fd-limit", "inotify-limit"}},
	{Name: "enfile-answered", Why: "a sandbox answers open with ENFILE, and the program dies of it", Cmd: []string{"c:system-fd-limit/filtered.c"},
		Exit: 23, Cause: "system-fd-limit", Never: []string{"fd-limit"}},
}
