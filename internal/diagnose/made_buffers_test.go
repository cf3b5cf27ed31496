package diagnose

import (
	e "github.com/descry-dev/descry/internal/evidence"
)

func udpDrop(count int64) *e.Drop {
	return &e.Drop{Protocol: e.FDUDP, Local: "127.0.0.1:8125", Reason: e.DropBufferFull, Buffer: 212992, Queued: 213504, Count: count, Inode: 8811}
}

func listener(full bool, drops int64) *e.Sockets {
	s := e.Socket{FD: 4, Protocol: e.FDTCP, State: "LISTEN", Local: "127.0.0.1:8080", Inode: 77, AcceptQ: 6, Backlog: 5, DropsGained: drops, FullNanos: 3 * second, Signs: []string{e.SignAcceptFull, e.SignDrops}}
	if !full {
		return &e.Sockets{Count: 4}
	}
	return &e.Sockets{Sockets: []e.Socket{s}, Telling: 1, Count: 8}
}

func deafPeer(full int64, connections int64) *e.Sockets {
	return &e.Sockets{Telling: 1, Count: connections + 1, ByState: []e.StateCount{{Name: "tcp ESTABLISHED", Count: connections}, {Name: "tcp LISTEN", Count: 1}},
		Sockets: []e.Socket{{FD: 7, Protocol: e.FDTCP, State: "ESTABLISHED", Local: "10.0.0.5:8080", Peer: "10.0.3.7:51422", Inode: 99,
			SendQ: 2600000, SendBuf: 2626560, FullNanos: full, Signs: []string{e.SignSendFull, e.SignZeroWindow}}}}
}

func inSyscall(fn string) *e.SignalFatal {
	return &e.SignalFatal{Signal: 14, Code: 0x80, Trace: []e.Frame{libc(fn), mine("push")}, TraceBy: "eh_frame"}
}

const goTimeout = "2026/11/22 07:00:59 dump to 10.0.3.7:51422: i/o timeout\n"

