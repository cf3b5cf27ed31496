package scenarios

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/descry-dev/descry/internal/evidence"
)

var corruption = []Scenario{
	{Name: "c-double-free", Why: "free() twice", Cmd: []string{"c:memory-corruption/double_free.c"}, Exit: 134, Cause: "memory-corruption", Confidence: likelyUp, Words: []string{"free()", "logout"}},
	{Name: "c-top-chunk", Why: "a record longer than its block", Cmd: []string{"c:memory-corruption/top_chunk.c"}, Exit: 134, Cause: "memory-corruption", Confidence: likelyUp, Words: []string{"malloc()"}},
	{Name: "c-wild-free", Why: "free() of what malloc never gave", Cmd: []string{"c:memory-corruption/wild_free.c"}, Exit: 134, Cause: "memory-corruption", Confidence: likelyUp},
	{Name: "c-stack-smash", Unprivileged: true, Why: "the stack protector finds an overwritten frame", Cmd: []string{"c:memory-corruption/smash.c"}, Exit: 134, Cause: "memory-corruption", Confidence: likelyUp, Words: []string{"stack smashing", "parse"}},
	{Name: "c-fortify", Why: "fortified strcpy with five descriptors", Cmd: []string{"c:memory-corruption/fortify_copy.c"}, Env: []string{"LABEL=much longer than eight"}, Exit: 134, Cause: "memory-corruption", Confidence: likelyUp, Never: []string{"select-overflow"}},
	{Name: "c-thread", Why: "one thread overwrites, another dies of it", Cmd: []string{"c:memory-corruption/thread_heap.c"}, Exit: 134, Cause: "memory-corruption", Confidence: likelyUp},
	{Name: "python-ctypes-free", Why: "a binding frees what it does not own", Cmd: []string{"py:memory-corruption/ctypes_free.py"}, Exit: 134, Cause: "memory-corruption", Confidence: likelyUp},
	{Name: "says-corrupted", Why: "prints glibc's words of another machine's worker, exits with 1", Kind: NearMiss, Cmd: []string{"c:memory-corruption/says.c"}, Exit: 1, Cause: "exit-error", Never: []string{"memory-corruption"}},
	{Name: "says-corrupted-aborts", Why: "prints them and aborts for a check of its own", Kind: NearMiss, Cmd: []string{"c:memory-corruption/says.c", "abort"}, Exit: 134, Cause: "assertion", Words: []string{"too many workers"}},
	{Name: "healthy-churn", Why: "allocates much, prints the words as data, ends well", Kind: NearMiss, Cmd: []string{"c:memory-corruption/churn.c"}, Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"memory-corruption"}, Silent: true},
}

var stack = []Scenario{
	{Name: "c-recursion", Why: "a recursive parser without a bound", Cmd: []string{"c:stack-overflow/parser.c"}, Exit: 139, Cause: "stack-overflow", Confidence: likelyUp, Words: []string{"depth"}},
	{Name: "c-thread", Why: "a thread's guard page", Cmd: []string{"c:stack-overflow/small_thread.c"}, Exit: 139, Cause: "stack-overflow", Confidence: likelyUp, Words: []string{"visit"}},
	{Name: "c-large-array", Why: "no recursion: an array larger than the limit", Cmd: []string{"c:stack-overflow/big_array.c"}, Exit: 139, Cause: "stack-overflow", Confidence: likelyUp, Words: []string{"render"}},
	{Name: "go-recursion", Why: "Go's own word for it", Cmd: []string{"go:stack-overflow/godeep"}, Varies: true, Exit: 2, Cause: "stack-overflow", Confidence: likelyUp, Words: []string{"length"}},
	{Name: "python-native", Why: "Python recursing through C code", Cmd: []string{"py:stack-overflow/nested.py"}, Exit: 139, Cause: "stack-overflow", Confidence: likelyUp},
	{Name: "python-recursion-error", Unprivileged: true, Why: "Python's own bound: RecursionError", Cmd: []string{"py:stack-overflow/recursion.py"}, Exit: 1, Cause: "stack-overflow", Or: []string{"uncaught-error"}, Words: []string{"menu"}},
	{Name: "node-range-error", Why: "Node.js' own bound: RangeError", Cmd: []string{"js:stack-overflow/deep.js"}, Exit: 1, Cause: "stack-overflow", Or: []string{"uncaught-error"}, Words: []string{"flatten"}},
	{Name: "node-native", Why: "Node.js told of more stack than there is: SIGSEGV", Cmd: []string{"node", "--stack-size=60000", "{self}/stack-overflow/deep.js"}, Exit: 139, Cause: "stack-overflow", Confidence: likelyUp},
	{Name: "java-error", Why: "StackOverflowError", Cmd: []string{"java:stack-overflow/Deep.java"}, Exit: 1, Cause: "stack-overflow", Or: []string{"uncaught-error"}, Words: []string{"price"}},
	{Name: "ruby-error", Why: "SystemStackError", Cmd: []string{"rb:stack-overflow/deep.rb"}, Exit: 1, Varies: true, Cause: "stack-overflow", Or: []string{"uncaught-error"}, Words: []string{"resolve"}},
	{Name: "bash-function", Why: "a shell function that calls itself", Cmd: []string{"bash:stack-overflow/recurse.bash"}, Limits: map[string]uint64{"stack": 1 << 20}, Exit: 139, Cause: "stack-overflow", Confidence: likelyUp},
	{Name: "c-reported", Why: "a handler on a stack of its own takes the overflow, reports and aborts", Cmd: []string{"c:stack-overflow/reports.c"}, Exit: 134, Cause: "stack-overflow", Confidence: likelyUp, Words: []string{"descend"}},
	{Name: "deep-but-null", Why: "deep in a recursion that fits, a null pointer", Kind: NearMiss, Cmd: []string{"c:stack-overflow/deep_null.c"}, Exit: 139, Cause: "invalid-access", Never: []string{"stack-overflow"}, Words: []string{"walk"}},
	{Name: "overflow-caught-well", Why: "overflows its stack on purpose, catches it, ends well", Kind: NearMiss, Cmd: []string{"c:stack-overflow/altstack.c"}, Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"stack-overflow"}, Silent: true},
	{Name: "overflow-caught-exit", Why: "overflows its stack on purpose, catches it, then exit code 6", Kind: NearMiss, Cmd: []string{"c:stack-overflow/altstack.c", "6"}, Exit: 6, Cause: "exit-error", Never: []string{"stack-overflow", "invalid-access"}},
}

