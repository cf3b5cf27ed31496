// Kernel runs the tests of the probes on other kernels: it boots Debian's cloud kernels in emulated
// machines and runs test binaries as root in them. Nothing is installed: kernels, and qemu where
// the system has none, come out of Debian packages into a cache directory.
//
//	go run ./test/kernel                          the probes' tests on all kernels
//	go run ./test/kernel -kernel 6.12 -run Select one kernel, tests that match
//	go run ./test/kernel -kernel 6.12/arm64       another architecture than this computer's
//	go run ./test/kernel -kernel 6.1 -f prog:/bin/prog -- /bin/prog -x
//	                                              any static program, its exit code comes back
//
// A test that skips there fails the run, unless skips.go says why it must.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// packages whose tests run in the machines, in this order.
var packages = []string{"./test/kernel/guest", "./internal/probe"}

// kernels that are tried where -kernel does not say others. Both have trampolines on amd64; on arm64
// 6.1 has none, so that each way of the probes runs on each architecture.
const defaultKernels = "6.1/amd64,6.12/amd64,6.1/arm64,6.12/arm64"

type options struct {
	kernels  []string
	packages []string
	run      string
	files    []file
	modules  []string
	memory   int // MiB
	cgroups  string
	cpus     int
	limit    time.Duration
	parallel int // machines
	verbose  bool
	console  bool
	update   bool
	cache    string
	store    string
	cmd      []string
}

