package scenarios

import "os"

// small is a directory on a file system with little room.
func small(opt string) []Mount { return []Mount{{At: "{dir}/small", FS: "tmpfs", Opt: opt}} }

const (
	tiny     = "size=200k"
	fewFiles = "size=4m,nr_inodes=6"
)

func onSmall(name, why, opt string, exit int, words []string, cmd ...string) Scenario {
	return Scenario{Name: name, Why: why, Cmd: cmd, Mounts: small(opt), Exit: exit, Cause: "disk-full", Confidence: likelyUp, Words: append(words, "/small"), Never: []string{"inotify-limit", "file-missing", "permission"}}
}

func certainly(s Scenario) Scenario { s.Confidence = certain; return s }

func likelyToo(s Scenario) Scenario { s.Confidence = likelyUp; return s }

func varies(s Scenario) Scenario { s.Varies = true; return s }

func needs(s Scenario, programs ...string) Scenario { s.Needs = programs; return s }

func beside(s Scenario, causes ...string) Scenario { s.Beside = causes; return s }

var disk = []Scenario{
	certainly(onSmall("c-stdio", "a report outgrows the file system; the program says so", tiny, 1, []string{"ENOSPC", "report.txt", "tmpfs"}, "c:disk-full/report.c", "small/report.txt")),
	onSmall("c-mute", "a write is refused and the program exits with 7 without a word", tiny, 7, []string{"ENOSPC", "store"}, "c:disk-full/mute.c", "small/store"),
	certainly(onSmall("cp", "cp finds no room", tiny, 1, []string{"ENOSPC"}, "cp", "/usr/bin/perl", "small/")),
	varies(onSmall("dd", "dd finds no room", tiny, 1, []string{"ENOSPC"}, "dd", "if=/dev/zero", "of=small/image", "bs=64k", "count=100")),
	certainly(onSmall("tar", "tar unpacks more than there is room for", tiny, 2, []string{"ENOSPC"}, "sh", "-c", "tar -C /usr/share -cf big.tar common-licenses; exec tar -C small -xf big.tar")),
	certainly(onSmall("tar-inodes", "tar makes more files than there are inodes", fewFiles, 2, []string{"inodes"}, "sh", "-c", "tar -C /usr/share -cf big.tar common-licenses; exec tar -C small -xf big.tar")),
	certainly(onSmall("gzip", "gzip finds no room for its output", "size=16k", 1, []string{"ENOSPC"}, "sh", "-c", "head -c 200000 /dev/urandom >r; exec gzip -c r >small/r.gz")),
	varies(onSmall("sort-temporary", "sort's temporary files find no room", tiny, 2, []string{"ENOSPC"}, "sh", "-c", "seq 1 200000 >numbers; exec sort -S 1M -T small numbers -o sorted")),
	certainly(onSmall("sqlite", "a transaction outgrows the file system", tiny, 13, []string{"ENOSPC", "orders.db"}, "sqlite3", "small/orders.db", "create table t(x); insert into t select randomblob(1000) from generate_series(1,1000);")),
	needs(certainly(onSmall("git", "a commit finds no room", "size=80k", 128, nil, "sh", "-c", "cd small && git init -q . 2>&1 && head -c 300000 /dev/urandom >../r && cp ../r . 2>/dev/null; exec git hash-object -w ../r")), "git"),
	beside(varies(onSmall("rsync", "rsync copies onto a full file system", tiny, 11, nil, "rsync", "/usr/bin/perl", "small/")), "broken-pipe"),
	certainly(onSmall("python-file", "a file grows until there is no room; the traceback says so", tiny, 1, []string{"ENOSPC", "ledger"}, "python3", "-c", "f = open('small/ledger', 'wb', 0)\nwhile True:\n    f.write(b'x' * 9000)")),
	certainly(onSmall("python-directories", "a directory for each order, until the inodes are used up", fewFiles, 1, []string{"inodes", "ENOSPC"}, "python3", "-c", "import os\nfor i in range(100): os.mkdir('small/order%d' % i)")),
	certainly(onSmall("node-write", "writeFileSync finds no room", tiny, 1, []string{"ENOSPC"}, "node", "-e", "require('fs').writeFileSync('small/cache.json', 'x'.repeat(1e6))")),
	certainly(onSmall("node-callback", "what the callback of writeFile gets is thrown: an error without a stack", tiny, 1, []string{"ENOSPC"}, "node", "-e", "require('fs').writeFile('small/cache.json', 'x'.repeat(1e6), e => { if (e) throw e })")),
	onSmall("sh-retries", "a script tries a copy three times, and gives up", tiny, 1, []string{"ENOSPC", "in cp"}, "sh", "-c", "for i in 1 2 3; do cp /usr/bin/perl small/ && exit 0; echo retry $i >&2; sleep 0.1; done; echo giving up after 3 tries >&2; exit 1"),
	certainly(onSmall("java-stream", "a stream finds no room; the exception is not caught", tiny, 1, []string{"ENOSPC"}, "java:disk-full/Ledger.java", "small/ledger")),
	certainly(onSmall("ruby-write", "File.write finds no room", tiny, 1, []string{"ENOSPC"}, "ruby", "-e", "File.write('small/out', 'x' * 1_000_000)")),
	certainly(onSmall("perl-print", "close reports what print could not write", tiny, 28, []string{"ENOSPC"}, "perl", "-e", "open(my $f, '>', 'small/out') or die; print $f 'x' x 1000000; close($f) or die \"close: $!\"")),
	certainly(onSmall("php-write", "fwrite finds no room; the script ends for that", tiny, 255, []string{"ENOSPC"}, "php", "-r", "$f = fopen('small/out', 'w'); if (fwrite($f, str_repeat('x', 1000000)) < 1000000) throw new RuntimeException('cannot write: ' . error_get_last()['message']);")),
	varies(onSmall("go-write", "os.WriteFile finds no room", tiny, 1, []string{"ENOSPC", "snapshot-"}, "go:disk-full/gostore", "small")),
	needs(certainly(onSmall("gcc-output", "the linker finds no room for the program", "size=8k", 1, nil, "sh", "-c", "echo 'int main(void){return 0;}' >a.c; exec gcc -o small/a a.c")), "gcc"),
	varies(onSmall("shell-log", "a script's own output goes to a full disk", "size=16k", 2, nil, "sh", "-c", "exec >small/log; i=0; while [ $i -lt 3000 ]; do echo line $i of the log || exit 2; i=$((i+1)); done")),
	{Name: "redis-append-only", Why: "the append-only file finds no room at the start", Mounts: small("size=4k,nr_inodes=2"), Needs: []string{"redis-server"}, Varies: true,
		Cmd: []string{"redis-server", "--port", "0", "--unixsocket", "{dir}/redis.sock", "--dir", "{dir}/small", "--appendonly", "yes", "--daemonize", "no"}, Exit: 1, Cause: "disk-full", Confidence: likelyUp},
	{Name: "nginx-log", Why: "its error log finds no inode", Mounts: small("size=4k,nr_inodes=1"), Varies: true, Files: map[string]string{"nginx.conf": "daemon off; pid {DIR}/pid; error_log {DIR}/small/error.log; events {} http { access_log off; server { listen unix:{DIR}/sock; } }"},
		Cmd: []string{"nginx", "-p", "{dir}", "-c", "{dir}/nginx.conf"}, Exit: 1, Cause: "disk-full", Confidence: likelyUp},
	{Name: "ext4", Why: "a disk proper, on a loop device", Mounts: []Mount{{At: "{dir}/small", FS: "ext4", Opt: "size=400k"}}, Cmd: []string{"c:disk-full/report.c", "small/report.txt"},
		Exit: 1, Cause: "disk-full", Confidence: certain, Words: []string{"ext4"}},
	{Name: "dev-full", Why: "/dev/full refuses every write", Cmd: []string{"sh", "-c", "exec dd if=/dev/zero of=/dev/full bs=1k count=1 status=none"}, Exit: 1, Cause: "disk-full", Confidence: certain, Words: []string{"/dev/full"}},

	certainly(onSmall("python-save", "a configuration is saved by a new file and rename; its exception is wrapped", "size=12k", 1, []string{"ENOSPC"}, "python3", "-c", "import os\ndef save():\n    with open('small/c.tmp', 'w') as f: f.write('x' * 70000)\n    os.rename('small/c.tmp', 'small/c')\ntry: save()\nexcept OSError as e: raise RuntimeError('cannot save the configuration') from e")),

	// Near misses and pairs.
	{Name: "disk-io-error", Kind: NearMiss, Why: "EIO is not want of space", Cmd: []string{"dd", "if=/proc/self/mem", "bs=1", "count=1", "status=none"}, Exit: 1, Cause: "exit-error", Never: []string{"disk-full"}, Words: []string{"EIO"}},
	{Name: "disk-unchecked", Kind: NearMiss, Why: "nobody looks at the result, and the program ends well", Mounts: small(tiny), Cmd: []string{"c:disk-full/unchecked.c", "small/out"}, Exit: 0, Cause: "finished", Or: []string{"unexplained"}, Never: []string{"disk-full"}, Silent: true},
	{Name: "disk-log-then-null", Kind: Pair, Why: "a full log is survived, a null pointer is not", Mounts: small(tiny), Cmd: []string{"c:disk-full/logger.c", "small/log"}, Exit: 139, Cause: "invalid-access", Never: []string{"disk-full"}},
	{Name: "disk-log-then-exit", Kind: Pair, Why: "a full log is survived, a fault in the input is not", Mounts: small(tiny), Cmd: []string{"c:disk-full/shadow.c", "small/log"}, Exit: 2, Cause: "exit-error", Never: []string{"disk-full"}},
	{Name: "disk-words-alone", Kind: NearMiss, Why: "says that there is no space, and nothing was refused", Cmd: []string{"sh", "-c", "echo 'backup: remote: No space left on device' >&2; exit 1"}, Exit: 1, Cause: "exit-error", Never: []string{"disk-full"}},
	{Name: "disk-warned-then-exit", Kind: Pair, Why: "a full cache is a warning; then the input is wrong", Mounts: small("size=4k"),
		Cmd: []string{"python3", "-c", "import sys\ntry:\n    open('small/c', 'wb').write(b'x' * 90000)\nexcept OSError as e:\n    print('cache:', e, file=sys.stderr)\nprint('order 12 has no customer', file=sys.stderr)\nsys.exit(4)"}, Exit: 4, Cause: "exit-error", Never: []string{"disk-full"}},
}