var access = []Scenario{
	{Name: "c-null", Unprivileged: true, Why: "the end of a list is not checked", Cmd: []string{"c:invalid-access/null.c"}, Exit: 139, Cause: "invalid-access", Confidence: certain, Words: []string{"SIGSEGV", "last_id"}},
	{Name: "c-divide", Why: "division by zero", Cmd: []string{"c:invalid-access/divide.c"}, Exit: 136, Cause: "invalid-access", Confidence: certain, Words: []string{"SIGFPE", "average"}},
	{Name: "c-illegal", Why: "an illegal instruction", Cmd: []string{"c:invalid-access/illegal.c"}, Exit: 132, Cause: "invalid-access", Confidence: certain, Words: []string{"SIGILL"}},
	{Name: "c-read-only", Why: "writes to a constant", Cmd: []string{"c:invalid-access/readonly.c"}, Exit: 139, Cause: "invalid-access", Confidence: certain, Words: []string{"capitalize"}},
	{Name: "c-jump", Why: "calls a pointer that points at data", Cmd: []string{"c:invalid-access/jump.c"}, Exit: 139, Cause: "invalid-access", Confidence: certain},
	{Name: "c-after-free", Why: "uses a block that the system has back", Cmd: []string{"c:invalid-access/after_free.c"}, Exit: 139, Cause: "invalid-access", Confidence: certain, Words: []string{"main"}},
	{Name: "c-thread", Why: "the fault is in one of five threads", Cmd: []string{"c:invalid-access/worker.c"}, Exit: 139, Cause: "invalid-access", Confidence: certain, Words: []string{"count"}},
	{Name: "c-own-handler", Why: "a crash handler prints a line and raises it again", Cmd: []string{"c:invalid-access/handler.c"}, Exit: 139, Cause: "invalid-access", Confidence: likelyUp},
	{Name: "c-child-passed-on", Why: "a child crashes, the parent passes 139 on as its code", Cmd: []string{"c:invalid-access/child.c", "code"}, Exit: 139, Cause: "invalid-access"},
	{Name: "shell-child", Why: "a shell's child crashes, the shell passes it on", Cmd: []string{"sh", "-c", `"$0"; exit $?`, "c:invalid-access/null.c"}, Exit: 139, Varies: true, Cause: "invalid-access", Words: []string{"last_id"}},
	{Name: "python-ctypes", Why: "Python reads from address 16", Cmd: []string{"py:invalid-access/peek.py"}, Exit: 139, Cause: "invalid-access", Confidence: likelyUp},
	{Name: "ruby-fiddle", Why: "Ruby prints its own report and aborts", Cmd: []string{"rb:invalid-access/fault.rb"}, Exit: 134, Varies: true, Cause: "invalid-access", Confidence: likelyUp},
	{Name: "java-unsafe", Why: "the JVM prints its own report and aborts", Cmd: []string{"java:invalid-access/Poke.java"}, Exit: 134, Varies: true, Cause: "invalid-access", Confidence: likelyUp},
	{Name: "perl-unpack", Why: "Perl follows a pointer out of a string", Cmd: []string{"perl", "-e", `print unpack("p", pack("J", 9))`}, Exit: 139, Cause: "invalid-access", Confidence: likelyUp},
	{Name: "redis-debug-segfault", Why: "redis-server is told to crash; it prints a report of its own", NetNS: true, Varies: true,
		Cmd: []string{"redis-server", "--port", "8840", "--bind", "127.0.0.1", "--save", "", "--dir", "{dir}", "--enable-debug-command", "yes"},
		Do: func(r *Run) {
			r.Await("Ready to accept connections")
			r.Helper("", "redis-cli", "-p", "8840", "debug", "segfault")
		}, Needs: []string{"redis-cli"}, Exit: 139, Cause: "invalid-access", Confidence: likelyUp},
	{Name: "child-crashed-main-well", Why: "a child crashed, the parent ended well: a child's death", Kind: NearMiss, Cmd: []string{"c:invalid-access/child.c"},
		Exit: 0, Cause: "invalid-access", CaseKind: evidence.CaseChildDeath, Words: []string{"SIGSEGV"}},
	{Name: "segv-sent-from-outside", Why: "kill -SEGV: no fault of the program", Kind: NearMiss, Cmd: []string{"c:killed/idle.c"},
		Do: func(r *Run) { r.Await("ready\n"); r.SignalFrom("prankster", "idle", syscall.SIGSEGV) }, Exit: 139, Cause: "killed", Never: []string{"invalid-access", "stack-overflow"}, Words: []string{"prankster"}},
	{Name: "java-health-well", Why: "the JVM uses SIGSEGV in health, ends well", Kind: NearMiss, Cmd: []string{"java:invalid-access/Healthy.java"}, Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Silent: true},
	{Name: "java-health-exit", Why: "the JVM uses SIGSEGV in health, exit code 3", Kind: NearMiss, Cmd: []string{"java:invalid-access/Healthy.java", "3"}, Exit: 3, Cause: "exit-error", Never: []string{"invalid-access"}},
	{Name: "go-recovered-nil", Why: "Go recovers from nil pointers (SIGSEGV) and exits for another reason", Kind: NearMiss, Cmd: []string{"go:invalid-access/gonil"}, Exit: 64, Cause: "exit-error", Never: []string{"invalid-access", "uncaught-error"}, Words: []string{"license"}},
}

