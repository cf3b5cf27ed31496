//go:build linux

package probe

import "github.com/descry-dev/descry/internal/evidence"

var processObject = &object{name: "process", spec: loadProcess}

var forkProbe = &Probe{
	Name: "probe/fork",
	Cost: "children of the program are not watched",
	Ways: []Made{{
		By: "tp_btf/sched_process_fork", Since: "5.5", Needs: []string{"tp_btf"},
		Object: processObject, Programs: []string{"on_fork"},
	}},
	Events: []Event{{Type: evFork, Decode: decodeFork}},
}

func decodeFork(*Set, *evidence.Observation, []byte) evidence.Detail { return nil }
