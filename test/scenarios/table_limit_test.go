package scenarios

import (
	"os"
	"strings"
	"syscall"
)

func as(bytes string, cmd ...string) []string { return ulimit("--as="+bytes, cmd...) }

var memoryOr = []string{"uncaught-error", "exit-error", "assertion"} // of runtimes' own limits

var limits = []Scenario{
	// Memory refused.
	{Name: "c-checked", Why: "malloc is refused for RLIMIT_AS, and checked", Cmd: as("200000000", "c:mapping-limit/checked.c"), Exit: 3, Cause: "mapping-limit", Confidence: certain, Words: []string{"RLIMIT_AS"}, Never: []string{"memory-limit"}},
	{Name: "c-unchecked", Why: "malloc is refused for RLIMIT_AS, and not checked", Cmd: as("200000000", "c:mapping-limit/unchecked.c"), Exit: 139, Cause: "mapping-limit", Confidence: likelyUp, Words: []string{"RLIMIT_AS", "null pointer"}},
	{Name: "c-silent", Why: "refused memory, it ends without a word", Cmd: as("200000000", "c:mapping-limit/silent.c"), Exit: 12, Cause: "mapping-limit", Confidence: likelyUp},
	{Name: "cpp-bad-alloc", Why: "new throws std::bad_alloc for RLIMIT_AS", Cmd: as("200000000", "cc:mapping-limit/grow.cc"), Exit: 134, Cause: "mapping-limit", Confidence: certain, Words: []string{"RLIMIT_AS"}},
	{Name: "python-as", Why: "MemoryError for RLIMIT_AS", Cmd: as("300000000", "py:mapping-limit/cache.py"), Exit: 1, Cause: "mapping-limit", Confidence: certain, Words: []string{"RLIMIT_AS"}},
	{Name: "python-data", Why: "MemoryError for RLIMIT_DATA", Cmd: ulimit("--data=200000000", "py:mapping-limit/cache.py"), Exit: 1, Cause: "mapping-limit", Confidence: certain, Words: []string{"RLIMIT_DATA"}},
	{Name: "ruby-as", Why: "NoMemoryError for RLIMIT_AS", Cmd: as("500000000", "rb:mapping-limit/grow.rb"), Varies: true, Exit: 1, Cause: "mapping-limit", Confidence: likelyUp, Words: []string{"RLIMIT_AS"}},
	{Name: "perl-as", Why: "perl is out of memory for RLIMIT_AS", Cmd: as("200000000", "pl:mapping-limit/grow.pl"), Exit: 1, Cause: "mapping-limit", Confidence: likelyUp, Words: []string{"RLIMIT_AS"}},
	{Name: "php-as", Why: "PHP is out of memory for RLIMIT_AS, below its own limit", Cmd: as("500000000", "php:mapping-limit/grow.php", "-1"), Varies: true, Exit: 1, Cause: "mapping-limit", Confidence: likelyUp, Words: []string{"RLIMIT_AS"}},
	{Name: "go-as", Why: "Go's runtime is out of memory for RLIMIT_AS", Cmd: as("700000000", "go:mapping-limit/gogrow"), Varies: true, Exit: 2, Cause: "mapping-limit", Confidence: likelyUp, Words: []string{"RLIMIT_AS"}},
	{Name: "java-heap-reserve", Why: "the JVM cannot reserve its heap under RLIMIT_AS", Cmd: as("1000000000", "java", "-Xmx2g", "-version"), Varies: true, Exit: 1, Cause: "mapping-limit", Confidence: likelyUp, Words: []string{"RLIMIT_AS"}},
	{Name: "java-map-failed", Why: "FileChannel.map is refused for RLIMIT_AS", Cmd: as("6000000000", "java:mapping-limit/Direct.java"), Varies: true, Exit: 1, Cause: "mapping-limit", Confidence: likelyUp, Words: []string{"RLIMIT_AS"}},
	{Name: "node-buffers", Why: "Node.js gets no more buffers for RLIMIT_DATA", Cmd: ulimit("--data=900000000", "js:mapping-limit/buffers.js"), Varies: true, AnyExit: true, Exit: 1, Cause: "mapping-limit", Confidence: likelyUp},
	{Name: "node-start", Why: "Node.js cannot start under RLIMIT_AS", Cmd: as("400000000", "node", "-e", "console.log(1)"), Varies: true, AnyExit: true, Exit: 133, Cause: "mapping-limit", Or: []string{"invalid-access", "uncaught-error", "assertion"}},
	{Name: "xz", Why: "xz needs more than RLIMIT_AS", Cmd: as("200000000", "xz", "-9", "-k", "-c", "{dir}/in"), Files: map[string]string{"in": strings.Repeat("some text\n", 100)}, Exit: 1, Cause: "mapping-limit", Confidence: certain, Words: []string{"RLIMIT_AS"}},
	{Name: "sort", Why: "sort gets no buffer under RLIMIT_AS", Cmd: as("60000000", "sort", "{dir}/in"), Setup: longLine, Varies: true, Exit: 2, Cause: "mapping-limit", Confidence: likelyUp, Words: []string{"RLIMIT_AS"}},
	{Name: "sqlite-memory", Why: "SQLite is out of memory under RLIMIT_AS", Cmd: as("90000000", "sqlite3", ":memory:", "create table t(x); with recursive c(n) as (select 1 union all select n+1 from c limit 4000) insert into t select randomblob(100000) from c;"), Needs: []string{"sqlite3"}, Varies: true, Exit: 7, Cause: "mapping-limit", Confidence: likelyUp},
	{Name: "gcc", Why: "the compiler proper is out of memory", Cmd: as("60000000", "gcc", "-O2", "-c", "-o", "{dir}/x.o", "{dir}/x.c"), Files: map[string]string{"x.c": bigC()}, Varies: true, Exit: 1, Cause: "mapping-limit", Confidence: likelyUp, Words: []string{"RLIMIT_AS"}},
	{Name: "max-map-count", Why: "65,530 mappings", Cmd: []string{"c:mapping-limit/pieces.c"}, Exit: 4, Cause: "mapping-limit", Confidence: certain, Words: []string{"vm.max_map_count"}},
	{Name: "mlock", Why: "locked memory beyond RLIMIT_MEMLOCK", UID: 54341, Cmd: ulimit("--memlock=65536:65536", "c:mapping-limit/lock.c"), Exit: 5, Cause: "mapping-limit", Confidence: certain, Words: []string{"RLIMIT_MEMLOCK"}},
	{Name: "mlock-none", Why: "no locked memory at all: EPERM", UID: 54342, Cmd: ulimit("--memlock=0:0", "c:mapping-limit/lock.c"), Exit: 5, Cause: "mapping-limit", Or: []string{"permission"}, Confidence: certain, Words: []string{"RLIMIT_MEMLOCK"}},
	{Name: "one-big", Why: "three tebibytes in one piece", Cmd: []string{"c:mapping-limit/onebig.c"}, Exit: 6, Cause: "mapping-limit", Confidence: certain, Words: []string{"3072 GiB"}},

	{Name: "refused-and-survived", Why: "a large block is refused, a small one does; ends for another reason", Kind: NearMiss, Cmd: as("300000000", "c:mapping-limit/survives.c"), Exit: 7, Cause: "exit-error", Never: []string{"mapping-limit"}, Words: []string{"order 4711"}},
	{Name: "memory-error-handled", Why: "MemoryError is handled, a KeyError ends it", Kind: Pair, Cmd: as("300000000", "py:mapping-limit/handled.py"), Exit: 1, Cause: "uncaught-error", Never: []string{"mapping-limit"}, Words: []string{"KeyError"}},
	{Name: "tries-and-ends", Why: "a vast mapping is tried for; right after that the customer is locked", Kind: NearMiss, Cmd: as("500000000", "python3", "-c", "import mmap, sys\ntry: mmap.mmap(-1, 1 << 40)\nexcept OSError: pass\nsys.stderr.write('customer 12 is blocked\\n')\nsys.exit(3)"), Exit: 3, Cause: "exit-error", Never: []string{"mapping-limit"}, Words: []string{"customer 12"}},
	{Name: "absurd-size", Why: "a size by mistake: no limit did it", Kind: NearMiss, Cmd: []string{"py:mapping-limit/absurd.py"}, Exit: 8, Cause: "exit-error", Never: []string{"mapping-limit"}},
	{Name: "v8-heap-limit", Why: "V8's own heap limit", Kind: NearMiss, Cmd: []string{"node", "--max-old-space-size=30", self + "/mapping-limit/heap.js"}, Varies: true, Exit: 134, Cause: "uncaught-error", Or: memoryOr, Never: []string{"mapping-limit", "memory-limit"}},
	{Name: "java-own-heap", Why: "-Xmx: Java's own limit", Kind: NearMiss, Cmd: []string{"java", "-Xmx32m", "-cp", "{dir}", "Heap"}, Needs: []string{"javac"}, Setup: javac("mapping-limit/Heap.java"), Varies: true, Exit: 1, Cause: "uncaught-error", Never: []string{"mapping-limit", "memory-limit"}},
	{Name: "php-own-limit", Why: "PHP's memory_limit", Kind: NearMiss, Cmd: []string{"php:mapping-limit/grow.php", "32M"}, Varies: true, Exit: 255, Cause: "uncaught-error", Or: memoryOr, Never: []string{"mapping-limit", "memory-limit"}},
	{Name: "raises-memory-error", Why: "a program that raises MemoryError itself", Kind: NearMiss, Cmd: []string{"python3", "-c", "raise MemoryError('cache budget')"}, Exit: 1, Cause: "uncaught-error", Never: []string{"mapping-limit"}},

	// Processes refused.
	{Name: "c-forks", Why: "RLIMIT_NPROC of another user", UID: 54351, Cmd: ulimit("--nproc=12:12", "c:pid-limit/forks.c"), Exit: 11, Cause: "pid-limit", Confidence: certain, Words: []string{"RLIMIT_NPROC", "12"}},
	{Name: "c-silent-threads", Why: "pthread_create is refused, and it ends without a word", UID: 54352, Cmd: ulimit("--nproc=20:20", "c:pid-limit/silent.c"), Exit: 9, Cause: "pid-limit", Confidence: likelyUp, Words: []string{"RLIMIT_NPROC"}},
	{Name: "cpp-threads", Why: "std::thread throws", PidsMax: 30, Cmd: []string{"cc:pid-limit/threads.cc"}, Exit: 134, Cause: "pid-limit", Confidence: certain, Words: []string{"pids.max"}},
	{Name: "python-threads", Why: "can't start new thread", PidsMax: 30, Cmd: []string{"py:pid-limit/pool.py"}, Exit: 1, Cause: "pid-limit", Confidence: certain, Words: []string{"pids.max", "30"}},
	{Name: "fewer-workers", Why: "a worker is refused and done without; then the input is wrong", Kind: NearMiss, UID: 54359, Cmd: ulimit("--nproc=3:3", "perl", "-e", "my @p; for (1..6) { my $p = fork(); if (!defined $p) { warn qq(fork: $!; with fewer of them then\n); last } if (!$p) { select undef, undef, undef, 0.3; exit } push @p, $p } waitpid $_, 0 for @p; die qq(order 9 lacks a price\n)"), AnyExit: true, Exit: 11, Cause: "exit-error", Never: []string{"pid-limit"}, Words: []string{"order 9"}},
	{Name: "python-subprocess", Why: "subprocess is refused a process", UID: 54353, Cmd: ulimit("--nproc=15:15", "py:pid-limit/workers.py"), Varies: true, Exit: 1, Cause: "pid-limit", Confidence: certain, Words: []string{"RLIMIT_NPROC"}},
	{Name: "ruby-threads", Why: "ThreadError", PidsMax: 30, Cmd: []string{"rb:pid-limit/pool.rb"}, Varies: true, Exit: 1, Cause: "pid-limit", Confidence: likelyUp, Words: []string{"pids.max"}},
	{Name: "perl-forks", Why: "fork in perl", PidsMax: 20, Cmd: []string{"pl:pid-limit/forks.pl"}, Exit: 11, Cause: "pid-limit", Confidence: certain, Words: []string{"pids.max"}},
	{Name: "node-spawn", Why: "child_process.spawn EAGAIN", PidsMax: 40, Cmd: []string{"js:pid-limit/workers.js"}, Varies: true, Exit: 1, Cause: "pid-limit", Confidence: likelyUp, Words: []string{"pids.max"}},
	{Name: "java-threads", Why: "unable to create native thread", PidsMax: 60, Cmd: []string{"java:pid-limit/Pool.java"}, Varies: true, Exit: 1, Cause: "pid-limit", Confidence: likelyUp, Words: []string{"pids.max"}},
	{Name: "go-threads", Why: "failed to create new OS thread", PidsMax: 40, Cmd: []string{"go:pid-limit/gothreads"}, Varies: true, Exit: 2, Cause: "pid-limit", Confidence: likelyUp, Words: []string{"pids.max"}},
	{Name: "php-proc-open", Why: "proc_open is refused", PidsMax: 15, Cmd: []string{"php:pid-limit/forks.php"}, Varies: true, Exit: 14, Cause: "pid-limit", Confidence: likelyUp, Words: []string{"pids.max"}},
	{Name: "xargs-waits", Why: "xargs cannot fork, waits for its children and goes on", Kind: NearMiss, PidsMax: 6, Cmd: []string{"xargs", "-P", "20", "-n", "1", "sleep"}, Stdin: strings.Repeat("3 ", 20), Varies: true, Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"pid-limit"}, Silent: true},
	{Name: "make", Why: "make -j cannot fork", PidsMax: 8, Cmd: []string{"make", "-j", "30", "-f", "{dir}/Makefile"}, Files: map[string]string{"Makefile": "all: $(addprefix j,1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)\nj%:\n\t@sleep 1; true\n"}, Varies: true, Exit: 2, Cause: "pid-limit", Confidence: likelyUp},
	{Name: "retried", Why: "a fork refused, then done; a ValueError ends it", Kind: Pair, PidsMax: 20, Cmd: []string{"py:pid-limit/retry.py"}, Exit: 1, Cause: "uncaught-error", Never: []string{"pid-limit"}, Words: []string{"invoice 17"}},
	{Name: "nonblocking-read", Why: "EAGAIN of a pipe, not of fork", Kind: NearMiss, Cmd: []string{"python3", "-c", "import os; r,w=os.pipe(); os.set_blocking(r,False); os.read(r,1)"}, Exit: 1, Cause: "uncaught-error", Never: []string{"pid-limit"}},

	// Mapped files.
	{Name: "c-from-outside", Why: "the index is written anew while it is mapped", Cmd: []string{"c:file-truncated/index.c", "{dir}/data.bin"}, Files: data, Do: truncateIt, Exit: 135, Cause: "file-truncated", Confidence: likelyUp, Words: []string{"data.bin"}},
	{Name: "c-own", Why: "it cuts its own store short", Cmd: []string{"c:file-truncated/own.c"}, Exit: 135, Cause: "file-truncated", Confidence: likelyUp, Words: []string{"store"}},
	{Name: "python-mmap", Why: "a mapped file is cut short under Python", Cmd: []string{"py:file-truncated/index.py"}, Files: data, Do: truncateIt, Exit: 135, Cause: "file-truncated", Confidence: likelyUp, Words: []string{"data.bin"}},
	{Name: "go-mmap", Why: "a mapped file is cut short under Go", Cmd: []string{"go:file-truncated/gomap"}, Files: data, Do: truncateIt, Varies: true, Exit: 2, Cause: "file-truncated", Confidence: likelyUp, Words: []string{"data.bin"}},
	{Name: "java-mmap", Why: "a mapped file is cut short under Java: InternalError", Cmd: []string{"java:file-truncated/Index.java"}, Files: data, Do: truncateIt, Varies: true, Exit: 1, Cause: "file-truncated", Confidence: likelyUp, Words: []string{"data.bin"}},
	{Name: "plugin", Why: "a loaded library is overwritten in place", Cmd: []string{"c:file-truncated/plugin.c"}, Setup: makePlugin, Exit: 135, Cause: "file-truncated", Confidence: likelyUp, Words: []string{"libplugin.so"}},
	{Name: "sqlite-cut-short", Why: "a database is cut short under sqlite, which looks how long it is", Kind: NearMiss, Cmd: []string{"sqlite3", "-cmd", "pragma mmap_size=100000000;", "{dir}/db"}, Needs: []string{"sqlite3", "truncate"}, Setup: makeDatabase,
		Stdin: "select count(x) from t;\n.system truncate -s 4096 db\nselect sum(length(x)), max(x) from t;\n", Varies: true, Exit: 1, Cause: "exit-error", Never: []string{"file-truncated"}, Words: []string{"malformed"}},

	{Name: "mapped-too-long", Why: "the mapping is longer than the file ever was", Kind: NearMiss, Cmd: []string{"c:file-truncated/toolong.c", "{dir}/data.bin"}, Files: map[string]string{"data.bin": "short\n"}, Exit: 135, Cause: "invalid-access", Never: []string{"file-truncated"}, Words: []string{"data.bin"}},
	{Name: "full-tmpfs", Why: "a sparse file on a full tmpfs, written through a mapping", Kind: NearMiss, Mounts: []Mount{{At: "{dir}", FS: "tmpfs", Opt: "size=512k"}}, Cmd: []string{"c:file-truncated/sparse.c"}, Exit: 135, Cause: "disk-full", Confidence: certain, Never: []string{"file-truncated"}},
	{Name: "raised", Why: "raise(SIGBUS)", Kind: NearMiss, Cmd: []string{"c:file-truncated/raised.c"}, Exit: 135, Cause: "killed", Never: []string{"file-truncated"}},
	{Name: "sent", Why: "kill -BUS from outside", Kind: NearMiss, Cmd: []string{"c:killed/idle.c"}, Do: func(r *Run) { r.Await("ready\n"); r.SignalFrom("joker", "idle", syscall.SIGBUS) }, Exit: 135, Cause: "killed", Never: []string{"file-truncated"}},
	{Name: "recovers", Why: "SIGBUS is handled; it ends for another reason", Kind: Pair, Cmd: []string{"c:file-truncated/recovers.c"}, Exit: 15, Cause: "exit-error", Never: []string{"file-truncated"}, Words: []string{"tenant 5"}},
}

