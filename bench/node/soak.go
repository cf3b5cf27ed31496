package main

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// soak starts two containers a second and ends them, for as long as it is given, and looks whether anything of the agent grows.
func soak(l *lab) error {
	during := l.lasts(time.Hour)
	every := during / 20
	held, err := l.hold(20, 200, 4000, 100)
	if err != nil {
		return err
	}
	defer held.end()
	agent, err := l.agent()
	if err != nil {
		return err
	}
	defer agent.end()
	fleet, _, err := l.play("churn", "2", "5000")
	if err != nil {
		return err
	}
	defer fleet.end()
	fmt.Printf("Beside them two containers a second, each for 5 s, which die of %s in turn.\n\n", strings.Join(deathWays, ", "))
	fmt.Println("| minutes | VmRSS, MiB | VmHWM, MiB | heap, MiB | descriptors | threads | goroutines | entries of maps in the kernel | subjects | files and MiB of state | cases | CPU, % of a core | load |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	from, at, own := time.Now(), time.Now(), time.Duration(0)
	for {
		own, at = l.look(agent, from, at, own)
		left := time.Until(from.Add(during))
		if left <= 0 {
			break
		}
		time.Sleep(min(every, left))
		if agent.cmd.Process.Signal(syscall.Signal(0)) != nil {
			return fmt.Errorf("the agent has ended: %w: %s", agent.end(), agent.said())
		}
	}
	fleet.in.Close()
	line, _ := fleet.out.ReadString('\n')
	fmt.Printf("\nContainers: %s\n", strings.TrimSpace(line))
	return nil
}

// look prints a row of the agent's state.
func (l *lab) look(agent *proc, from, at time.Time, own time.Duration) (time.Duration, time.Time) {
	m, err := agent.metrics()
	if err != nil {
		m = map[string]float64{}
	}
	entries := mapEntries(agent.pid())
	var names []string
	for name, n := range entries {
		if n > 0 {
			names = append(names, fmt.Sprint(name, " ", n))
		}
	}
	slices.Sort(names)
	files, bytes := sizeOf(filepath.Join(l.dir, "state"))
	cases, _ := filepath.Glob(filepath.Join(l.dir, "cases", "*.json"))
	now, used := time.Now(), scheduled(agent.pid())
	cpu := "–"
	if own > 0 {
		cpu = fmt.Sprintf("%.1f", 100*(used-own).Seconds()/now.Sub(at).Seconds())
	}
	fmt.Printf("| %.1f | %.1f | %.1f | %.1f | %d | %s | %.0f | %s | %.0f | %d, %.1f | %d | %s | %s |\n", now.Sub(from).Minutes(), memory(agent.pid(), "VmRSS"), memory(agent.pid(), "VmHWM"),
		sum(m, "go_memstats_heap_alloc_bytes")/(1<<20), openFDs(agent.pid()), field(agent.pid(), "Threads"), sum(m, "go_goroutines"),
		strings.Join(names, ", "), sum(m, "descry_agent_subjects"), files, bytes, len(cases), cpu, load())
	return used, now
}

func field(pid int, name string) string {
	for line := range strings.Lines(read(fmt.Sprintf("/proc/%d/status", pid))) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return "–"
}

func sizeOf(dir string) (files int, mib float64) {
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				files++
				mib += float64(info.Size()) / (1 << 20)
			}
		}
		return nil
	})
	return files, mib
}
