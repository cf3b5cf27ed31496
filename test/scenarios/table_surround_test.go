package scenarios

import "os"

// surroundings are the scenarios' own means: each program looks whether it stands in what its
// scenario asks for, lives with every error, and ends well.
var surroundings = []Scenario{
	within("net", "rules, routes and devices of its own", Scenario{NetNS: true, Sysctl: map[string]string{"net/ipv4/tcp_syn_retries": "1"}, Needs: []string{"curl"},
		Net: []string{
			"ip route add unreachable 10.9.0.0/16", "iptables -A OUTPUT -p tcp --dport 81 -j REJECT --reject-with tcp-reset",
			"nft add table inet t; nft add chain inet t o '{ type filter hook output priority 0; }'; nft add rule inet t o tcp dport 82 drop",
			"tc qdisc add dev lo root tbf rate 1mbit burst 10k latency 10ms", "ip link add va type veth peer name vb", "sysctl -q net.ipv4.ip_default_ttl=7",
		}},
		`ip route show table all | grep -q 'unreachable 10.9'; iptables -S | grep -q 'dport 81'; nft list ruleset | grep -q 'dport 82'
		 tc qdisc show dev lo | grep -q tbf; ip link show va >/dev/null; test $(cat /proc/sys/net/ipv4/ip_default_ttl) = 7
		 c=0; curl -sm 5 http://127.0.0.1:81 || c=$?; test $c = 7`),
	within("tmpfs-dir", "its directory is a small tmpfs, which the test sees too", Scenario{Mounts: []Mount{{At: "{dir}", FS: "tmpfs", Opt: "size=64k,nr_inodes=20"}},
		Files: map[string]string{"seed": "1\n"}, Setup: func(r *Run) { os.WriteFile(r.Path("hello"), []byte("hi"), 0o644) }},
		`cat seed hello >/dev/null; no "head -c 100000 /dev/zero >full"; test $(stat -c %s full) -lt 65536; rm full; i=0
		 while [ $i -lt 30 ] && (: >f$i) 2>/dev/null; do i=$((i+1)); done; test $i -lt 20; test $i -gt 10`),
	within("tmpfs-elsewhere", "other file systems in a directory of its own", Scenario{Mounts: []Mount{{At: "{dir}/small", FS: "tmpfs", Opt: "size=16k"}, {At: "/dev/shm", FS: "tmpfs", Opt: "size=32k,noexec"}}},
		`test "$(stat -f -c %b small)" = 4; test "$(stat -f -c %b /dev/shm)" = 8; test ! -e /dev/shm/x; no "cp /bin/true /dev/shm/x"; no /dev/shm/x`),
	within("ext4", "an ext4 file system on a loop device", Scenario{Mounts: []Mount{{At: "{dir}", FS: "ext4", Opt: "size=400k,inodes=32"}}, Files: map[string]string{"a/b": "text"}},
		`test "$(stat -f -c %T .)" = ext2/ext3; no "head -c 600000 /dev/zero >full"; test -s full; test "$(cat a/b)" = text`),
	within("files-over", "files of the machine as the scenario has them", Scenario{Mounts: []Mount{{At: "/etc/resolv.conf", Text: "nameserver 127.0.0.9\n"}, {At: "/etc/hosts", Text: "127.0.0.8 db.internal\n", Opt: "ro"}},
		Setup: func(r *Run) {
			r.Helper("ready", "sh", "-c", "grep 127.0.0.9 /etc/resolv.conf && echo from-helper >{dir}/said && echo ready; sleep 60")
		}},
		`test "$(cat /etc/resolv.conf)" = "nameserver 127.0.0.9"; getent hosts db.internal | grep -q 127.0.0.8; grep -q from-helper said; no "echo 1 >>/etc/hosts"`),
	within("read-only", "a directory read-only, one without execution", Scenario{Mounts: []Mount{{At: "{dir}/data", Opt: "ro"}, {At: "{dir}/bin", Opt: "noexec"}},
		Files: map[string]string{"data/x": "1", "bin/tool": "#!/bin/sh\nexit 0\n", "free/tool": "#!/bin/sh\nexit 0\n"}},
		`free/tool; cat data/x >/dev/null; no ": >data/y"; c=0; bin/tool 2>/dev/null || c=$?; test $c = 126`),
	within("user", "another user, with groups, among files that are not its own", Scenario{UID: 54331, Groups: []int{54332, 7}, Modes: map[string]os.FileMode{"secret": 0o600, "group": 0o640, ".": 0o755},
		Files: map[string]string{"secret": "1", "group": "2", "mine/": "", "dir/sub/": ""}, Owner: map[string]int{"mine/": 54331, "group": 54332}},
		`test $(id -u) = 54331; test "$(id -G | wc -w)" = 3; no "cat secret"; cat group >/dev/null; : >mine/x; no ": >x"; test -d dir/sub`),
	within("user-program", "another user runs a program of ours", Scenario{UID: 54333, Cmd: []string{"c:stdio-replaced/daemon.c"}}, ""),
	within("pids", "a cgroup of seven tasks", Scenario{PidsMax: 7, UID: 54334},
		`for i in 1 2 3 4; do sleep 5 & p="$p $!"; done; no 'sleep 1 & sleep 1 & sleep 1 & wait'; kill $p`),
	within("limits", "limits of tasks, data and locked memory", Scenario{Limits: map[string]uint64{"nproc": 4000, "data": 3 << 30, "memlock": 65536}},
		`test "$(ulimit -p)" = 4000; test "$(ulimit -d)" = 3145728; test "$(ulimit -l)" = 64`),
	within("ulimit", "limits that descry has not", Scenario{Cmd: ulimit("--data=20000000 --nproc=99", "bash", "-ec", `test "$(ulimit -u)" = 99; test "$(ulimit -d)" = 19531`)}, ""),
	within("changed-midway", "becomes read-only while the program runs", Scenario{Mounts: []Mount{{At: "{dir}/d", FS: "tmpfs"}}, Do: func(r *Run) {
		r.Await("running")
		r.Inside("mount", "-o", "remount,ro", "{dir}/d")
		os.WriteFile(r.Path("go"), nil, 0o644)
	}},
		`: >d/x; echo running; until test -e go; do sleep 0.05; done; no ": >d/y"`),
}

func within(name, why string, s Scenario, script string) Scenario {
	s.Name, s.Why, s.Kind = "within-"+name, why, NearMiss
	if script != "" {
		s.Cmd = []string{"sh", "-ec", `no() { if sh -c "$1" 2>/dev/null; then echo "should fail: $1"; exit 1; fi; }; ` + script}
	}
	s.Cause, s.Or, s.Silent = "finished", []string{"unexplained"}, true
	return s
}