func notThere(name, why string, exit int, words []string, cmd ...string) Scenario {
	return Scenario{Name: name, Why: why, Cmd: cmd, Exit: exit, Cause: "file-missing", Confidence: certain, Words: append(words, "ENOENT")}
}

func forbidden(name, why string, exit int, words []string, s Scenario, cmd ...string) Scenario {
	s.Name, s.Why, s.Exit, s.Cmd, s.Cause, s.Words = name, why, exit, cmd, "permission", words
	if s.Confidence == nil {
		s.Confidence = certain
	}
	if s.UID == 0 && s.Mounts == nil {
		s.UID = 54340
	}
	if s.Files == nil {
		s.Files = map[string]string{"key": "secret\n"}
		s.Modes = map[string]os.FileMode{"key": 0o600}
	}
	return s
}

var files = []Scenario{
	notThere("python-open", "open() of a file that is not there", 1, []string{"prices.csv"}, "python3", "-c", "open('/srv/data/prices.csv')"),
	notThere("python-directory", "a file in a directory that is not there", 1, []string{"directory"}, "python3", "-c", "open('out/today/report.txt', 'w')"),
	notThere("python-program", "a helper program that is not installed", 1, []string{"wkhtmltopdf"}, "python3", "-c", "import subprocess; subprocess.run(['wkhtmltopdf', 'a.html'])"),
	notThere("node-read", "readFileSync of a file that is not there", 1, []string{"settings.json"}, "node", "-e", "require('fs').readFileSync('/etc/shop/settings.json')"),
	notThere("java-reader", "a FileReader of a file that is not there", 1, []string{"rates.properties"}, "java:file-missing/Conf.java", "/etc/shop/rates.properties"),
	notThere("ruby-read", "File.read of a file that is not there", 1, []string{"seeds.yml"}, "ruby", "-e", "File.read('db/seeds.yml')"),
	notThere("perl-open", "open or die", 2, []string{"hosts.list"}, "perl", "-e", "open(my $f, '<', 'hosts.list') or die \"hosts.list: $!\""),
	likelyToo(notThere("php-require", "require of a file that is not there", 255, []string{"bootstrap.php"}, "php", "-r", "require 'vendor/bootstrap.php';")),
	notThere("go-panic", "a wrapped error of os.Open ends in a panic", 2, []string{"prices.toml"}, "go:file-missing/goconf", "/srv/prices.toml"),
	{Name: "c-unchecked", Why: "fopen's NULL is read from: SIGSEGV in the C library", Cmd: []string{"c:file-missing/unchecked.c", "menu.txt"}, Exit: 139, Cause: "file-missing", Confidence: likelyUp, Words: []string{"menu.txt"}, Beside: []string{"invalid-access"}},
	{Name: "c-mute", Why: "exits with 4 without a word as its file is not there", Cmd: []string{"c:file-missing/mute.c", "menu.txt"}, Exit: 4, Cause: "file-missing", Words: []string{"menu.txt"}},
	varies(notThere("nginx-configuration", "the configuration is not there", 1, []string{"nope.conf"}, "nginx", "-c", "{dir}/nope.conf")),
	{Name: "nginx-certificate", Why: "a certificate that the configuration names is not there", Varies: true, Files: map[string]string{"nginx.conf": "daemon off; pid {DIR}/pid; error_log stderr; events {} http { access_log off; server { listen unix:{DIR}/sock ssl; ssl_certificate {DIR}/web.pem; ssl_certificate_key {DIR}/web.key; } }"},
		Cmd: []string{"nginx", "-p", "{dir}", "-c", "{dir}/nginx.conf"}, Exit: 1, Cause: "file-missing", Confidence: certain, Words: []string{"web.pem", "ENOENT"}},
	varies(notThere("redis-configuration", "the configuration is not there", 1, []string{"redis.conf"}, "redis-server", "{dir}/redis.conf")),
	varies(notThere("redis-directory", "the directory that it is to work in is not there", 1, []string{"redisdata"}, "redis-server", "--port", "0", "--dir", "/srv/redisdata")),
	notThere("cat", "cat of a file that is not there", 1, []string{"motd.today"}, "cat", "/etc/motd.today"),
	notThere("cp-in-a-script", "a script under set -e", 1, []string{"release.tgz"}, "sh", "-ec", "cp dist/release.tgz . ; echo done"),
	needs(notThere("gcc-header", "a header that is not installed", 1, []string{"libfoo.h"}, "sh", "-c", "echo '#include <libfoo.h>' >a.c; exec gcc -c a.c"), "gcc"),
	notThere("git-directory", "git in a directory that is not there", 128, []string{"repo"}, "git", "-C", "/srv/repo.git", "log"),
	notThere("shell-redirect", "a script reads from a file that is not there", 2, []string{"names.txt"}, "sh", "-c", "read x <names.txt; exit $?"),
	notThere("cd", "a script changes into a directory that is not there", 2, []string{"workspace"}, "sh", "-ec", "cd /srv/workspace; make"),

	notThere("python-script", "the script itself is not there", 2, []string{"serve.py"}, "python3", "/srv/app/serve.py"),
	notThere("perl-script", "the script itself is not there", 2, []string{"job.pl"}, "perl", "/srv/app/job.pl"),
	likelyToo(notThere("node-script", "the script itself is not there", 1, []string{"server.js"}, "node", "/srv/app/server.js")),
	likelyToo(notThere("java-jar", "the archive is not there", 1, []string{"shop.jar"}, "java", "-jar", "/srv/app/shop.jar")),
	likelyToo(notThere("php-script", "the script itself is not there", 1, []string{"index.php"}, "php", "/srv/app/index.php")),
	likelyToo(notThere("perror", "perror without the file's name", 1, []string{"tariffs.db"}, "perl", "-e", "open(F, '<', '/srv/tariffs.db') or do { print STDERR \"open: $!\\n\"; exit 1 }")),
	notThere("python-own-check", "it looks itself, and raises", 1, []string{"model.bin"}, "python3", "-c", "import os\nif not os.path.exists('/srv/model.bin'): raise FileNotFoundError('/srv/model.bin')"),
	likelyToo(notThere("curl-upload", "curl uploads a file that is not there", 26, []string{"upload.bin"}, "curl", "-sS", "-T", "/srv/upload.bin", "http://127.0.0.1:9/")),

	{Name: "own-words", Why: "it names the file in words of its own language", Cmd: []string{"python3", "-c", "import sys\ntry: open('/srv/shop/preise.csv')\nexcept OSError: sys.exit('Preisliste fehlt: /srv/shop/preise.csv')"}, Exit: 1, Cause: "file-missing", Words: []string{"preise.csv", "possible"}},
	{Name: "executed-by-a-shell", Why: "what died is what the shell became", Cmd: []string{"bash", "-c", "exec cat /srv/shop/none.csv"}, Exit: 1, Cause: "file-missing", Confidence: certain, Words: []string{"cat died of"}},

	// Near misses and pairs.
	{Name: "file-optional-then-exit", Kind: Pair, Why: "a configuration that need not be there; then the input is wrong", Cmd: []string{"c:file-missing/optional.c"}, Files: map[string]string{"prices": "1\n"}, Exit: 1, Cause: "exit-error", Never: []string{"file-missing"}},
	{Name: "file-search-path", Kind: NearMiss, Why: "found in the second place; then it cannot be read as what it should be",
		Cmd:   []string{"python3", "-c", "import sys\nfor d in ('etc', 'share', '.'):\n    try:\n        f = open(d + '/app.json'); break\n    except OSError: pass\nprint('app.json: line 3: cannot read the value', file=sys.stderr)\nsys.exit(2)"},
		Files: map[string]string{"app.json": "{"}, Exit: 2, Cause: "exit-error", Never: []string{"file-missing"}},
	{Name: "file-served-then-exit", Kind: Pair, Why: "a server logs a file that nobody has; seconds later it ends for a reason that it does not tell",
		Cmd: []string{"python3", "-c", "import sys,time\ntry: open('/srv/favicon.ico')\nexcept OSError as e: print('GET /favicon.ico:', e, file=sys.stderr)\ntime.sleep(3)\nsys.exit(9)"}, Exit: 9, Cause: "exit-error", Or: []string{"file-missing"}, NoWords: []string{"certain", "likely"}},
	{Name: "file-words-alone", Kind: NearMiss, Why: "a server's answer names a file; nothing here was missing", Cmd: []string{"sh", "-c", "echo 'remote: /srv/x.tar: No such file or directory' >&2; exit 1"}, Exit: 1, Cause: "exit-error", Never: []string{"file-missing"}},
	{Name: "file-then-null", Kind: Pair, Why: "an optional file is not there; a null pointer later is the death", Cmd: []string{"python3", "-c", "import ctypes\ntry: open('optional.ini')\nexcept OSError: pass\nctypes.string_at(0)"}, Exit: 139, Cause: "invalid-access", Or: []string{"stack-overflow"}, Never: []string{"file-missing"}},

	forbidden("python-key", "a key that only root may read", 1, []string{"EACCES", "0600", "root", "54340"}, Scenario{}, "python3", "-c", "open('key')"),
	forbidden("node-key", "readFileSync of a key that only root may read", 1, []string{"EACCES", "0600"}, Scenario{}, "node", "-e", "require('fs').readFileSync('key')"),
	forbidden("java-key", "a key that only root may read", 1, []string{"EACCES", "0600"}, Scenario{}, "java:permission/Key.java", "key"),
	varies(forbidden("go-key", "a key that only root may read", 1, []string{"EACCES", "0600"}, Scenario{}, "go:permission/gokey", "key")),
	forbidden("ruby-root", "writes to a directory of root's", 1, []string{"EACCES", "0755"}, Scenario{}, "ruby", "-e", "File.write('/etc/descry-scenario', 'x')"),
	forbidden("perl-directory", "a directory on the way forbids it", 13, []string{"EACCES", "vault"}, Scenario{Files: map[string]string{"vault/key": "x"}, Modes: map[string]os.FileMode{"vault": 0o700}}, "perl", "-e", "open(my $f, '<', 'vault/key') or die \"vault/key: $!\""),
	forbidden("php-mkdir", "mkdir in a directory of another", 255, []string{"EACCES"}, Scenario{}, "php", "-r", "if (!mkdir('/var/lib/shop')) throw new Exception(error_get_last()['message'] . ' /var/lib/shop');"),
	forbidden("cat", "cat of a file of root's", 1, []string{"EACCES", "0600"}, Scenario{}, "cat", "key"),
	forbidden("shell-append", "a script appends to a file of root's", 2, []string{"EACCES", "0644"}, Scenario{Files: map[string]string{"log": "x"}}, "sh", "-c", "echo x >>log || exit 2"),
	varies(forbidden("nginx-port", "port 80 as another user", 1, []string{"CAP_NET_BIND_SERVICE"}, Scenario{NetNS: true, Files: map[string]string{"run/": "", "nginx.conf": "daemon off; pid {DIR}/run/pid; error_log stderr; events {} http { access_log off; client_body_temp_path {DIR}/run/a; proxy_temp_path {DIR}/run/b; fastcgi_temp_path {DIR}/run/c; uwsgi_temp_path {DIR}/run/d; scgi_temp_path {DIR}/run/e; server { listen 127.0.0.1:80; } }"}}, "nginx", "-p", "{dir}", "-e", "stderr", "-c", "{dir}/nginx.conf")),
	forbidden("c-port", "port 80 as another user", 1, []string{"CAP_NET_BIND_SERVICE"}, Scenario{NetNS: true}, "c:permission/port.c"),
	forbidden("python-port", "http.server on port 80 as another user", 1, []string{"CAP_NET_BIND_SERVICE"}, Scenario{NetNS: true}, "python3", "-m", "http.server", "80"),
	forbidden("read-only-mount", "a read-only mount", 1, []string{"EROFS", "read-only"}, Scenario{Mounts: []Mount{{At: "{dir}/data", Opt: "ro"}}, Files: map[string]string{"data/x": "1"}}, "python3", "-c", "open('data/x', 'a')"),
	forbidden("read-only-redis", "its directory is read-only", 1, []string{"EROFS"}, Scenario{Mounts: []Mount{{At: "{dir}/data", Opt: "ro"}}, Files: map[string]string{"data/x": "1"}, Varies: true}, "redis-server", "--port", "0", "--unixsocket", "{dir}/redis.sock", "--dir", "{dir}/data", "--appendonly", "yes"),
	forbidden("read-only-touch", "touch on a read-only mount", 1, []string{"EROFS"}, Scenario{Mounts: []Mount{{At: "{dir}/data", Opt: "ro"}}, Files: map[string]string{"data/x": "1"}}, "touch", "data/y"),
	forbidden("immutable", "chattr +i holds for root too", 1, []string{"EPERM", "immutable"}, Scenario{Mounts: []Mount{{At: "{dir}/disk", FS: "ext4", Opt: "size=400k"}}, Files: map[string]string{"disk/x": "1"}, Setup: func(r *Run) {
		r.Inside("chattr", "+i", "{dir}/disk/x")
	}}, "rm", "-f", "disk/x"),
	forbidden("chown", "chown as another user", 1, []string{"EPERM"}, Scenario{Files: map[string]string{"mine": "1"}, Owner: map[string]int{"mine": 54340}}, "chown", "0", "mine"),
	forbidden("no-capabilities", "root without capabilities", 1, []string{"EACCES", "CAP_DAC_OVERRIDE"}, Scenario{Files: map[string]string{"theirs": "1"}, Owner: map[string]int{"theirs": 54341}, Modes: map[string]os.FileMode{"theirs": 0o600}, Mounts: []Mount{}}, "setpriv", "--bounding-set=-all", "--inh-caps=-all", "cat", "theirs"),
	forbidden("mount", "mount as another user", 32, []string{"EPERM"}, Scenario{Confidence: likelyUp}, "mount", "-t", "tmpfs", "none", "/mnt"),

	forbidden("socket-of-root", "a UNIX socket that only root may use", 1, []string{"EACCES", "docker.sock"}, Scenario{Files: map[string]string{"a": ""}, Setup: func(r *Run) {
		r.Helper("ready", "python3", "-c", "import os,socket,time\nos.umask(0o077)\ns=socket.socket(socket.AF_UNIX); s.bind('{dir}/docker.sock'); s.listen(); print('ready', flush=True); time.sleep(60)")
	}}, "python3", "-c", "import socket; socket.socket(socket.AF_UNIX).connect('docker.sock')"),
	forbidden("group-file", "a file of a group that it is not of", 1, []string{"EACCES", "0640"}, Scenario{Files: map[string]string{"shared": "x"}, Modes: map[string]os.FileMode{"shared": 0o640}, Groups: []int{54350, 54351}}, "head", "-c1", "shared"),
	forbidden("sticky", "a file of another in a sticky directory", 1, []string{"EPERM", "sticky"}, Scenario{Files: map[string]string{"drop/": "", "drop/x": "x"}, Modes: map[string]os.FileMode{"drop": 0o777 | os.ModeSticky}}, "rm", "-f", "drop/x"),
	forbidden("raw-socket", "a raw socket as another user", 1, []string{"EPERM", "CAP_NET_RAW"}, Scenario{}, "python3", "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)"),
	forbidden("setuid", "becomes another user without the right to", 1, []string{"EPERM", "CAP_SETUID"}, Scenario{}, "python3", "-c", "import os; os.setuid(0)"),

	forbidden("user-namespace", "root in a user namespace of its own, whose capabilities do not count outside", 1, []string{"EACCES", "0600", "user namespace"}, Scenario{}, "unshare", "-Ur", "cat", "key"),
	forbidden("chown-as-root", "root without CAP_CHOWN", 1, []string{"EPERM", "CAP_CHOWN"}, Scenario{Files: map[string]string{"mine": "1"}, Mounts: []Mount{}}, "setpriv", "--bounding-set=-chown", "--inh-caps=-chown", "chown", "1000", "mine"),
	forbidden("read-only-sqlite", "a database on a read-only mount", 8, []string{"EROFS", "read-only"}, Scenario{Confidence: likelyUp, Mounts: []Mount{{At: "{dir}/data", FS: "tmpfs", Opt: "size=1m"}}, Setup: func(r *Run) {
		r.Inside("sqlite3", "{dir}/data/shop.db", "create table t(x);")
		r.Inside("mount", "-o", "remount,ro", "{dir}/data")
	}}, "sqlite3", "data/shop.db", "insert into t values (1);"),

	{Name: "words-of-its-own", Kind: NearMiss, Why: "may not look at another's process, which is no matter; the program's own rules forbid an order", UID: 54340,
		Cmd: []string{"python3", "-c", "import sys\ntry: open('/proc/1/environ')\nexcept OSError: pass\nprint('permission denied: alice may not cancel order 7', file=sys.stderr)\nsys.exit(5)"}, Exit: 5, Cause: "exit-error", Never: []string{"permission"}},
	{Name: "signal-then-exit", Kind: Pair, Why: "may not signal another; then the input is wrong", UID: 54340, Cmd: []string{"c:permission/signal.c"}, Exit: 3, Cause: "exit-error", Never: []string{"permission"}},
	{Name: "optional-file-then-exit", Kind: Pair, Why: "a cache that may not be read is a warning; then something else fails", UID: 54340, Files: map[string]string{"cache": "x"}, Modes: map[string]os.FileMode{"cache": 0o600}, Cmd: []string{"c:permission/optional.c"}, Exit: 6, Cause: "exit-error", Never: []string{"permission"}},
	{Name: "words-of-a-server", Kind: NearMiss, Why: "a server said it; here nothing was refused", Cmd: []string{"sh", "-c", "echo 'git@host: Permission denied (publickey).' >&2; exit 255"}, Exit: 255, Cause: "exit-error", Never: []string{"permission"}},
}
