// Command bench measures what docs/performance.md says, against doing without and against other tools,
// alternating within one run. It needs root, and redis-server, redis-benchmark, nginx, wrk and bpftrace
// from Debian; a measurement whose program is missing says so.
//
//	make bench                       everything, about 12 minutes
//	go run ./bench -only redis -runs 9
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// bench is one measurement: it prints a Markdown section to stdout.
type bench struct {
	name  string
	needs []string // programs
	run   func(*lab) error
}

var all = []bench{
	{"start", nil, start},
	{"verdict", []string{"python3"}, verdict},
	{"memory", nil, memory},
	{"storm", nil, storm},
	{"redis", []string{"redis-server", "redis-benchmark", "bpftrace"}, redis},
	{"nginx", []string{"nginx", "wrk", "bpftrace"}, nginx},
	{"cores", []string{"gzip", "zstd"}, cores},
}

// lab is what the measurements share.
type lab struct {
	descry string // path of the command
	self   string // path of this program, which also plays the programs under test
	dir    string // scratch
	runs   int
	storms int64
}

func main() {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "play-") {
		play(os.Args[1:])
		return
	}
	only := flag.String("only", "", "comma-separated `names`: start, verdict, memory, storm, redis, nginx, cores")
	runs := flag.Int("runs", 9, "how often redis and nginx are measured each way")
	storms := flag.Int64("storm", 10_000_000, "refusals in a storm")
	descry := flag.String("descry", "bin/descry", "the command")
	flag.Parse()
	path, err := filepath.Abs(*descry)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		fail("find descry: %v (make build)", err)
	}
	if os.Geteuid() != 0 {
		fail("the measurements need root: the probes are what is measured")
	}
	dir, err := os.MkdirTemp("", "descry-bench-")
	if err != nil {
		fail("%v", err)
	}
	self, err := os.Executable()
	if err != nil {
		fail("%v", err)
	}
	l := &lab{descry: path, self: self, dir: dir, runs: *runs, storms: *storms}
	fmt.Printf("%s, %s, %d cores, %s, descry %s\n", time.Now().UTC().Format("2006-01-02"), kernel(), runtime.NumCPU(), runtime.Version(), output(path, "version"))
	bad := false
	for _, b := range all {
		if *only != "" && !strings.Contains(","+*only+",", ","+b.name+",") {
			continue
		}
		if missing := absent(b.needs); missing != "" {
			fmt.Printf("\n### %s\n\nnot measured: %s is not installed\n", b.name, missing)
			continue
		}
		from := time.Now()
		fmt.Printf("\n### %s\n\n", b.name)
		if err := b.run(l); err != nil {
			fmt.Printf("FAILED: %v\n", err)
			bad = true
		}
		fmt.Printf("\n(%s, took %.0f s)\n", "`go run ./bench -only "+b.name+"`", time.Since(from).Seconds())
	}
	os.RemoveAll(dir)
	if bad {
		os.Exit(1)
	}
}

func absent(programs []string) string {
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			return p
		}
	}
	return ""
}

func output(name string, args ...string) string {
	out, _ := exec.Command(name, args...).Output()
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "descry ")
}

func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return "Linux " + strings.TrimSpace(string(b))
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
	os.Exit(1)
}
