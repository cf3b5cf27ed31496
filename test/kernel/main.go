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
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
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
	cpus     int
	limit    time.Duration
	verbose  bool
	console  bool
	update   bool
	cache    string
	cmd      []string
}

func main() {
	var o options
	var kernels, pkgs string
	flag.StringVar(&kernels, "kernel", defaultKernels, "series of Debian's cloud kernels, the newest of each, for this computer's architecture or /amd64 or /arm64")
	flag.StringVar(&pkgs, "pkg", strings.Join(packages, ","), "packages whose tests are run")
	flag.StringVar(&o.run, "run", "", "only tests that match, as go test -run")
	flag.IntVar(&o.memory, "m", 1024, "memory of a machine in MiB")
	flag.IntVar(&o.cpus, "cpus", 1, "virtual CPUs of a machine; under emulation one is the fastest")
	flag.DurationVar(&o.limit, "timeout", 10*time.Minute, "time limit of each machine")
	flag.BoolVar(&o.verbose, "v", false, "show the output of all tests, not only of those that fail")
	flag.BoolVar(&o.console, "console", false, "show the machine's console as it comes")
	flag.BoolVar(&o.update, "update", false, "fetch the package lists of the other architecture anew")
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

	// The machines are a guest here: what else runs on this computer goes first.
	syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10)
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
			byArch[arch] = &builder{work: filepath.Join(work, arch), arch: arch}
		}
		targets[i].builder = byArch[arch]
	}
	var bad []string
	code := 0
	for _, t := range targets {
		m := machine{emulator: t.emulator, kernel: t.kernel, busybox: t.busybox, memory: o.memory, cpus: o.cpus, limit: o.limit, console: o.console}
		m.files = append(m.files, o.files...)
		if m.modules, err = t.kernel.modules(ctx, o.modules); err != nil {
			return 0, err
		}
		if m.init, err = t.builder.program(ctx, "./test/kernel/vminit"); err != nil {
			return 0, err
		}
		if len(o.cmd) > 0 {
			if code, err = m.command(ctx, o.cmd); err != nil {
				return 125, fmt.Errorf("%s: %w", t.kernel.version, err)
			}
			continue
		}
		// Tests may run the command itself.
		descry, err := t.builder.program(ctx, "./cmd/descry")
		if err != nil {
			return 0, err
		}
		m.files = append(m.files, file{descry, "/bin/descry"})
		suites, err := t.builder.suites(ctx, o.packages)
		if err != nil {
			return 0, err
		}
		ok, err := m.tests(ctx, suites, o)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", t.kernel.version, err)
		}
		if err != nil || !ok {
			bad = append(bad, t.kernel.version)
		}
		if ctx.Err() != nil {
			return 130, errors.New("interrupted")
		}
	}
	switch {
	case len(bad) > 0:
		return 1, fmt.Errorf("failed on %s", strings.Join(bad, " and "))
	case len(o.cmd) == 0:
		fmt.Printf("all passed on %d kernels\n", len(targets))
	}
	return code, nil
}
