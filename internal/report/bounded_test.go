package report

import (
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestBounded(t *testing.T) {
	for want, h := range map[string]*evidence.Headroom{
		"descry: its cgroup's tasks grow 0.2/s, 250 of 300: full in about 4 min":                 {Limit: "pids.max", Open: 250, Max: 300, PerSecond: 0.2, Seconds: 250},
		"descry: its cgroup's memory grows 100 KiB/s, 900 MiB of 1024 MiB: full in about 21 min": {Limit: "memory.max", Open: 900 << 20, Max: 1 << 30, PerSecond: 100 << 10, Seconds: 1270},
		"descry: its mappings grow 50/s, 65530 of 65530: full":                                   {Limit: "vm.max_map_count", Open: 65530, Max: 65530, PerSecond: 50},
	} {
		if got := Warning(h, 1024); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got, want := Withdrawn(&evidence.Headroom{Limit: "memory.max", Open: 300 << 20, Max: 1 << 30}), "descry: its cgroup's memory no longer grows: 300 MiB of 1024 MiB"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
