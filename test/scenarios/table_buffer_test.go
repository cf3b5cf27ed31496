package scenarios

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// fed makes a sender of numbered datagrams once the program is ready; more are feed.py's further words.
func fed(port int, count int, more ...string) func(*Run) {
	return func(r *Run) {
		r.Await("ready\n")
		r.Helper("", append([]string{"python3", self + "/receive-overflow/feed.py", strconv.Itoa(port), strconv.Itoa(count)}, more...)...)
	}
}

// crowded makes clients that connect and say nothing once the program wrote text.
func crowded(text, address string, count int, more ...string) func(*Run) {
	return func(r *Run) {
		r.Await(text)
		r.Helper("crowd\n", append([]string{"python3", self + "/accept-overflow/crowd.py", address, strconv.Itoa(count)}, more...)...)
		if err := os.WriteFile(filepath.Join(r.dir, "crowd"), nil, 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
}

// deaf makes a server that accepts nobody, its queue full already.
func deaf(address string) func(*Run) {
	return func(r *Run) {
		r.Helper("up\n", "python3", "-u", self+"/accept-overflow/deaf.py", address, "1")
		r.Helper("crowd\n", "python3", self+"/accept-overflow/crowd.py", address, "8")
	}
}

// mute makes a client that does not read once the program is ready; more are mute.py's further words.
func mute(address string, more ...string) func(*Run) {
	return func(r *Run) {
		r.Await("ready\n")
		r.Helper("", append([]string{"python3", self + "/send-stalled/mute.py", address}, more...)...)
	}
}

var buffers = []Scenario{
	// receive-overflow
	{Name: "c-collect", Why: "a slow collector's buffer overflows; the numbers have a gap", Cmd: []string{"c:receive-overflow/collect.c", "9001", "4096"}, NetNS: true, Varies: true,
		Do: fed(9001, 3000, "30", "0.02"), Exit: 3, Cause: "receive-overflow", Confidence: likelyUp, Words: []string{"127.0.0.1:9001", "dropped"}},
	{Name: "python-statsd", Why: "nothing is read during a flush; numbers are missing", Cmd: []string{"py:receive-overflow/statsd.py", "9002"}, NetNS: true, Varies: true,
		Do: fed(9002, 3000, "10", "0.02"), Exit: 1, Cause: "receive-overflow", Confidence: likelyUp, Words: []string{"127.0.0.1:9002", "dropped"}},
	{Name: "go-replay", Why: "Go: a gap in the sequence is fatal", Cmd: []string{"go:receive-overflow/gofeed", "127.0.0.1:9003"}, NetNS: true, Varies: true,
		Do: fed(9003, 3000, "30", "0.02"), Exit: 1, Cause: "receive-overflow", Confidence: likelyUp, Words: []string{"127.0.0.1:9003", "dropped"}},
	{Name: "node-ticker", Why: "Node.js prices on its event loop; ticks are lost", Cmd: []string{"js:receive-overflow/ticker.js", "9004"}, NetNS: true, Varies: true,
		Do: fed(9004, 3000, "30", "0.02"), Exit: 1, Cause: "receive-overflow", Confidence: likelyUp, Words: []string{"127.0.0.1:9004", "dropped"}},
	{Name: "java-quotes", Why: "Java stores each packet before the next", Cmd: []string{"java:receive-overflow/Quotes.java", "9005"}, NetNS: true, Varies: true,
		Do: fed(9005, 3000, "30", "0.02"), Exit: 1, Cause: "receive-overflow", Confidence: likelyUp, Words: []string{"127.0.0.1:9005", "dropped"}},
	{Name: "ruby-fetch", Why: "pieces of a file are dropped, and after a second of silence it gives up", Cmd: []string{"rb:receive-overflow/fetch.rb", "9006"}, NetNS: true, Varies: true,
		Do: fed(9006, 300), Exit: 1, Cause: "receive-overflow", Confidence: likelyUp, Words: []string{"127.0.0.1:9006", "dropped"}},
	{Name: "python-netlink", Why: "more events than a netlink socket's buffer holds: ENOBUFS from recv", Cmd: []string{"py:receive-overflow/events.py"}, NetNS: true, Needs: []string{"ip"},
		Do: func(r *Run) {
			r.Await("ready\n")
			r.Helper("done\n", "sh", "-c", "for i in $(seq 40); do ip addr add 127.9.0.$i/32 dev lo; done; echo done; sleep 60")
		}, Exit: 1, Cause: "receive-overflow", Confidence: certain, Words: []string{"ENOBUFS", "netlink"}},
	{Name: "shell-collect", Why: "the collector is a shell's child", Cmd: []string{"sh", "-c", "echo starting; python3 {self}/receive-overflow/statsd.py 9007"}, NetNS: true, Varies: true,
		Do: fed(9007, 3000, "10", "0.02"), Exit: 1, Cause: "receive-overflow", Confidence: likelyUp, Words: []string{"127.0.0.1:9007"}},
	{Name: "lost-on-the-way", Why: "the same words, and the sender itself left the numbers out", Kind: NearMiss, Cmd: []string{"c:receive-overflow/collect.c", "9008", "4000000"}, NetNS: true,
		Do: fed(9008, 60, "1", "0.005", "skip"), Exit: 3, Cause: "exit-error", Never: []string{"receive-overflow"}},
	{Name: "drops-then-null", Why: "datagrams are dropped, which it forgives; then a null pointer", Kind: Pair, Cmd: []string{"c:receive-overflow/collect.c", "9009", "4096", "crash"}, NetNS: true,
		Do: fed(9009, 3000, "20", "0.02"), Exit: 139, Cause: "invalid-access", Never: []string{"receive-overflow"}},
	{Name: "drops-then-exit", Why: "datagrams are dropped, which it forgives; then it ends for its own reason", Kind: NearMiss, Cmd: []string{"c:receive-overflow/collect.c", "9010", "4096", "config"}, NetNS: true,
		Do: fed(9010, 3000, "20", "0.02"), Exit: 5, Cause: "exit-error", Never: []string{"receive-overflow"}, Words: []string{"region.map"}},
	{Name: "says-packets-lost", Why: "speaks of lost packets and has no socket", Kind: NearMiss, Cmd: []string{"pl:receive-overflow/says.pl"},
		Exit: 1, Cause: "exit-error", Never: []string{"receive-overflow"}},
	{Name: "tcp-reader-pauses", Why: "a TCP reader pauses: the window is closed, and nothing is dropped", Kind: NearMiss, Cmd: []string{"py:receive-overflow/reader.py", "9011"}, NetNS: true,
		Setup: func(r *Run) { r.Helper("up\n", "python3", "-u", self+"/send-stalled/flood.py", "9011") },
		Exit:  6, Cause: "exit-error", Never: []string{"receive-overflow", "send-stalled"}},
	{Name: "iperf3-drops-well", Why: "iperf3 -u floods a stopped receiver, counts the loss, and ends well", Kind: NearMiss, Cmd: []string{"iperf3", "-s", "-1", "--forceflush", "-p", "9012"}, NetNS: true, Varies: true,
		Do: func(r *Run) {
			r.Await("listening")
			r.Helper("", "iperf3", "-c", "127.0.0.1", "-p", "9012", "-u", "-b", "0", "-w", "4K", "-l", "1400", "-n", "3M")
		}, Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"receive-overflow"}},

	{Name: "ip-monitor-overrun", Why: "ip monitor says ENOBUFS and goes on; then SIGTERM", Kind: NearMiss, Cmd: []string{"ip", "-rcvbuf", "2400", "monitor", "address"}, NetNS: true, Varies: true,
		Do: func(r *Run) {
			r.Find("ip")
			eventually(r, "ip monitor told of a change", func() bool {
				r.Inside("sh", "-c", "ip addr add 127.9.9.9/32 dev lo; ip addr del 127.9.9.9/32 dev lo")
				return strings.Contains(r.out.String(), "127.9.9.9")
			})
			r.Signal("ip", syscall.SIGSTOP)
			r.Inside("sh", "-c", "for i in $(seq 40); do ip addr add 127.9.0.$i/32 dev lo; done")
			r.Signal("ip", syscall.SIGCONT)
			r.AwaitErr("No buffer space")
			r.Signal("ip", syscall.SIGTERM)
		}, Exit: 143, Cause: "killed", Never: []string{"receive-overflow"}},

	// accept-overflow
	{Name: "python-web", Why: "one silent client holds the only thread; its own check times out on the full queue", Cmd: []string{"py:accept-overflow/web.py", "9020"}, NetNS: true, Varies: true,
		Do: crowded("ready\n", "9020", 12), Exit: 11, Cause: "accept-overflow", Beside: []string{"connect-failure"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9020", "accept queue"}},
	{Name: "c-kiosk", Why: "the only worker is busy; the self check finds no room in the queue", Cmd: []string{"c:accept-overflow/kiosk.c", "9021", "check"}, NetNS: true, Varies: true,
		Do: crowded("ready\n", "9021", 12), Exit: 9, Cause: "accept-overflow", Beside: []string{"connect-failure"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9021", "accept queue"}},
	{Name: "c-kiosk-kernel", Why: "the self check's connect() times out in the kernel", Cmd: []string{"c:accept-overflow/kiosk.c", "9022", "kernel"}, NetNS: true, Varies: true, Sysctl: map[string]string{"net/ipv4/tcp_syn_retries": "1"},
		Do: crowded("ready\n", "9022", 12), Exit: 9, Cause: "accept-overflow", Beside: []string{"connect-failure"}, Confidence: certain, Words: []string{"127.0.0.1:9022", "ETIMEDOUT", "accept queue"}},
	{Name: "node-busy", Why: "the event loop computes; a worker's check of the own endpoint times out", Cmd: []string{"js:accept-overflow/busy.js", "9023"}, NetNS: true, Varies: true,
		Do: crowded("ready\n", "9023", 12), Exit: 134, Cause: "accept-overflow", Beside: []string{"connect-failure"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9023", "accept queue"}},
	{Name: "go-gate", Why: "the accept loop waits for a place; the liveness check times out", Cmd: []string{"go:accept-overflow/gogate", "127.0.0.1:9024"}, NetNS: true, Varies: true,
		Do: crowded("ready\n", "9024", 12), Exit: 1, Cause: "accept-overflow", Beside: []string{"connect-failure"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9024", "accept queue"}},
	{Name: "redis-supervised", Why: "redis is busy, its queue full; the script that watches it gives up", Cmd: []string{"sh:accept-overflow/supervise.sh", "9025"}, Needs: []string{"redis-server", "redis-cli"}, NetNS: true, Varies: true,
		Do: crowded("ready\n", "9025", 12), Exit: 70, Cause: "accept-overflow", Beside: []string{"connect-failure"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9025", "accept queue"}},
	{Name: "python-unix-socket", Why: "connect() to a full UNIX socket of its own: EAGAIN", Cmd: []string{"py:accept-overflow/local.py"},
		Exit: 1, Cause: "accept-overflow", Beside: []string{"connect-failure"}, Confidence: certain, Words: []string{"jobs.sock", "EAGAIN"}},
	{Name: "perl-unix-client", Why: "connect() to another's full UNIX socket: EAGAIN", Cmd: []string{"pl:accept-overflow/ask.pl", "app.sock"}, NetNS: true, Setup: deaf("app.sock"),
		Exit: 4, Cause: "accept-overflow", Beside: []string{"connect-failure"}, Confidence: certain, Words: []string{"app.sock", "EAGAIN"}},
	{Name: "full-for-a-moment", Why: "the queue is full for a second, then taken; later it ends for its own reason", Kind: NearMiss, Cmd: []string{"c:accept-overflow/kiosk.c", "9026", "brief"}, NetNS: true,
		Do: crowded("ready\n", "9026", 12, "3"), Exit: 5, Cause: "exit-error", Never: []string{"accept-overflow"}, Words: []string{"tariff"}},
	{Name: "full-then-null", Why: "the queue is full, and a null pointer ends it", Kind: Pair, Cmd: []string{"c:accept-overflow/kiosk.c", "9027", "crash"}, NetNS: true,
		Do: crowded("ready\n", "9027", 12), Exit: 139, Cause: "invalid-access", Never: []string{"accept-overflow"}},
	{Name: "full-then-exit", Why: "the queue is full, and it ends for its own reason", Kind: Pair, Cmd: []string{"c:accept-overflow/kiosk.c", "9028", "config"}, NetNS: true,
		Do: crowded("ready\n", "9028", 12), Exit: 5, Cause: "exit-error", Never: []string{"accept-overflow"}, Words: []string{"tariff"}},
	{Name: "full-then-killed", Why: "the queue is full, and somebody ends it", Kind: Pair, Cmd: []string{"c:accept-overflow/kiosk.c", "9029", "check"}, NetNS: true,
		Do: func(r *Run) {
			crowded("ready\n", "9029", 12)(r)
			r.Await("checking\n")
			r.Signal("kiosk", syscall.SIGTERM)
		}, Exit: 143, Cause: "killed", Never: []string{"accept-overflow"}},
	{Name: "queue-of-another", Why: "what it depends on takes no connections; its own queue is empty", Kind: NearMiss, Cmd: []string{"py:accept-overflow/neighbour.py", "9030", "9031"}, NetNS: true, Setup: deaf("9031"),
		Exit: 8, Cause: "exit-error", Or: []string{"connect-failure"}, Never: []string{"accept-overflow"}},
	{Name: "curl-client", Why: "curl's server takes no connections: not curl's queue", Kind: NearMiss, Cmd: []string{"curl", "-sS", "-m", "2", "http://127.0.0.1:9032/"}, NetNS: true, Setup: deaf("9032"), Varies: true,
		Exit: 28, Cause: "exit-error", Or: []string{"connect-failure"}, Never: []string{"accept-overflow", "send-stalled"}},
	{Name: "says-queue-overflow", Why: "speaks of a full queue and has no socket", Kind: NearMiss, Cmd: []string{"rb:accept-overflow/says.rb"},
		Exit: 1, Cause: "exit-error", Never: []string{"accept-overflow"}},

	// send-stalled
	{Name: "c-alarm", Why: "blocked in send() to a client that does not read until its own alarm ends it", Cmd: []string{"c:send-stalled/stream.c", "9040", "alarm"}, NetNS: true, Do: mute("9040"),
		Exit: 142, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9040", "SIGALRM"}},
	{Name: "c-send-timeout", Why: "SO_SNDTIMEO: send() gives up with EAGAIN", Cmd: []string{"c:send-stalled/stream.c", "9041", "timeo"}, NetNS: true, Do: mute("9041"),
		Exit: 4, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9041"}},
	{Name: "c-tries", Why: "non-blocking: after thirty refusals it gives up", Cmd: []string{"c:send-stalled/stream.c", "9042", "tries"}, NetNS: true, Do: mute("9042"),
		Exit: 4, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9042"}},
	{Name: "c-refused-once", Why: "non-blocking: a single EAGAIN is taken for an error", Cmd: []string{"c:send-stalled/stream.c", "9057", "once"}, NetNS: true, Do: mute("9057"),
		Exit: 4, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9057"}},
	{Name: "c-unix-alarm", Why: "a UNIX socket's peer does not read; its own alarm ends it", Cmd: []string{"c:send-stalled/stream.c", "feed.sock", "alarm"}, NetNS: true, Do: mute("feed.sock"),
		Exit: 142, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"SIGALRM"}},
	{Name: "python-timeout", Why: "Python: sendall() with a time limit", Cmd: []string{"py:send-stalled/push.py", "9043"}, NetNS: true, Do: mute("9043"),
		Exit: 1, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9043"}},
	{Name: "python-hangs", Why: "Python: faulthandler ends what hangs in sendall()", Cmd: []string{"py:send-stalled/hang.py", "9044"}, NetNS: true, Do: mute("9044"), Varies: true,
		Exit: 1, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9044"}},
	{Name: "node-subscriber", Why: "Node.js: what a subscriber does not take piles up to a bound", Cmd: []string{"js:send-stalled/push.js", "9045"}, NetNS: true, Do: mute("9045"), Varies: true,
		Exit: 1, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9045"}},
	{Name: "go-deadline", Why: "Go: a write deadline", Cmd: []string{"go:send-stalled/gopush", "127.0.0.1:9046"}, NetNS: true, Do: mute("9046"), Varies: true,
		Exit: 1, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9046"}},
	{Name: "java-watchdog", Why: "Java: a thread watches the one that writes", Cmd: []string{"java:send-stalled/Feed.java", "9047"}, NetNS: true, Do: mute("9047"),
		Exit: 7, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9047"}},
	{Name: "ruby-nonblock", Why: "Ruby: write_nonblock, rescued forty times", Cmd: []string{"rb:send-stalled/push.rb", "9048"}, NetNS: true, Do: mute("9048"), Varies: true,
		Exit: 1, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9048"}},
	{Name: "curl-upload", Why: "curl uploads to a server that does not read", Cmd: []string{"curl", "-sS", "-m", "5", "-T", "/usr/bin/curl", "-H", "Expect:", "http://127.0.0.1:9049/"}, NetNS: true, Varies: true,
		Setup: func(r *Run) {
			r.Helper("up\n", "python3", "-uc", "import socket,time; l=socket.create_server(('127.0.0.1',9049)); l.setsockopt(1,8,4096); print('up'); c,_=l.accept(); time.sleep(60)")
		}, Exit: 28, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9049"}},
	{Name: "perl-alarm", Why: "Perl: die in the handler of an alarm", Cmd: []string{"pl:send-stalled/publish.pl", "9055"}, NetNS: true, Do: mute("9055"),
		Exit: 255, AnyExit: true, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9055"}},
	{Name: "dd-to-connection", Why: "stdout is a connection whose client does not read; a timer that came through exec ends dd", Cmd: []string{"sh:send-stalled/inetd.sh", "9056"}, NetNS: true, Do: mute("9056"),
		Exit: 142, Cause: "send-stalled", Beside: []string{"connection-loss"}, Confidence: likelyUp, Words: []string{"127.0.0.1:9056", "SIGALRM"}},
	{Name: "slow-client-well", Why: "a client that pauses is waited for: ends well", Kind: NearMiss, Cmd: []string{"c:send-stalled/stream.c", "9050", "polite"}, NetNS: true, Do: mute("9050", "2"),
		Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"send-stalled"}},
	{Name: "slow-client-then-null", Why: "a client that pauses is waited for; then a null pointer", Kind: Pair, Cmd: []string{"c:send-stalled/stream.c", "9051", "crash"}, NetNS: true, Do: mute("9051", "2"),
		Exit: 139, Cause: "invalid-access", Never: []string{"send-stalled"}},
	{Name: "slow-client-then-exit", Why: "a client that pauses is waited for; then it ends for its own reason", Kind: NearMiss, Cmd: []string{"c:send-stalled/stream.c", "9052", "config"}, NetNS: true, Do: mute("9052", "2"),
		Exit: 5, Cause: "exit-error", Never: []string{"send-stalled"}, Words: []string{"rates.tbl"}},
	{Name: "mute-client-beside", Why: "a client has not read for seconds, and a damaged file ends it", Kind: Pair, Cmd: []string{"c:send-stalled/stream.c", "9053", "slowclient"}, NetNS: true, Do: mute("9053"),
		Exit: 5, Cause: "exit-error", Never: []string{"send-stalled"}, Words: []string{"rates.tbl"}},
	{Name: "redis-drops-client", Why: "redis closes a client that does not read (client-output-buffer-limit) and lives; then SIGTERM", Kind: NearMiss,
		Cmd:   []string{"redis-server", "--port", "9054", "--bind", "127.0.0.1", "--save", "", "--dir", "{dir}", "--client-output-buffer-limit", "normal 1mb 1mb 1"},
		NetNS: true, Varies: true, Do: func(r *Run) {
			r.Await("Ready to accept")
			r.Helper("", "python3", self+"/send-stalled/mute.py", "9054", "0", `EVAL "return string.rep('x', 4000000)" 0\r\n`)
			r.Await("closed")
			r.Signal("redis-server", syscall.SIGTERM)
		}, Exit: 0, Cause: "finished", Or: []string{"unexplained", "killed"}, Never: []string{"send-stalled"}},
	{Name: "says-buffer-full", Why: "speaks of a full buffer and has no socket", Kind: NearMiss, Cmd: []string{"py:send-stalled/says.py"},
		Exit: 1, Cause: "exit-error", Never: []string{"send-stalled"}},
}
