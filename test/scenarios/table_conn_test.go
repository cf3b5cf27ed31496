package scenarios

import (
	"syscall"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// dropped has a port's packets dropped on their way in, as a firewall between does.
func dropped(port string) []string {
	return []string{"iptables -A INPUT -p tcp --dport " + port + " -j DROP"}
}

// rejected has them answered with an ICMP error, or a reset.
func rejected(with string) []string {
	return []string{"iptables -A INPUT -p tcp --dport 7100 -j REJECT --reject-with " + with}
}

// away has a network beyond an interface on which nobody answers.
var away = []string{"ip link add va type veth peer name vb", "ip addr add 10.9.0.1/24 dev va", "ip link set va up", "ip link set vb up"}

func greets(r *Run) {
	r.Helper("up", "python3", "-uc", "import socket\nl=socket.create_server(('127.0.0.1',7100))\nprint('up')\nwhile True: c,_=l.accept(); c.sendall(b'hello')")
}

func peer(how ...string) func(*Run) {
	return func(r *Run) {
		r.Helper("up", append([]string{"python3", "-u", self + "/connection-loss/peer.py"}, how...)...)
	}
}

var connects = []Scenario{
	{Name: "curl-refused", Why: "nobody listens", Cmd: []string{"curl", "-sS", "http://127.0.0.1:7100/"}, NetNS: true,
		Exit: 7, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100", "ECONNREFUSED"}, Varies: true},
	{Name: "curl-dropped", Why: "a firewall drops its packets", Cmd: []string{"curl", "-sS", "--connect-timeout", "1", "http://127.0.0.1:7100/"}, NetNS: true, Net: dropped("7100"),
		Exit: 28, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100", "gave up"}, Varies: true},
	{Name: "curl-prohibited", Why: "a firewall answers host-prohibited", Cmd: []string{"curl", "-sS", "http://127.0.0.1:7100/"}, NetNS: true, Net: rejected("icmp-host-prohibited"),
		Exit: 7, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100", "EHOSTUNREACH"}, Varies: true},
	{Name: "curl-no-route", Why: "no route, not even a default one", Cmd: []string{"curl", "-sS", "http://10.9.0.7:7100/"}, NetNS: true,
		Exit: 7, Cause: "connect-failure", Confidence: certain, Words: []string{"10.9.0.7:7100", "ENETUNREACH"}, Varies: true},
	{Name: "wget-refused", Why: "one try, nobody listens", Cmd: []string{"wget", "-q", "-t1", "-O", "-", "http://127.0.0.1:7100/"}, NetNS: true,
		Exit: 4, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100"}},
	{Name: "psql-refused", Why: "no PostgreSQL at that port", Cmd: []string{"psql", "-h", "127.0.0.1", "-p", "7100", "-c", "select 1"}, NetNS: true,
		Exit: 2, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "psql-socket", Why: "no PostgreSQL's socket in that directory", Cmd: []string{"psql", "-h", "{dir}", "-c", "select 1"},
		Exit: 2, Cause: "connect-failure", Confidence: certain, Words: []string{".s.PGSQL.5432", "ENOENT"}},
	{Name: "redis-cli-refused", Why: "no Redis at that port", Cmd: []string{"redis-cli", "-p", "7100", "ping"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "git-http-refused", Why: "a helper of git's is refused", Cmd: []string{"git", "ls-remote", "http://127.0.0.1:7100/x"}, NetNS: true, Varies: true,
		Exit: 128, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100"}},
	{Name: "git-ssh-refused", Why: "git's ssh is refused", Cmd: []string{"git", "ls-remote", "ssh://127.0.0.1:7100/x"}, NetNS: true, Needs: []string{"ssh"},
		Exit: 128, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100"}},
	{Name: "ssh-unreachable", Why: "nobody answers ARP for that address", Cmd: []string{"ssh", "-o", "BatchMode=yes", "10.9.0.7"}, NetNS: true, Net: away, Varies: true,
		Exit: 255, Cause: "connect-failure", Confidence: certain, Words: []string{"10.9.0.7:22", "EHOSTUNREACH"}},
	{Name: "rsync-refused", Why: "no rsync daemon", Cmd: []string{"rsync", "rsync://127.0.0.1:7100/x", "y"}, NetNS: true,
		Exit: 10, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "nc-refused", Why: "nc -z says nothing", Cmd: []string{"nc", "-z", "127.0.0.1", "7100"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100"}},
	{Name: "socat-refused", Why: "socat has nobody to connect to", Cmd: []string{"socat", "STDIO", "TCP:127.0.0.1:7100"}, NetNS: true, Varies: true,
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "python-refused", Why: "Python: ConnectionRefusedError", Unprivileged: true, Cmd: []string{"py:connect-failure/dial.py", "127.0.0.1", "7100"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "python-refused-v6", Why: "Python: refused by IPv6", Cmd: []string{"py:connect-failure/dial.py", "::1", "7100"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"[::1]:7100"}},
	{Name: "python-dropped", Why: "Python: gives up after a second", Cmd: []string{"py:connect-failure/dial.py", "127.0.0.1", "7100", "1"}, NetNS: true, Net: dropped("7100"),
		Exit: 1, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100", "gave up"}},
	{Name: "python-timed-out", Why: "the kernel gives up: one retry", Cmd: []string{"py:connect-failure/dial.py", "127.0.0.1", "7100"}, NetNS: true, Net: dropped("7100"), Sysctl: map[string]string{"net/ipv4/tcp_syn_retries": "1"},
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100", "ETIMEDOUT"}},
	{Name: "python-unreachable-route", Why: "a route says unreachable", Cmd: []string{"py:connect-failure/dial.py", "10.9.0.7", "7100"}, NetNS: true, Net: []string{"ip route add unreachable 10.9.0.0/16"},
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"10.9.0.7:7100", "EHOSTUNREACH"}},
	{Name: "python-prohibited-route", Why: "a route says prohibited", Cmd: []string{"py:connect-failure/dial.py", "10.9.0.7", "7100"}, NetNS: true, Net: []string{"ip route add prohibit 10.9.0.0/16"},
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"10.9.0.7:7100", "EACCES"}},
	{Name: "python-net-unreachable", Why: "a firewall answers net-unreachable", Cmd: []string{"py:connect-failure/dial.py", "127.0.0.1", "7100"}, NetNS: true, Net: rejected("icmp-net-unreachable"),
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100", "ENETUNREACH"}},
	{Name: "python-udp-refused", Why: "a datagram that nobody takes", Cmd: []string{"py:connect-failure/udp.py"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"ECONNREFUSED"}},
	{Name: "python-retries", Why: "tries eight times and gives up", Cmd: []string{"py:connect-failure/retry.py"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100", "8 times"}},
	{Name: "node-refused", Why: "Node.js: an unhandled 'error' event", Cmd: []string{"js:connect-failure/dial.js", "127.0.0.1", "7100"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "node-dropped", Why: "Node.js: a timeout of its own", Cmd: []string{"js:connect-failure/dial.js", "127.0.0.1", "7100", "700"}, NetNS: true, Net: dropped("7100"),
		Exit: 5, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100"}},
	{Name: "java-refused", Why: "Java: ConnectException", Cmd: []string{"java:connect-failure/Dial.java", "127.0.0.1", "7100"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "java-dropped", Why: "Java: SocketTimeoutException", Cmd: []string{"java:connect-failure/Dial.java", "127.0.0.1", "7100"}, NetNS: true, Net: dropped("7100"),
		Exit: 1, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100"}},
	{Name: "go-refused", Why: "Go: log.Fatal", Cmd: []string{"go:connect-failure/godatabase", "127.0.0.1:7100"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "go-refused-panic", Why: "Go: a panic with the error", Cmd: []string{"go:connect-failure/godatabase", "127.0.0.1:7100", "panic"}, NetNS: true, Varies: true,
		Exit: 2, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "go-dropped", Why: "Go: i/o timeout", Cmd: []string{"go:connect-failure/godatabase", "127.0.0.1:7100"}, NetNS: true, Net: dropped("7100"),
		Exit: 1, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100"}},
	{Name: "php-refused", Why: "PHP: other words", Cmd: []string{"php:connect-failure/dial.php"}, NetNS: true,
		Exit: 6, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "ruby-refused", Why: "Ruby: Errno::ECONNREFUSED", Cmd: []string{"rb:connect-failure/dial.rb"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "perl-refused", Why: "Perl: die with errno", Cmd: []string{"pl:connect-failure/dial.pl"}, NetNS: true,
		Exit: 111, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "c-refused-number", Why: "C, an event loop's connect: the message is a number", Cmd: []string{"c:connect-failure/wait.c", "127.0.0.1", "7100"}, NetNS: true,
		Exit: 8, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100"}},
	{Name: "c-refused-mute", Why: "C, an event loop's connect: no word", Cmd: []string{"c:connect-failure/wait.c", "127.0.0.1", "7100", "mute"}, NetNS: true,
		Exit: 8, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100"}},
	{Name: "c-dropped", Why: "C: its own timeout", Cmd: []string{"c:connect-failure/wait.c", "127.0.0.1", "7100", "say", "800"}, NetNS: true, Net: dropped("7100"),
		Exit: 9, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100"}},
	{Name: "c-socket-missing", Why: "C: a UNIX socket that is not there", Cmd: []string{"c:connect-failure/agent.c", "{dir}/collector.sock"},
		Exit: 3, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"collector.sock", "ENOENT"}},
	{Name: "c-socket-stale", Why: "C: a UNIX socket's file that nobody listens at", Cmd: []string{"c:connect-failure/agent.c", "{dir}/collector.sock"}, Setup: func(r *Run) {
		r.Inside("python3", "-c", "import socket; socket.socket(socket.AF_UNIX).bind('{dir}/collector.sock')")
	}, Exit: 3, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"collector.sock", "ECONNREFUSED"}},

	{Name: "script-waits", Why: "a script tries by nc, and gives up", Cmd: []string{"sh:connect-failure/wait.sh"}, NetNS: true, Needs: []string{"nc"},
		Exit: 1, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100", "4 times"}},
	{Name: "bash-dev-tcp", Why: "bash's own connection", Cmd: []string{"bash", "-ec", "exec 3<>/dev/tcp/127.0.0.1/7100"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"127.0.0.1:7100"}},
	{Name: "node-localhost", Why: "Node.js tries both addresses of localhost", Cmd: []string{"js:connect-failure/dial.js", "localhost", "7100"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: certain, Words: []string{"7100"}},
	{Name: "killed-waiting", Why: "no answer for as long as somebody waits for it", Cmd: []string{"py:connect-failure/dial.py", "127.0.0.1", "7100"}, NetNS: true, Net: dropped("7100"),
		Do: func(r *Run) { r.Find("python3"); time.Sleep(3 * time.Second); r.Signal("python3", syscall.SIGTERM) }, Exit: 143,
		Cause: "connect-failure", Confidence: []evidence.Confidence{evidence.Likely}, Words: []string{"127.0.0.1:7100", "waited"}},
	{Name: "timeout-waiting", Why: "timeout(1) ends what waits for an answer", Cmd: []string{"timeout", "3", "py:connect-failure/dial.py", "127.0.0.1", "7100"}, NetNS: true, Net: dropped("7100"),
		Exit: 124, Cause: "connect-failure", Confidence: []evidence.Confidence{evidence.Likely}, Words: []string{"127.0.0.1:7100", "waited"}},

	{Name: "second-address", Why: "refused at ::1, connected at 127.0.0.1, then a ValueError", Kind: NearMiss, Cmd: []string{"py:connect-failure/eyeballs.py"}, NetNS: true, Setup: greets,
		Exit: 1, Cause: "uncaught-error", Never: []string{"connect-failure", "connection-loss"}},
	{Name: "comes-later", Why: "refused until its server is up, then its own error", Kind: NearMiss, Cmd: []string{"py:connect-failure/comes.py"}, NetNS: true, Varies: true,
		Setup: func(r *Run) {
			r.Helper("", "python3", "-uc", "import os,socket,time\nwhile not os.path.exists('{dir}/go'): time.sleep(.02)\nl=socket.create_server(('127.0.0.1',7100))\nwhile True: c,_=l.accept(); c.sendall(b'hello')")
		}, Exit: 1, Cause: "exit-error", Never: []string{"connect-failure", "connection-loss"}},
	{Name: "says-refused", Why: "quotes yesterday's log", Kind: NearMiss, Cmd: []string{"sh:connect-failure/says.sh"},
		Exit: 1, Cause: "exit-error", Never: []string{"connect-failure"}},
	{Name: "optional-then-input", Why: "telemetry was refused and not needed; the input is wrong", Kind: Pair, Cmd: []string{"py:connect-failure/optional.py"}, NetNS: true,
		Exit: 1, Cause: "exit-error", Never: []string{"connect-failure"}},
	{Name: "warned-then-config", Why: "a cache was refused and not needed; the configuration is wrong", Kind: Pair, Cmd: []string{"py:connect-failure/optional.py", "config: no host is named for the database"}, NetNS: true,
		Exit: 1, Cause: "exit-error", Never: []string{"connect-failure"}},
	{Name: "warned-then-german", Why: "a refusal was warned of; what it ended for is said in German", Kind: Pair, Cmd: []string{"py:connection-loss/survived.py", "refused", "Schwerer Fehler: Lizenz abgelaufen"}, NetNS: true,
		Exit: 3, Cause: "exit-error", Never: []string{"connect-failure"}},
	{Name: "warned-then-limit", Why: "a refusal was warned of; the reason has a word of connections in it", Kind: Pair, Cmd: []string{"py:connection-loss/survived.py", "refused", "could not start: invalid value for max_connections"}, NetNS: true,
		Exit: 3, Cause: "exit-error", Never: []string{"connect-failure"}},
	{Name: "workers-refused", Why: "forked workers are refused and end mutely; their supervisor gives up", Cmd: []string{"py:connect-failure/workers.py"}, NetNS: true,
		Exit: 1, Cause: "connect-failure", Confidence: likelyUp, Words: []string{"127.0.0.1:7100", "helper"}},
	{Name: "quietly-then-tests", Why: "metrics were refused without a word; then tests fail", Kind: Pair, Cmd: []string{"js:connect-failure/tests.js"}, NetNS: true,
		Exit: 1, Cause: "exit-error", Never: []string{"connect-failure"}},
	{Name: "raced-then-slow", Why: "one address of localhost does not answer, the other does, but slowly", Kind: NearMiss, Cmd: []string{"curl", "-sS", "--max-time", "2", "http://localhost:7200/"}, NetNS: true, Varies: true,
		Net: []string{"ip6tables -A INPUT -p tcp --dport 7200 -j DROP"}, Setup: peer("slow"), Exit: 28, Cause: "exit-error", Never: []string{"connect-failure", "connection-loss"}},
	{Name: "optional-then-null", Why: "metrics were refused and not needed; then a null pointer", Kind: Pair, Cmd: []string{"c:connect-failure/metrics.c"}, NetNS: true,
		Exit: 139, Cause: "invalid-access", Never: []string{"connect-failure"}},
	{Name: "refused-then-killed", Why: "refused, waits for better days, killed from outside", Kind: Pair, Cmd: []string{"py:connect-failure/works.py"}, NetNS: true,
		Do: func(r *Run) { r.Await("later:"); r.Signal("python3", syscall.SIGKILL) }, Exit: 137, Cause: "killed", Never: []string{"connect-failure"}},
}

var losses = []Scenario{
	{Name: "python-reset", Why: "Python: the peer resets", Unprivileged: true, Cmd: []string{"py:connection-loss/read.py"}, NetNS: true, Setup: peer("reset"),
		Exit: 1, Cause: "connection-loss", Confidence: certain, Words: []string{"127.0.0.1:7200", "ECONNRESET"}},
	{Name: "curl-reset", Varies: true, Why: "the peer resets in the middle of an answer", Cmd: []string{"curl", "-sS", "-o", "out", "http://127.0.0.1:7200/"}, NetNS: true, Setup: peer("reset"),
		Exit: 56, Cause: "connection-loss", Confidence: certain, Words: []string{"127.0.0.1:7200"}},
	{Name: "wget-reset", Why: "the peer resets in the middle of an answer; one try", Cmd: []string{"wget", "-nv", "-t1", "-O", "out", "http://127.0.0.1:7200/"}, NetNS: true, Setup: peer("reset"), Varies: true,
		Exit: 4, Cause: "connection-loss", Confidence: likelyUp, Words: []string{"127.0.0.1:7200"}},
	{Name: "ssh-reset", Why: "what listens there is no SSH server and resets", Cmd: []string{"ssh", "-o", "BatchMode=yes", "-p", "7200", "127.0.0.1"}, NetNS: true, Setup: peer("reset"),
		Exit: 255, Cause: "connection-loss", Confidence: certain, Words: []string{"127.0.0.1:7200"}},
	{Name: "c-reset-mute", Why: "C: the last read fails, and no word about it", Cmd: []string{"c:connection-loss/read.c"}, NetNS: true, Setup: peer("reset"),
		Exit: 14, Cause: "connection-loss", Confidence: likelyUp, Words: []string{"127.0.0.1:7200"}},
	{Name: "c-reset-sigpipe", Why: "C: writes on after the reset", Cmd: []string{"c:connection-loss/read.c", "write"}, NetNS: true, Setup: peer("reset"), Beside: []string{"broken-pipe"},
		Exit: 141, Cause: "connection-loss", Confidence: likelyUp, Words: []string{"127.0.0.1:7200"}},
	{Name: "node-reset", Why: "Node.js: read ECONNRESET", Cmd: []string{"js:connection-loss/read.js"}, NetNS: true, Setup: peer("reset"),
		Exit: 1, Cause: "connection-loss", Confidence: certain, Words: []string{"127.0.0.1:7200"}},
	{Name: "java-reset", Why: "Java: SocketException", Cmd: []string{"java:connection-loss/Read.java"}, NetNS: true, Setup: peer("reset"),
		Exit: 1, Cause: "connection-loss", Confidence: certain, Words: []string{"127.0.0.1:7200"}},
	{Name: "go-reset", Why: "Go: connection reset by peer", Cmd: []string{"go:connection-loss/gofollow"}, NetNS: true, Setup: peer("reset"), Varies: true,
		Exit: 3, Cause: "connection-loss", Confidence: certain, Words: []string{"127.0.0.1:7200"}},
	{Name: "ruby-reset", Why: "Ruby: Errno::ECONNRESET", Cmd: []string{"rb:connection-loss/read.rb"}, NetNS: true, Setup: peer("reset"),
		Exit: 1, Cause: "connection-loss", Confidence: certain, Words: []string{"127.0.0.1:7200"}},
	{Name: "perl-reset", Why: "Perl: die with errno", Cmd: []string{"pl:connection-loss/read.pl"}, NetNS: true, Setup: peer("reset"),
		Exit: 104, Cause: "connection-loss", Confidence: certain, Words: []string{"127.0.0.1:7200"}},
	{Name: "python-firewall-reset", Why: "a firewall resets an established connection", Cmd: []string{"py:connection-loss/write.py"}, NetNS: true, Setup: peer("reject", "first"), Needs: []string{"iptables"},
		Exit: 1, Cause: "connection-loss", Confidence: certain, Words: []string{"127.0.0.1:7200", "ECONNRESET"}},
	{Name: "python-retransmissions", Why: "a firewall drops all of a sudden; three retries", Cmd: []string{"py:connection-loss/write.py"}, NetNS: true, Setup: peer("drop", "first"), Needs: []string{"iptables"},
		Sysctl: map[string]string{"net/ipv4/tcp_retries2": "3"}, Exit: 1, Cause: "connection-loss", Confidence: certain, Words: []string{"127.0.0.1:7200", "ETIMEDOUT"}},
	{Name: "python-user-timeout", Why: "a firewall drops all of a sudden; TCP_USER_TIMEOUT", Cmd: []string{"py:connection-loss/write.py", "1000"}, NetNS: true, Setup: peer("drop", "first"), Needs: []string{"iptables"},
		Exit: 1, Cause: "connection-loss", Confidence: certain, Words: []string{"127.0.0.1:7200", "ETIMEDOUT"}},
	{Name: "python-keepalive", Why: "a firewall drops all of a sudden; keep-alives find out", Cmd: []string{"py:connection-loss/alive.py"}, NetNS: true, Setup: peer("drop"), Needs: []string{"iptables"},
		Exit: 1, Cause: "connection-loss", Confidence: certain, Words: []string{"127.0.0.1:7200", "ETIMEDOUT"}},

	{Name: "python-own-timeout", Why: "a firewall drops all of a sudden; the program's own timeout is shorter than the kernel's", Cmd: []string{"py:connection-loss/own.py"}, NetNS: true, Setup: peer("drop", "first"), Needs: []string{"iptables"},
		Exit: 1, Cause: "connection-loss", Confidence: likelyUp, Words: []string{"127.0.0.1:7200", "acknowledged"}},

	{Name: "git-http-reset", Why: "a helper of git's is reset", Cmd: []string{"git", "ls-remote", "http://127.0.0.1:7200/x"}, NetNS: true, Setup: peer("reset"), Varies: true,
		Exit: 128, Cause: "connection-loss", Confidence: likelyUp, Words: []string{"127.0.0.1:7200", "helper"}},
	{Name: "warned-then-password", Why: "a reset was warned of; then a database refuses its password", Kind: Pair, Cmd: []string{"py:connection-loss/survived.py", "reset", "login to database failed: password authentication failed"}, NetNS: true, Setup: peer("reset"),
		Exit: 3, Cause: "exit-error", Never: []string{"connection-loss"}},
	{Name: "client-resets-then-null", Why: "a client's reset is everyday; then a null pointer", Kind: Pair, Cmd: []string{"c:connection-loss/server.c"}, NetNS: true, Do: resets,
		Exit: 139, Cause: "invalid-access", Never: []string{"connection-loss"}},
	{Name: "client-resets-then-exit", Why: "a client's reset is everyday; then an error of its own", Kind: Pair, Cmd: []string{"c:connection-loss/server.c", "exit"}, NetNS: true, Do: resets,
		Exit: 4, Cause: "exit-error", Never: []string{"connection-loss"}},
	{Name: "made-again-then-key", Why: "reset twice, each time got over; then a KeyError", Kind: Pair, Cmd: []string{"py:connection-loss/again.py"}, NetNS: true, Setup: peer("reset"),
		Exit: 1, Cause: "uncaught-error", Never: []string{"connection-loss", "connect-failure"}},
	{Name: "closed-in-order", Why: "the peer closes in good order, too early", Kind: NearMiss, Cmd: []string{"curl", "-sS", "-o", "out", "http://127.0.0.1:7200/"}, NetNS: true, Setup: peer("close"), Varies: true,
		Exit: 18, Cause: "exit-error", Never: []string{"connection-loss", "connect-failure"}},
	{Name: "slow-answer", Why: "the peer takes its time; the client does not wait", Kind: NearMiss, Cmd: []string{"py:connection-loss/slow.py"}, NetNS: true, Setup: peer("slow"),
		Exit: 1, Cause: "uncaught-error", Never: []string{"connection-loss", "connect-failure"}},
	{Name: "closed-then-sigpipe", Why: "the peer closes in good order; it writes on", Kind: NearMiss, Cmd: []string{"c:connection-loss/read.c", "write"}, NetNS: true, Setup: peer("close"),
		Exit: 141, Cause: "broken-pipe", Never: []string{"connection-loss"}},
}

// resets is a client that leaves with a reset.
func resets(r *Run) {
	r.Await("up")
	r.Inside("python3", "-c", "import socket,struct\nc=socket.create_connection(('127.0.0.1',7201))\nc.setsockopt(socket.SOL_SOCKET,socket.SO_LINGER,struct.pack('ii',1,0))\nc.close()")
}
