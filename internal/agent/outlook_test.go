package agent

import (
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/forecast"
)

// A cgroup whose tasks grow, and one whose page cache does.
func TestGroupOutlook(t *testing.T) {
	var g groupOutlook
	var said []forecast.Event
	for at := range int64(1100) {
		g.add(at*1e9+1, &evidence.Cgroup{Version: 2, Pids: 20 + at/4, PidsMax: 300, Current: 100<<20 + at<<20, Held: 150 << 20, Max: 1 << 30},
			func(e forecast.Event) { said = append(said, e) })
		if h, ok := g.headroom(); ok && h.Limit != evidence.LimitPids {
			t.Fatalf("at %ds: %+v", at, h)
		}
	}
	if len(said) == 0 || said[0].Kind != forecast.Warned || said[0].Limit != evidence.LimitPids || said[0].Max != 300 {
		t.Errorf("said: %+v", said)
	}
}

func TestMemoryOutlook(t *testing.T) {
	var g groupOutlook
	var said []forecast.Event
	for at := range int64(2000) {
		g.add(at*1e9+1, &evidence.Cgroup{Version: 1, Pids: 5, PidsMax: -1, Current: 1 << 30, Held: 100<<20 + at<<19, Max: 1 << 30},
			func(e forecast.Event) { said = append(said, e) })
	}
	if len(said) == 0 || said[0].Limit != forecast.LimitMemory || said[0].Seconds < 60 {
		t.Errorf("said: %+v", said)
	}
}

func TestMappingsOutlook(t *testing.T) {
	w := new(outlook)
	var said []forecast.Event
	for at := range int64(1300) {
		w.add(at*1e9+1, &evidence.Process{Open: 10, SoftLimit: 1024, Mappings: 200 + 50*at}, 65530, func(e forecast.Event) { said = append(said, e) })
	}
	if h, ok := w.headroom(); !ok || h.Limit != evidence.LimitMappings {
		t.Errorf("%+v, %v", h, ok)
	}
	if len(said) == 0 || said[0].Limit != evidence.LimitMappings {
		t.Errorf("said: %+v", said)
	}
	if maxMapCount() < 1000 {
		t.Errorf("vm.max_map_count is %d", maxMapCount())
	}
}
