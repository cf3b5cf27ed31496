//go:build cluster

package suite

import (
	"os"
	"runtime"
	"strconv"

	"github.com/descry-dev/descry/internal/evidence"
)

// callSocket is the number of socket().
var callSocket = map[string]string{"amd64": "41", "arm64": "198"}[runtime.GOARCH]

// inotifyUser is a user of this run's own: what it has of inotify is counted over the whole machine.
var inotifyUser = strconv.Itoa(100_000 + os.Getpid()%900_000)

// under runs a program under limits that a shell sets.
func under(limits string, command ...string) []string {
	return append([]string{"sh", "-c", limits + `; exec "$@"`, "sh"}, command...)
}

func java(class ...string) []string {
	return append([]string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-cp"}, class...)
}

// one is a pod of one container "c".
func one(image, more string, command ...string) string {
	return containers("", runs("c", image, more, command...))
}

// dying are pods that die, each of its surroundings, and again when they were started again.
var dying = []workload{
	{name: "ledger", why: "python keeps files open under a limit of 120",
		spec: one(imagePython, "", under("ulimit -n 120", "python3", "/opt/fd-limit/ledger.py")...),
		dies: []death{{container: "c", image: imagePython, causes: []string{"fd-limit"}, sure: certain, first: []string{"uncaught-error"}}}},
	{name: "mute", why: "a C program leaks by dup and says nothing",
		spec: one(imageC, "", under("ulimit -n 64", "/opt/fd-limit/mute")...),
		dies: []death{{container: "c", image: imageC, causes: []string{"fd-limit"}, sure: certain}}},
	{name: "meter", why: "40 descriptors a second, none closed: warned of, then refused",
		spec: one(imageC, "", under("ulimit -n 700", "/opt/fd-leak/meter", "40")...),
		dies: []death{{container: "c", image: imageC, causes: []string{"fd-limit"}, sure: likely, first: []string{"exit-error", "fd-leak"}, warned: "fd-leak"}}},
	{name: "relay", why: "select() with descriptors beyond its sets; a SIGSEGV follows",
		spec: one(imageC, "", under("ulimit -n 4096", "/opt/select-overflow/relay_struct")...),
		dies: []death{{container: "c", image: imageC, causes: []string{"select-overflow"}, sure: certain, first: []string{"invalid-access"}}}},
	{name: "chat", why: "Python refuses select() with a descriptor of 1024",
		spec: one(imagePython, "", under("ulimit -n 4096", "python3", "/opt/select-overflow/chat.py")...),
		dies: []death{{container: "c", image: imagePython, causes: []string{"select-overflow"}, sure: certain, first: []string{"uncaught-error"}}}},
	{name: "mixed", why: "a feed's socket had number 1; records of a TLS connection went into the log",
		spec: one(imageC, "", "/opt/stdio-replaced/mixed_up"),
		dies: []death{{container: "c", image: imageC, causes: []string{"stdio-replaced"}, sure: likely, first: []string{"exit-error"}}}},
	{name: "checkout", why: "Node.js fails beside a Redis that is well",
		spec: containers("", runs("web", imageNode, "", "node", "/opt/uncaught-error/type.js"),
			runs("cache", imageServers, "", "redis-server", "--save", "", "--bind", "127.0.0.1")),
		dies: []death{{container: "web", image: imageNode, causes: []string{"uncaught-error"}, sure: likely}}},
	{name: "migrate", why: "an init container lacks its file; what comes after it never starts",
		spec: "  initContainers:\n" + runs("prices", imageGo, "", "/opt/file-missing/goconf", "/srv/prices.toml") +
			containers("", runs("shop", imagePython, "", "python3", "/opt/killed/idle.py")),
		dies: []death{{container: "prices", image: imageGo, causes: []string{"file-missing"}, sure: likely, first: []string{"uncaught-error"}}}},
	{name: "feed", why: "a sidecar in the same network resets its connection",
		spec: "  initContainers:\n" + runs("upstream", imagePython, "restartPolicy: Always", "python3", "/opt/connection-loss/peer.py", "reset") +
			containers("", runs("reader", imagePython, "", "bash", "-c", "until (exec 3</dev/tcp/127.0.0.1/7200) 2>/dev/null; do sleep 0.2; done; exec python3 /opt/connection-loss/read.py")),
		dies: []death{{container: "reader", image: imagePython, causes: []string{"connection-loss"}, sure: likely, first: []string{"uncaught-error"}}}},
	{name: "front", why: "on the host's network, another pod has its port",
		spec: containers("hostNetwork: true", runs("c", imageNode, "", "bash", "-c", "until (exec 3</dev/tcp/127.0.0.1/7411) 2>/dev/null; do sleep 0.2; done; exec node /opt/address-in-use/serve.js 7411")),
		dies: []death{{container: "c", image: imageNode, causes: []string{"address-in-use"}, sure: certain, first: []string{"uncaught-error"}}}},
	{name: "shared", why: "a container of the same pod kills it: they share the pid namespace",
		spec: containers("shareProcessNamespace: true", runs("victim", imagePython, "", "python3", "/opt/killed/idle.py"),
			runs("reaper", imageC, "", "bash", "-c", `while sleep 2; do for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = python3 ] && kill -9 ${p#/proc/}; done; done`)),
		dies: []death{{container: "victim", image: imagePython, causes: []string{"killed"}, sure: certain}}},
	{name: "looks", why: "in the node's pid namespace; a KeyError",
		spec: containers("hostPID: true", runs("c", imagePython, "", "python3", "/opt/uncaught-error/key.py")),
		dies: []death{{container: "c", image: imagePython, causes: []string{"uncaught-error"}, sure: likely}}},
	{name: "keys", why: "not root, and the key may be read by root alone",
		spec: one(imageGo, "securityContext: {runAsNonRoot: true, runAsUser: 10001}", "/opt/permission/gokey", "/etc/shop.key"),
		dies: []death{{container: "c", image: imageGo, causes: []string{"permission"}, sure: likely, first: []string{"exit-error"}}}},
	{name: "frozen", why: "its root is read-only",
		spec: one(imagePython, "securityContext: {readOnlyRootFilesystem: true}", "python3", "-c", "open('/work/orders.db', 'w')"),
		dies: []death{{container: "c", image: imagePython, causes: []string{"permission"}, sure: likely, first: []string{"uncaught-error"}}}},
	{name: "console", why: "a terminal for its output; a KeyError",
		spec: containers("", runs("c", imagePython, "tty: true, stdin: true", "python3", "/opt/uncaught-error/key.py"),
			runs("shell", imageC, "tty: true, stdin: true", "sh")),
		dies: []death{{container: "c", image: imagePython, causes: []string{"uncaught-error"}, sure: likely}}},
	{name: "static", why: "a pod that a file on the node makes; an error code", file: true,
		spec: one(imageGo, "", "/opt/exit-error/gofatal"),
		dies: []death{{container: "c", image: imageGo, causes: []string{"exit-error"}}}},
	{name: "nightly", why: "a job whose entry script starts a program that is not there", job: true,
		spec: "  restartPolicy: Never\n" + one(imageC, "", "sh", "-c", "echo starting; exec /opt/app/server --port 80"),
		dies: []death{{container: "c", image: imageC, once: true, causes: []string{"start-failure"}, first: []string{"exit-error"}}}},
	{name: "cache", why: "python grows beyond the container's memory limit",
		spec: one(imagePython, "resources: {limits: {memory: 48Mi}}", "python3", "/opt/memory-limit/cache.py"),
		dies: []death{{container: "c", image: imagePython, causes: []string{"memory-limit"}, sure: certain}}},
	{name: "snapshots", why: "its volume is full",
		spec: containers("volumes: [{name: d, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]", runs("c", imageGo, "volumeMounts: [{name: d, mountPath: /data}]", "/opt/disk-full/gostore", "/data")),
		dies: []death{{container: "c", image: imageGo, causes: []string{"disk-full"}, sure: certain, first: []string{"exit-error"}}}},
	{name: "workers", why: "the pod's limit of processes",
		spec: one(imagePython, "", "python3", "/opt/pid-limit/pool.py"),
		dies: []death{{container: "c", image: imagePython, causes: []string{"pid-limit"}, sure: likely, first: []string{"uncaught-error"}}}},
	{name: "stock", why: "a name server in a sidecar knows no such name",
		spec: "  dnsPolicy: None\n  dnsConfig: {nameservers: [127.0.0.1], options: [{name: timeout, value: '1'}]}\n" +
			"  initContainers:\n" + runs("names", imagePython, "restartPolicy: Always", "python3", "/opt/dns-failure/server.py", "127.0.0.1", "*=nx") +
			containers("", runs("c", imagePython, "", "bash", "-c", "sleep 1; exec python3 /opt/dns-failure/stock.py partner.corp.test")),
		dies: []death{{container: "c", image: imagePython, causes: []string{"dns-failure"}, sure: certain, first: []string{"uncaught-error"}}}},
	{name: "orders", why: "nobody listens where its database is meant to be",
		spec: one(imageGo, "", "/opt/connect-failure/godatabase", "127.0.0.1:5432"),
		dies: []death{{container: "c", image: imageGo, causes: []string{"connect-failure"}, sure: likely, first: []string{"exit-error"}}}},
	{name: "list", why: "a null pointer",
		spec: one(imageC, "", "/opt/invalid-access/null"),
		dies: []death{{container: "c", image: imageC, causes: []string{"invalid-access"}, sure: certain}}},
	{name: "parser", why: "a recursion without a bound",
		spec: one(imageC, "", "/opt/stack-overflow/parser"),
		dies: []death{{container: "c", image: imageC, causes: []string{"stack-overflow"}, sure: likely}}},
	{name: "menu", why: "the same in Java",
		spec: one(imageJava, "", java("/opt/stack-overflow", "Deep")...),
		dies: []death{{container: "c", image: imageJava, causes: []string{"stack-overflow", "uncaught-error"}, sure: likely}}},
	{name: "logout", why: "a block is freed twice",
		spec: one(imageC, "", "/opt/memory-corruption/double_free"),
		dies: []death{{container: "c", image: imageC, causes: []string{"memory-corruption"}, sure: likely}}},
	{name: "balance", why: "assert() as process 1, which SIGABRT does not end",
		spec: one(imageC, "", "/opt/assertion/check"),
		dies: []death{{container: "c", image: imageC, causes: []string{"assertion"}, sure: likely}}},
	{name: "indexer", why: "RLIMIT_AS",
		spec: one(imagePython, "", under("ulimit -v 300000", "python3", "/opt/mapping-limit/cache.py")...),
		dies: []death{{container: "c", image: imagePython, causes: []string{"mapping-limit"}, sure: likely, first: []string{"uncaught-error"}}}},
	{name: "watcher", why: "its user has no inotify instance left",
		spec: one(imagePython, "securityContext: {runAsUser: "+inotifyUser+"}", "python3", "/opt/inotify-limit/watch.py"),
		dies: []death{{container: "c", image: imagePython, causes: []string{"inotify-limit"}, sure: certain, first: []string{"exit-error"}}}},
	{name: "pump", why: "the helper that it feeds has ended",
		spec: one(imagePython, "", "python3", "/opt/broken-pipe/pump.py"),
		dies: []death{{container: "c", image: imagePython, causes: []string{"broken-pipe"}, sure: likely, first: []string{"uncaught-error"}}}},
	{name: "probed", why: "its liveness probe fails; it does not end at SIGTERM",
		spec: one(imageC, "livenessProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 2}", "/opt/shutdown-timeout/deaf"),
		dies: []death{{container: "c", image: imageC, causes: []string{"shutdown-timeout"}, sure: likely}}},
	{name: "jail", why: "a seccomp filter ends it",
		spec: one(imagePython, "", "/opt/seccomp/jail", callSocket, "kill", "python3", "-c", "import socket; socket.socket()"),
		dies: []death{{container: "c", image: imagePython, causes: []string{"seccomp"}, sure: certain}}},
	{name: "dialer", why: "50 local ports in its network namespace",
		spec: containers("securityContext: {sysctls: [{name: net.ipv4.ip_local_port_range, value: '40000 40050'}]}", runs("c", imagePython, "", "python3", "/opt/port-exhaustion/dial.py")),
		dies: []death{{container: "c", image: imagePython, causes: []string{"port-exhaustion"}, sure: certain, first: []string{"uncaught-error"}}}},
	{name: "quiet", why: "exit code 1 without a word",
		spec: one(imageC, "", "/opt/exit-error/quiet"),
		dies: []death{{container: "c", image: imageC, causes: []string{"exit-error"}}}},
	{name: "books", why: "a Java exception with its cause",
		spec: one(imageJava, "", java("/opt/uncaught-error", "Books")...),
		dies: []death{{container: "c", image: imageJava, causes: []string{"uncaught-error"}, sure: likely}}},
	{name: "panics", why: "a Go panic",
		spec: one(imageGo, "", "/opt/uncaught-error/gocrash", "index"),
		dies: []death{{container: "c", image: imageGo, causes: []string{"uncaught-error"}, sure: likely}}},
	{name: "supervised", why: "a child faults, and the shell that started it lives on",
		spec: one(imageC, "", "sh", "-c", "while sleep 2; do /opt/invalid-access/null; done"),
		dies: []death{{container: "c", image: imageC, causes: []string{"invalid-access"}, sure: certain, kind: evidence.CaseChildDeath}}},
}

// healthy are pods that meet the like and live, or end well.
var healthy = []workload{
	{name: "copes", why: "meets every error of the others, and lives",
		spec: containers("dnsPolicy: None\ndnsConfig: {nameservers: [127.0.0.1]}\nvolumes: [{name: d, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]",
			runs("c", imagePython, "volumeMounts: [{name: d, mountPath: /tiny}]", "python3", "/opt/cluster/copes.py", "/tiny"))},
	{name: "taker", why: "has the port on the host's network",
		spec: containers("hostNetwork: true", runs("c", imageServers, "", "redis-server", "--port", "7411", "--bind", "127.0.0.1", "--save", ""))},
	{name: "site", why: "nginx, ready at once, and probed each second by a program that fails",
		spec: one(imageServers, "readinessProbe: {exec: {command: ['false']}, periodSeconds: 1}", "sh", "-c", `echo 'daemon off; worker_processes 2; pid /tmp/pid; error_log stderr; events {} http { access_log off; server { listen 8080; } }' >/tmp/n.conf; exec nginx -e stderr -c /tmp/n.conf`)},
	{name: "asked-for-all", why: "took all its descriptors once, and lives",
		spec: one(imageC, "", under("ulimit -n 200", "/opt/fd-limit/survives", "wait")...)},
	{name: "asks-on", why: "asks a name server that is not there, all the time",
		spec: containers("dnsPolicy: None\ndnsConfig: {nameservers: [127.0.0.1]}", runs("c", imagePython, "", "python3", "/opt/dns-failure/survives.py", "forever", "wait"))},
	{name: "script", why: "a shell whose commands fail",
		spec: one(imageC, "", "sh", "-c", "while sleep 0.3; do ls /no/such; cat /etc/shop.key >/dev/full; sh -c 'exit 7'; timeout 1 true; done 2>/dev/null")},
	{name: "jvm", why: "the JVM uses SIGSEGV in health",
		spec: one(imageJava, "", "sh", "-c", `java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp /opt/invalid-access Healthy; while sleep 100; do :; done`)},
	{name: "prepared", why: "an init container ends well; a helper of it is ended by SIGTERM",
		spec: "  initContainers:\n" + runs("prepare", imageC, "", "sh", "-c", "sleep 100 & kill $!; wait; echo done") + containers("", runs("c", imageGo, "", "/opt/killed/goidle"))},
	{name: "report", why: "a job that ends well", job: true,
		spec: "  restartPolicy: Never\n" + one(imagePython, "", "python3", "-c", "print('42 rows')")},
	{name: "peers", why: "two that share a pid namespace, and are well",
		spec: containers("shareProcessNamespace: true", runs("a", imagePython, "", "python3", "/opt/killed/idle.py"), runs("b", imageNode, "", "node", "/opt/killed/idle.js"))},
}
