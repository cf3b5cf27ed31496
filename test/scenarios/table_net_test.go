package scenarios

import (
	"syscall"
	"time"
)

// eventually polls for what has no event of its own.
func eventually(r *Run, what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(3 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s: waited in vain until %s", r.how(), what)
		}
	}
}

// taken makes a helper that holds a port.
func taken(port string) func(*Run) {
	return func(r *Run) {
		r.Helper("Serving HTTP", "python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", port)
	}
}

func takenUDP(port string) func(*Run) {
	return func(r *Run) {
		r.Helper("up", "python3", "-uc", "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1',"+port+")); print('up'); import time; time.sleep(600)")
	}
}

var addresses = []Scenario{
	{Name: "c-bind", Unprivileged: true, Why: "the port is another's; the message is a number", Cmd: []string{"c:address-in-use/listen.c", "8811"}, NetNS: true, Setup: taken("8811"),
		Exit: 13, Cause: "address-in-use", Confidence: certain, Words: []string{"127.0.0.1:8811", "python3"}},
	{Name: "warned-then-setting", Why: "the port of something optional is another's; then a setting is missing", Kind: Pair, Cmd: []string{"py:connection-loss/survived.py", "taken", "FATAL: missing setting shard_count"}, NetNS: true, Setup: taken("8811"),
		Exit: 3, Cause: "exit-error", Never: []string{"address-in-use"}},
	{Name: "c-bind-mute", Why: "the port is another's, and no word about it", Cmd: []string{"c:address-in-use/listen.c", "8812", "quiet"}, NetNS: true, Setup: taken("8812"),
		Exit: 2, Cause: "address-in-use", Confidence: certain, Words: []string{"8812"}},
	{Name: "c-bind-udp", Why: "a UDP port", Cmd: []string{"c:address-in-use/listen.c", "8813", "udp"}, NetNS: true, Setup: takenUDP("8813"),
		Exit: 13, Cause: "address-in-use", Confidence: certain, Words: []string{"8813"}},
	{Name: "python-http-server", Why: "python3 -m http.server on a taken port", Cmd: []string{"python3", "-m", "http.server", "--bind", "127.0.0.1", "8814"}, NetNS: true, Setup: taken("8814"),
		Exit: 1, Cause: "address-in-use", Confidence: likelyUp, Words: []string{"8814"}},
	{Name: "python-itself", Why: "two of its own parts want one port", Cmd: []string{"py:address-in-use/twice.py"}, NetNS: true,
		Exit: 1, Cause: "address-in-use", Confidence: likelyUp, Words: []string{"9300"}},
	{Name: "python-unix-socket", Why: "a UNIX socket's file is left from before", Cmd: []string{"py:address-in-use/unixsock.py"},
		Exit: 1, Cause: "address-in-use", Confidence: likelyUp, Words: []string{"ctl.sock"}},
	{Name: "node-listen", Unprivileged: true, Why: "Node.js: an unhandled 'error' event", Cmd: []string{"js:address-in-use/serve.js", "8815"}, NetNS: true, Setup: taken("8815"),
		Exit: 1, Cause: "address-in-use", Confidence: likelyUp, Words: []string{"8815"}},
	{Name: "go-listen", Why: "Go: log.Fatal without the reason", Cmd: []string{"go:address-in-use/goserve", "127.0.0.1:8816"}, NetNS: true, Setup: taken("8816"),
		Exit: 1, Cause: "address-in-use", Confidence: likelyUp, Words: []string{"8816"}},
	{Name: "java-listen", Why: "Java: BindException", Cmd: []string{"java:address-in-use/Serve.java", "8817"}, NetNS: true, Setup: taken("8817"),
		Exit: 1, Cause: "address-in-use", Confidence: likelyUp, Words: []string{"8817"}},
	{Name: "ruby-listen", Why: "Ruby: the error is rescued and told in other words", Cmd: []string{"rb:address-in-use/serve.rb", "8818"}, NetNS: true, Setup: taken("8818"),
		Exit: 75, Cause: "address-in-use", Confidence: likelyUp, Words: []string{"8818"}},
	{Name: "nginx-port", Why: "nginx tries five times and gives up", Cmd: []string{"nginx", "-c", "{dir}/n.conf", "-e", "stderr"}, NetNS: true, Setup: taken("8819"), Varies: true,
		Files: map[string]string{"n.conf": nginxConf("8819")}, Exit: 1, Cause: "address-in-use", Confidence: likelyUp, Words: []string{"8819"}},
	{Name: "redis-port", Why: "redis-server on a taken port", Cmd: []string{"redis-server", "--port", "8820", "--bind", "127.0.0.1", "--save", "", "--dir", "{dir}"}, NetNS: true, Setup: taken("8820"), Varies: true,
		Exit: 1, Cause: "address-in-use", Confidence: likelyUp, Words: []string{"8820"}},
	{Name: "socat-port", Why: "socat on a taken port", Cmd: []string{"socat", "TCP-LISTEN:8821,bind=127.0.0.1", "STDIO"}, NetNS: true, Setup: taken("8821"), Varies: true,
		Exit: 1, Cause: "address-in-use", Confidence: likelyUp, Words: []string{"8821"}},
	{Name: "php-server-port", Why: "php -S on a taken port", Cmd: []string{"php", "-S", "127.0.0.1:8822"}, NetNS: true, Setup: taken("8822"), Varies: true,
		Exit: 1, Cause: "address-in-use", Confidence: likelyUp, Words: []string{"8822"}},
	{Name: "next-port-then-exit", Why: "takes the next port, and ends later for its own reason", Kind: NearMiss, Cmd: []string{"c:address-in-use/listen.c", "8823", "next"}, NetNS: true, Setup: taken("8823"),
		Exit: 21, Cause: "exit-error", Never: []string{"address-in-use"}},
	{Name: "next-port-then-null", Why: "takes the next port, then a null pointer", Kind: Pair, Cmd: []string{"c:address-in-use/listen.c", "8824", "next-crash"}, NetNS: true, Setup: taken("8824"),
		Exit: 139, Cause: "invalid-access", Never: []string{"address-in-use"}},
	{Name: "says-address-in-use", Why: "quotes yesterday's log", Kind: NearMiss, Cmd: []string{"sh:address-in-use/says.sh"},
		Exit: 1, Cause: "exit-error", Never: []string{"address-in-use"}},
}