var assertion = []Scenario{
	{Name: "c-assert", Unprivileged: true, Why: "assert()", Cmd: []string{"c:assertion/check.c"}, Exit: 134, Cause: "assertion", Words: []string{"balance"}},
	{Name: "c-assert-first-process", Why: "assert() in the first process of a pid namespace, which SIGABRT does not end", Cmd: []string{"unshare", "--pid", "--fork", "c:assertion/check.c"}, Exit: 139, Cause: "assertion", Words: []string{"balance"}, Never: []string{"invalid-access"}},
	{Name: "c-own-check", Why: "its own words and abort()", Cmd: []string{"c:assertion/own.c"}, Exit: 134, Cause: "assertion", Words: []string{"page->lsn"}},
	{Name: "cc-exception", Why: "a C++ exception that nobody catches", Cmd: []string{"cc:assertion/throws.cc"}, Exit: 134, Cause: "assertion", Or: []string{"uncaught-error"}, Words: []string{"no key port"}},
	{Name: "python-abort", Why: "os.abort()", Cmd: []string{"py:assertion/native.py"}, Exit: 134, Cause: "assertion", Words: []string{"row 4711"}},
	{Name: "node-abort", Why: "process.abort()", Cmd: []string{"js:assertion/abort.js"}, Exit: 134, Varies: true, Cause: "assertion", Words: []string{"lease"}},
	{Name: "ruby-abort-is-exit", Why: "Ruby's abort is exit 1", Kind: NearMiss, Cmd: []string{"rb:assertion/word.rb"}, Exit: 1, Cause: "exit-error", Never: []string{"assertion"}},
	{Name: "abort-sent-from-outside", Why: "kill -ABRT from outside", Kind: NearMiss, Cmd: []string{"c:killed/idle.c"},
		Do: func(r *Run) { r.Await("ready\n"); r.SignalFrom("supervisor", "idle", syscall.SIGABRT) }, Exit: 134, Cause: "killed", Never: []string{"assertion", "memory-corruption"}, Words: []string{"supervisor"}},
}

