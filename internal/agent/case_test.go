package agent

import (
	"slices"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

func obs(at int64, pid int32, d evidence.Detail) *evidence.Observation {
	return &evidence.Observation{BootNanos: at, PID: pid, Detail: d}
}

func TestStoryKeepsFirstAndLastOfWhatRepeats(t *testing.T) {
	var all []*evidence.Observation
	for i := range int64(100) {
		all = append(all, obs(i, 1, &evidence.FDRefused{Call: "openat", Errno: evidence.EMFILE, Count: i + 1}))
	}
	all = append(all, obs(100, 1, &evidence.FDRefused{Call: "socket", Errno: evidence.EMFILE, Count: 1}))
	timeline, left := story(all, 1)
	var counts []int64
	for i := range timeline {
		counts = append(counts, timeline[i].Detail.(*evidence.FDRefused).Count)
	}
	if want := []int64{1, 2, 3, 98, 99, 100, 1}; !slices.Equal(counts, want) {
		t.Errorf("kept counts %v, want %v", counts, want)
	}
	if left != 94 {
		t.Errorf("left out %d, want 94", left)
	}
}

func TestStoryIsBoundedAndKeepsTheDeath(t *testing.T) {
	var all []*evidence.Observation
	for i := range int64(3000) {
		pid := int32(2 + i%500)
		all = append(all, obs(i, pid, &evidence.Exec{Path: "/bin/true"}), obs(i, pid, &evidence.Process{Open: i}))
	}
	all = append(all, obs(5000, 1, &evidence.SignalFatal{Signal: evidence.SIGSEGV}), obs(5001, 1, &evidence.ThreadFailures{}), obs(5002, 1, &evidence.Exit{ExitCode: 139}))
	timeline, left := story(all, 1)
	if len(timeline) > maxTimeline || int(left) != len(all)-len(timeline) {
		t.Errorf("%d in the timeline, %d left out of %d", len(timeline), left, len(all))
	}
	for i, k := range []evidence.Kind{evidence.KindSignalFatal, evidence.KindThreadFailures, evidence.KindExit} {
		if got := timeline[len(timeline)-3+i].Kind(); got != k {
			t.Errorf("at the end stands %s, want %s", got, k)
		}
	}
	if !slices.IsSortedFunc(timeline, func(a, b evidence.Observation) int { return int(a.BootNanos - b.BootNanos) }) {
		t.Error("not in order of time")
	}
}

func TestThin(t *testing.T) {
	at := make([]int, 1000)
	for i := range at {
		at[i] = i
	}
	got := thin(at, 40)
	if len(got) != 40 || got[0] != 0 || got[39] != 999 {
		t.Errorf("thinned to %d, from %d to %d", len(got), got[0], got[len(got)-1])
	}
	if got := thin(at[:3], 40); len(got) != 3 {
		t.Errorf("three became %d", len(got))
	}
}

func TestLink(t *testing.T) {
	trace := func(f string) []evidence.Frame {
		return []evidence.Frame{{Function: "socket", Module: "libc.so.6"}, {Function: f, Offset: 0x5c, Own: true}}
	}
	timeline := []evidence.Observation{
		*obs(1, 7, &evidence.FDGrown{FDKind: evidence.FDTCP, Peer: "10.0.3.7:5432", Trace: trace("db_connect")}),
		*obs(2, 7, &evidence.FDGrown{FDKind: evidence.FDTCP, Peer: "10.0.3.8:80", Trace: trace("http_get")}),
		*obs(2, 8, &evidence.FDGrown{FDKind: evidence.FDTCP, Peer: "10.0.3.7:5432", Trace: trace("of_another_process")}),
		*obs(3, 7, &evidence.FDGrown{FDKind: evidence.FDFile, Path: "/var/lib/cart/idx/a1", Trace: trace("open_index")}),
		{BootNanos: 4, PID: 7, TID: 71, Detail: &evidence.ThreadFailures{}},
		{BootNanos: 4, PID: 7, TID: 72, Detail: &evidence.ThreadFailures{}},
		*obs(5, 7, &evidence.Exit{EnderTID: 72, FDs: &evidence.FDTable{Groups: []evidence.FDGroup{
			{Kind: evidence.FDTCP, Peer: "10.0.3.7:5432", Count: 790},
			{Kind: evidence.FDFile, Path: "/var/lib/cart/idx/*", Count: 20},
			{Kind: evidence.FDFile, Path: "/tmp/x", Count: 2},
		}}}),
	}
	link(timeline)
	groups := timeline[6].Detail.(*evidence.Exit).FDs.Groups
	for i, want := range []string{"db_connect+0x5c", "open_index+0x5c", ""} {
		if groups[i].OpenedBy != want {
			t.Errorf("group %d is opened by %q, want %q", i, groups[i].OpenedBy, want)
		}
	}
	if timeline[4].Detail.(*evidence.ThreadFailures).Ender || !timeline[5].Detail.(*evidence.ThreadFailures).Ender {
		t.Error("the thread that ended the process is not told from the other")
	}
}
