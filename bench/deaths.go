package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/bench/measure"
	"github.com/descry-dev/descry/internal/evidence"
)

func bootNanos() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		fail("%v", err)
	}
	return t.Nano()
}

// play is the programs under test, played by this binary.
func play(args []string) {
	switch args[0] {
	case "play-clock": // says when it runs
		fmt.Println(bootNanos())
	case "play-panic":
		var list []int
		fmt.Println(list[len(args)])
	case "play-hand":
		playHand(args[1], args[2])
	case "play-keep":
		if err := playKeep(args[1], args[2], args[3]); err != nil {
			fail("%v", err)
		}
	case "play-core":
		n, _ := strconv.Atoi(args[1])
		if err := playCore(n); err != nil {
			fail("%v", err)
		}
	case "play-wait": // until standard input ends
		io.Copy(io.Discard, os.Stdin)
	case "play-storm": // two threads are refused descriptors as fast as they can; then waits
		n, _ := strconv.ParseInt(args[1], 10, 64)
		lim := unix.Rlimit{Cur: 16, Max: 16}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
			fail("%v", err)
		}
		for {
			if _, err := unix.Dup(0); err != nil {
				break
			}
		}
		before := time.Now()
		var wg sync.WaitGroup
		for range 2 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				runtime.LockOSThread()
				for range n / 2 {
					if _, _, e := unix.RawSyscall(unix.SYS_DUP, 0, 0, 0); e != unix.EMFILE {
						fail("dup: %v", e)
					}
				}
			}()
		}
		wg.Wait()
		fmt.Printf("%d in %v\n", n+1, time.Since(before)) // one ended the filling
		io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}
}

// run gives argv under descry, with the case in the file that is returned.
func (l *lab) run(argv ...string) (*exec.Cmd, string) {
	report := filepath.Join(l.dir, "case.json")
	os.Remove(report)
	return exec.Command(l.descry, append([]string{"run", "--cases", filepath.Join(l.dir, "cases"), "--report", report, "--"}, argv...)...), report
}

func start(l *lab) error {
	const n = 60
	fmt.Printf("From the call of the command until the program's own first clock reading, %d times each, alternating: all probes are attached by then.\n\n", n)
	var bare, again, under []float64
	one := func(cmd *exec.Cmd) (float64, error) {
		var out bytes.Buffer
		cmd.Stdout = &out
		from := bootNanos()
		if err := cmd.Run(); err != nil {
			return 0, err
		}
		at, err := strconv.ParseInt(strings.TrimSpace(out.String()), 10, 64)
		return float64(at-from) / 1e6, err
	}
	for range n {
		for _, to := range []*[]float64{&bare, &again, &under} {
			cmd := exec.Command(l.self, "play-clock")
			if to == &under {
				cmd, _ = l.run(l.self, "play-clock")
			}
			ms, err := one(cmd)
			if err != nil {
				return err
			}
			*to = append(*to, ms)
		}
	}
	fmt.Println("| way | median ms | p90 ms | max ms |\n| --- | --- | --- | --- |")
	for _, r := range []struct {
		name string
		v    []float64
	}{{"bare", bare}, {"bare, again", again}, {"descry run", under}} {
		fmt.Printf("| %s | %.1f | %.1f | %.1f |\n", r.name, median(r.v), measure.Quantile(r.v, 0.9), measure.Quantile(r.v, 1))
	}
	return nil
}