var uncaught = []Scenario{
	{Name: "go-index", Unprivileged: true, Why: "index out of range", Cmd: []string{"go:uncaught-error/gocrash", "index"}, Varies: true, Exit: 2, Cause: "uncaught-error", Words: []string{"index out of range", "total"}},
	{Name: "go-nil", Why: "a nil pointer, by way of SIGSEGV", Cmd: []string{"go:uncaught-error/gocrash", "nil"}, Varies: true, Exit: 2, Cause: "uncaught-error", Beside: []string{"invalid-access"}, Words: []string{"total"}},
	{Name: "go-custom", Why: "panic with an error", Cmd: []string{"go:uncaught-error/gocrash", "custom"}, Varies: true, Exit: 2, Cause: "uncaught-error", Words: []string{"journal is not sorted"}},
	{Name: "go-deadlock", Why: "all goroutines are asleep", Cmd: []string{"go:uncaught-error/gocrash", "deadlock"}, Varies: true, Exit: 2, Cause: "uncaught-error", Words: []string{"deadlock"}},
	{Name: "go-fatal", Why: "unlock of an unlocked mutex", Cmd: []string{"go:uncaught-error/gocrash", "unlock"}, Varies: true, Exit: 2, Cause: "uncaught-error", Words: []string{"unlock"}},
	{Name: "go-goroutine", Why: "a nil map in a goroutine", Cmd: []string{"go:uncaught-error/gocrash", "goroutine"}, Varies: true, Exit: 2, Cause: "uncaught-error", Words: []string{"nil map"}},
	{Name: "go-traceback-crash", Why: "GOTRACEBACK=crash: the panic ends in SIGABRT", Cmd: []string{"go:uncaught-error/gocrash", "index"}, Env: []string{"GOTRACEBACK=crash"}, Varies: true, Exit: 134, Cause: "uncaught-error", Words: []string{"total"}},
	{Name: "python-key", Unprivileged: true, Why: "KeyError", Cmd: []string{"py:uncaught-error/key.py"}, Exit: 1, Cause: "uncaught-error", Words: []string{"KeyError", "rate"}},
	{Name: "python-module", Why: "a module that is not there", Cmd: []string{"py:uncaught-error/module.py"}, Exit: 1, Cause: "uncaught-error", Or: []string{"file-missing", "start-failure"}, Words: []string{"pricing_rules_v2"}},
	{Name: "python-missing-file", Why: "FileNotFoundError", Cmd: []string{"py:uncaught-error/missing.py"}, Exit: 1, Cause: "uncaught-error", Or: []string{"file-missing"}, Words: []string{"rates-2031.csv"}},
	{Name: "node-type", Unprivileged: true, Why: "TypeError", Cmd: []string{"js:uncaught-error/type.js"}, Exit: 1, Cause: "uncaught-error", Words: []string{"render"}},
	{Name: "node-rejection", Why: "a rejected promise that nobody handles", Cmd: []string{"js:uncaught-error/rejection.js"}, Exit: 1, Cause: "uncaught-error", Words: []string{"card declined", "charge"}},
	{Name: "node-heap", Why: "V8's heap limit: FATAL ERROR and SIGABRT", Cmd: []string{"node", "--max-old-space-size=20", "-e", "const a=[]; for(;;) a.push({x: new Array(1000).fill(1)})"}, Varies: true, Exit: 134, Cause: "uncaught-error", Or: []string{"assertion"}, Never: []string{"memory-limit", "memory-corruption"}},
	{Name: "java-chained", Why: "an exception with its cause", Cmd: []string{"java:uncaught-error/Books.java"}, Exit: 1, Cause: "uncaught-error", Words: []string{"shelf 9"}},
	{Name: "java-heap", Why: "OutOfMemoryError", Cmd: []string{"java", "-Xmx16m", "-cp", "{dir}", "Heap"}, Setup: javaInto("uncaught-error/Heap.java"), Needs: []string{"javac"}, Exit: 1, Cause: "uncaught-error", Words: []string{"OutOfMemoryError"}, Never: []string{"memory-limit"}},
	{Name: "ruby-key", Why: "KeyError in a block", Cmd: []string{"rb:uncaught-error/method.rb"}, Exit: 1, Cause: "uncaught-error", Words: []string{"net"}},
	{Name: "php-type", Why: "an uncaught TypeError", Cmd: []string{"php:uncaught-error/type.php"}, Exit: 255, Cause: "uncaught-error", Words: []string{"vat"}},
	{Name: "perl-die", Why: "die", Cmd: []string{"pl:uncaught-error/die.pl"}, Exit: 255, AnyExit: true, Cause: "uncaught-error", Or: []string{"exit-error"}, Words: []string{"no hammer on stock"}},
	{Name: "old-trace-then-killed", Why: "an old traceback, then SIGKILL", Kind: NearMiss, Cmd: []string{"py:uncaught-error/old_trace.py", "wait"}, Do: endAfter("ready\n", "python3", syscall.SIGKILL), Exit: 137, Cause: "killed", Never: []string{"uncaught-error"}},
	{Name: "old-trace-then-leaves", Why: "an old traceback, then exit code 5 with a word of its own", Kind: NearMiss, Cmd: []string{"py:uncaught-error/old_trace.py", "leave"}, Exit: 5, Cause: "exit-error", Never: []string{"uncaught-error"}, Words: []string{"lease"}},
	{Name: "old-trace-then-native", Why: "an old traceback, then a fault in native code", Kind: Pair, Cmd: []string{"py:uncaught-error/old_trace.py", "native"}, Exit: 139, Cause: "invalid-access", Never: []string{"uncaught-error"}},
	{Name: "python-exit-message", Why: "sys.exit with a message", Kind: NearMiss, Cmd: []string{"py:uncaught-error/exit_message.py"}, Exit: 1, Cause: "exit-error", Never: []string{"uncaught-error"}, Words: []string{"usage: sync"}},
	{Name: "node-logged-error", Why: "logs a stack and ends well", Kind: NearMiss, Cmd: []string{"js:uncaught-error/logged.js"}, Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Silent: true},
	{Name: "java-handled", Why: "prints a stack trace that it handled, exit code 2", Kind: NearMiss, Cmd: []string{"java:uncaught-error/Handled.java"}, Exit: 2, Cause: "exit-error", Never: []string{"uncaught-error"}, Words: []string{"3 of 4"}},
	{Name: "go-recovered", Why: "prints a recovered panic, exit code 3", Kind: NearMiss, Cmd: []string{"go:uncaught-error/gocrash", "recovered"}, Exit: 3, Cause: "exit-error", Never: []string{"uncaught-error"}},
}

