package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/bench/forecast/trace"
	"github.com/descry-dev/descry/internal/sample"
)

// program is what is recorded: a server and the load on it, both as shell scripts.
type program struct {
	name, kind, what string
	version          string // a command that says what runs
	files            map[string]string
	setup            string // before, not recorded
	server           string // recorded, with all its children
	load             string // beside it
	nofile           int64  // soft and hard limit; 0: 1024
	pids, memory     int64  // limits of its cgroup, 0: none
	mappings         bool   // they are counted too
	selects          bool   // it calls select()
	minutes          int    // 0: as long as is asked for
	held             bool   // nothing was tuned on it
	from             int    // second at which the leak began
	only             string // of the series only those of commands that match, "": all
}

func record(args []string) error {
	f := flag.NewFlagSet("record", flag.ContinueOnError)
	out := f.String("out", "traces", "folder that gets the traces")
	only := f.String("only", "", "names that match")
	long := f.Int("minutes", 60, "how long")
	if err := f.Parse(args); err != nil {
		return err
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "descry-forecast-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	_, self, _, _ := runtime.Caller(0)
	programs := filepath.Join(filepath.Dir(self), "programs")
	build := exec.Command("sh", "-ec", `cp -r "$0"/* . ; javac -d . Srv.java; rm -f *.class.bak`, programs)
	build.Dir = work
	if b, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w: %s", err, b)
	}
	for _, name := range []string{"crowd", "gosrv"} {
		b, err := exec.Command("go", "build", "-o", filepath.Join(work, name+".bin"), "./"+filepath.Join("bench/forecast/programs", name)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("build %s: %w: %s", name, err, b)
		}
	}
	stop, done := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer done()
	var wg sync.WaitGroup
	for i, p := range all {
		if !match.MatchString(p.name) {
			continue
		}
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 2 * time.Second) // they need not start all at once
			minutes := *long
			if p.minutes > 0 {
				minutes = p.minutes
			}
			keep := func(t *trace.Trace) {
				var b bytes.Buffer
				trace.Write(&b, t)
				if err := os.WriteFile(filepath.Join(*out, p.name+".trace"), b.Bytes(), 0o644); err != nil {
					fmt.Fprintf(os.Stderr, "forecast: %s: %v\n", p.name, err)
				}
			}
			if err := recordOne(stop, &p, work, 21000+10*i, time.Duration(minutes)*time.Minute, keep); err != nil {
				fmt.Fprintf(os.Stderr, "forecast: %s: %v\n", p.name, err)
			}
		})
	}
	wg.Wait()
	return nil
}

type recording struct {
	t      *trace.Trace
	series map[string]*trace.Series
}

func (r *recording) add(key string, second int, s trace.Series, value int64) {
	at := r.series[key]
	if at == nil {
		s.From = second
		at = &s
		r.series[key] = at
		r.t.Series = append(r.t.Series, at)
	}
	at.Max, at.Comm = s.Max, s.Comm // it may have executed another program meanwhile
	i := (second - at.From) / at.Step
	for len(at.Values) < i {
		at.Values = append(at.Values, trace.Missing)
	}
	if len(at.Values) == i {
		at.Values = append(at.Values, value)
	}
}

const memoryUnit = 256 << 10

func recordOne(stop context.Context, p *program, work string, port int, long time.Duration, keep func(*trace.Trace)) error {
	dir := filepath.Join(work, p.name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	os.Chmod(dir, 0o777)
	env := append(os.Environ(), "DIR="+dir, "W="+work, fmt.Sprint("PORT=", port), fmt.Sprint("PORT2=", port+1), fmt.Sprint("PORT3=", port+2), fmt.Sprint("SECONDS_LONG=", int(long.Seconds())))
	for name, text := range p.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(os.Expand(text, func(k string) string {
			for _, e := range env {
				if v, ok := strings.CutPrefix(e, k+"="); ok {
					return v
				}
			}
			return "$" + k
		})), 0o644); err != nil {
			return err
		}
	}
	server, err := newGroup("descry-forecast-"+p.name, p)
	if err != nil {
		return err
	}
	defer server.end()
	load, err := newGroup("descry-forecast-"+p.name+"-load", &program{})
	if err != nil {
		return err
	}
	defer load.end()
	start := func(g *group, nofile int64, script, log string) (*exec.Cmd, error) {
		to, err := os.Create(filepath.Join(dir, log))
		if err != nil {
			return nil, err
		}
		defer to.Close()
		cmd := exec.Command("bash", "-c", fmt.Sprintf("echo $$ >%s/cgroup.procs; echo $$ >%s/cgroup.procs; ulimit -n %d; cd $DIR\n%s", g.memory, g.pids, nofile, script))
		cmd.Env, cmd.Stdout, cmd.Stderr = env, to, to
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return cmd, cmd.Start()
	}
	if p.setup != "" {
		setup, err := start(load, 20000, p.setup, "setup.log")
		if err != nil {
			return err
		}
		if err := setup.Wait(); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
	}
	limit := p.nofile
	if limit == 0 {
		limit = 1024
	}
	cmd, err := start(server, limit, p.server, "server.log")
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	if p.load != "" {
		go func() {
			time.Sleep(3 * time.Second)
			if l, err := start(load, 20000, p.load, "load.log"); err == nil {
				l.Wait()
			}
		}()
	}
	r := &recording{t: &trace.Trace{Name: p.name, Kind: p.kind, What: p.what, Recorded: recordedOn(p)}, series: map[string]*trace.Series{}}
	r.run(stop, p, server, cmd.Process.Pid, long, ended, func() { keep(r.tidy(p)) })
	return nil
}

