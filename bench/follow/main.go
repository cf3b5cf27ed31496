// Command follow measures what it costs to follow many logs that grow, all the time and each a little.
//
//	go run ./bench/follow [-form cri|raw] [-files 1000] [-rate 10] [-time 10s] [-rounds 5]
//
// A writer appends lines to the files, a write each, as a container runtime does. Beside it run, one after the other and
// in each round in another order: descry logcheck --follow --position; tail -q -F of the same files; a loop
// that only reads what is new, at the same pace as descry looks; and one that reads what inotify tells of. The processor time
// of each, user and system, is the kernel's; memory is VmHWM. Once a second some line is garbage: what passes until descry
// tells it is its delay.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	form   = flag.String("form", "cri", "of the lines: cri or raw")
	files  = flag.Int("files", 1000, "that grow")
	rate   = flag.Float64("rate", 10, "`MB/s`, all files together")
	during = flag.Duration("time", 10*time.Second, "of each run")
	rounds = flag.Int("rounds", 5, "of all")
	role   = flag.String("role", "", "of this process, for itself")
)

const warmUp = 3 * time.Second

func main() {
	flag.Parse()
	var err error
	switch *role {
	case "read":
		err = readLoop(flag.Arg(0))
	case "inotify":
		err = readTold(flag.Arg(0))
	default:
		err = measure()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "follow: %v\n", err)
		os.Exit(1)
	}
}

// result is what one run took.
type result struct {
	core   float64 // of one core, in percent, while the files grew
	perGB  float64 // seconds
	memory float64 // MiB
	delays []time.Duration
}

func measure() error {
	dir, err := os.MkdirTemp("", "bench-follow-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	descry := filepath.Join(dir, "descry")
	if out, err := exec.Command("go", "build", "-o", descry, "./cmd/descry").CombinedOutput(); err != nil {
		return fmt.Errorf("build descry: %w: %s", err, out)
	}
	names := []string{"descry", "descry again", "descry, no position", "tail -F", "read only", "read only, inotify"}
	all := map[string][]result{}
	for round := range *rounds {
		for i := range names {
			name := names[(i+round)%len(names)]
			logs := filepath.Join(dir, "logs")
			if err := os.Mkdir(logs, 0o700); err != nil {
				return err
			}
			var cmd *exec.Cmd
			switch name {
			case "tail -F":
				args := []string{"-q", "-F", "-n", "0"}
				for i := range *files {
					args = append(args, filepath.Join(logs, logName(i)))
				}
				cmd = exec.Command("tail", args...)
			case "read only":
				cmd = exec.Command(os.Args[0], "-role", "read", logs)
			case "read only, inotify":
				cmd = exec.Command(os.Args[0], "-role", "inotify", logs)
			case "descry, no position":
				cmd = exec.Command(descry, "logcheck", "--follow", "-o", "json", logs)
			default:
				cmd = exec.Command(descry, "logcheck", "--follow", "-o", "json", "--position", filepath.Join(dir, fmt.Sprint("position", round, i)), logs)
			}
			r, err := run(cmd, logs, strings.HasPrefix(name, "descry"))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			all[name] = append(all[name], r)
			os.RemoveAll(logs)
		}
	}
	fmt.Printf("%d files, %s, %.1f MB/s in all, a write a line; %d runs of %v each, medians (least to most)\n\n", *files, *form, *rate, *rounds, *during)
	fmt.Println("| | % of a core | CPU seconds per GB | VmHWM, MiB | delay, ms: median, 99%, most |")
	fmt.Println("|---|---|---|---|---|")
	for _, name := range names {
		var core, perGB, memory []float64
		var delays []time.Duration
		for _, r := range all[name] {
			core, perGB, memory = append(core, r.core), append(perGB, r.perGB), append(memory, r.memory)
			delays = append(delays, r.delays...)
		}
		told := "–"
		if slices.Sort(delays); len(delays) > 0 {
			told = fmt.Sprintf("%d, %d, %d (of %d)", delays[len(delays)/2].Milliseconds(), delays[len(delays)*99/100].Milliseconds(), delays[len(delays)-1].Milliseconds(), len(delays))
		}
		fmt.Printf("| %s | %s | %s | %s | %s |\n", name, spread(core), spread(perGB), spread(memory), told)
	}
	return nil
}

func spread(x []float64) string {
	slices.Sort(x)
	return fmt.Sprintf("%.1f (%.1f to %.1f)", x[len(x)/2], x[0], x[len(x)-1])
}

func logName(i int) string { return fmt.Sprintf("%04d.log", i) }

// run lets the files grow while cmd follows them.
func run(cmd *exec.Cmd, logs string, tells bool) (r result, err error) {
	w := &writer{r: rand.New(rand.NewSource(1)), garbage: map[string]time.Time{}}
	for i := range *files {
		f, err := os.OpenFile(filepath.Join(logs, logName(i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return r, err
		}
		defer f.Close()
		w.files = append(w.files, f)
	}
	var told sync.WaitGroup
	if tells {
		out, err := cmd.StdoutPipe()
		if err != nil {
			return r, err
		}
		told.Go(func() {
			for in := bufio.NewScanner(out); in.Scan(); {
				r.delays = w.told(in.Text(), r.delays)
			}
		})
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return r, err
	}
	w.grow(warmUp)
	before, err := used(cmd.Process.Pid)
	if err != nil {
		return r, err
	}
	bytes := w.grow(*during)
	after, err := used(cmd.Process.Pid)
	if err != nil {
		return r, err
	}
	time.Sleep(time.Second) // what was written last is told
	r.memory = highWater(cmd.Process.Pid)
	cmd.Process.Signal(syscall.SIGTERM)
	told.Wait()
	cmd.Wait()
	r.core = 100 * (after - before).Seconds() / during.Seconds()
	r.perGB = (after - before).Seconds() / (float64(bytes) / 1e9)
	return r, nil
}
