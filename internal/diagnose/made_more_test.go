package diagnose

import (
	"time"

	e "github.com/descry-dev/descry/internal/evidence"
)

func madeMore() []madeCase {
	var out []madeCase
	add := func(name, want string, c *e.Case) { out = append(out, madeCase{name, want, c}) }
	tid := mainPID

	// memory-corruption
	add("memory-corruption/near-miss-assert", "assertion certain", mk("/srv/cart").stderr("INFO malloc(): 12 MiB in use\ncart: cart.c:41: add: Assertion `n < max' failed.\n").dies(abrt(libc("abort"), libc("__assert_fail"), mine("add"))))
	add("memory-corruption/bystander-told-before", "killed certain", mk("/srv/cart").stderr("worker 3: free(): invalid pointer\nworker 3 restarted\n").at(59.9, never, sent(e.SIGTERM, 900, "bash", "bash")).dies(outside(e.SIGTERM, 900)))

	// stack-overflow
	deep := func(n int) (t []e.Frame) {
		for range n {
			t = append(t, mine("walk"))
		}
		return t
	}
	add("stack-overflow/positive-go", "stack-overflow certain", mk("/srv/cart").stderr(lines2("runtime: goroutine stack exceeds 1000000000-byte limit", "runtime: sp=0x1fe69c060388 stack=[0x1fe69c060000, 0x1fe6bc060000]",
		"fatal error: stack overflow", "", "runtime stack:", "runtime.throw({0x4c9693?, 0x41a701?})", "\t/usr/local/go/src/runtime/panic.go:1229 +0x48", "", "goroutine 1 gp=0x1fe67bfd61e0 m=0 mp=0x58af80 [running]:",
		"main.so(0x2aaaa46?)", "\t/tmp/g/main.go:16 +0x2b", "main.so(0x0?)", "\t/tmp/g/main.go:16 +0x17")).exits(2))
	add("stack-overflow/positive-node", "stack-overflow certain", mk("/usr/bin/node", "x.js").stderr(lines2("/srv/x.js:1", "function f(){f()} f()", "             ^", "", "RangeError: Maximum call stack size exceeded",
		"    at f (/srv/x.js:1:14)", "    at f (/srv/x.js:1:14)", "", "Node.js v20.20.2")).exits(1))
	add("stack-overflow/near-miss-guard-of-another", "invalid-access certain", mk("/srv/cart").dies(&e.SignalFatal{Signal: e.SIGSEGV, Code: 1, Address: 0x7f2a40000ff0, SP: 0x7ffd10001000, Fault: "stack guard",
		StackLo: 0x7ffd0fff0000, StackHi: 0x7ffd10021000, Trace: []e.Frame{mine("fill")}}))
	add("stack-overflow/near-miss-recursion-error", "uncaught-error certain", mk("/usr/bin/python3", "x.py").stderr(lines2("Traceback (most recent call last):", `  File "/srv/x.py", line 2, in <module>`, "    f()", `  File "/srv/x.py", line 1, in f`,
		"  [Previous line repeated 996 more times]", "RecursionError: maximum recursion depth exceeded")).exits(1))
	add("stack-overflow/bystander-null-in-recursion", "invalid-access certain", mk("/srv/cart").dies(segv(0x8, "null page", deep(12)...)))

	// invalid-access
	add("invalid-access/positive-division", "invalid-access certain", mk("/srv/cart").dies(&e.SignalFatal{Signal: e.SIGFPE, Code: 1, Address: 0x401234, Trace: []e.Frame{mine("share")}}))
	b := mk("/srv/cart").at(59.99, tid, &e.SignalCaught{SignalFatal: *segv(0x18, "null page", mine("render")), Count: 1}).stderr("cart: caught SIGSEGV, dumping\n")
	add("invalid-access/positive-reraised", "invalid-access certain", b.dies(&e.SignalFatal{Signal: e.SIGSEGV, Code: -6, Sender: mainPID, Self: true, Trace: []e.Frame{libc("raise"), mine("on_crash")}}))
	add("invalid-access/near-miss-recovered", "exit-error certain", mk("/srv/cart").at(59.99, tid, &e.SignalCaught{SignalFatal: *segv(0x18, "null page", mine("render")), Count: 1}).stderr("cart: no stock\n").exits(6))
	add("invalid-access/near-miss-sent", "killed certain", mk("/srv/cart").at(59.99, never, sent(e.SIGSEGV, 900, "bash", "bash")).dies(outside(e.SIGSEGV, 900)))
	add("invalid-access/bystander-java-null-check", "uncaught-error certain", mk("/usr/bin/java", "Cart").at(59.9, tid, &e.SignalCaught{SignalFatal: *segv(0x8, "null page"), Count: 1}).
		stderr(lines2(`Exception in thread "main" java.lang.NullPointerException: Cannot invoke "String.length()"`, "\tat Cart.total(Cart.java:12)", "\tat Cart.main(Cart.java:4)")).exits(1))

	// assertion
	add("assertion/positive-abort", "assertion certain", mk("/srv/cart").dies(abrt(libc("abort"), mine("add"))))
	add("assertion/near-miss-cpp", "uncaught-error certain", mk("/srv/cart").stderr("terminate called after throwing an instance of 'std::runtime_error'\n  what():  bad thing\n").dies(abrt(libc("abort"), mine("main"))))
	add("assertion/bystander-sent", "killed certain", mk("/srv/cart").stderr("cart: Assertion cache: 3 misses\n").at(59.99, never, sent(e.SIGABRT, 900, "systemd", "/sbin/init")).dies(outside(e.SIGABRT, 900)))

	// uncaught-error
	add("uncaught-error/positive-java", "uncaught-error certain", mk("/usr/bin/java", "T").stderr(lines2(`Exception in thread "main" java.lang.IllegalStateException: cfg`, "\tat T.f(T.java:1)", "\tat T.main(T.java:1)",
		`Caused by: java.lang.NumberFormatException: For input string: "x"`, "\tat java.base/java.lang.Integer.parseInt(Integer.java:668)", "\t... 1 more")).exits(1))
	add("uncaught-error/positive-ruby", "uncaught-error certain", mk("/usr/bin/ruby", "t.rb").stderr(lines2("t.rb:1:in `a': bad (ArgumentError)", "\tfrom t.rb:2:in `b'", "\tfrom t.rb:3:in `<main>'")).exits(1))
	add("uncaught-error/positive-php", "uncaught-error certain", mk("/usr/bin/php", "t.php").stderr(lines2("PHP Fatal error:  Uncaught Exception: ouch in /srv/t.php:1", "Stack trace:", "#0 /srv/t.php(1): f()", "#1 {main}", "  thrown in /srv/t.php on line 1")).exits(255))
	add("uncaught-error/positive-rust", "uncaught-error certain", mk("/srv/cart").stderr(lines2("thread 'main' panicked at src/main.rs:2:5:", "no stock", "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace")).exits(101))
	add("uncaught-error/positive-dotnet", "uncaught-error certain", mk("/usr/bin/dotnet", "cart.dll").stderr(lines2("Unhandled exception. System.InvalidOperationException: no stock", "   at Cart.Add(Int32 n) in /src/Cart.cs:line 12", "   at Program.Main()")).dies(abrt(libc("abort"))))
	add("uncaught-error/positive-perl", "uncaught-error certain", mk("/usr/bin/perl", "t.pl").stderr("oh no at t.pl line 1.\n").exits(255))
	add("uncaught-error/positive-cpp", "uncaught-error certain", mk("/srv/cart").stderr("terminate called after throwing an instance of 'std::runtime_error'\n  what():  bad thing\n").dies(abrt(libc("abort"), mine("main"))))
	add("uncaught-error/near-miss-survived", "exit-error certain", mk("/usr/bin/python3", "/srv/cart.py").stderr(pyValueError+"INFO order skipped\nINFO checkout 8813 ok\n").exits(1))
	add("uncaught-error/near-miss-thread", "exit-error certain", mk("/usr/bin/python3", "/srv/cart.py").stderr("Exception in thread Thread-1 (f):\n"+pyValueError).exits(3))
	add("uncaught-error/near-miss-wrong-code", "exit-error certain", mk("/srv/cart").stderr(pyValueError).exits(7))
	add("uncaught-error/bystander-killed", "killed certain", mk("/usr/bin/python3", "/srv/cart.py").stderr(pyValueError).at(59.99, never, sent(e.SIGKILL, 900, "bash", "bash")).dies(outside(e.SIGKILL, 900)))

	// start-failure
	ns := mk("/srv/nosuch")
	ns.c.Death.NotStarted, ns.c.Death.StartErrno = true, e.ENOENT
	ns.c.Death.ExitCode = 127
	ns.c.Death.At = time.Unix(0, wallBase).UTC()
	ns.c.OpenedAt = ns.c.Death.At
	ns.c.Timeline = nil
	ns.at(0, tid, &e.ExecFailed{Path: "/srv/nosuch", Errno: e.ENOENT, Count: 1})
	ns.c.LastOutput = nil
	add("start-failure/positive-shell", "start-failure certain", mk("/bin/sh", "-c", "nosuchcmd").ends(0.1).fails(tid, true, call(0.4, "newfstatat", e.ENOENT, -1, "/usr/bin/nosuchcmd")).stderr("sh: 1: nosuchcmd: not found\n").exits(127))
	add("start-failure/positive-exec-format", "start-failure certain", mk("/bin/sh", "-c", "/srv/arm").ends(0.1).at(0.0999, tid, &e.ExecFailed{Path: "/srv/arm", Errno: e.ENOEXEC, Count: 1}).
		stderr("/bin/sh: 1: /srv/arm: Exec format error\n").exits(126))
	add("start-failure/near-miss-path-search", "exit-error certain", mk("/usr/bin/env", "cart").at(0.01, tid, &e.ExecFailed{Path: "/usr/local/bin/cart", Errno: e.ENOENT, Count: 1}).stderr("cart: no stock\n").exits(127))
	add("start-failure/bystander-word", "exit-error certain", mk("/srv/cart").stderr("order: not found\n").exits(1))

	// seccomp
	sys := &e.SignalFatal{Signal: e.SIGSYS, Code: 1, Syscall: "io_uring_setup", Trace: []e.Frame{libc("syscall"), mine("ring_init")}}
	add("seccomp/near-miss-sent", "killed certain", mk("/srv/cart").at(59.99, never, sent(e.SIGSYS, 900, "bash", "bash")).dies(outside(e.SIGSYS, 900)))
	add("seccomp/bystander-caught", "exit-error certain", mk("/srv/cart").at(1, tid, &e.SignalCaught{SignalFatal: *sys, Count: 1}).exits(1))

	// memory-limit
	oom := &e.OOM{GlobalKnown: true, RSSBytes: 512 << 20}
	add("memory-limit/positive-unknown-scope", "memory-limit certain", mk("/srv/cart").at(59.9, tid, &e.OOM{RSSBytes: 512 << 20}).dies(&e.SignalFatal{Signal: e.SIGKILL, Code: 0x80}))
	add("memory-limit/near-miss-big", "killed certain", mk("/srv/cart").at(59.99, never, sent(e.SIGKILL, 900, "bash", "bash")).dies(outside(e.SIGKILL, 900)))
	add("memory-limit/bystander-child-long-ago", "exit-error certain", mk("/srv/cart").of(5, 4300, 4300, "worker", oom).exits(1))

	// resource-signal
	add("resource-signal/positive-cpu", "resource-signal certain", mk("/srv/cart").dies(&e.SignalFatal{Signal: e.SIGXCPU, Code: 0x80}))
	add("resource-signal/near-miss-sent", "killed certain", mk("/srv/cart").at(59.99, never, sent(e.SIGXCPU, 900, "bash", "bash")).dies(outside(e.SIGXCPU, 900)))
	add("resource-signal/bystander-file-size-survived", "exit-error certain", mk("/srv/cart").at(5, tid, &e.SignalCaught{SignalFatal: e.SignalFatal{Signal: e.SIGXFSZ, Code: 0x80}}).exits(1))

	// killed
	term := sent(e.SIGTERM, 812, "kubelet", "/usr/bin/kubelet --config=/etc/k")
	add("killed/positive-asked", "killed certain", mk("/usr/bin/java", "Cart").at(59, never, term).exits(143))
	ctrl := mk("/srv/cart").at(59.99, never, &e.SignalSent{Signal: e.SIGINT, Code: 0x80, Count: 1})
	ctrl.c.Death.Interrupted = true
	add("killed/positive-raised-again", "killed certain", mk("/usr/bin/python3", "/srv/cart.py").at(59.9, never, sent(e.SIGINT, 900, "bash", "bash")).
		stderr("Traceback (most recent call last):\n  File \"/srv/cart.py\", line 9, in <module>\n    wait()\nKeyboardInterrupt\n").
		dies(&e.SignalFatal{Signal: e.SIGINT, Code: 0, Sender: mainPID, Self: true}))
	add("killed/positive-interrupt", "killed certain", ctrl.dies(&e.SignalFatal{Signal: e.SIGINT, Code: 0x80}))
	add("killed/positive-unseen", "killed likely", unseen("probe/signal", "probe/oom"))
	add("killed/near-miss-self", "killed certain", mk("/srv/cart").dies(&e.SignalFatal{Signal: e.SIGKILL, Code: 0, Sender: mainPID, Self: true}))
	add("killed/near-miss-asked-long-ago", "exit-error certain", mk("/srv/cart").ends(600).at(5, never, term).exits(1))
	add("killed/bystander-crash-in-shutdown", "invalid-access certain", mk("/srv/cart").at(59.9, never, term).dies(segv(0x18, "null page", mine("drain"))))

	// shutdown-timeout
	add("shutdown-timeout/positive-ten-seconds", "shutdown-timeout certain", mk("/srv/cart").at(49.9, never, sent(e.SIGTERM, 700, "containerd-shim", "containerd-shim-runc-v2")).
		at(59.99, never, sent(e.SIGKILL, 700, "containerd-shim", "containerd-shim-runc-v2")).dies(outside(e.SIGKILL, 700)))
	add("shutdown-timeout/near-miss-obeyed", "killed certain", mk("/srv/cart").at(49.9, never, sent(e.SIGTERM, 700, "containerd-shim", "containerd-shim-runc-v2")).dies(outside(e.SIGTERM, 700)))
	add("shutdown-timeout/positive-at-once", "shutdown-timeout likely", mk("/srv/cart").at(59.8, never, sent(e.SIGTERM, 700, "bash", "bash")).at(59.99, never, sent(e.SIGKILL, 700, "bash", "bash")).dies(outside(e.SIGKILL, 700)))
	add("shutdown-timeout/bystander-oom", "memory-limit certain", mk("/srv/cart").at(40, never, term).at(59.9, tid, oom).dies(&e.SignalFatal{Signal: e.SIGKILL, Code: 0x80}))

	// exit-error, finished
	add("exit-error/near-miss-finished", "finished certain", mk("/srv/cart").stderr("cart: error 3 ignored\n").exits(0))
	add("exit-error/bystander-warning", "uncaught-error certain", mk("/usr/bin/python3", "/srv/cart.py").stderr("error: no stock\n"+pyValueError).exits(1))
	add("finished/near-miss-passed-on", "exit-error certain", mk("/srv/cart").exits(1))
	add("finished/bystander-asked", "finished certain", mk("/srv/cart").at(59, never, term).exits(0))

	// The culprit below a shell.
	sh := mk("/bin/sh", "-c", "/srv/cart")
	sh.at(0.01, tid, &e.Fork{Child: 4300}).of(0.02, 4300, 4300, "cart", &e.Exec{Path: "/srv/cart", Args: []string{"/srv/cart"}}).
		of(59.99, 4300, 4300, "cart", segv(0x18, "null page", mine("render"))).
		of(59.991, 4300, 4300, "cart", &e.Exit{Parent: mainPID, Signal: e.SIGSEGV, ExitCode: 139, EnderTID: 4300})
	add("invalid-access/positive-below-a-shell", "invalid-access certain", sh.stderr("Segmentation fault\n").exits(139))
	sh = mk("/bin/sh", "-c", "/srv/cart; /srv/mail")
	sh.of(30, 4300, 4300, "cart", segv(0x18, "null page", mine("render"))).of(30.001, 4300, 4300, "cart", &e.Exit{Parent: mainPID, Signal: e.SIGSEGV, ExitCode: 139, EnderTID: 4300}).
		of(59.99, 4301, 4301, "mail", &e.Exit{Parent: mainPID, ExitCode: 3, EnderTID: 4301})
	add("invalid-access/bystander-child-before", "exit-error certain", sh.stderr("Segmentation fault\nmail: no host\n").exits(3))
	return out
}

func unseen(sources ...string) *e.Case {
	b := mk("/srv/cart")
	for _, s := range sources {
		b.missing(s)
	}
	b.exit.Signal, b.exit.ExitCode, b.exit.OutOfKernel, b.exit.EnderTID = e.SIGKILL, 137, true, 0
	b.c.Death.Signal, b.c.Death.ExitCode = e.SIGKILL, 137
	return b.done()
}