func javaInto(file string) func(*Run) {
	return func(r *Run) {
		dir := compileJava(r.t, file)
		classes, _ := filepath.Glob(dir + "/*.class")
		for _, c := range classes {
			b, err := os.ReadFile(c)
			if err != nil {
				r.t.Fatal(err)
			}
			os.WriteFile(filepath.Join(r.dir, filepath.Base(c)), b, 0o644)
		}
	}
}

var start = []Scenario{
	{Name: "not-found", Unprivileged: true, Why: "no such command", Cmd: []string{"no-such-command-at-all"}, Exit: 127, Cause: "start-failure", Confidence: certain, Words: []string{"no-such-command-at-all"}},
	{Name: "not-executable", Why: "a file without the right to run", Cmd: []string{"{dir}/plain.txt"}, Files: map[string]string{"plain.txt": "data\n"}, Exit: 126, Cause: "start-failure", Confidence: certain, Words: []string{"plain.txt"}},
	{Name: "directory", Why: "a directory", Cmd: []string{"/tmp"}, Exit: 126, Cause: "start-failure", Confidence: certain, Words: []string{"/tmp"}},
	{Name: "missing-interpreter", Why: "the script's interpreter is not there", Cmd: []string{"{dir}/run.sh"}, Files: map[string]string{"run.sh": "#!/opt/none/python3.13\nprint(1)\n"}, Exit: 127, Cause: "start-failure", Confidence: certain, Words: []string{"/opt/none/python3.13"}},
	{Name: "crlf-interpreter", Why: "the script has carriage returns: /bin/sh\\r is not there", Cmd: []string{"{dir}/run.sh"}, Files: map[string]string{"run.sh": "#!/bin/sh\r\necho hi\r\n"}, Exit: 127, Cause: "start-failure", Confidence: certain},
	{Name: "wrong-architecture", Why: "a binary of another machine", Cmd: []string{"{dir}/app"}, Setup: foreignELF, Exit: 126, Cause: "start-failure", Confidence: certain, Words: []string{"app"}},
	{Name: "missing-library", Why: "a library was removed: the loader's word", Cmd: []string{"./app"}, Setup: withoutLibrary, Needs: []string{"gcc"}, Exit: 127, Cause: "start-failure", Confidence: likelyUp, Words: []string{"libledger.so"}},
	{Name: "missing-symbol", Why: "a library without the function", Cmd: []string{"./app"}, Setup: withoutSymbol, Needs: []string{"gcc"}, Exit: 127, Cause: "start-failure", Confidence: likelyUp, Words: []string{"ledger_open"}},
	{Name: "entrypoint-script", Why: "an entry script execs a program that is not there", Cmd: []string{"sh", "-c", "echo starting; exec /opt/app/server --port 80"}, Exit: 127, Cause: "start-failure", Words: []string{"/opt/app/server"}},
	{Name: "shell-not-executable", Why: "an entry script execs a file without the right to run", Cmd: []string{"sh", "-c", "exec {dir}/plain.txt"}, Files: map[string]string{"plain.txt": "data\n"}, Exit: 126, Cause: "start-failure", Words: []string{"plain.txt"}},
	{Name: "code-127-itself", Why: "exits with 127 of its own accord", Kind: NearMiss, Cmd: []string{"python3", "-c", "import sys; sys.exit(127)"}, Exit: 127, Cause: "exit-error", Never: []string{"start-failure"}},
	{Name: "tries-alternatives", Why: "three programs are not there, that was foreseen; ends for its own reason", Kind: NearMiss, Cmd: []string{"c:start-failure/survives_exec.c"}, Exit: 19, Cause: "exit-error", Never: []string{"start-failure"}, Words: []string{"credit"}},
}

func foreignELF(r *Run) {
	h := make([]byte, 128)
	copy(h, "\x7fELF\x02\x02\x01") // big endian
	h[16+1], h[18+1] = 2, 22       // s390
	if err := os.WriteFile(filepath.Join(r.dir, "app"), h, 0o755); err != nil {
		r.t.Fatal(err)
	}
}

func withoutLibrary(r *Run) {
	link(r, "int ledger_open(void) { return 0; }\n")
	os.Remove(filepath.Join(r.dir, "libledger.so"))
}

func withoutSymbol(r *Run) {
	link(r, "int ledger_open(void) { return 0; }\n")
	lib(r, "int ledger_close(void) { return 0; }\n")
}

func lib(r *Run, src string) {
	if err := os.WriteFile(filepath.Join(r.dir, "lib.c"), []byte(src), 0o644); err != nil {
		r.t.Fatal(err)
	}
	build(r.t, r.dir, "gcc", "-shared", "-fPIC", "-o", "libledger.so", "lib.c")
}

func link(r *Run, src string) {
	lib(r, src)
	build(r.t, r.dir, "gcc", "-o", "app", filepath.Join(self, "start-failure/needs_lib.c"), "-L.", "-lledger", "-Wl,-rpath,"+r.dir)
}

// The numbers of amd64 and arm64: socket, getppid, getcwd.
var nr = map[string][2]string{"socket": {"41", "198"}, "getppid": {"110", "173"}, "getcwd": {"79", "17"}}

