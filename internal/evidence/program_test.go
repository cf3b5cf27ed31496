package evidence

import (
	"strings"
	"testing"
)

func TestProgram(t *testing.T) {
	for _, x := range []struct{ command, execs, want string }{
		{"cat /x", "/usr/bin/cat: cat /x", "cat"},
		{"python3 a.py", "/usr/bin/python3.11: python3 a.py", "python3"},
		{"redis-server", "/usr/bin/redis-check-rdb: redis-server", "redis-server"},
		{"bash -c x", "/usr/bin/bash: bash -c x; /usr/bin/wget: wget http://a/", "wget"},
		{"env -i perl x", "/usr/bin/env: env -i perl x; /usr/bin/perl: perl x", "perl"},
		{"./srv.py", "/usr/bin/env: /usr/bin/env python3 ./srv.py; /usr/bin/python3.11: python3 ./srv.py", "srv.py"},
		{"sh -c x", "/usr/bin/dash: sh -c x; /usr/bin/env: /usr/bin/env perl ./srv.pl; /usr/bin/perl: perl ./srv.pl", "srv.pl"},
		{"sh -c x", "/usr/bin/dash: sh -c x; /usr/bin/cat: /usr/bin/cat /etc/hosts", "cat"},
		{"run", "/usr/bin/dash: /bin/sh /opt/run; /usr/bin/java: java -jar a.jar", "run"},
		{"dockerd", "/usr/bin/dockerd: dockerd; /usr/bin/dockerd: /proc/self/exe", "dockerd"},
		{"", "", ""},
	} {
		c := &Case{Subject: Subject{PID: 7, Command: strings.Fields(x.command)}, Death: &Death{PID: 7}}
		for _, s := range strings.Split(x.execs, "; ") {
			if path, args, ok := strings.Cut(s, ": "); ok {
				c.Timeline = append(c.Timeline, Observation{PID: 7, Detail: &Exec{Path: path, Args: strings.Fields(args)}})
			}
		}
		c.Timeline = append(c.Timeline, Observation{PID: 8, Detail: &Exec{Path: "/bin/other", Args: []string{"other"}}})
		if got := c.Program(); got != x.want {
			t.Errorf("%s with %s: got %q, want %q", x.command, x.execs, got, x.want)
		}
	}
}