func main() {
	var o options
	var kernels, pkgs string
	flag.StringVar(&kernels, "kernel", defaultKernels, "series of Debian's cloud kernels, the newest of each, for this computer's architecture or /amd64 or /arm64")
	flag.StringVar(&pkgs, "pkg", strings.Join(packages, ","), "packages whose tests are run")
	flag.StringVar(&o.run, "run", "", "only tests that match, as go test -run")
	flag.IntVar(&o.memory, "m", 1024, "memory of a machine in MiB")
	flag.StringVar(&o.cgroups, "cgroups", "v2", "hierarchies of cgroups: `v2`, v1 or hybrid; from 6.12 on Debian's kernels have only some controllers of v1")
	flag.IntVar(&o.cpus, "cpus", 1, "virtual CPUs of a machine; under emulation one is the fastest")
	flag.DurationVar(&o.limit, "timeout", 20*time.Minute, "time limit of each machine")
	flag.IntVar(&o.parallel, "j", min(2, runtime.NumCPU()), "machines at a time")
	flag.BoolVar(&o.verbose, "v", false, "show the output of all tests, not only of those that fail")
	flag.BoolVar(&o.console, "console", false, "show the machine's console as it comes")
	flag.BoolVar(&o.update, "update", false, "fetch the package lists of the other architecture anew")
	flag.StringVar(&o.store, "store", "", "write the cases that tests record below this `directory`, as internal/diagnose/testdata has them")
	flag.Func("f", "`SRC:DST`, a file to put into the machine (repeatable)", func(s string) error {
		src, dst, ok := strings.Cut(s, ":")
		if !ok {
			dst = "/bin/" + filepath.Base(src)
		}
		o.files = append(o.files, file{src, dst})
		return nil
	})
	flag.Func("k", "kernel `MODULE` to load, by name; before it those that it needs (repeatable)", func(s string) error {
		o.modules = append(o.modules, s)
		return nil
	})
	flag.Parse()
	o.kernels, o.packages, o.cmd = strings.Split(kernels, ","), strings.Split(pkgs, ","), flag.Args()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/kernel:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(ctx context.Context, o options) (int, error) {
	var err error
	if o.cache, err = cacheDir(); err != nil {
		return 0, err
	}
	work, err := os.MkdirTemp("", "descry-kernel")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(work)
	targets := make([]*target, len(o.kernels))
	byArch := map[string]*builder{}
	for i, name := range o.kernels {
		series, arch, _ := strings.Cut(name, "/")
		arch = cmp.Or(arch, runtime.GOARCH)
		d := debian{cache: o.cache, arch: arch, update: o.update && byArch[arch] == nil}
		if targets[i], err = d.target(ctx, series); err != nil {
			return 0, fmt.Errorf("get the machine %s: %w", name, err)
		}
		if byArch[arch] == nil {
			byArch[arch] = &builder{work: filepath.Join(work, arch), arch: arch, compiler: targets[i].compiler}
		}
		targets[i].builder = byArch[arch]
	}
	machines := make([]*machine, len(targets))
	for i, t := range targets {
		if machines[i], err = t.machine(ctx, o); err != nil {
			return 0, err
		}
	}
	if len(o.cmd) > 0 {
		code := 0
		for _, m := range machines {
			if code, err = m.command(ctx, o.cmd); err != nil {
				return 125, fmt.Errorf("%s: %w", m.kernel.version, err)
			}
		}
		return code, nil
	}
	return tests(ctx, machines, targets, o)
}

// machine makes a target's machine, with all that goes into it but tests.
func (t *target) machine(ctx context.Context, o options) (*machine, error) {
	m := &machine{
		emulator: t.emulator, kernel: t.kernel, busybox: t.busybox,
		memory: o.memory, cgroups: o.cgroups, cpus: o.cpus, limit: o.limit, console: o.console, out: os.Stdout,
		files: slices.Clone(o.files),
	}
	var err error
	if m.modules, err = t.kernel.modules(ctx, o.modules); err != nil {
		return nil, err
	}
	if m.init, err = t.builder.program(ctx, "./test/kernel/vminit"); err != nil {
		return nil, err
	}
	return m, nil
}

// tests runs the tests in some machines at a time, and in the end says how all went.
func tests(ctx context.Context, machines []*machine, targets []*target, o options) (int, error) {
	var mu sync.Mutex // of standard output
	results := make([]result, len(machines))
	var g errgroup.Group
	g.SetLimit(max(1, o.parallel))
	for i, m := range machines {
		suites, err := targets[i].builder.suites(ctx, o.packages)
		if err != nil {
			return 0, err
		}
		// Tests may run the command itself.
		descry, err := targets[i].builder.program(ctx, "./cmd/descry")
		if err != nil {
			return 0, err
		}
		m.files = append(append(m.files, file{descry, "/bin/descry"}), targets[i].python...)
		m.out = &prefixed{mu: &mu, to: os.Stdout, prefix: fmt.Sprintf("%-11s | ", m.kernel.series+"/"+m.kernel.arch)}
		m.short = i != whole(machines) && o.store == ""
		g.Go(func() error {
			results[i] = m.twice(ctx, suites, o)
			return nil
		})
	}
	_ = g.Wait()
	fmt.Println()
	var bad []string
	for i, m := range machines {
		fmt.Print(results[i].said)
		if !results[i].ok {
			bad = append(bad, m.kernel.version)
		}
	}
	switch {
	case ctx.Err() != nil:
		return 130, errors.New("interrupted")
	case len(bad) > 0:
		return 1, fmt.Errorf("failed on %s", strings.Join(bad, " and "))
	}
	fmt.Printf("all passed on %d kernels\n", len(machines))
	return 0, nil
}

// twice runs the tests, and in a new machine once more those few that failed. What failed once is said.
func (m *machine) twice(ctx context.Context, suites []suite, o options) result {
	second := *m
	second.files = slices.Clone(m.files)
	r := m.tests(ctx, suites, o)
	if o.run != "" || len(r.again) == 0 || ctx.Err() != nil {
		return r
	}
	fmt.Fprintf(m.out, "a second try of %s\n", strings.Join(r.again, ", "))
	o.run = "^(" + strings.Join(r.again, "|") + ")$"
	r2 := second.tests(ctx, suites, o)
	return result{ok: r2.ok, said: r.said + "  second try: " + r2.said}
}

// whole is the machine whose tests leave nothing out: the last of this computer's architecture, where
// there is one. The others run what depends on the kernel (testing.Short).
func whole(machines []*machine) int {
	at := 0
	for i, m := range machines {
		if m.kernel.arch == runtime.GOARCH {
			at = i
		}
	}
	return at
}

// prefixed puts a prefix before each line, and writes whole lines only.
type prefixed struct {
	mu     *sync.Mutex
	to     io.Writer
	prefix string
	rest   []byte // of a line that has not ended
}

func (p *prefixed) Write(b []byte) (int, error) {
	var out []byte
	p.rest = append(p.rest, b...)
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 {
			break
		}
		out = append(append(out, p.prefix...), p.rest[:i+1]...)
		p.rest = p.rest[i+1:]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.to.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}
