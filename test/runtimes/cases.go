package main

// refused is one refusal and the way into it.
type refused struct {
	name             string // of the file
	says             string // the refusal's id in internal/diagnose/runtimes.go
	op               string
	arg              []string
	path, addr, host string // that a report may name

	user   bool   // without privileges
	nofile bool   // under a low RLIMIT_NOFILE
	nproc  bool   // RLIMIT_NPROC
	as     bool   // RLIMIT_AS
	call   string // refused by a filter
	errno  int
	stdout string // "closed": nobody reads it; "full": it does not block, and nobody reads it
}

// filtered are system calls by number; the names are those of amd64.
var filtered = map[string][]int{"socket": {41}, "connect": {42}, "mkdir": {83, 258}}

const (
	noSuchName = "name does not exist"
	noAnswer   = "name server does not answer"
	noThread   = "no thread or process"
)

var cases = []refused{
	{name: "EMFILE", says: "EMFILE", op: "many", path: "/dev/null", nofile: true},
	{name: "ENFILE", says: "ENFILE", op: "dial", arg: []string{"127.0.0.1", "4100"}, call: "socket", errno: 23},
	{name: "ENOSPC", says: "ENOSPC", op: "fill", arg: []string{"/srv/full/journal"}, path: "/srv/full/journal"},
	{name: "ENOSPC-mkdir", says: "ENOSPC", op: "mkdir", arg: []string{"/srv/inodes/new"}, path: "/srv/inodes/new"},
	{name: "EDQUOT", says: "EDQUOT", op: "mkdir", arg: []string{"/srv/data/new"}, path: "/srv/data/new", call: "mkdir", errno: 122},
	{name: "EROFS", says: "EROFS", op: "fill", arg: []string{"/srv/ro/journal"}, path: "/srv/ro/journal"},
	{name: "EROFS-mkdir", says: "EROFS", op: "mkdir", arg: []string{"/srv/ro/new"}, path: "/srv/ro/new"},
	{name: "EIO", says: "EIO", op: "open", arg: []string{"/proc/self/mem"}, path: "/proc/self/mem"},
	{name: "ENOENT", says: "ENOENT", op: "open", arg: []string{"/srv/etc/shop.conf"}, path: "/srv/etc/shop.conf"},
	{name: "ENOENT-exec", says: "ENOENT", op: "exec", arg: []string{"/srv/bin/convert"}, path: "/srv/bin/convert"},
	{name: "EACCES", says: "EACCES", op: "open", arg: []string{"/srv/etc/key.pem"}, path: "/srv/etc/key.pem", user: true},
	{name: "EACCES-mkdir", says: "EACCES", op: "mkdir", arg: []string{"/srv/etc/new"}, path: "/srv/etc/new", user: true},
	{name: "EACCES-exec", says: "EACCES", op: "exec", arg: []string{"/srv/etc/key.pem"}, path: "/srv/etc/key.pem", user: true},
	{name: "EPERM", says: "EPERM", op: "chmod", arg: []string{"/srv/etc/open.conf"}, path: "/srv/etc/open.conf", user: true},
	{name: "ENOTDIR", says: "ENOTDIR", op: "open", arg: []string{"/srv/etc/open.conf/x"}, path: "/srv/etc/open.conf/x"},
	{name: "EISDIR", says: "EISDIR", op: "fill", arg: []string{"/srv/etc"}, path: "/srv/etc"},
	{name: "ELOOP", says: "ELOOP", op: "open", arg: []string{"/srv/etc/ring"}, path: "/srv/etc/ring"},
	{name: "ETXTBSY", says: "ETXTBSY", op: "fill", arg: []string{"/srv/etc/running"}, path: "/srv/etc/running"},
	{name: "ENOEXEC", says: "ENOEXEC", op: "exec", arg: []string{"/srv/etc/other-machine"}, path: "/srv/etc/other-machine"},
	{name: "E2BIG", says: "E2BIG", op: "big", path: "/bin/true"},

	{name: "ECONNREFUSED", says: "ECONNREFUSED", op: "connect", arg: []string{"127.0.0.1", "4199"}, addr: "127.0.0.1:4199"},
	{name: "ECONNREFUSED-dial", says: "ECONNREFUSED", op: "dial", arg: []string{"127.0.0.1", "4199"}, addr: "127.0.0.1:4199"},
	{name: "ECONNREFUSED-name", says: "ECONNREFUSED", op: "connect", arg: []string{"localhost", "4199"}, host: "localhost"},
	{name: "ECONNRESET", says: "ECONNRESET", op: "talk", arg: []string{"127.0.0.1", "4101"}, addr: "127.0.0.1:4101"},
	{name: "ETIMEDOUT", says: "ETIMEDOUT", op: "connect", arg: []string{"10.9.0.3", "4100"}, addr: "10.9.0.3:4100"},
	{name: "EHOSTUNREACH", says: "EHOSTUNREACH", op: "connect", arg: []string{"10.9.0.2", "4100"}, addr: "10.9.0.2:4100"},
	{name: "ENETUNREACH", says: "ENETUNREACH", op: "connect", arg: []string{"198.51.100.7", "4100"}, addr: "198.51.100.7:4100"},
	{name: "EADDRINUSE", says: "EADDRINUSE", op: "listen", arg: []string{"127.0.0.1", "4100"}, addr: "127.0.0.1:4100"},
	{name: "EADDRNOTAVAIL", says: "EADDRNOTAVAIL", op: "listen", arg: []string{"198.51.100.7", "4100"}, addr: "198.51.100.7:4100"},
	{name: "EACCES-port", says: "EACCES", op: "listen", arg: []string{"127.0.0.1", "80"}, addr: "127.0.0.1:80", user: true},
	{name: "ENOBUFS", says: "ENOBUFS", op: "connect", arg: []string{"127.0.0.1", "4100"}, addr: "127.0.0.1:4100", call: "connect", errno: 105},
	{name: "name", says: noSuchName, op: "connect", arg: []string{"nowhere.example", "80"}, host: "nowhere.example"},
	{name: "name-server", says: noAnswer, op: "connect", arg: []string{"broken.example", "80"}, host: "broken.example"},

	{name: "EPIPE", says: "EPIPE", op: "pipe", stdout: "closed"},
	{name: "EAGAIN", says: "EAGAIN", op: "pipe", stdout: "full"},
	{name: "spawn", says: noThread, op: "spawn", nproc: true, user: true},
	{name: "fork", says: noThread, op: "fork", nproc: true, user: true},
	{name: "ENOMEM", says: "ENOMEM", op: "memory", as: true},
}
