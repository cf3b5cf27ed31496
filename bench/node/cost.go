package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// way is one tool, as it was measured in all rounds.
type way struct {
	name  string
	start func() (*proc, error)

	cpu, bpf, rss, high, kernel []float64
}

const warmUp = 12 * time.Second // more than the time in which all is told once again

// measure alternates the ways, each in every round at another place.
func (l *lab) measure(ways []*way, during time.Duration) error {
	statistics, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME) // until it is closed
	if err != nil {
		return fmt.Errorf("switch on the statistics of BPF programs: %w", err)
	}
	defer statistics.Close()
	for round := range l.rounds {
		for i := range ways {
			w := ways[(i+round)%len(ways)]
			p, err := w.start()
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			time.Sleep(warmUp)
			before, from := used(p.pid()), time.Now()
			time.Sleep(during)
			took := used(p.pid()).less(before)
			passed := time.Since(from).Seconds()
			w.cpu = append(w.cpu, 100*took.cpu.Seconds()/passed)
			w.bpf = append(w.bpf, 100*took.bpf.Seconds()/passed)
			w.rss = append(w.rss, memory(p.pid(), "VmRSS"))
			w.high = append(w.high, memory(p.pid(), "VmHWM"))
			w.kernel = append(w.kernel, mapsMemory(p.pid()))
			if err := p.end(); err != nil {
				return err
			}
		}
	}
	return nil
}

func printWays(ways []*way) {
	fmt.Println("| | its own CPU, % of a core | its programs in others' time, % of a core | VmRSS, MiB | VmHWM, MiB | maps in the kernel, MiB |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	for _, w := range ways {
		fmt.Printf("| %s | %s | %s | %s | %s | %s |\n", w.name, spread(w.cpu, "%.2f"), spread(w.bpf, "%.2f"), spread(w.rss, "%.1f"), spread(w.high, "%.1f"), spread(w.kernel, "%.1f"))
	}
}

// hold starts containers that hold descriptors, and says what there is.
func (l *lab) hold(containers, processes, fds, active int) (*proc, error) {
	p, _, err := l.play("hold", fmt.Sprint(containers), fmt.Sprint(processes), fmt.Sprint(fds), fmt.Sprint(active))
	if err != nil {
		return nil, err
	}
	groups, _ := filepath.Glob(l.group + "/*/cgroup.procs")
	n, open := 0, 0
	for _, g := range groups {
		for _, pid := range strings.Fields(read(g)) {
			d, _ := os.ReadDir("/proc/" + pid + "/fd")
			n++
			open += len(d)
		}
	}
	fmt.Printf("%d containers, %d processes, %d descriptors; %d of 1,000 processes open one more each second.\n\n", len(groups), n, open, active)
	return p, nil
}

// cost measures a usual node at a sweep a second.
func cost(l *lab) error {
	fleet, err := l.hold(100, 1000, 50_000, 100)
	if err != nil {
		return err
	}
	defer fleet.end()
	agent := func() (*proc, error) { return l.agent() }
	ways := []*way{
		{name: "descry agent", start: agent},
		{name: "descry agent, again", start: agent},
		{name: "readdir and readlink, as cAdvisor", start: l.cadvisor},
		{name: "prometheus-process-exporter", start: l.exporter},
		{name: "bpftrace, opens and exits", start: l.bpftrace},
	}
	during := l.lasts(15 * time.Second)
	if err := l.measure(ways, during); err != nil {
		return err
	}
	printWays(ways)
	fmt.Printf("\n%d rounds of %v each, alternating; median (least–most).\n", l.rounds, during)
	return fleet.end()
}

// grow measures how the agent grows with the number of processes.
func grow(l *lab) error {
	agent := func() (*proc, error) { return l.agent() }
	var ways []*way
	for _, n := range []int{1000, 2500, 5000, 10_000} {
		fleet, err := l.hold(100, n, 20*n, 100)
		if err != nil {
			return err
		}
		w := &way{name: fmt.Sprintf("%d processes", n), start: agent}
		if err := l.measure([]*way{w}, l.lasts(10*time.Second)); err != nil {
			return err
		}
		ways = append(ways, w)
		if err := fleet.end(); err != nil {
			return err
		}
	}
	printWays(ways)
	return nil
}