var ports = []Scenario{
	{Name: "python-connections", Why: "each job keeps its connection; twenty local ports", Cmd: []string{"py:port-exhaustion/dial.py"}, NetNS: true, Ports: "32768 32787",
		Exit: 1, Cause: "port-exhaustion", Confidence: likelyUp, Words: []string{"127.0.0.1:6400", "32768"}},
	{Name: "c-connections", Why: "keeps its connections until no local port is left; the message blames the mirror", Cmd: []string{"c:port-exhaustion/dial.c"}, NetNS: true, Ports: "40000 40031",
		Exit: 17, Cause: "port-exhaustion", Confidence: likelyUp, Words: []string{"6400", "40000"}},
	{Name: "go-connections", Why: "keeps its connections; Go panics", Kind: Pair, Cmd: []string{"go:port-exhaustion/godial"}, NetNS: true, Ports: "40000 40015", Varies: true,
		Exit: 2, Cause: "port-exhaustion", Confidence: likelyUp, Words: []string{"6400"}, Beside: []string{"uncaught-error"}},
	{Name: "node-connections", Why: "keeps its connections; Node.js has an unhandled error", Cmd: []string{"js:port-exhaustion/dial.js"}, NetNS: true, Ports: "41000 41019",
		Exit: 1, Cause: "port-exhaustion", Confidence: likelyUp, Words: []string{"6400"}},
	{Name: "ab-many-at-once", Why: "ab opens more connections at once than there are local ports", Cmd: []string{"ab", "-q", "-n", "500", "-c", "64", "http://127.0.0.1:8830/"}, NetNS: true, Ports: "42000 42015", Varies: true,
		Setup: taken("8830"), Exit: 99, Cause: "port-exhaustion", Confidence: likelyUp, Words: []string{"8830"}},
	{Name: "python-time-wait", Why: "closed connections hold their ports in TIME_WAIT", Cmd: []string{"py:port-exhaustion/time_wait.py"}, NetNS: true, Ports: "42100 42119",
		Sysctl: map[string]string{"net/ipv4/tcp_tw_reuse": "0"}, Exit: 1, Cause: "port-exhaustion", Confidence: likelyUp, Words: []string{"TIME_WAIT", "6401"}},
	{Name: "foreign-address", Why: "binds an address that the machine has not: the same error, all ports free", Kind: NearMiss, Cmd: []string{"py:port-exhaustion/foreign.py"}, NetNS: true,
		Exit: 1, Cause: "uncaught-error", Or: []string{"exit-error"}, Never: []string{"port-exhaustion", "address-in-use"}},
	{Name: "ports-survived", Why: "ran out of ports, closed some, ends for another reason", Kind: Pair, Cmd: []string{"py:port-exhaustion/waits.py"}, NetNS: true, Ports: "43000 43019",
		// On a loaded machine its second try is refused as well: then that is the death.
		Exit: 1, Cause: "uncaught-error", Or: []string{"port-exhaustion"}},
}