func number(call string) string {
	if isAMD64 {
		return nr[call][0]
	}
	return nr[call][1]
}

func jail(call, how string, cmd ...string) []string {
	return append([]string{"c:seccomp/jail.c", number(call), how}, cmd...)
}

var seccomp = []Scenario{
	{Name: "python-socket", Why: "sockets are forbidden", Cmd: jail("socket", "kill", "python3", "-c", "print('hello', flush=True); import socket; socket.socket()"), Exit: 159, Cause: "seccomp", Confidence: certain, Words: []string{"socket"}},
	{Name: "curl-socket", Varies: true, Why: "curl without sockets", Needs: []string{"curl"}, Cmd: jail("socket", "kill", "curl", "-s", "http://127.0.0.1:1/"), Exit: 159, Cause: "seccomp", Confidence: certain, Words: []string{"socket"}},
	{Name: "bash-getcwd", Why: "bash without getppid", Cmd: jail("getppid", "kill", "bash", "-c", "echo one; true"), Exit: 159, Cause: "seccomp", Confidence: certain, Words: []string{"getppid"}},
	{Name: "perl-trap", Why: "the filter traps, nobody handles it", Cmd: jail("getppid", "trap", "perl", "-e", "print getppid()"), Exit: 159, Cause: "seccomp", Confidence: certain},
	{Name: "in-a-shell", Why: "a shell's child dies of it", Cmd: []string{"sh", "-c", `"$@"; exit $?`, "sh", "c:seccomp/jail.c", number("socket"), "kill", "perl", "-MSocket", "-e", "socket(S,2,1,0)"}, Exit: 159, Varies: true, Cause: "seccomp"},
	{Name: "trap-handled", Why: "SIGSYS handled, as browsers do; ends with a code of its own", Kind: NearMiss, Cmd: []string{"c:seccomp/survives_trap.c"}, Exit: 10, Cause: "exit-error", Never: []string{"seccomp"}},
	{Name: "errno-answered", Why: "the filter answers EPERM; the program exits with a code", Kind: NearMiss, Cmd: jail("socket", "errno", "python3", "-c", "import socket, sys\ntry: socket.socket()\nexcept OSError: sys.exit(44)"), Exit: 44, Cause: "exit-error", Or: []string{"permission"}, Never: []string{"seccomp"}},
	{Name: "sys-sent-from-outside", Why: "kill -SYS from outside", Kind: NearMiss, Cmd: []string{"c:killed/idle.c"},
		Do: func(r *Run) { r.Await("ready\n"); r.SignalFrom("joker", "idle", syscall.SIGSYS) }, Exit: 159, Cause: "killed", Never: []string{"seccomp"}, Words: []string{"joker"}},
}

