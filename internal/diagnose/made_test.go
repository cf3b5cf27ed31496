package diagnose

import (
	"slices"
	"strings"

	e "github.com/descry-dev/descry/internal/evidence"
)

// madeCase is a case of the builder with what must be found first.
type madeCase struct {
	name string // folder/file
	want string // "cause confidence"
	c    *e.Case
}

func flat(n int64) func(float64) int64 { return func(float64) int64 { return n } }

func leak(from, perSecond float64, limit int64) func(float64) int64 {
	return func(t float64) int64 { return min(limit, int64(from+perSecond*t)) }
}

const pyEMFILE = `INFO checkout 8812 ok
Traceback (most recent call last):
  File "/srv/cart.py", line 31, in <module>
    main()
  File "/srv/cart.py", line 22, in load
    return open(path)
           ^^^^^^^^^^
OSError: [Errno 24] Too many open files: '/var/lib/cart/idx'
`

const pyValueError = `Traceback (most recent call last):
  File "/srv/cart.py", line 31, in <module>
    main()
  File "/srv/cart.py", line 12, in parse
    raise ValueError("bad quantity")
ValueError: bad quantity
`

const goAddrInUse = `2026/11/22 07:00:59 starting
panic: listen tcp 127.0.0.1:8080: bind: address already in use

goroutine 1 [running]:
main.main()
	/src/cart/main.go:12 +0x85
exit status 2
`

const goFDSet = `panic: runtime error: index out of range [16] with length 16

goroutine 1 [running]:
golang.org/x/sys/unix.(*FdSet).Set(...)
	/root/go/pkg/mod/golang.org/x/sys@v0.49.0/unix/fdset.go:13
main.poll(0x400)
	/src/cart/poll.go:27 +0x1d
main.main()
	/src/cart/main.go:12 +0x85
exit status 2
`

func selectStack(nfds int32, highest int64) *e.SelectBeyond {
	return &e.SelectBeyond{Call: "select", NFDs: nfds, Sets: [3]uint64{0x7ffd10001f00}, Where: [3]string{"stack"}, Highest: highest, Count: 1}
}

func selectOverlap() *e.SelectBeyond {
	return &e.SelectBeyond{Call: "select", NFDs: 1091, Sets: [3]uint64{0x7ffd10001f00, 0x7ffd10001f80}, Where: [3]string{"stack", "stack"},
		Distance: 128, Highest: 1090, Proof: "sets overlap", Count: 12, Trace: []e.Frame{libc("select"), mine("do_poll")}}
}

