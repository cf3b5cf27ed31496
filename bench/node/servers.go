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
	extra     int // descriptors of a process beside the server
	args      []string
	watched   bool
	cpu, self []float64
	programs  []float64 // of the agent, in the kernel: % of the server's CPU
}

const beyond = 950 // descriptors of a process in the container that make the agent look closer at it

// serve measures the CPU time of a server for each request: with nothing, with nothing again, with the agent at step 0 and at step 1.
// One server lives through all of them, so that only what watches it differs.
func (l *lab) serve(s *server) error {
	ways := []*served{
		{name: "nothing"},
		{name: "nothing, again"},
		{name: "descry agent, step 0", watched: true, args: []string{"--no-syscalls"}},
		{name: "descry agent, step 1", watched: true, extra: beyond},
	}
	for round := range l.rounds {
		for i := range ways {
			if err := l.serveOnce(s, ways[(i+round)%len(ways)]); err != nil {
				return err
			}
		}
	}
	fmt.Println("| | the server's CPU a request, µs | against nothing, by medians | by best runs | its programs in the kernel, % of the server's CPU | the agent's own CPU meanwhile, % of a core |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	base := measure.Quantile(append([]float64(nil), append(ways[0].cpu, ways[1].cpu...)...), 0.5)
	least := min(measure.Quantile(ways[0].cpu, 0), measure.Quantile(ways[1].cpu, 0))
	for _, w := range ways {
		fmt.Printf("| %s | %s | %+.1f%% | %+.1f%% | %s | %s |\n", w.name, spread(w.cpu, "%.2f"), 100*(measure.Quantile(w.cpu, 0.5)/base-1), 100*(measure.Quantile(w.cpu, 0)/least-1), spread(w.programs, "%.2f"), spread(w.self, "%.2f"))
	}
	fmt.Printf("\n%d runs each way, alternating; \"nothing\" is the median of both its rows.\n", l.rounds)
	return nil
}

// serveOnce measures one way.
func (l *lab) serveOnce(s *server, w *served) error {
	fleet, _, err := l.play(append([]string{"run", fmt.Sprint(w.extra)}, s.argv...)...)
	if err != nil {
		return err
	}
	defer fleet.end()
	if err := measure.Dial(s.port); err != nil {
		return fmt.Errorf("%s: %w", s.argv[0], err)
	}
	var agent *proc
	if w.watched {
		if agent, err = l.agent(w.args...); err != nil {
			return err
		}
		defer agent.end()
		time.Sleep(3 * time.Second)
		if err := stepIs(agent, w.extra > 0); err != nil {
			return err
		}
	}
	if _, err := s.load(); err != nil { // warm
		return err
	}
	server := l.members(filepath.Base(s.argv[0]))
	before, from := cpuOf(server), time.Now()
	var own time.Duration
	if agent != nil {
		own = scheduled(agent.pid())
	}
	n, err := s.load()
	if err != nil {
		return err
	}
	w.cpu = append(w.cpu, float64((cpuOf(server)-before).Nanoseconds())/1e3/n)
	if agent != nil {
		w.self = append(w.self, 100*(scheduled(agent.pid())-own).Seconds()/time.Since(from).Seconds())
		if err := w.share(s, agent, server); err != nil {
			return err
		}
		if err := agent.end(); err != nil {
			return err
		}
	}
	return fleet.end()
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

// stepIs checks that the agent looks closer at the container, or does not, where it tells.
func stepIs(agent *proc, closer bool) error {
	m, err := agent.metrics()
	if err != nil {
		return fmt.Errorf("ask the agent: %w: %s", err, agent.said())
	}
	n := sum(m, "descry_agent_ladder_closer")
	if (n > 0) != closer {
		fmt.Printf("(the agent looks closer at %.0f containers)\n", n)
	}
	return nil
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