var killed = []Scenario{
	{Name: "c-sigkill", Unprivileged: true, Why: "SIGKILL from outside", Cmd: []string{"c:killed/idle.c"}, Do: func(r *Run) { r.Await("ready\n"); r.SignalFrom("reaper", "idle", syscall.SIGKILL) }, Exit: 137, Cause: "killed", Confidence: certain, Words: []string{"SIGKILL", "reaper"}, Never: []string{"memory-limit"}},
	{Name: "redis-sigkill", Why: "redis-server killed", Cmd: []string{"redis-server", "--port", "8850", "--bind", "127.0.0.1", "--save", "", "--dir", "{dir}"}, NetNS: true, Varies: true,
		Do: func(r *Run) {
			r.Await("Ready to accept connections")
			r.SignalFrom("janitor", "redis-server", syscall.SIGKILL)
		}, Exit: 137, Cause: "killed", Confidence: certain, Words: []string{"janitor"}},
	{Name: "node-sigterm", Why: "SIGTERM to Node.js", Cmd: []string{"js:killed/idle.js"}, Do: endAfter("ready\n", "node", syscall.SIGTERM), Exit: 143, Cause: "killed", Confidence: certain, Words: []string{"SIGTERM"}},
	{Name: "python-sigint", Varies: true, Why: "SIGINT: Python prints KeyboardInterrupt, and dies of the signal", Cmd: []string{"py:killed/idle.py"}, Do: endAfter("ready\n", "python3", syscall.SIGINT), Exit: 130, Cause: "killed", Never: []string{"uncaught-error"}},
	{Name: "python-sighup", Why: "SIGHUP", Cmd: []string{"py:killed/idle.py"}, Do: endAfter("ready\n", "python3", syscall.SIGHUP), Exit: 129, Cause: "killed", Words: []string{"SIGHUP"}},
	{Name: "c-sigusr1", Why: "SIGUSR1 without a handler", Cmd: []string{"c:killed/idle.c"}, Do: endAfter("ready\n", "idle", syscall.SIGUSR1), Exit: 138, Cause: "killed", Words: []string{"SIGUSR1"}},
	{Name: "go-sigquit", Why: "SIGQUIT: Go prints all goroutines and exits with 2", Cmd: []string{"go:killed/goidle"}, Do: endAfter("ready\n", "goidle", syscall.SIGQUIT), Varies: true, Exit: 2, Cause: "killed", Or: []string{"uncaught-error"}},
	{Name: "shell-itself", Why: "a script kills itself", Cmd: []string{"bash:killed/self.bash"}, Exit: 137, Cause: "killed"},
	{Name: "by-its-child", Why: "a child kills the parent", Cmd: []string{"py:killed/parent.py"}, Exit: 137, Cause: "killed"},
	{Name: "timeout-kills", Why: "timeout(1) ends its command", Cmd: []string{"timeout", "0.5", "sleep", "600"}, Exit: 124, Cause: "killed", Or: []string{"exit-error"}},
	{Name: "stress-ng-sigkill", Why: "stress-ng is killed while its worker works", Cmd: []string{"stress-ng", "--cpu", "1", "--timeout", "60"}, Varies: true,
		Do: func(r *Run) { r.Find("stress-ng-cpu"); r.SignalFrom("sweeper", "stress-ng", syscall.SIGKILL) }, Exit: 137, Cause: "killed", Words: []string{"SIGKILL", "sweeper"}},
	{Name: "deaf", Why: "SIGTERM is noted and not obeyed; timeout -k sends SIGKILL", Cmd: []string{"timeout", "-k", "1.5", "0.3", "c:shutdown-timeout/deaf.c"}, Varies: true, Exit: 137, Cause: "shutdown-timeout", Or: []string{"killed"}},
	{Name: "deaf-direct", Why: "SIGTERM is noted and not obeyed, SIGKILL follows", Cmd: []string{"c:shutdown-timeout/deaf.c"}, Do: termThenKill("deaf", "saving"), Exit: 137, Cause: "shutdown-timeout", Confidence: likelyUp, Words: []string{"SIGTERM", "SIGKILL"}},
	{Name: "python-drains", Why: "waits for connections that never end", Cmd: []string{"py:shutdown-timeout/drain.py"}, Do: termThenKill("python3", "draining"), Exit: 137, Cause: "shutdown-timeout", Confidence: likelyUp, Words: []string{"SIGTERM"}},
	{Name: "obeys-term", Unprivileged: true, Why: "ends in good order on SIGTERM", Kind: NearMiss, Cmd: []string{"py:shutdown-timeout/leave.py", "clean"}, Do: endAfter("ready\n", "python3", syscall.SIGTERM), Exit: 0, Cause: "finished", Or: []string{"unexplained", "killed"}, Never: []string{"shutdown-timeout"}},
	{Name: "fails-while-stopping", Why: "an error while it stops", Kind: Pair, Cmd: []string{"py:shutdown-timeout/leave.py", "fail"}, Do: endAfter("ready\n", "python3", syscall.SIGTERM), Exit: 1, Cause: "uncaught-error", Never: []string{"shutdown-timeout"}, Words: []string{"state"}},
}

func termThenKill(comm, text string) func(*Run) {
	return func(r *Run) {
		r.Await("ready\n")
		r.SignalFrom("orchestrator", comm, syscall.SIGTERM)
		r.Await(text)
		r.SignalFrom("orchestrator", comm, syscall.SIGKILL)
	}
}