var output = []Scenario{
	{Name: "python-eagain", Why: "non-blocking stdout, nobody reads: BlockingIOError", Cmd: []string{"py:output-stalled/nonblock.py"}, Env: []string{"PYTHONUNBUFFERED="}, Hold: true, Varies: true,
		AnyExit: true, // 120 where the pipe is still full at its end, else 1
		Exit:    120, Cause: "output-stalled", Confidence: likelyUp, Words: []string{"stdout"}},
	{Name: "c-short-writes", Why: "non-blocking stdout: lines are cut and lost, and it gives up", Cmd: []string{"c:output-stalled/short.c"}, Hold: true, Varies: true,
		Exit: 4, Cause: "output-stalled", Confidence: likelyUp, Words: []string{"stdout"}},
	{Name: "c-watchdog", Why: "blocked in a write to stdout until its own alarm ends it", Cmd: []string{"c:output-stalled/watchdog.c"}, Hold: true, Varies: true,
		Exit: 142, Cause: "output-stalled", Confidence: likelyUp, Words: []string{"stdout", "SIGALRM"}},
	{Name: "go-watchdog", Why: "its log blocks; another goroutine gives up", Cmd: []string{"go:output-stalled/gostall"}, Hold: true, Varies: true,
		Exit: 7, Cause: "output-stalled", Confidence: likelyUp, Words: []string{"stdout"}},
	{Name: "slow-reader-well", Why: "non-blocking stdout, handled by poll: ends well", Kind: NearMiss, Cmd: []string{"c:output-stalled/polite.c"}, Hold: true,
		Do: func(r *Run) { r.AwaitErr("full"); r.Release() }, Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"output-stalled"}, Silent: true},
	{Name: "slow-reader-then-exit", Why: "a slow reader, handled; then it ends for its own reason", Kind: NearMiss, Cmd: []string{"c:output-stalled/polite.c", "fail"}, Hold: true,
		Do: func(r *Run) { r.AwaitErr("full"); r.Release() }, Exit: 5, Cause: "exit-error", Never: []string{"output-stalled"}, Words: []string{"ledger"}},
	{Name: "slow-reader-then-null", Why: "a slow reader, handled; then a null pointer", Kind: Pair, Cmd: []string{"c:output-stalled/polite.c", "crash"}, Hold: true,
		Do: func(r *Run) { r.AwaitErr("full"); r.Release() }, Exit: 139, Cause: "invalid-access", Never: []string{"output-stalled"}},
}

func readerLeaves(text string) func(*Run) {
	return func(r *Run) { r.Await(text); r.CloseStdout() }
}

