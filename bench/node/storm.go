package main

import (
	"fmt"
	"strings"
	"syscall"
	"time"
)

// storms makes more and more events, and compares what was made with what the agent has seen, counted and lost.
func storms(l *lab) error {
	during := l.lasts(10 * time.Second)
	fmt.Println("| events a second | made | seen or counted | lost, as counted | agent's CPU, % of a core | |")
	fmt.Println("| --- | --- | --- | --- | --- | --- |")
	bad := false
	for _, w := range []struct {
		rate   int
		halted time.Duration // the agent stands still for so long meanwhile
	}{{10_000, 0}, {50_000, 0}, {100_000, 0}, {1_000_000, 0}, {50_000, 4 * time.Second}} {
		ok, err := l.storm(w.rate, during, w.halted)
		if err != nil {
			return err
		}
		bad = bad || !ok
	}
	if bad {
		return fmt.Errorf("not every event is accounted for")
	}
	return nil
}

func (l *lab) storm(rate int, during, halted time.Duration) (ok bool, err error) {
	agent, err := l.agent()
	if err != nil {
		return false, err
	}
	defer agent.end()
	before, err := agent.metrics()
	if err != nil {
		return false, err
	}
	fleet, _, err := l.play("storm", "10", fmt.Sprint(rate), fmt.Sprint(int(during.Seconds())))
	if err != nil {
		return false, err
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
		return false, fmt.Errorf("make events: %w: %s", err, fleet.said())
	}
	took := time.Since(from)
	var forks, execs, exits, signals int64
	if _, err := fmt.Sscanf(strings.TrimSpace(line), "forks %d execs %d exits %d signals %d", &forks, &execs, &exits, &signals); err != nil {
		return false, fmt.Errorf("make events: it said %q: %w", line, err)
	}
	time.Sleep(3 * time.Second) // a sweep brings what was only counted
	used := scheduled(agent.pid()) - own
	after, err := agent.metrics()
	if err != nil {
		return false, err
	}
	for k, v := range after {
		if v != before[k] && strings.Contains(k, "total") {
			fmt.Println(k, v-before[k])
		}
	}
	made := forks + execs + exits + signals
	fmt.Printf("| %.0f | %d | | | %.0f | %d forks, %d execs, %d exits, %d signals |\n", float64(made)/took.Seconds(), made, 100*used.Seconds()/took.Seconds(), forks, execs, exits, signals)
	return true, nil
}
