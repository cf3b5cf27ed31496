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
	"syscall"
	"time"

	"github.com/descry-dev/descry/bench/measure"
)

// ways are how a server is run. The second is the first again: what it differs from the first is noise.
var ways = []string{"bare", "bare, again", "descry run", "bpftrace"}

// script is what a first responder types: print each open, close, socket, accept and write of the
// program, with what it was given.
const script = `
tracepoint:syscalls:sys_enter_openat /comm == "%[1]s"/ { printf("%%d open %%s\n", pid, str(args->filename)); }
tracepoint:syscalls:sys_exit_openat /comm == "%[1]s"/ { printf("%%d open = %%d\n", pid, args->ret); }
tracepoint:syscalls:sys_enter_close /comm == "%[1]s"/ { printf("%%d close %%d\n", pid, args->fd); }
tracepoint:syscalls:sys_exit_socket /comm == "%[1]s"/ { printf("%%d socket = %%d\n", pid, args->ret); }
tracepoint:syscalls:sys_exit_accept4 /comm == "%[1]s"/ { printf("%%d accept = %%d\n", pid, args->ret); }
tracepoint:syscalls:sys_exit_accept /comm == "%[1]s"/ { printf("%%d accept = %%d\n", pid, args->ret); }
tracepoint:syscalls:sys_enter_write /comm == "%[1]s"/ { printf("%%d write %%d %%d\n", pid, args->fd, args->count); }
tracepoint:syscalls:sys_enter_writev /comm == "%[1]s"/ { printf("%%d writev %%d\n", pid, args->fd); }
`