func madeBuffers() []madeCase {
	var out []madeCase
	add := func(name, want string, c *e.Case) { out = append(out, madeCase{name, want, c}) }
	tid := mainPID

	// receive-overflow
	add("receive-overflow/positive-gap", "receive-overflow likely", mk("/srv/cart").at(59.9, never, udpDrop(1)).at(59.95, never, udpDrop(188)).stderr("feed: sequence gap, 4711 expected and 4899 received\n").exits(3))
	add("receive-overflow/positive-incomplete-a-while-later", "receive-overflow likely", mk("/srv/cart").at(40, never, udpDrop(31)).stderr("transfer incomplete: 169 of 200 blocks\n").exits(3))
	add("receive-overflow/positive-possible", "receive-overflow possible", mk("/srv/cart").at(55, never, udpDrop(1)).at(59, never, udpDrop(4100)).stderr("no heartbeat from node 7 within 3 s, leaving the cluster\n").exits(3))
	add("receive-overflow/positive-netlink", "receive-overflow certain", mk("/srv/cart").fails(tid, true, call(0.4, "recvmsg", e.ENOBUFS, 5, "")).stderr("netlink receive: No buffer space available\n").exits(1))
	add("receive-overflow/near-miss-few-and-timeout", "exit-error certain", mk("/srv/cart").at(59, never, udpDrop(4)).stderr("no heartbeat from node 7 within 3 s, leaving the cluster\n").exits(3))
	add("receive-overflow/near-miss-other-socket-of-child", "exit-error certain", mk("/srv/cart").at(59.9, never, udpDrop(90)).of(59.9, 4300, never, "statsd", &e.Sockets{Sockets: []e.Socket{{FD: 3, Protocol: e.FDUDP, Local: "127.0.0.1:8125", Inode: 8811, Drops: 90, Signs: []string{e.SignDrops}}}}).
		stderr("ledger: record 7 is missing\n").exits(3))
	add("receive-overflow/near-miss-long-ago", "exit-error certain", mk("/srv/cart").ends(7200).at(10, never, udpDrop(1)).at(100, never, udpDrop(4000)).stderr("feed: sequence gap, 4711 expected and 4899 received\n").exits(3))
	add("receive-overflow/near-miss-connection-lost", "exit-error certain", mk("/srv/cart").at(59.9, never, udpDrop(2000)).stderr("lost connection to the message broker\n").exits(3))
	add("receive-overflow/near-miss-sendto-device", "exit-error certain", mk("/srv/cart").fails(tid, true, call(0.4, "sendto", e.ENOBUFS, 5, "10.0.0.9:514")).stderr("sendto: No buffer space available\n").exits(1))
	add("receive-overflow/bystander-own-bug", "uncaught-error certain", mk("/usr/bin/python3", "/srv/cart.py").at(59.9, never, udpDrop(2000)).stderr(pyValueError).exits(1))
	add("receive-overflow/bystander-warned-before", "exit-error certain", mk("/srv/cart").at(59.9, never, udpDrop(2000)).stderr("warning: 12 packets lost\nno entry for eu-west in region.map\n").exits(4))
	add("receive-overflow/bystander-killed", "killed certain", mk("/srv/cart").at(59.5, never, udpDrop(2000)).at(59.9, never, sent(e.SIGTERM, 900, "bash", "bash")).stderr("12 packets lost\n").dies(outside(e.SIGTERM, 900)))

	// accept-overflow
	add("accept-overflow/positive-health", "accept-overflow likely", mk("/srv/cart").at(58, never, listener(true, 3)).at(59.6, never, listener(true, 9)).stderr("health check of own port 8080 timed out\n").exits(1))
	dead := listener(true, 12)
	dead.Sockets[0].AtDeath, dead.ByState, dead.Count = true, nil, 0
	client := &e.Sockets{Telling: 1, Sockets: []e.Socket{{FD: 5, Protocol: e.FDTCP, State: "SYN_SENT", Peer: "127.0.0.1:8080", Inode: 78, Retransmits: 1, Signs: []string{e.SignRetransmits}, AtDeath: true}}}
	add("accept-overflow/positive-seen-at-death", "accept-overflow likely", mk("/srv/cart").at(59.999, never, dead).at(59.999, never, client).stderr("health check of own port 8080 timed out\n").exits(1))
	add("accept-overflow/positive-child", "accept-overflow likely", mk("/srv/cart").of(59.6, 4300, never, "gunicorn", listener(true, 9)).stderr("gunicorn did not answer within 5 s, giving up\n").exits(1))
	add("accept-overflow/positive-own-connect", "accept-overflow certain", mk("/srv/cart").at(59.6, never, listener(true, 9)).fails(tid, true, call(0.3, "connect", e.ETIMEDOUT, 9, "127.0.0.1:8080")).stderr("self test failed: Connection timed out\n").exits(1))
	add("accept-overflow/positive-unix", "accept-overflow certain", mk("/srv/cart").fails(tid, true, call(0.3, "connect", e.EAGAIN, 9, "/run/php-fpm.sock")).stderr("connect to php-fpm: Resource temporarily unavailable\n").exits(1))
	add("accept-overflow/near-miss-recovered", "exit-error certain", mk("/srv/cart").at(50, never, listener(true, 9)).at(53, never, listener(false, 0)).stderr("health check of own port 8080 timed out\n").exits(1))
	add("accept-overflow/near-miss-neighbours", "exit-error certain", mk("/srv/cart").at(59, never, &e.Network{NetworkCounts: e.NetworkCounts{ListenOverflows: 4000, ListenDrops: 4000}, Shared: true}).stderr("health check timed out\n").exits(1))
	add("accept-overflow/near-miss-other-timeout", "exit-error certain", mk("/srv/cart").at(59.6, never, listener(true, 9)).stderr("query of orders timed out after 5 s\n").exits(1))
	add("accept-overflow/near-miss-fork-refused", "pid-limit certain", mk("/srv/cart").fails(tid, true, call(40, "connect", e.EAGAIN, 9, "/run/php-fpm.sock"), call(0.3, "clone", e.EAGAIN, -1, "")).stderr("fork: Resource temporarily unavailable\n").exits(1))
	add("accept-overflow/bystander-own-bug", "uncaught-error certain", mk("/usr/bin/python3", "/srv/cart.py").at(59.9, never, listener(true, 40)).stderr(pyValueError).exits(1))
	add("accept-overflow/bystander-killed", "killed certain", mk("/srv/cart").at(59.5, never, listener(true, 40)).at(59.9, never, sent(e.SIGTERM, 900, "bash", "bash")).dies(outside(e.SIGTERM, 900)))

	// socket-memory
	machine := func(pages int64) *e.Machine {
		return &e.Machine{TCPMem: pages, TCPMemLimits: [3]int64{2048, 3072, 4096}, UDPMem: 3, UDPMemLimits: [3]int64{4096, 6144, 8192}, PageSize: 4096}
	}
	tcpMem := func(n int64) *e.Drop {
		return &e.Drop{Protocol: e.FDTCP, Local: "10.0.0.5:8080", Peer: "10.0.3.7:51422", Reason: e.DropProtocolMemory, Count: n, Inode: 99, Allocated: 4097, Limits: [3]int64{2048, 3072, 4096}}
	}
	udpMem := func(n int64) *e.Drop {
		return &e.Drop{Protocol: e.FDUDP, Local: "127.0.0.1:8125", Reason: e.DropUDPMemory, Count: n, Inode: 8811}
	}
	add("socket-memory/positive-refused", "socket-memory certain", mk("/srv/cart").at(55, never, machine(4100)).at(59.9, never, tcpMem(6)).fails(tid, true, call(0.3, "connect", e.ENOBUFS, 9, "10.0.3.8:5432")).stderr("connect: No buffer space available\n").exits(1))
	add("socket-memory/positive-refused-machine-only", "socket-memory certain", mk("/srv/cart").at(58, never, machine(4100)).fails(tid, true, call(0.3, "socket", e.ENOBUFS, -1, "")).stderr("socket: No buffer space available\n").exits(1))
	add("socket-memory/positive-timeout", "socket-memory likely", mk("/srv/cart").at(55, never, machine(4100)).at(59.9, never, tcpMem(60)).stderr("upstream timed out\n").exits(1))
	add("socket-memory/positive-udp-gap", "socket-memory likely", mk("/srv/cart").at(59.9, never, udpMem(60)).stderr("60 packets lost, cannot go on\n").exits(1))
	resent := func(n int64) *e.Case {
		b := mk("/srv/cart").at(58, never, machine(4100)).stderr("upstream timed out\n")
		if n > 0 {
			b.c.Counters[e.CountResent] = n
		}
		return b.exits(1)
	}
	add("socket-memory/positive-peer-refused", "socket-memory likely", resent(21))
	add("socket-memory/near-miss-slow-peer", "exit-error certain", resent(0))
	add("socket-memory/near-miss-device-queue", "exit-error certain", mk("/srv/cart").at(58, never, machine(40)).fails(tid, true, call(0.3, "sendto", e.ENOBUFS, 9, "10.0.3.8:514")).stderr("sendto: No buffer space available\n").exits(1))
	add("socket-memory/near-miss-survived", "exit-error certain", mk("/srv/cart").ends(600).at(55, never, machine(4100)).at(59.9, never, tcpMem(60)).at(100, never, machine(40)).stderr("upstream timed out\n").exits(1))
	add("socket-memory/bystander-own-bug", "uncaught-error certain", mk("/usr/bin/python3", "/srv/cart.py").at(59, never, machine(4100)).at(59.9, never, tcpMem(60)).stderr(pyValueError).exits(1))

	// send-stalled
	add("send-stalled/positive-alarm", "send-stalled certain", mk("/srv/cart").at(59, never, deafPeer(4*second, 3)).dies(inSyscall("__send")))
	add("send-stalled/positive-eagain", "send-stalled certain", mk("/srv/cart").at(59, never, deafPeer(4*second, 3)).fails(tid, true, call(0.3, "sendto", e.EAGAIN, 7, "")).stderr("send: Resource temporarily unavailable\n").exits(1))
	dying := deafPeer(0, 1)
	dying.Sockets[0].AtDeath, dying.ByState, dying.Count = true, nil, 0
	add("send-stalled/positive-gave-up-at-once", "send-stalled likely", mk("/srv/cart").at(59.999, never, dying).stderr("feed to client: Resource temporarily unavailable\n").exits(1))
	queued := deafPeer(0, 1)
	queued.Sockets[0].AtDeath, queued.Sockets[0].SendWindow, queued.Sockets[0].Unacked, queued.Sockets[0].Signs = true, 65536, 2, []string{e.SignSendFull}
	add("send-stalled/positive-refused-once", "send-stalled likely", mk("/srv/cart").at(59.999, never, queued).stderr("feed to client: Resource temporarily unavailable\n").exits(1))
	add("send-stalled/near-miss-fast-sender-forks", "exit-error certain", mk("/srv/cart").at(59.999, never, queued).stderr("fork: Resource temporarily unavailable\n").exits(1))
	add("send-stalled/positive-deadline", "send-stalled likely", mk("/srv/cart").at(59, never, deafPeer(4*second, 30)).stderr(goTimeout).exits(1))
	add("send-stalled/positive-watchdog", "send-stalled likely", mk("/srv/cart").at(59, never, deafPeer(4*second, 30)).stderr("publisher is stuck, no record was sent for 3 s\n").exits(1))
	add("send-stalled/positive-only-connection", "send-stalled likely", mk("/srv/cart").at(59, never, deafPeer(4*second, 1)).stderr("operation timed out\n").exits(1))
	add("send-stalled/positive-killed-in-send", "send-stalled likely", mk("/srv/cart").at(59, never, deafPeer(40*second, 1)).at(59.9, never, sent(e.SIGABRT, 812, "systemd", "/sbin/init")).
		dies(&e.SignalFatal{Signal: e.SIGABRT, Sender: 812, Trace: []e.Frame{libc("write"), mine("push")}}))
	add("send-stalled/near-miss-recovered", "exit-error certain", mk("/srv/cart").at(50, never, deafPeer(4*second, 3)).at(53, never, &e.Sockets{Count: 4}).stderr(goTimeout).exits(1))
	add("send-stalled/near-miss-fast-sender", "exit-error certain", mk("/srv/cart").at(59.5, never, &e.Sockets{Telling: 1, Count: 1, Sockets: []e.Socket{{FD: 7, Protocol: e.FDTCP, State: "ESTABLISHED", Peer: "10.0.3.7:51422", SendQ: 2600000, SendBuf: 2626560, SendWindow: 3145728, Unacked: 40, FullNanos: 4 * second, Signs: []string{e.SignSendFull}}}}).
		stderr("upload to 10.0.3.7:51422: checksum request timed out\n").exits(1))
	add("send-stalled/near-miss-alarm-elsewhere", "killed certain", mk("/srv/cart").at(59, never, deafPeer(4*second, 3)).dies(inSyscall("read")))
	add("send-stalled/near-miss-other-timeout", "exit-error certain", mk("/srv/cart").at(59, never, deafPeer(4*second, 30)).stderr("query of orders timed out after 5 s\n").exits(1))
	add("send-stalled/near-miss-peer-lost", "exit-error certain", mk("/srv/cart").at(59, never, &e.Sockets{Telling: 1, Sockets: []e.Socket{{FD: 7, Protocol: e.FDTCP, State: "ESTABLISHED", Peer: "10.0.3.7:51422", SendQ: 90000, SendBuf: 87040, SendWindow: 65536, Unacked: 3, Retransmits: 5, FullNanos: 4 * second, Signs: []string{e.SignSendFull, e.SignRetransmits}}}}).
		stderr("send to 10.0.3.7:51422 timed out\n").exits(1))
	add("send-stalled/bystander-own-bug", "uncaught-error certain", mk("/usr/bin/python3", "/srv/cart.py").at(59.9, never, deafPeer(4*second, 3)).stderr(pyValueError).exits(1))
	add("send-stalled/bystander-slow-client", "killed certain", mk("/srv/cart").at(59.5, never, deafPeer(40*second, 30)).at(59.9, never, sent(e.SIGTERM, 900, "bash", "bash")).dies(outside(e.SIGTERM, 900)))
	return out
}