func recordedOn(p *program) string {
	var u unix.Utsname
	unix.Uname(&u)
	what := ""
	if p.version != "" {
		b, _ := exec.Command("sh", "-c", p.version).CombinedOutput()
		what = strings.Join(strings.Fields(string(b)), " ")
	}
	return fmt.Sprintf("%s, Linux %s, %s", time.Now().UTC().Format("2006-01-02"), unix.ByteSliceToString(u.Release[:]), what)
}

// run samples once a second.
func (r *recording) run(stop context.Context, p *program, g *group, pid int, long time.Duration, ended <-chan struct{}, keep func()) {
	defer keep()
	var s sample.Sampler
	start := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for second := 0; ; {
		for _, pid := range s.Tree(pid) {
			o, err := s.Process(pid)
			if err != nil {
				continue
			}
			comm := strings.TrimSpace(string(must(os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)))))
			of := trace.Series{PID: pid, Comm: comm, Unit: 1, Step: 1, Max: o.SoftLimit}
			id := fmt.Sprint(pid, " ", startOf(pid))
			n := of
			n.Quantity = trace.NoFile
			r.add(id+n.Quantity, second, n, o.Open)
			if p.selects && o.Highest >= 0 {
				n := of
				n.Quantity = trace.Highest
				r.add(id+n.Quantity, second, n, o.Highest)
			}
			if p.mappings && second%5 == 0 {
				n := of
				n.Quantity, n.Step, n.Max = trace.Mappings, 5, number("/proc/sys/vm/max_map_count")
				b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
				if err == nil {
					r.add(id+n.Quantity, second, n, int64(bytes.Count(b, []byte("\n"))))
				}
			}
		}
		r.add("pids", second, trace.Series{Quantity: trace.Pids, Unit: 1, Step: 1, Max: p.pids}, number(filepath.Join(g.pids, "pids.current")))
		used, working, held := g.memoryOf()
		if p.memory > 0 {
			r.add("used", second, trace.Series{Quantity: trace.Usage, Unit: memoryUnit, Step: 1, Max: p.memory / memoryUnit}, used/memoryUnit)
		}
		if p.memory > 0 {
			r.add("working", second, trace.Series{Quantity: trace.Working, Unit: memoryUnit, Step: 1, Max: p.memory / memoryUnit}, working/memoryUnit)
		}
		r.add("memory", second, trace.Series{Quantity: trace.Memory, Unit: memoryUnit, Step: 1, Max: p.memory / memoryUnit}, held/memoryUnit)
		if second%300 == 299 {
			keep()
		}
		select {
		case <-ended:
			return
		case <-stop.Done():
			return
		case <-tick.C:
		}
		if second = int(time.Since(start).Seconds() + 0.5); time.Since(start) > long {
			return
		}
	}
}

func must(b []byte, _ error) []byte { return b }

// startOf tells a pid that was given again.
func startOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	if f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])); len(f) > 19 {
		return f[19]
	}
	return ""
}

// tidy leaves out what tells nothing: processes that lived for less than 15 samples, of those that
// never changed all but three, and of all others of one name all but twenty.
func (r *recording) tidy(p *program) *trace.Trace {
	only := regexp.MustCompile(p.only)
	flat, alike := map[string]int{}, map[string]int{}
	var kept []*trace.Series
	for _, s := range r.t.Series {
		if len(s.Values) < 15 || s.PID != 0 && !only.MatchString(s.Comm) {
			continue
		}
		still := true
		for _, v := range s.Values {
			still = still && v == s.Values[0]
		}
		if still {
			if flat[s.Quantity+s.Comm]++; flat[s.Quantity+s.Comm] > 3 {
				continue
			}
		}
		if alike[s.Quantity+s.Comm]++; !still && alike[s.Quantity+s.Comm] > 20 {
			continue
		}
		kept = append(kept, s)
	}
	t := *r.t
	t.Series = kept
	return &t
}
