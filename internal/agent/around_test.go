package agent

import (
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestNetworkCountersWorthTelling(t *testing.T) {
	var told evidence.NetworkCounts
	for _, c := range []struct {
		now  evidence.NetworkCounts
		want bool
	}{
		{evidence.NetworkCounts{OutRsts: 1000, RetransSegs: 1000, EstabResets: 5, AttemptFails: 9}, false}, // everyday
		{evidence.NetworkCounts{ListenOverflows: 1}, true},
		{evidence.NetworkCounts{UDP6RcvbufErrors: 1}, true},
		{evidence.NetworkCounts{UDPMemErrors: 1}, true},
	} {
		if got := grown(&told, &c.now); got != c.want {
			t.Errorf("%+v: %v", c.now, got)
		}
	}
	told.ListenOverflows = 100
	if grown(&told, &evidence.NetworkCounts{ListenOverflows: 120}) || !grown(&told, &evidence.NetworkCounts{ListenOverflows: 126}) {
		t.Error("what was told is told again when it has grown by a quarter, and not before")
	}
}

func TestMachineWorthTelling(t *testing.T) {
	var m machine
	healthy := evidence.Machine{TCPMem: 100, TCPMemLimits: [3]int64{500, 700, 1000}, MemTotal: 1000, MemAvailable: 800}
	for i, c := range []struct {
		change func(*evidence.Machine)
		want   bool
	}{
		{func(*evidence.Machine) {}, true}, // the first
		{func(*evidence.Machine) {}, false},
		{func(d *evidence.Machine) { d.TCPMem = 690 }, false},
		{func(d *evidence.Machine) { d.TCPMem = 710 }, true},
		{func(d *evidence.Machine) { d.TCPMem = 720 }, false}, // no nearer
		{func(d *evidence.Machine) { d.TCPMem = 990 }, true},
		{func(d *evidence.Machine) { d.MemAvailable = 500 }, true},
		{func(d *evidence.Machine) { d.MemAvailable = 450 }, false},
		{func(d *evidence.Machine) { d.UDPMem = 9 }, true}, // back to 800; and without limits, no more is known
		{func(d *evidence.Machine) { d.TCPMemLimits = [3]int64{}; d.MaxOrphans = 0 }, false},
	} {
		d := healthy
		c.change(&d)
		if got := m.worth(&d); got != c.want {
			t.Errorf("%d: %+v: %v", i, d, got)
		}
	}
}

func TestSocketsAreLookedAtEachSecond(t *testing.T) {
	for _, c := range []struct{ took, want time.Duration }{
		{0, 0},
		{100 * time.Microsecond, 50 * time.Millisecond},
		{2 * time.Millisecond, everySecond},
		{9 * time.Millisecond, everySecond},
		{40 * time.Millisecond, 4 * time.Second}, // thousands of sockets
	} {
		if got := socketsEvery(c.took); got != c.want {
			t.Errorf("a look that takes %s is made each %s, not %s", c.took, got, c.want)
		}
	}
}

func TestThreadTimeIsOfTheProcessor(t *testing.T) {
	if took := threadTime(func() { time.Sleep(200 * time.Millisecond) }); took > 100*time.Millisecond {
		t.Errorf("200 ms of sleep took %s of the processor", took)
	}
	if took := threadTime(func() {
		for from := time.Now(); time.Since(from) < 50*time.Millisecond; {
		}
	}); took <= 0 {
		t.Errorf("a loop took %s of the processor", took)
	}
}