var ends = []Scenario{
	{Name: "silent-1", Unprivileged: true, Why: "exit code 1 and no word", Cmd: []string{"c:exit-error/quiet.c"}, Exit: 1, Cause: "exit-error"},
	{Name: "false", Why: "false", Cmd: []string{"false"}, Exit: 1, Cause: "exit-error"},
	{Name: "go-fatal", Why: "log.Fatal", Cmd: []string{"go:exit-error/gofatal"}, Exit: 1, Cause: "exit-error", Words: []string{"feature flag"}},
	{Name: "old-encoding", Why: "its log is in Windows-1251", Cmd: []string{"py:exit-error/old_encoding.py"}, Exit: 9, Cause: "exit-error", Words: []string{"Windows-1251", "склад не отвечает"}},
	{Name: "node-exit-code", Why: "process.exitCode", Cmd: []string{"js:exit-error/leave.js"}, Exit: 20, Cause: "exit-error", Words: []string{"schema version"}},
	{Name: "grep-no-match", Why: "grep finds nothing", Cmd: []string{"grep", "-q", "zebra", "/etc/hostname"}, Exit: 1, Cause: "exit-error"},
	{Name: "git-no-repository", Why: "git outside of a repository", Cmd: []string{"git", "-C", "{dir}", "status"}, Env: []string{"GIT_CEILING_DIRECTORIES=/"}, Exit: 128, Cause: "exit-error", Or: []string{"file-missing"}, Words: []string{"not a git repository"}},
	{Name: "curl-refused", Why: "curl: connection refused", Cmd: []string{"curl", "-sS", "http://127.0.0.1:9/"}, NetNS: true, Varies: true, Exit: 7, Cause: "exit-error", Or: []string{"connect-failure"}, Words: []string{"curl: (7)"}},
	{Name: "nginx-bad-config", Why: "nginx with an unknown directive", Cmd: []string{"nginx", "-t", "-c", "{dir}/n.conf", "-e", "stderr"}, Files: map[string]string{"n.conf": "evnets {}\n"}, Varies: true, Exit: 1, Cause: "exit-error", Words: []string{"evnets"}},
	{Name: "sort-missing-file", Why: "sort: no such file", Cmd: []string{"sort", "no-such-file"}, Exit: 2, Cause: "exit-error", Or: []string{"file-missing"}, Words: []string{"no-such-file"}},

	{Name: "true", Unprivileged: true, Why: "true", Cmd: []string{"true"}, Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Silent: true},
	{Name: "bash-noisy", Why: "a script whose children fail, and which ends well", Cmd: []string{"bash:finished/noisy.bash"}, Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Silent: true, Never: []string{"broken-pipe", "start-failure"}},
	{Name: "python-work", Why: "threads, a child, handled errors", Cmd: []string{"py:finished/work.py"}, Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Silent: true},
	{Name: "nginx-config-test", Why: "nginx -t", Cmd: []string{"nginx", "-t", "-c", "{dir}/n.conf", "-e", "stderr"}, Files: map[string]string{"n.conf": nginxConf("8860")}, Varies: true, Exit: 0, Cause: "finished", Or: []string{"unexplained"}},
	{Name: "redis-shutdown", Why: "redis-server is told to end", Cmd: []string{"redis-server", "--port", "8861", "--bind", "127.0.0.1", "--save", "", "--dir", "{dir}"}, NetNS: true, Varies: true, Needs: []string{"redis-cli"},
		Do: func(r *Run) {
			r.Await("Ready to accept connections")
			r.Helper("", "redis-cli", "-p", "8861", "shutdown", "nosave")
		}, Exit: 0, Cause: "finished", Or: []string{"unexplained"}},
	{Name: "stdin-to-stdout", Why: "sort of standard input", Cmd: []string{"sort", "-r"}, Stdin: "a\nc\nb\n", Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Silent: true},

	{Name: "cpu-limit", Why: "RLIMIT_CPU: SIGXCPU from the kernel", Cmd: []string{"c:unexplained/busy.c"}, Limits: map[string]uint64{"cpu": 1}, Exit: 152, Cause: "resource-signal", Confidence: certain},
	{Name: "file-size-limit", Why: "RLIMIT_FSIZE: SIGXFSZ", Cmd: []string{"c:unexplained/big_file.c"}, Limits: map[string]uint64{"fsize": 65536}, Exit: 153, Cause: "resource-signal", Confidence: certain, Never: []string{"killed"}},
	{Name: "file-size-limit-python", Why: "RLIMIT_FSIZE in a program that ignores SIGXFSZ", Cmd: []string{"python3", "-c", "open('big', 'wb').write(b'x' * 1000000)"}, Limits: map[string]uint64{"fsize": 65536}, Exit: 1, Cause: "resource-signal", Confidence: certain, Words: []string{"EFBIG"}},
	{Name: "own-alarm", Why: "its own timer ends it", Cmd: []string{"c:unexplained/alarm.c"}, Exit: 142, Cause: "unexplained", Or: []string{"killed"}, Never: []string{"output-stalled"}},
	{Name: "truncated-mapping", Why: "SIGBUS: a mapped file was cut short", Cmd: []string{"c:unexplained/truncated.c"}, Exit: 135, Cause: "unexplained", Or: []string{"file-truncated", "invalid-access"}},
	{Name: "seccomp-strict", Why: "strict mode kills with SIGKILL, which nobody sent", Cmd: []string{"c:seccomp/strict.c"}, Exit: 137, Cause: "unexplained", Or: []string{"seccomp", "killed"}, Never: []string{"memory-limit"}},
}

func inCgroup(cmd ...string) []string {
	return append([]string{"sh", "-c", `echo $$ >{cg}/cgroup.procs && exec "$@"`, "sh"}, cmd...)
}

var memory = []Scenario{
	{Name: "c-hog", Why: "a cgroup's memory limit; the kernel kills it", Cmd: inCgroup("c:memory-limit/hog.c"), MemCG: 32 << 20, Exit: 137, Cause: "memory-limit", Confidence: likelyUp, Never: []string{"killed"}},
	{Name: "python-cache", Why: "a cache without a bound", Cmd: inCgroup("py:memory-limit/cache.py"), MemCG: 48 << 20, Exit: 137, Cause: "memory-limit", Confidence: likelyUp},
	{Name: "shell-child", Why: "a shell's child is killed for memory, the shell passes it on", Cmd: []string{"sh", "-c", `echo $$ >{cg}/cgroup.procs; "$0"; exit $?`, "c:memory-limit/hog.c"}, MemCG: 32 << 20, Varies: true, Exit: 137, Cause: "memory-limit"},
	{Name: "fat-then-killed", Why: "much memory, within its limit, and SIGKILL from outside", Kind: NearMiss, Cmd: inCgroup("py:memory-limit/fat.py"), MemCG: 64 << 20, Do: endAfter("ready\n", "python3", syscall.SIGKILL), Exit: 137, Cause: "killed", Never: []string{"memory-limit"}},
	{Name: "worker-killed-main-exits", Why: "a worker is killed for memory; the parent ends for its own reason", Kind: Pair, Cmd: inCgroup("py:memory-limit/parent.py"), MemCG: 48 << 20, Exit: 5, Cause: "exit-error", Or: []string{"memory-limit"}, Words: []string{"nothing is left"}},
}
