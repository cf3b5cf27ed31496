package diagnose

import (
	"slices"

	e "github.com/descry-dev/descry/internal/evidence"
)

// madeUnwatched are deaths whose failed system calls were not watched, and what was put back in time.
func madeUnwatched() []madeCase {
	var out []madeCase
	add := func(name, want string, c *e.Case) { out = append(out, madeCase{name, want, c}) }
	tid := mainPID
	un := func(at *e.AtEnd) *builder {
		b := mk("/srv/cart").missing("probe/syscall")
		b.exit.AtEnd = at
		return b
	}
	nobody := func() *e.AtEnd { return &e.AtEnd{UID: 1000, GID: 1000, AddressLimit: -1, DataLimit: -1} }
	looked := func(b *builder, d *e.FileLooked) *builder { return b.at(60.003, never, d) }

	// fd-limit
	add("fd-limit/positive-full-and-mute", "fd-limit likely", un(nobody()).table(64, 64, 64, sameFile(60)).exits(3))
	add("fd-limit/near-miss-full-and-own-bug", "uncaught-error certain", un(nobody()).table(64, 64, 64, sameFile(60)).stderr(pyValueError).exits(1))
	add("fd-limit/near-miss-full-and-speaks-of-else", "exit-error certain", un(nobody()).table(64, 64, 64, sameFile(60)).stderr("cart: quantity 0 makes no sense\n").exits(1))
	add("fd-limit/near-miss-two-to-spare", "exit-error certain", un(nobody()).table(62, 64, 64, sameFile(60)).exits(3))

	// inotify-limit
	full, room := nobody(), nobody()
	full.Inotify, full.InotifyMax, room.Inotify, room.InotifyMax = 128, 128, 20, 128
	const says = "cart: cannot watch /srv/stock: Too many open files\n"
	add("inotify-limit/positive-unwatched", "inotify-limit likely", un(full).table(131, 20000, 20000, e.FDGroup{Kind: e.FDInotify, Count: 128, Lowest: 3, Highest: 130}).stderr(says).exits(1))
	add("inotify-limit/near-miss-unwatched-room", "exit-error certain", un(room).table(131, 20000, 20000).stderr(says).exits(1))
	add("inotify-limit/bystander-unwatched", "uncaught-error certain", un(full).table(131, 20000, 20000).stderr(pyValueError).exits(1))

	// mapping-limit
	const memory = "Traceback (most recent call last):\n  File \"/srv/cart.py\", line 4, in <module>\n    cache[i] = bytes(1 << 20)\nMemoryError\n"
	tight, wide := nobody(), nobody()
	tight.AddressLimit, tight.AddressPeak, wide.AddressLimit, wide.AddressPeak = 300<<20, 299<<20, 300<<20, 90<<20
	add("mapping-limit/positive-unwatched", "mapping-limit likely", un(tight).stderr(memory).exits(1))
	add("mapping-limit/near-miss-unwatched-far", "uncaught-error certain", un(wide).stderr(memory).exits(1))
	add("mapping-limit/near-miss-unwatched-unlimited", "uncaught-error certain", un(nobody()).stderr(memory).exits(1))
	add("mapping-limit/bystander-unwatched", "uncaught-error certain", un(tight).stderr(pyValueError).exits(1))

	// pid-limit
	const thread = "Traceback (most recent call last):\n  File \"/srv/pool.py\", line 3, in <module>\n    threading.Thread(target=f).start()\nRuntimeError: can't start new thread\n"
	hits := func(before, after int64) *builder {
		return un(nobody()).at(1, never, &e.Cgroup{Version: 1, PidsPath: "/kubepods/pod1", Pids: 9, PidsMax: 200, PidsHits: before}).
			at(60, never, &e.Cgroup{Version: 1, PidsPath: "/kubepods/pod1", Pids: 1, PidsMax: 200, PidsHits: after})
	}
	add("pid-limit/positive-unwatched", "pid-limit likely", hits(0, 3).stderr(thread).exits(1))
	add("pid-limit/near-miss-unwatched-none-refused", "uncaught-error certain", hits(0, 0).stderr(thread).exits(1))
	add("pid-limit/near-miss-unwatched-long-ago", "uncaught-error certain", hits(7, 7).stderr(thread).exits(1))
	add("pid-limit/bystander-unwatched", "uncaught-error certain", hits(0, 3).stderr(pyValueError).exits(1))

	// broken-pipe
	const pipe = "Traceback (most recent call last):\n  File \"/srv/pump.py\", line 5, in <module>\n    p.stdin.write(x)\nBrokenPipeError: [Errno 32] Broken pipe\n"
	helper := func(kind e.FDKind) *builder {
		return un(nobody()).of(59.9, 4300, 4300, "gzip", &e.Exit{Parent: mainPID, EnderTID: 4300, ExitCode: 1, FDs: &e.FDTable{PID: 4300, Open: 1, Groups: []e.FDGroup{{Kind: kind, Count: 1}}}})
	}
	add("broken-pipe/positive-unwatched-helper", "broken-pipe likely", helper(e.FDPipe).stderr(pipe).exits(1))
	add("broken-pipe/near-miss-unwatched-no-pipe", "uncaught-error certain", helper(e.FDDevice).stderr(pipe).exits(1))
	add("broken-pipe/near-miss-unwatched-no-helper", "uncaught-error certain", un(nobody()).stderr(pipe).exits(1))

	// disk-full
	const noRoom = "2026/11/22 07:01:00 keep a snapshot: write /data/snapshot-32: no space left on device\n"
	disk := func(free int64) *e.FileLooked {
		return &e.FileLooked{Path: "/data/snapshot-32", Errno: e.ENOSPC, UID: 1000, FSType: "tmpfs", Mount: "/data", Space: &e.Space{FreeBytes: free, TotalBytes: 64 << 20, FreeInodes: 9, TotalInodes: 99}}
	}
	add("disk-full/positive-unwatched", "disk-full likely", looked(un(nobody()), disk(0)).stderr(noRoom).exits(1))
	add("disk-full/near-miss-unwatched-room", "exit-error certain", looked(un(nobody()), disk(40<<20)).stderr(noRoom).exits(1))
	add("disk-full/near-miss-unwatched-not-looked", "exit-error certain", un(nobody()).stderr(noRoom).exits(1))

	// permission
	const denied = "2026/11/22 07:01:00 cart: open /etc/shop.key: permission denied\n"
	key := &e.FileLooked{Path: "/etc/shop.key", Errno: e.EACCES, UID: 1000, FSType: "overlay", Mount: "/"}
	shut := *key
	shut.Forbids, shut.Mode = "/etc/shop.key", 0o600
	add("permission/positive-unwatched", "permission likely", looked(un(nobody()), &shut).stderr(denied).exits(1))
	add("permission/near-miss-unwatched-allowed", "exit-error certain", looked(un(nobody()), key).stderr(denied).exits(1))
	const readOnly = "Traceback (most recent call last):\n  File \"/srv/cart.py\", line 1, in <module>\n    open('/work/orders.db', 'w')\nOSError: [Errno 30] Read-only file system: '/work/orders.db'\n"
	add("permission/positive-unwatched-read-only", "permission likely", looked(un(nobody()), &e.FileLooked{Path: "/work/orders.db", Errno: e.EROFS, UID: 1000, FSType: "overlay", Mount: "/", ReadOnly: true}).stderr(readOnly).exits(1))
	add("permission/near-miss-unwatched-writable", "uncaught-error certain", looked(un(nobody()), &e.FileLooked{Path: "/work/orders.db", Errno: e.EROFS, UID: 1000, FSType: "overlay", Mount: "/"}).stderr(readOnly).exits(1))

	// file-missing
	const missing = "2026/11/22 07:01:00 cart: open /srv/prices.toml: no such file or directory\n"
	none := &e.FileLooked{Path: "/srv/prices.toml", Errno: e.ENOENT, UID: 1000, FSType: "overlay", Mount: "/", Missing: true}
	there := *none
	there.Missing = false
	add("file-missing/positive-unwatched", "file-missing likely", looked(un(nobody()), none).stderr(missing).exits(1))
	add("file-missing/near-miss-unwatched-there", "exit-error certain", looked(un(nobody()), &there).stderr(missing).exits(1))
	add("file-missing/bystander-unwatched", "uncaught-error certain", looked(un(nobody()), none).stderr(missing+pyValueError).exits(1))

	// stdio-replaced
	turned := func(list ...e.StdioTurned) *builder {
		b := un(nobody())
		b.exit.Stdio = slices.Clone(list)
		return b
	}
	socket := e.StdioTurned{FD: 1, Was: e.FDPipe, Is: e.FDTCP, State: "CLOSE_WAIT", Peer: "10.0.3.7:5432"}
	other := socket
	other.FD = 2
	open := socket
	open.State = "ESTABLISHED"
	file := e.StdioTurned{FD: 1, Was: e.FDPipe, Is: e.FDFile, Path: "/var/log/cart.log"}
	const gone = "cart: the stock feed is gone\n"
	add("stdio-replaced/positive-unwatched-turned", "stdio-replaced likely", turned(socket).stderr(gone).exits(5))
	add("stdio-replaced/near-miss-unwatched-both", "exit-error certain", turned(socket, other).stderr(gone).exits(5))
	add("stdio-replaced/near-miss-unwatched-file", "exit-error certain", turned(file).stderr(gone).exits(5))
	add("stdio-replaced/near-miss-unwatched-peer-stays", "exit-error certain", turned(open).stderr(gone).exits(5))
	add("stdio-replaced/bystander-unwatched-own-bug", "uncaught-error certain", turned(socket).stderr(pyValueError).exits(1))
	back := func() *builder {
		return mk("/srv/cart").at(30, tid, &e.Stdio{FD: 1, Action: "closed", Call: "close", Was: e.FDPipe}).at(30.1, tid, &e.Stdio{FD: 1, Action: "allocated", Call: "socket", Is: e.FDTCP, Peer: "10.0.3.7:5432"}).
			at(30.2, tid, &e.Stdio{FD: 1, Action: "replaced", Call: "dup2", Was: e.FDTCP, Is: e.FDPipe, From: 3})
	}
	const notSocket = e.Errno(88)
	add("stdio-replaced/positive-put-back-and-used", "stdio-replaced certain", back().fails(tid, true, call(0.3, "recvfrom", notSocket, 1, "")).stderr(gone).exits(5))
	add("stdio-replaced/near-miss-asked-what-it-is", "exit-error certain", mk("/srv/cart").fails(tid, true, call(0.3, "getsockopt", notSocket, 1, "")).stderr(gone).exits(5))
	add("stdio-replaced/bystander-put-back", "exit-error certain", back().fails(tid, true, call(0.3, "write", e.EIO, 7, "")).stderr("cart: Input/output error\n").exits(5))
	return out
}