// serve starts argv in one of the ways and calls load with the pids of the server when its port
// answers; it ends what it started.
func (l *lab) serve(way, comm string, argv []string, port int, load func(pids []int) error) error {
	args := argv
	if way == "descry run" {
		args = append([]string{l.descry, "run", "--quiet", "--cases", filepath.Join(l.dir, "cases"), "--"}, argv...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	log, err := os.Create(filepath.Join(l.dir, comm+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}()
	if err := measure.Dial(port); err != nil {
		return fmt.Errorf("%s %s: %w", way, comm, err)
	}
	pids := family(cmd.Process.Pid, comm)
	if len(pids) == 0 {
		return fmt.Errorf("%s: no process %s below %d", way, comm, cmd.Process.Pid)
	}
	if way == "bpftrace" {
		stop, err := l.trace(comm)
		if err != nil {
			return err
		}
		defer stop()
	}
	return load(pids)
}

// trace runs the first responder's script until stop is called.
func (l *lab) trace(comm string) (stop func(), err error) {
	out := filepath.Join(l.dir, "bpftrace.out")
	// In a mount namespace of its own, where tracefs is mounted if it is nowhere else.
	cmd := exec.Command("unshare", "-m", "sh", "-c", `mountpoint -q /sys/kernel/tracing || mount -t tracefs none /sys/kernel/tracing
exec bpftrace -o "$1" -e "$2"`, "sh", out, fmt.Sprintf(script, comm)+`BEGIN { printf("ready`+strings.Repeat(".", 8<<10)+`\n"); }`) // more than its buffer, so that it is written
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		cmd.Process.Signal(syscall.SIGINT)
		cmd.Wait()
		os.Remove(out)
	}
	for range 600 {
		if b, _ := os.ReadFile(out); bytes.Contains(b, []byte("ready")) {
			return stop, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return nil, fmt.Errorf("bpftrace did not start in 30 s: %s", said.String())
}

// family gives the processes named comm at or below pid.
func family(pid int, comm string) []int {
	var out []int
	if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); strings.TrimSpace(string(b)) == comm {
		out = append(out, pid)
	}
	kids, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range kids {
		b, _ := os.ReadFile(f)
		for _, w := range strings.Fields(string(b)) {
			kid, _ := strconv.Atoi(w)
			out = append(out, family(kid, comm)...)
		}
	}
	return out
}

// cpu is the time that all threads of the processes ran, by the scheduler's own clock.
func cpu(pids []int) time.Duration {
	var sum int64
	for _, pid := range pids {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, f := range files {
			b, _ := os.ReadFile(f)
			if w := strings.Fields(string(b)); len(w) > 0 {
				n, _ := strconv.ParseInt(w[0], 10, 64)
				sum += n
			}
		}
	}
	return time.Duration(sum)
}

func freePort() int {
	port, err := measure.FreePort()
	if err != nil {
		fail("%v", err)
	}
	return port
}

// alternate measures all ways in turn, runs times.
func (l *lab) alternate(one func(way string) (cpuMicros, rate float64, err error)) error {
	rows := make([]*row, len(ways))
	for i, w := range ways {
		rows[i] = &row{name: w}
	}
	for range l.runs {
		for i, w := range ways {
			c, r, err := one(w)
			if err != nil {
				return err
			}
			rows[i].cpu = append(rows[i].cpu, c)
			rows[i].rate = append(rows[i].rate, r)
		}
	}
	compare(rows)
	return nil
}

func redis(l *lab) error {
	const requests, clients = 150_000, 50
	fmt.Printf("redis-server, redis-benchmark -t get -n %d -c %d.\n\n", requests, clients)
	return l.alternate(func(way string) (us, rate float64, err error) {
		port := freePort()
		argv := []string{"redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", l.dir}
		err = l.serve(way, "redis-server", argv, port, func(pids []int) error {
			load := func(n int) ([]byte, error) {
				return exec.Command("redis-benchmark", "-p", fmt.Sprint(port), "-t", "get", "-n", fmt.Sprint(n), "-c", fmt.Sprint(clients), "-q").CombinedOutput()
			}
			if out, err := load(20_000); err != nil { // warm
				return fmt.Errorf("redis-benchmark: %w: %s", err, out)
			}
			before, from := cpu(pids), time.Now()
			if out, err := load(requests); err != nil {
				return fmt.Errorf("redis-benchmark: %w: %s", err, out)
			}
			took := time.Since(from)
			us = float64((cpu(pids) - before).Nanoseconds()) / 1e3 / requests
			rate = requests / took.Seconds()
			return nil
		})
		return us, rate, err
	})
}

var total = regexp.MustCompile(`(\d+) requests in ([\d.]+)s`)

func nginx(l *lab) error {
	fmt.Printf("nginx with one worker and an access log, wrk -t1 -c50 -d3s of a 1 KiB file.\n\n")
	root := filepath.Join(l.dir, "www")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "index.html"), bytes.Repeat([]byte("descry \n"), 128), 0o644); err != nil {
		return err
	}
	os.Chmod(l.dir, 0o755)
	return l.alternate(func(way string) (us, rate float64, err error) {
		port := freePort()
		conf := filepath.Join(l.dir, "nginx.conf")
		text := fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log stderr;
events { worker_connections 1024; }
http { access_log %[1]s/access.log; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
 keepalive_requests 10000000; server { listen 127.0.0.1:%[2]d; root %[3]s; } }`, l.dir, port, root)
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			return 0, 0, err
		}
		err = l.serve(way, "nginx", []string{"nginx", "-p", l.dir, "-c", conf}, port, func(pids []int) error {
			load := func(d string) ([]byte, error) {
				return exec.Command("wrk", "-t1", "-c50", "-d"+d, fmt.Sprintf("http://127.0.0.1:%d/", port)).CombinedOutput()
			}
			if out, err := load("1s"); err != nil { // warm
				return fmt.Errorf("wrk: %w: %s", err, out)
			}
			before := cpu(pids)
			out, err := load("3s")
			if err != nil {
				return fmt.Errorf("wrk: %w: %s", err, out)
			}
			used := cpu(pids) - before
			m := total.FindSubmatch(out)
			if m == nil {
				return fmt.Errorf("wrk said: %s", out)
			}
			n, _ := strconv.ParseFloat(string(m[1]), 64)
			secs, _ := strconv.ParseFloat(string(m[2]), 64)
			us, rate = float64(used.Nanoseconds())/1e3/n, n/secs
			return nil
		})
		return us, rate, err
	})
}
