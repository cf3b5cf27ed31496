package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/descry-dev/descry/bench/measure"
)

// proc is a program that was started for a measurement.
type proc struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader // nil: it goes to a file
	log  string        // file of what it says on stderr
	port int           // of its metrics; 0: it has none
	stop chan struct{} // closed by end; nil: nothing runs beside it
	once sync.Once
}

var (
	started   = map[*proc]bool{} // nil: nothing may be started any more
	startedMu sync.Mutex
)

// run starts a program. Its standard input is a pipe, whose end it may watch.
func (l *lab) run(piped bool, name string, args ...string) (*proc, error) {
	p := &proc{cmd: exec.Command(name, args...)}
	log, err := os.CreateTemp(l.dir, filepath.Base(name)+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.log, p.cmd.Stderr = log.Name(), log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C reaches this program, which ends them in order
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if piped {
		out, err := p.cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		p.out = bufio.NewReader(out)
	}
	startedMu.Lock()
	defer startedMu.Unlock()
	if started == nil {
		return nil, errors.New("it was interrupted")
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	started[p] = true
	return p, nil
}

func (p *proc) pid() int { return p.cmd.Process.Pid }

// said is the end of what it wrote to stderr.
func (p *proc) said() string {
	s := read(p.log)
	return s[max(0, len(s)-500):]
}

// end ends a program and waits for it. What its standard input told to end, or SIGTERM, and does not in 30 s is killed.
func (p *proc) end() (err error) {
	p.once.Do(func() {
		if p.stop != nil {
			close(p.stop)
		}
		late := time.AfterFunc(30*time.Second, func() { p.cmd.Process.Kill() })
		p.in.Close()
		if p.out == nil {
			p.cmd.Process.Signal(syscall.SIGTERM)
		} else {
			io.Copy(io.Discard, p.out)
		}
		err = p.cmd.Wait()
		late.Stop()
		startedMu.Lock()
		delete(started, p)
		startedMu.Unlock()
	})
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if st, ok := exit.Sys().(syscall.WaitStatus); ok && st.Signal() == syscall.SIGTERM {
			return nil // as it was told
		}
		err = fmt.Errorf("%s: %w: %s", p.cmd.Args[0], err, p.said())
	}
	return err
}

func endAll() {
	startedMu.Lock()
	var all []*proc
	for p := range started {
		all = append(all, p)
	}
	started = nil
	startedMu.Unlock()
	for _, p := range all {
		p.end()
	}
}

// play starts containers and waits until their program says so with its first line.
func (l *lab) play(args ...string) (p *proc, line string, err error) {
	args[0], args = "", append([]string{args[0], l.group}, args[1:]...)
	if p, err = l.run(true, l.fleet, args...); err != nil {
		return nil, "", err
	}
	if args[0] == "churn" || args[0] == "die" || args[0] == "storm" {
		return p, "", nil // says what it did at the end
	}
	if line, err = p.out.ReadString('\n'); err != nil {
		return nil, "", fmt.Errorf("start containers: %w: %w: %s", err, p.end(), p.said())
	}
	return p, strings.TrimSpace(line), nil
}

// agent starts the agent and waits until it watches.
func (l *lab) agent(args ...string) (*proc, error) {
	port := freePort()
	all := []string{"agent", "--scope", l.scope, "--state", filepath.Join(l.dir, "state"), "--cases", filepath.Join(l.dir, "cases"),
		"--metrics", fmt.Sprintf("127.0.0.1:%d", port), "--runtime-endpoint", filepath.Join(l.dir, "no-runtime.sock")}
	p, err := l.run(false, l.descry, append(all, args...)...)
	if err != nil {
		return nil, err
	}
	p.port = port
	return p, p.ready("msg=watching", p.log)
}

// ready waits until text stands in a file.
func (p *proc) ready(text, file string) error {
	for range 600 {
		if b, _ := os.ReadFile(file); bytes.Contains(b, []byte(text)) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s did not start in 30 s: %w: %s", p.cmd.Args[0], p.end(), p.said())
}

// cadvisor starts what does as cAdvisor does.
func (l *lab) cadvisor() (*proc, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return l.run(false, self, "play-cadvisor", l.group)
}

// playCadvisor looks at each process of each container once a second as cAdvisor does: it lists the directory of
// descriptors and reads each link, to know which are sockets, and the limits of the first process.
func playCadvisor(group string) {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for next := time.Now(); ; time.Sleep(time.Until(next)) {
		next = next.Add(time.Second)
		lists, _ := filepath.Glob(group + "/*/cgroup.procs")
		for _, list := range lists {
			fds, sockets := 0, 0
			for i, pid := range strings.Fields(read(list)) {
				dir := "/proc/" + pid + "/fd"
				entries, err := os.ReadDir(dir)
				if err != nil {
					continue
				}
				fds += len(entries)
				for _, e := range entries {
					if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && strings.HasPrefix(to, "socket") {
						sockets++
					}
				}
				if i == 0 {
					read("/proc/" + pid + "/limits")
				}
			}
			_, _ = fds, sockets
		}
	}
}

// exporter starts prometheus-process-exporter, and asks it once a second.
func (l *lab) exporter() (*proc, error) {
	conf := filepath.Join(l.dir, "exporter.yaml")
	if err := os.WriteFile(conf, []byte("process_names:\n  - name: \"{{.Comm}}\"\n    cmdline:\n    - '.+'\n"), 0o644); err != nil {
		return nil, err
	}
	port := freePort()
	p, err := l.run(false, "prometheus-process-exporter", "-config.path", conf, "-threads=false", "-gather-smaps=false", fmt.Sprintf("-web.listen-address=127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	p.port = port
	for range 100 {
		if _, err = p.metrics(); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("ask prometheus-process-exporter: %w: %w: %s", err, p.end(), p.said())
	}
	p.stop = make(chan struct{})
	go func() {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-p.stop:
				return
			case <-tick.C:
				p.metrics()
			}
		}
	}()
	return p, nil
}

// script is what a first responder types: each open with its name, and each end of a process.
const script = `
tracepoint:syscalls:sys_enter_openat { @name[tid] = args->filename; }
tracepoint:syscalls:sys_exit_openat /@name[tid]/ { printf("%d %s open %d %s\n", pid, comm, args->ret, str(@name[tid])); delete(@name[tid]); }
tracepoint:sched:sched_process_exit { printf("%d %s exit\n", pid, comm); }
END { clear(@name); }
`

// bpftrace runs the script.
func (l *lab) bpftrace() (*proc, error) {
	out := filepath.Join(l.dir, "bpftrace.out")
	os.Remove(out)
	// In a mount namespace of its own, where tracefs is mounted if it is nowhere else.
	p, err := l.run(false, "unshare", "-m", "sh", "-c", `mountpoint -q /sys/kernel/tracing || mount -t tracefs none /sys/kernel/tracing
exec bpftrace -o "$1" -e "$2"`, "sh", out, script+`BEGIN { printf("ready`+strings.Repeat(".", 8<<10)+`\n"); }`) // more than its buffer, so that it is written
	if err != nil {
		return nil, err
	}
	return p, p.ready("ready", out)
}

// metrics asks a program for its metrics.
func (p *proc) metrics() (map[string]float64, error) {
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", p.port))
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	all := map[string]float64{}
	in := bufio.NewScanner(r.Body)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
			all[line[:at]] = v
		}
	}
	return all, in.Err()
}

// sum adds up the samples of a metric, of all labels.
func sum(all map[string]float64, name string) (n float64) {
	for k, v := range all {
		if k == name || strings.HasPrefix(k, name+"{") {
			n += v
		}
	}
	return n
}

func freePort() int {
	port, err := measure.FreePort()
	if err != nil {
		fail("%v", err)
	}
	return port
}