var brokenPipe = []Scenario{
	{Name: "c-stdout", Unprivileged: true, Why: "the reader of stdout goes away: SIGPIPE", Cmd: []string{"c:broken-pipe/tide.c"}, Do: readerLeaves("level 50\n"), Varies: true,
		Exit: 141, Cause: "broken-pipe", Confidence: certain, Words: []string{"stdout"}},
	{Name: "c-peer", Why: "a peer hangs up in the middle: SIGPIPE from a socket", Cmd: []string{"c:broken-pipe/peer.c"},
		Exit: 141, Cause: "broken-pipe", Confidence: certain, Words: []string{"SIGPIPE"}},
	{Name: "python-report", Unprivileged: true, Why: "Python: BrokenPipeError", Cmd: []string{"py:broken-pipe/report.py"}, Do: readerLeaves("page 20\n"), Varies: true,
		Exit: 1, AnyExit: true, Cause: "broken-pipe", Confidence: likelyUp},
	{Name: "python-helper", Why: "the helper that is fed has ended", Cmd: []string{"py:broken-pipe/pump.py"},
		Exit: 1, Cause: "broken-pipe", Confidence: likelyUp},
	{Name: "node-stdout", Why: "Node.js: an unhandled EPIPE", Cmd: []string{"js:broken-pipe/stream.js"}, Do: readerLeaves("event 60\n"), Varies: true,
		Exit: 1, Cause: "broken-pipe", Confidence: likelyUp},
	{Name: "go-stdout", Why: "Go raises SIGPIPE for stdout", Cmd: []string{"go:broken-pipe/gopipe"}, Do: readerLeaves("offset 40\n"), Varies: true,
		Exit: 141, Cause: "broken-pipe", Confidence: likelyUp},
	{Name: "java-check-error", Why: "Java swallows it; the program asks and leaves", Cmd: []string{"java:broken-pipe/Tell.java"}, Do: readerLeaves("line 30\n"), Varies: true,
		Exit: 18, Cause: "broken-pipe", Confidence: likelyUp},
	{Name: "shell-pipefail", Why: "yes | head in a script with pipefail, whose code is 141", Cmd: []string{"bash", "-c", "set -o pipefail; yes | head -n 1"},
		Exit: 141, Cause: "broken-pipe"},
	{Name: "dd-ignores-sigpipe", Why: "SIGPIPE is ignored, dd reports the write", Cmd: []string{"bash", "-c", `trap "" PIPE; exec dd if=/dev/zero bs=1k status=none`}, Varies: true,
		Do: func(r *Run) { r.Find("dd"); r.CloseStdout() }, Hold: true, Exit: 1, Cause: "broken-pipe", Confidence: likelyUp},
	{Name: "sort-to-head", Why: "sort's reader leaves; a script with pipefail", Cmd: []string{"bash", "-c", "set -o pipefail; seq 200000 | sort -n | head -n 1"},
		Exit: 141, Cause: "broken-pipe"},
	{Name: "handled-then-killed", Why: "EPIPE of a client, handled; then SIGTERM", Kind: NearMiss, Cmd: []string{"py:broken-pipe/handled.py"}, Do: endAfter("ready\n", "python3", syscall.SIGTERM),
		Exit: 143, Cause: "killed", Never: []string{"broken-pipe"}},
	{Name: "handled-then-exit", Why: "EPIPE of a client, handled; then exit code 3", Kind: Pair, Cmd: []string{"py:broken-pipe/handled.py", "fail"},
		Exit: 3, Cause: "exit-error", Never: []string{"broken-pipe"}, Words: []string{"quota"}},
	{Name: "says-broken-pipe", Why: "quotes the words, and exits with 1", Kind: NearMiss, Cmd: []string{"pl:broken-pipe/says.pl"},
		Exit: 1, Cause: "exit-error", Never: []string{"broken-pipe"}},
	{Name: "yes-head", Unprivileged: true, Why: "a pipeline as they are meant: yes dies of SIGPIPE, all is well", Kind: NearMiss, Cmd: []string{"bash", "-c", "yes | head -n 2"},
		Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Silent: true},
}
