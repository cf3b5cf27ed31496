package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cilium/ebpf"

	"github.com/descry-dev/descry/internal/evidence"
)

// events are counted by what they are.
type events struct{ forks, execs, exits, signals int64 }

func (e events) all() int64 { return e.forks + e.execs + e.exits + e.signals }

// storms makes more and more events, and compares what was made with what the agent has seen, counted and lost.
func storms(l *lab) error {
	during := l.lasts(10 * time.Second)
	fmt.Println("10 containers; of 50 events 3 are forks, 1 an exec, 3 exits and 43 signals that are caught. Each column: forks, execs, exits, signals.")
	fmt.Println("\n| asked for, a second | made, a second | made | seen or counted | lost, as counted | not accounted for | agent's CPU, % of a core | load |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- |")
	wrong := int64(0)
	for _, w := range []struct {
		rate   int
		halted time.Duration // the agent stands still for so long meanwhile
	}{{10_000, 0}, {50_000, 0}, {100_000, 0}, {1_000_000, 0}, {50_000, during / 2}} {
		n, err := l.storm(w.rate, during, w.halted)
		if err != nil {
			return err
		}
		wrong += max(n, -n)
	}
	fmt.Println("\nIn the last row the agent was stopped (SIGSTOP) for half the time.")
	if wrong > 0 {
		return fmt.Errorf("%d events are not accounted for", wrong)
	}
	return nil
}

// storm is one row; it gives how many events are not accounted for.
func (l *lab) storm(rate int, during, halted time.Duration) (int64, error) {
	const containers = 10
	cases, err := watchCases(filepath.Join(l.dir, "cases"))
	if err != nil {
		return 0, err
	}
	defer cases.stop()
	agent, err := l.agent()
	if err != nil {
		return 0, err
	}
	defer agent.end()
	fleet, _, err := l.play("storm", fmt.Sprint(containers), fmt.Sprint(rate), fmt.Sprint(int(during.Seconds())))
	if err != nil {
		return 0, err
	}
	defer fleet.end()
	own, from := scheduled(agent.pid()), time.Now()
	if halted > 0 {
		time.Sleep(2 * time.Second)
		agent.cmd.Process.Signal(syscall.SIGSTOP)
		time.Sleep(halted)
		agent.cmd.Process.Signal(syscall.SIGCONT)
	}
	line, err := fleet.out.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("make events: %w: %s", err, fleet.said())
	}
	took, busy := time.Since(from), load()
	var made events
	if _, err := fmt.Sscanf(strings.TrimSpace(line), "forks %d execs %d exits %d signals %d", &made.forks, &made.execs, &made.exits, &made.signals); err != nil {
		return 0, fmt.Errorf("make events: it said %q: %w", line, err)
	}
	made.execs += containers // their programs
	used := scheduled(agent.pid()) - own
	time.Sleep(17 * time.Second) // the agent tells its own figures each 15 s
	after, err := agent.metrics()
	if err != nil {
		return 0, err
	}
	got := events{execs: int64(after[`descry_agent_events_total{probe="probe/exec"}`]), exits: int64(after[`descry_agent_events_total{probe="probe/exit"}`])}
	lost := lostEvents(agent.pid())
	if err := fleet.end(); err != nil { // the containers end, and their cases tell what was counted
		return 0, err
	}
	time.Sleep(3 * time.Second)
	if err := agent.end(); err != nil {
		return 0, err
	}
	all := cases.stop()
	for _, c := range all {
		got.forks += c.c.Counters[evidence.CountForks]
		got.signals += c.c.Counters[evidence.CountSignals]
	}
	if len(all) != containers {
		return 0, fmt.Errorf("%d of %d containers have a case", len(all), containers)
	}
	rest := events{made.forks - got.forks, made.execs - got.execs - lost.execs, made.exits - got.exits - lost.exits, made.signals - got.signals}
	show := func(e events) string { return fmt.Sprintf("%d, %d, %d, %d", e.forks, e.execs, e.exits, e.signals) }
	fmt.Printf("| %d | %.0f | %s | %s | %s | %s | %.0f | %s |\n", rate, float64(made.all())/during.Seconds(), show(made), show(got), show(lost), show(rest), 100*used.Seconds()/took.Seconds(), busy)
	return rest.all(), nil
}

// lostEvents is what found no room in the ring of events, as the kernel counted it: enum event_type in
// internal/probe/descry.bpf.h. Of forks and signals only the first go through it, and all are counted before.
func lostEvents(pid int) (e events) {
	const exit, exec = 2, 3
	for _, id := range maps(pid) {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			continue
		}
		if info, err := m.Info(); err == nil && info.Name == "lost" {
			var n uint64
			if m.Lookup(uint32(exit), &n) == nil {
				e.exits = int64(n)
			}
			if m.Lookup(uint32(exec), &n) == nil {
				e.execs = int64(n)
			}
		}
		m.Close()
	}
	return e
}