var data = map[string]string{"data.bin": strings.Repeat("0123456789abcdef", 1<<14)}

// truncateIt writes data.bin anew, as an editor or a deployment does that does not rename.
func truncateIt(r *Run) {
	r.Await("serving\n")
	if err := os.WriteFile(r.Path("data.bin"), []byte("new\n"), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// longLine is a file of one line that takes more memory than there is.
func longLine(r *Run) {
	f, err := os.Create(r.Path("in"))
	if err == nil {
		err = f.Truncate(200 << 20)
		f.Close()
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func javac(file string) func(*Run) {
	return func(r *Run) { build(r.t, r.dir, "javac", "-d", ".", self+"/"+file) }
}

func makePlugin(r *Run) {
	src := "static const char pad[1<<16] = {1};\nint near_function(int x) { return pad[x]; }\n__attribute__((section(\".far\"))) int far_function(int x) { return pad[x * 4096] + x; }\n"
	if err := os.WriteFile(r.Path("lib.c"), []byte(src), 0o644); err != nil {
		r.t.Fatal(err)
	}
	build(r.t, r.dir, "gcc", "-shared", "-fPIC", "-o", "libplugin.so", "lib.c")
}

func makeDatabase(r *Run) {
	build(r.t, r.dir, "sqlite3", "db", "create table t(x); with recursive c(n) as (select 1 union all select n+1 from c limit 2000) insert into t select randomblob(1000) from c;")
}

// bigC is much work for a compiler.
func bigC() string {
	var b strings.Builder
	b.WriteString("int f(int x) {\n")
	for range 20000 {
		b.WriteString("x = x * 31 + (x >> 3) ^ (x << 5);\nif (x & 1) x += 7; else x -= 3;\n")
	}
	b.WriteString("return x; }\n")
	return b.String()
}