// verdict measures from the death, by the kernel's clock in the exit event, until the last byte of the
// report has been read from descry's stderr.
func verdict(l *lab) error {
	programs := [][]string{
		{"sh", "-c", "kill -SEGV $$"},
		{l.self, "play-panic"},
		{"python3", "-c", "import os\nfs=[]\nimport resource\nresource.setrlimit(resource.RLIMIT_NOFILE,(256,256))\nwhile True: fs.append(open('/etc/hostname'))"},
		{"python3", "-c", "import ctypes\nctypes.string_at(0)"},
	}
	const deaths = 200
	fmt.Printf("%d deaths of %d programs in turn (a shell killed by SIGSEGV, a Go panic, a Python program out of descriptors, a null pointer in C below Python).\n\n", deaths, len(programs))
	var all []float64
	by := make([][]float64, len(programs))
	for i := range deaths {
		cmd, report := l.run(programs[i%len(programs)]...)
		errs, err := cmd.StderrPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		var last int64
		buf := make([]byte, 64<<10)
		for {
			n, err := errs.Read(buf)
			if n > 0 {
				last = bootNanos()
			}
			if err != nil {
				break
			}
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			return err
		}
		c, err := measure.ReadCase(report)
		if err != nil {
			return err
		}
		if c.Death == nil || c.Death.BootNanos == 0 {
			return fmt.Errorf("case %s has no time of death", c.ID)
		}
		ms := float64(last-c.Death.BootNanos) / 1e6
		all = append(all, ms)
		by[i%len(programs)] = append(by[i%len(programs)], ms)
	}
	fmt.Println("| program | deaths | median ms | p99 ms | max ms |\n| --- | --- | --- | --- | --- |")
	for i, name := range []string{"shell", "Go panic", "Python, descriptors", "Python, null pointer"} {
		fmt.Printf("| %s | %d | %.1f | %.1f | %.1f |\n", name, len(by[i]), median(by[i]), measure.Quantile(by[i], 0.99), measure.Quantile(by[i], 1))
	}
	fmt.Printf("| all | %d | %.1f | %.1f | %.1f |\n", len(all), median(all), measure.Quantile(all, 0.99), measure.Quantile(all, 1))
	return nil
}

// memory measures the resident memory of descry's processes beside a program that waits.
func memory(l *lab) error {
	fmt.Print("Resident memory of descry run and of its relay (VmRSS, shared pages counted in both), the program not counted.\n\n")
	cmd, _ := l.run(l.self, "play-wait")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		return err
	}
	time.Sleep(5 * time.Second) // sweeps have run at both rates
	printMemory(cmd.Process.Pid, l.self)
	in.Close()
	return cmd.Wait()
}

// printMemory sums up descry's own processes: the watcher and its children that are not the program.
func printMemory(pid int, program string) {
	fmt.Println("| process | resident MiB | highest MiB |\n| --- | --- | --- |")
	var sum, high float64
	for _, p := range append([]int{pid}, children(pid)...) {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", p))
		if exe == program {
			continue
		}
		name := "descry run"
		if p != pid {
			name = "relay"
		}
		rss, hwm := statusMiB(p, "VmRSS"), statusMiB(p, "VmHWM")
		sum, high = sum+rss, high+hwm
		fmt.Printf("| %s | %.1f | %.1f |\n", name, rss, hwm)
	}
	fmt.Printf("| sum | %.1f | %.1f |\n", sum, high)
}

func children(pid int) []int {
	var out []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for _, w := range strings.Fields(string(b)) {
			n, _ := strconv.Atoi(w)
			out = append(out, n)
		}
	}
	return out
}

func statusMiB(pid int, field string) float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for _, line := range strings.Split(string(b), "\n") {
		if w := strings.Fields(line); len(w) == 3 && w[0] == field+":" {
			n, _ := strconv.ParseFloat(w[1], 64)
			return n / 1024
		}
	}
	return 0
}

// storm checks that refusals are counted exactly however fast they come, and what that does to memory.
func storm(l *lab) error {
	fmt.Printf("Two threads are refused descriptors as fast as two cores can make them, %d times.\n\n", l.storms)
	cmd, report := l.run(l.self, "play-storm", fmt.Sprint(l.storms))
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = io.Discard
	if err := cmd.Start(); err != nil {
		return err
	}
	buf := make([]byte, 256)
	n, err := out.Read(buf)
	if err != nil {
		return fmt.Errorf("read what the storm said: %w", err)
	}
	said := strings.TrimSpace(string(buf[:n]))
	want, _, _ := strings.Cut(said, " ")
	printMemory(cmd.Process.Pid, l.self)
	in.Close()
	go io.Copy(io.Discard, out)
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	c, err := measure.ReadCase(report)
	if err != nil {
		return err
	}
	got := c.Counters[evidence.CountFDRefused]
	fmt.Printf("\nrefused %s; counted %d", said, got)
	if fmt.Sprint(got) != want {
		return fmt.Errorf("counted %d of %s", got, want)
	}
	fmt.Println(": exact")
	return nil
}
