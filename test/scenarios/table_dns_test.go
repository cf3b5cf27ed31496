package scenarios

import (
	"syscall"

	"github.com/descry-dev/descry/internal/evidence"
)

// asks puts a program into a namespace whose resolv.conf is that, with a name server on 127.0.0.1 that
// follows the rules of dns-failure/server.py; without rules nobody listens there.
func asks(s Scenario, conf string, rules ...string) Scenario {
	s.NetNS = true
	s.Mounts = append(s.Mounts, Mount{At: "/etc/resolv.conf", Text: conf})
	if len(rules) > 0 {
		s.Needs = append(s.Needs, "python3")
		after := s.Setup
		s.Setup = func(r *Run) {
			r.Helper("ready", append([]string{"python3", "-u", self + "/dns-failure/server.py", "127.0.0.1"}, rules...)...)
			if after != nil {
				after(r)
			}
		}
	}
	return s
}

const (
	one    = "nameserver 127.0.0.1\noptions timeout:1 attempts:2\n"
	search = "nameserver 127.0.0.1\nsearch shop.svc.cluster.test svc.cluster.test cluster.test\noptions ndots:5 timeout:1 attempts:2\n"
)

var dnsWrong = []string{"dns-failure"}

var dns = []Scenario{
	asks(Scenario{Name: "curl-no-answer", Varies: true, Why: "the name server never answers", Cmd: []string{"curl", "-sS", "http://api.corp.test/"},
		Exit: 6, Cause: "dns-failure", Confidence: certain, Words: []string{"api.corp.test", "127.0.0.1:53", "did not answer"}}, one, "*=drop"),
	asks(Scenario{Name: "curl-own-timeout", Why: "the name server never answers, and curl waits for a second only", Cmd: []string{"curl", "-sS", "--connect-timeout", "1", "http://api.corp.test/"}, Varies: true,
		Exit: 28, Cause: "dns-failure", Confidence: likelyUp, Words: []string{"api.corp.test", "did not answer"}}, one, "*=drop"),
	asks(Scenario{Name: "wget-servfail", Why: "SERVFAIL", Cmd: []string{"wget", "-nv", "-O", "-", "http://mirror.corp.test/pool"},
		Exit: 4, Cause: "dns-failure", Confidence: certain, Words: []string{"mirror.corp.test", "SERVFAIL"}}, one, "*=servfail"),
	asks(Scenario{Name: "psql-search-storm", Why: "a name that is not there, in four forms along the search path", Cmd: []string{"psql", "-h", "orders-db", "-U", "app", "orders", "-c", "select 1"},
		Exit: 2, Cause: "dns-failure", Confidence: certain, Words: []string{"orders-db", "NXDOMAIN", "4 forms", "orders-db.shop.svc.cluster.test"}}, search, "*=nx"),
	asks(Scenario{Name: "git-refused", Why: "the server refuses; a child of git's asks", Cmd: []string{"git", "ls-remote", "https://git.corp.test/shop.git"}, Needs: []string{"git"},
		Exit: 128, Cause: "dns-failure", Confidence: likelyUp, Words: []string{"git.corp.test", "REFUSED"}}, one, "*=refused"),
	asks(Scenario{Name: "git-ssh-nxdomain", Why: "git's ssh does not find the name; git's own words stand behind", Cmd: []string{"git", "ls-remote", "ssh://git@git.corp.test/shop.git"}, Needs: []string{"git", "ssh"},
		Exit: 128, Cause: "dns-failure", Confidence: likelyUp, Words: []string{"git.corp.test", "NXDOMAIN"}}, one, "*=nx"),
	asks(Scenario{Name: "unnamed-then-setting", Why: "a name was not found and warned of; then a setting is missing", Kind: Pair, Cmd: []string{"py:connection-loss/survived.py", "name", "FATAL: missing setting shard_count"},
		Exit: 3, Cause: "exit-error", Never: []string{"dns-failure"}}, one, "*=nx"),
	asks(Scenario{Name: "python-port-closed", Why: "no name server runs", Cmd: []string{"py:dns-failure/stock.py", "partner.corp.test"},
		Exit: 1, Cause: "dns-failure", Confidence: certain, Words: []string{"127.0.0.1:53", "ECONNREFUSED"}, Beside: []string{"uncaught-error"}}, one),
	asks(Scenario{Name: "python-resolv-conf-empty", Why: "an empty resolv.conf: 127.0.0.1 is asked, where nobody listens", Cmd: []string{"py:dns-failure/stock.py", "partner.corp.test"},
		Exit: 1, Cause: "dns-failure", Confidence: certain, Words: []string{"127.0.0.1:53"}, Beside: []string{"uncaught-error"}}, "# nothing\n"),
	asks(Scenario{Name: "node-nxdomain", Why: "no such name: an unhandled error event", Cmd: []string{"js:dns-failure/queue.js", "queue.corp.test"},
		Exit: 1, Cause: "dns-failure", Confidence: certain, Words: []string{"queue.corp.test", "NXDOMAIN"}, Beside: []string{"uncaught-error"}}, one, "*=nx"),
	asks(Scenario{Name: "node-resolve-servfail", Why: "Node.js' own resolver gets SERVFAIL", Cmd: []string{"js:dns-failure/queue.js", "queue.corp.test", "resolve"},
		Exit: 1, Cause: "dns-failure", Confidence: certain, Words: []string{"queue.corp.test", "SERVFAIL"}, Beside: []string{"uncaught-error"}}, one, "*=servfail"),
	asks(Scenario{Name: "java-servfail", Why: "SERVFAIL: UnknownHostException", Cmd: []string{"java:dns-failure/Ledger.java", "ledger.corp.test"},
		Exit: 1, Cause: "dns-failure", Confidence: certain, Words: []string{"ledger.corp.test", "SERVFAIL"}, Beside: []string{"uncaught-error"}}, one, "*=servfail"),
	asks(Scenario{Name: "go-no-answer", Why: "Go's own resolver, without an answer", Cmd: []string{"go:dns-failure/godns", "db.corp.test:5432"}, Varies: true,
		Exit: 1, Cause: "dns-failure", Confidence: certain, Words: []string{"db.corp.test", "did not answer"}}, one, "*=drop"),
	asks(Scenario{Name: "go-port-closed", Why: "Go's own resolver, and no name server runs; it panics", Cmd: []string{"go:dns-failure/godns", "db.corp.test:5432", "panic"}, Varies: true,
		Exit: 2, Cause: "dns-failure", Confidence: certain, Words: []string{"db.corp.test", "ECONNREFUSED"}, Beside: []string{"uncaught-error"}}, one),
	asks(Scenario{Name: "go-search-storm", Why: "Go's own resolver along the search path", Cmd: []string{"go:dns-failure/godns", "db:5432"}, Varies: true,
		Exit: 1, Cause: "dns-failure", Confidence: certain, Words: []string{"NXDOMAIN", "db.shop.svc.cluster.test"}}, search, "*=nx"),
	asks(Scenario{Name: "php-nxdomain", Why: "no such name", Cmd: []string{"php:dns-failure/mail.php", "relay.corp.test"},
		Exit: 75, Cause: "dns-failure", Confidence: certain, Words: []string{"relay.corp.test", "NXDOMAIN"}}, one, "*=nx"),
	asks(Scenario{Name: "ruby-refused", Why: "the server refuses", Cmd: []string{"rb:dns-failure/feed.rb", "feed.corp.test"},
		Exit: 1, Cause: "dns-failure", Confidence: certain, Words: []string{"feed.corp.test", "REFUSED"}, Beside: []string{"uncaught-error"}}, one, "*=refused"),
	asks(Scenario{Name: "perl-no-answer", Why: "no answer; the message is a vague one", Cmd: []string{"pl:dns-failure/backup.pl", "attic.corp.test"}, AnyExit: true, Varies: true,
		Exit: 22, Cause: "dns-failure", Confidence: likelyUp, Words: []string{"attic.corp.test"}, Beside: []string{"uncaught-error"}}, one, "*=drop"),
	asks(Scenario{Name: "redis-cli-nxdomain", Why: "no such name", Cmd: []string{"redis-cli", "-h", "cache.corp.test", "ping"},
		Exit: 1, Cause: "dns-failure", Confidence: certain, Words: []string{"cache.corp.test", "NXDOMAIN"}}, one, "*=nx"),
	asks(Scenario{Name: "nginx-upstream", Why: "an upstream of nginx' configuration is not known", Cmd: []string{"nginx", "-c", "{dir}/n.conf", "-e", "stderr"}, Varies: true,
		Files: map[string]string{"n.conf": "daemon off;\npid {DIR}/pid;\nerror_log stderr;\nevents {}\nhttp { access_log off; server { listen 127.0.0.1:8871; location / { proxy_pass http://backend.corp.test:9000; } } }\n"},
		Exit:  1, Cause: "dns-failure", Confidence: certain, Words: []string{"backend.corp.test"}}, one, "*=nx"),
	asks(Scenario{Name: "curl-truncated", Varies: true, Why: "the answer is cut, and port 53 is closed over TCP", Cmd: []string{"curl", "-sS", "http://api.corp.test/"},
		Exit: 6, Cause: "dns-failure", Confidence: likelyUp, Words: []string{"api.corp.test", "TCP"}}, one, "*=cut"),
	asks(Scenario{Name: "python-no-address", Why: "the name is known and has no address", Cmd: []string{"py:dns-failure/stock.py", "partner.corp.test"},
		Exit: 1, Cause: "dns-failure", Confidence: certain, Words: []string{"no record"}, Beside: []string{"uncaught-error"}}, one, "*=empty"),
	asks(Scenario{Name: "c-silent", Why: "leaves without a word when the name does not resolve", Cmd: []string{"c:dns-failure/silent.c", "graphite.corp.test"},
		Exit: 3, Cause: "dns-failure", Confidence: likelyUp, Words: []string{"graphite.corp.test", "NXDOMAIN"}}, one, "*=nx"),
	asks(Scenario{Name: "c-own-words", Why: "says something else", Cmd: []string{"c:dns-failure/silent.c", "graphite.corp.test", "say"},
		Exit: 9, Cause: "dns-failure", Confidence: likelyUp, Words: []string{"graphite.corp.test", "SERVFAIL"}}, one, "*=servfail"),
	asks(Scenario{Name: "curl-unroutable", Varies: true, Why: "there is no way to the name server", Cmd: []string{"curl", "-sS", "http://api.corp.test/"},
		Exit: 6, Cause: "dns-failure", Confidence: likelyUp, Words: []string{"10.9.9.9:53"}}, "nameserver 10.9.9.9\noptions timeout:1 attempts:2\n"),
	asks(Scenario{Name: "curl-files-only", Varies: true, Why: "nsswitch.conf knows only files: nobody is asked", Cmd: []string{"curl", "-sS", "http://api.corp.test/"},
		Mounts: []Mount{{At: "/etc/nsswitch.conf", Text: "hosts: files\n"}},
		Exit:   6, Cause: "dns-failure", Confidence: []evidence.Confidence{evidence.Likely}, Words: []string{"asked no name server"}}, one, "*=ok"),

	asks(Scenario{Name: "collector-survived", Why: "a name does not resolve, which is caught; then a bug", Kind: NearMiss, Cmd: []string{"py:dns-failure/survives.py"},
		Exit: 1, Cause: "uncaught-error", Never: dnsWrong}, one, "*=nx"),
	asks(Scenario{Name: "collector-then-config", Why: "a name does not resolve, which is told; right after, a file is missing", Kind: Pair, Cmd: []string{"py:dns-failure/survives.py", "config"},
		Exit: 78, Cause: "exit-error", Or: []string{"file-missing"}, Never: dnsWrong}, one, "*=nx"),
	asks(Scenario{Name: "collector-then-crash", Why: "a name does not resolve all the time; a null pointer ends it", Kind: Pair, Cmd: []string{"py:dns-failure/survives.py", "forever", "crash"},
		Exit: 139, Cause: "invalid-access", Never: dnsWrong}, one, "*=servfail"),
	asks(Scenario{Name: "collector-then-killed", Why: "waits for a name server all the time; SIGTERM ends it", Kind: Pair, Cmd: []string{"py:dns-failure/survives.py", "forever", "wait"}, Do: endAfter("serving\n", "python3", syscall.SIGTERM), Varies: true,
		Exit: 143, Cause: "killed", Never: dnsWrong}, one, "*=drop"),
	asks(Scenario{Name: "search-path-then-refused", Varies: true, Why: "NXDOMAIN along the search path, then an address; nobody listens there", Kind: NearMiss, Cmd: []string{"curl", "-sS", "http://web.corp.test:8872/"},
		Exit: 7, Cause: "connect-failure", Never: dnsWrong}, search, "web.corp.test=127.0.0.1", "*=nx"),
	asks(Scenario{Name: "aaaa-servfail-then-refused", Why: "no IPv6 address (SERVFAIL for AAAA), an IPv4 one; nobody listens there", Kind: NearMiss, Cmd: []string{"py:dns-failure/stock.py", "partner.corp.test"},
		Exit: 1, Cause: "connect-failure", Beside: []string{"uncaught-error"}, Never: dnsWrong}, one, "*/AAAA=nx", "*=127.0.0.1"),
	asks(Scenario{Name: "resolved-then-refused", Why: "all names resolve; nobody listens there", Kind: NearMiss, Cmd: []string{"go:dns-failure/godns", "db.corp.test:5432"}, Varies: true,
		Exit: 1, Cause: "connect-failure", Never: dnsWrong}, one, "*=127.0.0.1"),
	asks(Scenario{Name: "slow-then-exit", Why: "the answer takes its time and comes; another reason", Kind: NearMiss, Cmd: []string{"py:dns-failure/slow.py", "db.corp.test"},
		Exit: 5, Cause: "exit-error", Never: dnsWrong}, "nameserver 127.0.0.1\noptions timeout:5\n", "*=127.0.0.1@2"),
	asks(Scenario{Name: "retried-then-exit", Why: "the first packets are lost, a later answer comes; another reason", Kind: NearMiss, Cmd: []string{"py:dns-failure/slow.py", "db.corp.test"},
		Exit: 5, Cause: "exit-error", Never: dnsWrong}, one, "*=127.0.0.1@1.5"),
	asks(Scenario{Name: "mdns", Why: "asks by multicast DNS, which is unseen", Kind: NearMiss, Cmd: []string{"py:dns-failure/mdns.py"}, Net: []string{"ip route add 224.0.0.0/4 dev lo"},
		Exit: 4, Cause: "exit-error", Never: dnsWrong, NoWords: []string{"it asked no name server"}}, one),
	{Name: "says-unknown-name", Why: "quotes another's words", Kind: NearMiss, Cmd: []string{"sh:dns-failure/says.sh"},
		Exit: 1, Cause: "exit-error", Never: dnsWrong},
	asks(Scenario{Name: "another-resolve", Why: "a lookup of no consequence fails; what cannot be resolved is a dependency", Kind: NearMiss, Cmd: []string{"sh:dns-failure/resolve.sh"},
		Exit: 1, Cause: "exit-error", Never: dnsWrong}, one, "*=nx"),
	asks(Scenario{Name: "served-then-exit", Why: "is the name server, and says NXDOMAIN to others all day", Kind: NearMiss, Cmd: []string{"python3", "-uc", "import subprocess,sys,time\np=subprocess.Popen([sys.executable,'-u','{self}/dns-failure/server.py','127.0.0.1','*=nx'],stdout=subprocess.PIPE)\np.stdout.readline()\nprint('ready',flush=True)\nsys.stdin=open('/dev/null')\nimport os\nwhile not os.path.exists('go'): time.sleep(0.05)\np.kill()\nsys.exit(6)"},
		Do: func(r *Run) {
			r.Await("ready")
			r.Helper("code 2", "sh", "-c", "getent hosts a.test; echo code $?; touch go")
		},
		Exit: 6, Cause: "exit-error", Never: dnsWrong, NoWords: []string{"lookups failed"}}, one),
}
