package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/bench/measure"
)

// server is a program in a watched container, and what loads it.
type server struct {
	argv []string
	port int
	load func() (requests float64, err error)
}

// served is one way to run it.
type served struct {
	name      string
	args      []string
	watched   bool
	closer    bool
	cpu, self []float64
	against   []float64 // of the CPU a request: what it is more than with nothing in the same round, in %
	programs  []float64 // of the agent, in the kernel: % of the server's CPU
}

const (
	beyond    = 950 // descriptors of a process beside the server, that make the agent look closer at their container
	statistic = 5   // rounds in which the programs' time is measured as well
)

// serve measures the CPU time of a server for each request: with nothing, with nothing again, with the agent at step 0 and at step 1.
// One server lives through all of them, so that only what watches it differs, and what is compared stands beside each other in time.
func (l *lab) serve(s *server) error {
	ways := []*served{
		{name: "nothing"},
		{name: "nothing, again"},
		{name: "descry agent, step 0", watched: true, args: []string{"--no-syscalls"}},
		{name: "the same, --no-dns", watched: true, args: []string{"--no-syscalls", "--no-dns"}},
		{name: "descry agent, step 1", watched: true, closer: true},
	}
	fleet, _, err := l.play(append([]string{"run", fmt.Sprint(beyond)}, s.argv...)...)
	if err != nil {
		return err
	}
	defer fleet.end()
	if err := measure.Dial(s.port); err != nil {
		return fmt.Errorf("%s: %w", s.argv[0], err)
	}
	if _, err := s.load(); err != nil { // warm
		return err
	}
	pids := l.members(filepath.Base(s.argv[0]))
	for round := range l.rounds {
		for i := range ways {
			if err := l.serveOnce(s, pids, ways[(i+round)%len(ways)], round < statistic); err != nil {
				return err
			}
		}
		for _, w := range ways {
			w.against = append(w.against, 100*(w.cpu[round]/ways[0].cpu[round]-1))
		}
	}
	fmt.Println("| | the server's CPU a request, µs | against nothing in the same round, median | middle half of these | its programs in the kernel, % of the server's CPU | the agent's own CPU meanwhile, % of a core |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	for i, w := range ways {
		median, half := "", ""
		if i > 0 {
			median = fmt.Sprintf("%+.1f%%", measure.Quantile(w.against, 0.5))
			half = fmt.Sprintf("%+.1f to %+.1f%%", measure.Quantile(w.against, 0.25), measure.Quantile(w.against, 0.75))
		}
		fmt.Printf("| %s | %s | %s | %s | %s | %s |\n", w.name, spread(w.cpu, "%.2f"), median, half, spread(w.programs, "%.2f"), spread(w.self, "%.2f"))
	}
	fmt.Printf("\n%d rounds, in each all ways, in turn at another place.\n", l.rounds)
	return fleet.end()
}

// serveOnce measures one way.
func (l *lab) serveOnce(s *server, server []int, w *served, statistics bool) error {
	var agent *proc
	var own time.Duration
	if w.watched {
		var err error
		if agent, err = l.agent(w.args...); err != nil {
			return err
		}
		defer agent.end()
		if err := stepIs(agent, w.closer); err != nil {
			return err
		}
		own = scheduled(agent.pid())
	}
	before, from := cpuOf(server), time.Now()
	n, err := s.load()
	if err != nil {
		return err
	}
	w.cpu = append(w.cpu, float64((cpuOf(server)-before).Nanoseconds())/1e3/n)
	if agent == nil {
		return nil
	}
	w.self = append(w.self, 100*(scheduled(agent.pid())-own).Seconds()/time.Since(from).Seconds())
	if statistics {
		if err := w.share(s, agent, server); err != nil {
			return err
		}
	}
	return agent.end()
}

// share loads the server once more, and measures how much of its time is the agent's programs in the kernel. To
// measure that has a cost of its own, so that it is a run of its own.
func (w *served) share(s *server, agent *proc, server []int) error {
	statistics, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return fmt.Errorf("switch on the statistics of BPF programs: %w", err)
	}
	defer statistics.Close()
	before, own := used(agent.pid()), cpuOf(server)
	if _, err := s.load(); err != nil {
		return err
	}
	w.programs = append(w.programs, 100*used(agent.pid()).less(before).bpf.Seconds()/(cpuOf(server)-own).Seconds())
	return nil
}

// stepIs waits until the agent has settled: it has looked at all that it found, and looks closer at a container, or not.
func stepIs(agent *proc, closer bool) error {
	time.Sleep(2 * time.Second)
	for range 100 {
		m, err := agent.metrics()
		if err != nil {
			return fmt.Errorf("ask the agent: %w: %s", err, agent.said())
		}
		if (sum(m, "descry_agent_ladder_closer") > 0) == closer {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("the agent looks closer: %v, want %v: %s", !closer, closer, agent.said())
}

// members are the processes in containers that have a name.
func (l *lab) members(comm string) (pids []int) {
	lists, _ := filepath.Glob(l.group + "/*/cgroup.procs")
	for _, list := range lists {
		for _, w := range strings.Fields(read(list)) {
			if read("/proc/"+w+"/comm") == comm {
				pid, _ := strconv.Atoi(w)
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func cpuOf(pids []int) (d time.Duration) {
	for _, pid := range pids {
		d += scheduled(pid)
	}
	return d
}

func redis(l *lab) error {
	const requests = 200_000
	port := freePort()
	fmt.Printf("redis-server in a watched container, redis-benchmark -t get -n %d -c 50.\n\n", requests)
	return l.serve(&server{
		argv: []string{"redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", l.dir, "--logfile", filepath.Join(l.dir, "redis.log")},
		port: port,
		load: func() (float64, error) {
			out, err := exec.Command("redis-benchmark", "-p", fmt.Sprint(port), "-t", "get", "-n", fmt.Sprint(requests), "-c", "50", "-q").CombinedOutput()
			if err != nil {
				return 0, fmt.Errorf("redis-benchmark: %w: %s", err, out)
			}
			return requests, nil
		},
	})
}

var total = regexp.MustCompile(`(\d+) requests in `)

func nginx(l *lab) error {
	during := l.lasts(5 * time.Second)
	fmt.Printf("nginx with one worker and an access log in a watched container, wrk -t1 -c50 -d%v of a 1 KiB file.\n\n", during)
	root := filepath.Join(l.dir, "www")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "index.html"), bytes.Repeat([]byte("descry \n"), 128), 0o644); err != nil {
		return err
	}
	port := freePort()
	conf := filepath.Join(l.dir, "nginx.conf")
	text := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 1024; }
http { access_log %[1]s/access.log; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
 keepalive_requests 10000000; server { listen 127.0.0.1:%[2]d; root %[3]s; } }`, l.dir, port, root)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	return l.serve(&server{
		argv: []string{"nginx", "-p", l.dir, "-c", conf},
		port: port,
		load: func() (float64, error) {
			out, err := exec.Command("wrk", "-t1", "-c50", "-d"+during.String(), fmt.Sprintf("http://127.0.0.1:%d/", port)).CombinedOutput()
			m := total.FindSubmatch(out)
			if err != nil || m == nil {
				return 0, fmt.Errorf("wrk: %w: %s", err, out)
			}
			os.Truncate(filepath.Join(l.dir, "access.log"), 0)
			return strconv.ParseFloat(string(m[1]), 64)
		},
	})
}
