// Command node measures what the agent of a node costs, and whether it keeps up: against doing without, against itself
// and against other tools, alternating within one run. It needs root, a cgroup2 and gcc; and redis-server,
// redis-benchmark, nginx, wrk, bpftrace and prometheus-process-exporter from Debian, a measurement whose program is missing says so.
//
//	go run ./bench/node                            everything but the soak
//	go run ./bench/node -only cost -rounds 3
//	go run ./bench/node -only soak -time 30m
//
// All containers are cgroups below one that it makes, and the agent is started to watch these alone.
package main

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// section is one measurement: it prints a part of docs/performance.md to stdout.
type section struct {
	name  string
	needs []string // programs
	run   func(*lab) error
	only  bool // only where it is asked for by its name
}

var sections = []section{
	{"cost", []string{"bpftrace", "prometheus-process-exporter"}, cost, false},
	{"grow", nil, grow, false},
	{"redis", []string{"redis-server", "redis-benchmark"}, redis, false},
	{"nginx", []string{"nginx", "wrk"}, nginx, false},
	{"deaths", nil, deaths, false},
	{"storm", nil, storms, false},
	{"soak", nil, soak, true},
}

// lab is what the measurements share.
type lab struct {
	descry string // path of the command
	fleet  string // path of the program that plays containers
	dir    string // scratch
	group  string // directory of the cgroup that all containers are below
	scope  string // the same as /proc/PID/cgroup has it
	rounds int
	time   time.Duration // of each run; 0: the section's own
}

//go:embed fleet/fleet.c
var fleetSource []byte

//go:embed fleet/storm.h
var stormSource []byte

func main() {
	if len(os.Args) == 3 && os.Args[1] == "play-cadvisor" {
		playCadvisor(os.Args[2])
		return
	}
	only := flag.String("only", "", "comma-separated `names`: cost, grow, redis, nginx, deaths, storm, soak")
	rounds := flag.Int("rounds", 3, "how often each way is measured")
	during := flag.Duration("time", 0, "`TIME` of each run, in place of the section's own")
	descry := flag.String("descry", "", "the `command`; it is built where none is named")
	flag.Parse()
	if os.Geteuid() != 0 {
		fail("the measurements need root: the probes are what is measured")
	}
	l := &lab{descry: *descry, rounds: *rounds, time: *during}
	if err := l.prepare(); err != nil {
		l.end()
		fail("%v", err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	go func() {
		<-stop
		l.end()
		os.Exit(1)
	}()
	fmt.Printf("%s, Linux %s, %d cores, %s, descry %s, load average %s\n", time.Now().UTC().Format("2006-01-02 15:04"), read("/proc/sys/kernel/osrelease"),
		runtime.NumCPU(), runtime.Version(), l.version(), load())
	bad := false
	for _, s := range sections {
		if *only == "" && s.only || *only != "" && !strings.Contains(","+*only+",", ","+s.name+",") {
			continue
		}
		fmt.Printf("\n### %s\n\n", s.name)
		if missing := absent(s.needs); missing != "" {
			fmt.Printf("not measured: %s is not installed\n", missing)
			continue
		}
		from := time.Now()
		if err := s.run(l); err != nil {
			fmt.Printf("FAILED: %v\n", err)
			bad = true
		}
		fmt.Printf("\n(`go run ./bench/node -only %s`, took %.0f s, load average %s)\n", s.name, time.Since(from).Seconds(), load())
	}
	l.end()
	if bad {
		os.Exit(1)
	}
}

func (l *lab) prepare() (err error) {
	if l.dir, err = os.MkdirTemp("", "descry-bench-node-"); err != nil {
		return err
	}
	if l.descry == "" {
		l.descry = filepath.Join(l.dir, "descry")
		build := exec.Command("go", "build", "-trimpath", "-o", l.descry, "./cmd/descry")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build descry: %w: %s", err, out)
		}
	} else if l.descry, err = filepath.Abs(l.descry); err != nil {
		return err
	}
	for name, text := range map[string][]byte{"fleet.c": fleetSource, "storm.h": stormSource} {
		if err := os.WriteFile(filepath.Join(l.dir, name), text, 0o644); err != nil {
			return err
		}
	}
	l.fleet = filepath.Join(l.dir, "fleet")
	if out, err := exec.Command("gcc", "-O2", "-static", "-o", l.fleet, filepath.Join(l.dir, "fleet.c")).CombinedOutput(); err != nil {
		return fmt.Errorf("build what plays the containers: %w: %s", err, out)
	}
	os.Chmod(l.dir, 0o755) // nginx's worker reads from there
	root := ""
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.controllers")); err == nil {
			root = dir
		}
	}
	if root == "" {
		return fmt.Errorf("no cgroup2 is mounted at /sys/fs/cgroup or below")
	}
	removeStale(root)
	l.scope = fmt.Sprintf("/%s%d", scopePrefix, os.Getpid())
	l.group = filepath.Join(root, l.scope)
	return os.Mkdir(l.group, 0o755)
}

const scopePrefix = "descry-bench-"

// removeStale removes the empty scopes of those that were killed.
func removeStale(root string) {
	dirs, _ := filepath.Glob(filepath.Join(root, scopePrefix+"*"))
	for _, d := range dirs {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(d), scopePrefix))
		if err != nil {
			continue
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			unix.Rmdir(d) // fails while anything is in it
		}
	}
}

// end ends all that was started, and removes what was made.
func (l *lab) end() {
	endAll()
	for range 100 {
		if l.group == "" || unix.Rmdir(l.group) == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	os.RemoveAll(l.dir)
}

func (l *lab) version() string {
	out, _ := exec.Command(l.descry, "version").Output()
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "descry ")
}

// lasts is the time of a run.
func (l *lab) lasts(own time.Duration) time.Duration {
	if l.time > 0 {
		return l.time
	}
	return own
}

func absent(programs []string) string {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return p
		}
	}
	return ""
}

func read(name string) string {
	b, _ := os.ReadFile(name)
	return strings.TrimSpace(string(b))
}

func load() string {
	first, _, _ := strings.Cut(read("/proc/loadavg"), " ")
	return first
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench/node: "+format+"\n", args...)
	os.Exit(1)
}