func made() []madeCase {
	var out []madeCase
	add := func(name, want string, c *e.Case) { out = append(out, madeCase{name, want, c}) }
	tid := mainPID

	// fd-limit
	b := mk("/srv/cart").samples(0, 59, 40, 1024, leak(20, 17, 1024)).at(59, tid, refusedFD("openat", 1, 1024)).table(1024, 1024, 4096, sameFile(990), closeWait(20)).
		fails(tid, true, call(0.4, "openat", e.EMFILE, -1, "/var/lib/cart/idx"))
	b.c.Counters[e.CountFDRefused] = 1
	add("fd-limit/positive-leak", "fd-limit certain", b.stderr("cart: cannot open /var/lib/cart/idx: Too many open files\n").exits(1))
	add("fd-limit/positive-burst", "fd-limit certain", mk("/srv/cart").samples(0, 58, 38, 1024, flat(20)).samples(58.2, 59.9, 3, 1024, leak(-14480, 250, 1024)).at(59.9, tid, refusedFD("accept4", 2, 1024)).
		table(1024, 1024, 1024, e.FDGroup{Kind: e.FDTCP, State: "ESTABLISHED", Count: 1000, Lowest: 8, Highest: 1023}).
		fails(tid, true, call(1, "accept4", e.EMFILE, 3, "")).stderr("accept: Too many open files\n").exits(1))
	add("fd-limit/positive-silent", "fd-limit certain", mk("/srv/cart").at(59.9999, tid, refusedFD("pipe2", 1, 64)).table(64, 64, 4096).fails(tid, true, call(0.1, "pipe2", e.EMFILE, -1, "")).exits(3))
	add("fd-limit/positive-null-stream", "fd-limit certain", mk("/srv/cart").at(59.9999, tid, refusedFD("openat", 1, 64)).table(64, 64, 4096, sameFile(60)).
		fails(tid, true, call(0.3, "openat", e.EMFILE, -1, "/var/lib/cart/idx")).dies(segv(0, "null page", libc("fgets"), mine("load"))))
	add("fd-limit/positive-nil-response", "fd-limit likely", mk("/srv/cart").at(59.95, 4250, refusedFD("socket", 3, 256)).table(256, 256, 4096, closeWait(240)).
		fails(4250, false, call(30, "socket", e.EMFILE, -1, "")).fails(tid, true).
		stderr("panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x40 pc=0x6a2b51]\n\ngoroutine 7 [running]:\nmain.fetch()\n\t/src/main.go:21 +0x91\n").exits(2))
	add("fd-limit/near-miss-hour-ago-then-killed", "killed certain", mk("/srv/cart").ends(3600).at(10, tid, refusedFD("accept4", 1, 1024)).at(30, tid, refusedFD("accept4", 480, 1024)).table(40, 1024, 4096).
		fails(tid, true, call(3570e3, "accept4", e.EMFILE, 3, "")).at(3599.9, never, sent(e.SIGTERM, 812, "kubelet", "/usr/bin/kubelet")).dies(outside(e.SIGTERM, 812)))
	add("fd-limit/near-miss-on-the-way-out", "killed likely", mk("/srv/cart").at(59.5, never, sent(e.SIGTERM, 812, "kubelet", "/usr/bin/kubelet")).at(59.99, tid, refusedFD("openat", 1, 64)).table(64, 64, 4096).
		fails(tid, true, call(0.4, "openat", e.EMFILE, -1, "/var/lib/cart/state")).exits(1))
	add("fd-limit/near-miss-other-limit", "exit-error certain", mk("/srv/cart").at(59.9, tid, &e.FDRefused{Call: "mq_open", Errno: e.EMFILE, Count: 1, Open: 7, SoftLimit: 1024}).table(7, 1024, 4096).
		fails(tid, true, call(1, "mq_open", e.EACCES, -1, "/q")).stderr("mq_open: Permission denied\n").exits(1))
	for how, want := range map[string]string{"crash": "invalid-access certain", "config": "exit-error certain", "assert": "assertion certain"} {
		b := mk("/srv/cart").at(59.97, tid, refusedFD("openat", 1, 200)).table(4, 200, 4096)
		b.fails(tid, true, call(30, "openat", e.EMFILE, -1, "/dev/null"), call(1, "access", e.ENOENT, -1, "/etc/no-such-app.conf"))
		var c *e.Case
		switch how {
		case "crash":
			c = b.dies(segv(0, "null page", mine("main")))
		case "config":
			c = b.stderr("no configuration, cannot start\n").exits(78)
		case "assert":
			c = b.stderr("ledger.c:118: balance >= 0 does not hold\n").dies(abrt(libc("abort"), mine("main")))
		}
		add("fd-limit/near-miss-asked-its-limit-"+how, want, c)
	}
	add("fd-limit/positive-other-thread", "fd-limit likely", mk("/srv/cart").at(59.99, 4250, refusedFD("accept4", 1, 64)).table(64, 64, 4096).
		fails(4250, false, call(10, "accept4", e.EMFILE, 3, "")).fails(tid, true).stderr("replication does not make progress\n").exits(5))
	add("fd-limit/positive-own-words", "fd-limit certain", mk("/srv/cart").at(59.99, tid, refusedFD("socket", 1, 300)).table(300, 300, 4096, closeWait(290)).
		fails(tid, true, call(0.2, "socket", e.EMFILE, -1, "")).stderr("query failed: connection refused by backend\n").exits(4))
	add("fd-limit/positive-in-message", "fd-limit likely", mk("/srv/cart").at(59.99, tid, &e.FDRefused{Call: "recvmsg", Errno: e.EMFILE, Count: 1, Open: 48, SoftLimit: 48, InMessage: true}).table(48, 48, 4096).
		fails(tid, true).stderr("supervisor handed over 3 of 10 listeners\n").exits(8))
	add("fd-limit/bystander-own-bug", "uncaught-error certain", mk("/usr/bin/python3", "/srv/cart.py").at(20, tid, refusedFD("accept4", 300, 1024)).at(59.99, tid, refusedFD("accept4", 9000, 1024)).table(1024, 1024, 1024, closeWait(900)).
		fails(tid, true, call(10, "accept4", e.EMFILE, 3, "")).stderr(pyValueError).exits(1))
	add("fd-limit/bystander-crash", "invalid-access certain", mk("/srv/cart").at(2, tid, refusedFD("accept4", 700, 1024)).table(900, 1024, 4096).
		fails(tid, true, call(58e3, "accept4", e.EMFILE, 3, "")).dies(segv(0xdeadbeef000, "not mapped", mine("merge"))))

	// system-fd-limit
	add("system-fd-limit/near-miss-survived", "finished certain", mk("/srv/cart").at(5, tid, &e.FDRefused{Call: "openat", Errno: e.ENFILE, Count: 1}).fails(tid, true, call(55e3, "openat", e.ENFILE, -1, "/x")).exits(0))
	add("system-fd-limit/bystander-address", "address-in-use certain", mk("/srv/cart").at(5, tid, &e.FDRefused{Call: "openat", Errno: e.ENFILE, Count: 1}).
		fails(tid, true, call(55e3, "openat", e.ENFILE, -1, "/x"), call(0.3, "bind", e.EADDRINUSE, 3, "127.0.0.1:80")).stderr("bind: Address already in use\n").exits(1))

	// inotify-limit
	in := &e.InotifyRefused{Call: "inotify_init1", Errno: e.EMFILE, Count: 1, MaxInstances: 128, Open: 14, SoftLimit: 1024}
	add("inotify-limit/positive-watches", "inotify-limit certain", mk("/srv/watcher").at(59.99, tid, &e.InotifyRefused{Call: "inotify_add_watch", Errno: e.ENOSPC, Count: 1, MaxWatches: 8192, Open: 14, SoftLimit: 1024}).
		table(14, 1024, 4096).fails(tid, true, call(0.3, "inotify_add_watch", e.ENOSPC, 5, "/data")).stderr("inotify_add_watch /data: No space left on device\n").exits(1))
	add("inotify-limit/near-miss-table-full", "fd-limit certain", mk("/srv/watcher").at(59.99, tid, &e.InotifyRefused{Call: "inotify_init1", Errno: e.EMFILE, Count: 1, Open: 1024, SoftLimit: 1024}).
		at(59.999, tid, refusedFD("openat", 2, 1024)).table(1024, 1024, 4096, sameFile(1000)).fails(tid, true, call(0.4, "inotify_init1", e.EMFILE, -1, ""), call(0.2, "openat", e.EMFILE, -1, "/x")).
		stderr("watcher: too many open files\n").exits(1))
	add("inotify-limit/bystander-polls-instead", "killed certain", mk("/srv/watcher").at(0.1, tid, in).fails(tid, true, call(59.9e3, "inotify_init1", e.EMFILE, -1, "")).
		at(59.99, never, sent(e.SIGTERM, 1, "systemd", "/sbin/init")).dies(outside(e.SIGTERM, 1)))

	// fd-leak
	w := mk("/srv/cart").samples(0, 59, 40, 4096, leak(20, 0.5*26, 4096)).at(60, never, &e.Headroom{Limit: "fd_setsize", Open: 812, Max: 1024, PerSecond: 0.5, Seconds: 424, Group: ptr(closeWait(790))})
	w.c.Kind, w.c.Death, w.c.OpenedAt = e.CaseWarning, nil, w.c.Coverage[0].From
	add("fd-leak/positive-warning", "fd-leak certain", w.c)
	w = mk("/srv/cart").samples(0, 59, 40, 4096, flat(300))
	w.c.Kind, w.c.Death, w.c.OpenedAt = e.CaseWarning, nil, w.c.Coverage[0].From
	add("fd-leak/near-miss-high-and-flat", "unexplained", w.c)
	add("fd-leak/bystander-killed-before", "killed certain", mk("/srv/cart").samples(0, 59, 40, 4096, leak(20, 10, 4096)).table(620, 4096, 4096, closeWait(590)).
		at(59.99, never, sent(e.SIGKILL, 900, "bash", "bash")).dies(outside(e.SIGKILL, 900)))

	// select-overflow
	add("select-overflow/positive-overlap-crash", "select-overflow certain", mk("/srv/cart").samples(0, 59, 40, 4096, leak(40, 17.5, 4096)).at(57, tid, selectOverlap()).
		at(57.9, never, &e.Garbled{Stream: "stderr", Offset: 9000, Length: 312, LooksLike: "memory", Preview: "004ef37f"}).table(1090, 4096, 4096, closeWait(790), sameFile(250)).
		dies(segv(0x7f3a00000041, "not mapped", mine("do_poll"))))
	add("select-overflow/positive-fortified-no-frames", "select-overflow likely", fortified(true, "").dies(abrt()))
	add("select-overflow/positive-go", "select-overflow certain", mk("/srv/cart").table(1040, 4096, 4096, closeWait(900)).stderr(goFDSet).exits(2))
	add("select-overflow/positive-heap", "select-overflow certain", mk("/srv/cart").at(59, tid, &e.SelectBeyond{Call: "select", NFDs: 1200, Sets: [3]uint64{0x55550000}, Where: [3]string{"heap"},
		ChunkSize: [3]int64{136}, Highest: 1199, Proof: "heap block too small", Count: 3}).table(1200, 4096, 4096).stderr("free(): invalid next size (normal)\n").dies(abrt(libc("abort"), libc("malloc_printerr"), mine("drop"))))
	add("select-overflow/positive-stack-single", "select-overflow likely", mk("/srv/cart").at(59.9, tid, selectStack(1091, 1090)).table(1091, 4096, 4096, sameFile(1000)).dies(segv(0x4100000041, "not mapped", mine("do_poll"))))
	goSelect := selectOverlap()
	goSelect.Trace = []e.Frame{{Function: "syscall.Syscall6", Module: "/srv/cart"}, {Function: "main.poll", Module: "/srv/cart", Own: true}}
	add("select-overflow/positive-go-fault", "select-overflow certain", mk("/srv/cart").at(55, 4250, goSelect).at(59.99, tid, &e.SignalCaught{SignalFatal: *segv(0x41, "not mapped", mine("main.poll")), Count: 1}).
		table(1090, 4096, 4096, closeWait(790)).stderr("panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x41 pc=0x6a2b51]\n\ngoroutine 7 [running]:\nmain.poll(0x1)\n\t/src/main.go:21 +0x91\n").exits(2))
	add("select-overflow/near-miss-go-own-panic", "uncaught-error certain", mk("/srv/cart").at(30, tid, goSelect).
		table(1090, 4096, 4096, closeWait(790)).stderr("panic: no stock\n\ngoroutine 7 [running]:\nmain.add(0x1)\n\t/src/main.go:21 +0x91\n").exits(2))
	add("select-overflow/near-miss-dynamic", "invalid-access certain", mk("/srv/cart").at(59.9, tid, &e.SelectBeyond{Call: "select", NFDs: 3000, Sets: [3]uint64{0x55550000, 0x55551000}, Where: [3]string{"heap", "heap"},
		ChunkSize: [3]int64{520, 520}, Distance: 4096, Highest: 2999, Count: 900}).table(3000, 4096, 4096).dies(segv(0x18, "null page", mine("render"))))
	roomy := selectOverlap()
	roomy.Distance = 256
	add("select-overflow/near-miss-roomy-sets", "invalid-access certain", mk("/srv/cart").at(59.9, tid, roomy).table(1091, 4096, 4096).dies(segv(0x18, "null page", mine("render"))))
	add("select-overflow/near-miss-other-check", "memory-corruption certain", fortified(true, "").dies(abrt(libc("abort"), libc("__fortify_fail"), libc("__strcpy_chk"), mine("copy_name"))))
	add("select-overflow/near-miss-few-descriptors", "memory-corruption likely", fortified(false, "").dies(abrt()))
	add("select-overflow/near-miss-other-thread-later", "invalid-access certain", mk("/srv/cart").at(10, 4250, selectStack(1091, 1090)).table(1091, 4096, 4096).dies(segv(0x10, "null page", mine("render"))))
	add("select-overflow/bystander-limit", "fd-limit certain", mk("/srv/cart").at(20, tid, selectStack(1091, 1090)).at(59.9, tid, refusedFD("openat", 1, 4096)).table(4096, 4096, 4096, sameFile(4000)).
		fails(tid, true, call(0.3, "openat", e.EMFILE, -1, "/var/lib/cart/idx")).stderr("cart: Too many open files\n").exits(1))

	// stdio-replaced
	st := func() *builder {
		return mk("/srv/cart").at(30, tid, &e.Stdio{FD: 1, Action: "closed", Call: "close", Was: e.FDPipe, Trace: []e.Frame{libc("close"), mine("drop_conn")}}).
			at(30.5, tid, &e.Stdio{FD: 1, Action: "allocated", Call: "socket", Is: e.FDTCP, Peer: "10.0.3.7:5432"})
	}
	add("stdio-replaced/positive-write-breaks", "stdio-replaced certain", st().fails(tid, true, call(0.2, "write", e.EPIPE, 1, "")).
		dies(&e.SignalFatal{Signal: e.SIGPIPE, Code: 0, Sender: mainPID, Self: true}))
	add("stdio-replaced/positive-damaged-table", "stdio-replaced likely", mk("/srv/cart").at(59.8, tid, &e.Stdio{FD: 1, Action: "closed", Call: "close", Was: e.FDPipe}).
		at(59.9, tid, &e.Stdio{FD: 1, Action: "allocated", Call: "openat", Is: e.FDFile, Path: "/var/lib/cart/stock.tbl"}).stderr("stock.tbl: checksum mismatch in record 1\n").exits(1))
	add("stdio-replaced/near-miss-daemon", "exit-error certain", mk("/srv/cart").at(0.1, tid, &e.Stdio{FD: 0, Action: "replaced", Call: "dup2", Was: e.FDPipe, Is: e.FDDevice, Path: "/dev/null", From: 3}).
		at(0.1, tid, &e.Stdio{FD: 1, Action: "replaced", Call: "dup2", Was: e.FDPipe, Is: e.FDFile, Path: "/var/log/cart.log", From: 4}).fails(tid, true, call(0.2, "write", e.EIO, 1, "")).exits(1))
	add("stdio-replaced/near-miss-old-daemon", "exit-error certain", mk("/srv/cart").at(59.1, tid, &e.Stdio{FD: 1, Action: "closed", Call: "close", Was: e.FDPipe}).
		at(59.1, tid, &e.Stdio{FD: 1, Action: "allocated", Call: "openat", Is: e.FDFile, Path: "/var/log/cart.log"}).fails(tid, true, call(0.2, "write", e.EIO, 1, "")).exits(1))
	add("stdio-replaced/bystander-crash", "invalid-access certain", st().dies(segv(0x18, "null page", mine("render"))))

	// address-in-use
	inUse := &e.AddressRefused{Call: "bind", Errno: e.EADDRINUSE, Address: "127.0.0.1:8080", Protocol: e.FDTCP, Count: 1, Holder: 77, HolderCommand: "/srv/cart --old"}
	add("address-in-use/positive-go", "address-in-use certain", mk("/srv/cart").ends(1).at(0.99, 4244, inUse).fails(4244, false, call(3, "bind", e.EADDRINUSE, 3, "127.0.0.1:8080")).fails(tid, true).stderr(goAddrInUse).exits(2))
	add("address-in-use/near-miss-next-port", "killed certain", mk("/srv/cart").at(0.1, tid, inUse).fails(tid, true, call(59.9e3, "bind", e.EADDRINUSE, 3, "127.0.0.1:8080")).
		at(59.99, never, sent(e.SIGTERM, 900, "bash", "bash")).dies(outside(e.SIGTERM, 900)))
	add("address-in-use/near-miss-took-the-next", "exit-error certain", mk("/srv/cart").at(59.99, tid, inUse).fails(tid, true, call(10, "bind", e.EADDRINUSE, 3, "127.0.0.1:8080")).
		table(4, 1024, 4096, e.FDGroup{Kind: e.FDTCP, State: "CLOSE", Local: "127.0.0.1:8081", Count: 1}).exits(21))
	add("address-in-use/near-miss-then-null", "invalid-access certain", mk("/srv/cart").at(59.999, tid, inUse).fails(tid, true, call(1, "bind", e.EADDRINUSE, 3, "127.0.0.1:8080")).dies(segv(0x10, "null page", mine("main"))))
	add("address-in-use/bystander-later-error", "exit-error certain", mk("/srv/cart").at(0.1, tid, inUse).
		fails(tid, true, call(59.9e3, "bind", e.EADDRINUSE, 3, "127.0.0.1:8080"), call(0.2, "connect", e.ECONNREFUSED, 4, "127.0.0.1:5432")).stderr("db: Connection refused\n").exits(1))

	// port-exhaustion
	add("port-exhaustion/near-miss-ports-free", "exit-error certain", mk("/srv/cart").at(59.99, tid, &e.AddressRefused{Call: "connect", Errno: e.EADDRNOTAVAIL, Address: "10.0.3.7:5432", Count: 1, PortRange: "32768 60999", PortsUsed: 12}).
		fails(tid, true, call(0.2, "connect", e.EADDRNOTAVAIL, 4, "10.0.3.7:5432")).stderr("connect: Cannot assign requested address\n").exits(1))
	add("port-exhaustion/bystander-no-ipv6", "uncaught-error certain", mk("/usr/bin/python3", "/srv/cart.py").at(59, tid, &e.AddressRefused{Call: "connect", Errno: e.EADDRNOTAVAIL, Address: "[::1]:5432", Count: 1, PortRange: "32768 60999"}).
		fails(tid, true, call(900, "connect", e.EADDRNOTAVAIL, 4, "[::1]:5432")).stderr(pyValueError).exits(1))

	// output-stalled
	hung := func() *builder {
		b := mk("/srv/cart")
		for t := 20.0; t < 60; t++ {
			b.at(t, never, &e.Process{Open: 5, SoftLimit: 1024, HardLimit: 4096, Blocked: []e.BlockedWrite{{TID: tid, FD: 1, Nanos: int64((t - 20) * 1e9)}}, Output: []e.PipeFill{{FD: 1, Inode: 9, Used: 16, Slots: 16}}})
		}
		return b
	}
	add("output-stalled/positive-hung", "output-stalled likely", hung().at(59.99, never, sent(e.SIGKILL, 900, "bash", "bash")).dies(outside(e.SIGKILL, 900)))
	add("output-stalled/near-miss-drained", "killed certain", mk("/srv/cart").at(20, never, &e.Process{Open: 5, Blocked: []e.BlockedWrite{{TID: tid, FD: 1, Nanos: 5e9}}, Output: []e.PipeFill{{FD: 1, Used: 16, Slots: 16}}}).
		at(59, never, &e.Process{Open: 5, Output: []e.PipeFill{{FD: 1, Used: 0, Slots: 16}}}).at(59.99, never, sent(e.SIGTERM, 900, "bash", "bash")).dies(outside(e.SIGTERM, 900)))
	add("output-stalled/bystander-own-bug", "uncaught-error certain", mk("/usr/bin/python3", "/srv/cart.py").at(20, tid, &e.WriteRefused{FD: 1, FDKind: e.FDPipe, Errno: e.EAGAIN, Asked: 8192, Count: 4, Lost: 8192}).
		stderr(pyValueError).exits(1))

	// broken-pipe
	sigpipe := &e.SignalFatal{Signal: e.SIGPIPE, Code: 0, Sender: mainPID, Self: true, Syscall: "write"}
	add("broken-pipe/positive-sigpipe", "broken-pipe certain", mk("/srv/cart").at(59.9999, tid, &e.WriteRefused{FD: 1, FDKind: e.FDPipe, Errno: e.EPIPE, Asked: 80, Count: 1, Lost: 80}).
		fails(tid, true, call(0.3, "write", e.EPIPE, 1, "")).dies(sigpipe))
	add("broken-pipe/positive-epipe", "broken-pipe certain", mk("/usr/bin/python3", "/srv/cart.py").at(59.99, tid, &e.WriteRefused{FD: 1, FDKind: e.FDPipe, Errno: e.EPIPE, Asked: 80, Count: 1, Lost: 80}).
		fails(tid, true, call(10, "write", e.EPIPE, 1, "")).stderr("Exception ignored in: <_io.TextIOWrapper name='<stdout>' mode='w' encoding='utf-8'>\nBrokenPipeError: [Errno 32] Broken pipe\n").exits(120))
	pf := mk("/bin/bash", "-c", "set -o pipefail; yes | head -n 1")
	pf.of(59.98, 4300, 4300, "yes", sigpipe).of(59.981, 4300, 4300, "yes", &e.Exit{Parent: mainPID, Signal: e.SIGPIPE, ExitCode: 141, EnderTID: 4300}).
		of(59.99, 4301, 4301, "head", &e.Exit{Parent: mainPID, EnderTID: 4301})
	add("broken-pipe/positive-pipefail", "broken-pipe certain", pf.exits(141))
	add("broken-pipe/near-miss-handled", "exit-error certain", mk("/srv/cart").fails(tid, true, call(20, "sendto", e.EPIPE, 17, "")).stderr("quota is used up\n").exits(3))
	add("broken-pipe/near-miss-client-left", "exit-error certain", mk("/srv/cart").fails(tid, true, call(9e3, "sendto", e.EPIPE, 17, ""), call(0.2, "connect", e.ECONNREFUSED, 4, "127.0.0.1:5432")).
		stderr("db: Connection refused\n").exits(1))
	add("broken-pipe/bystander-sigpipe-sent", "killed certain", mk("/srv/cart").at(59.99, never, sent(e.SIGPIPE, 900, "bash", "bash")).dies(outside(e.SIGPIPE, 900)))
	return slices.Concat(out, madeMore(), madeBuffers(), madeWarnings(), madeUnwatched())
}

func ptr[T any](v T) *T { return &v }

func fortified(many bool, more string) *builder {
	n := int64(40)
	if many {
		n = 1100
	}
	b := mk("/srv/cart").table(n, 4096, 4096, sameFile(n-10)).stderr("INFO ok\n" + more + "*** buffer overflow detected ***: terminated\n")
	b.exit.SelectCalls = 5000
	return b
}

func lines2(s ...string) string { return strings.Join(s, "\n") + "\n" }
