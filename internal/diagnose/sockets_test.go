package diagnose

import (
	"slices"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

// TestBufferWords: what programs say of lost data and of waiting, and what only sounds so.
func TestBufferWords(t *testing.T) {
	for _, x := range []struct {
		said         string
		loss, waited bool
	}{
		{"sample 41 expected, 97 received: 56 samples are lost", true, false},
		{"replay: want sequence 7, have 30", true, false},
		{"SequenceGap: 32..79 missing", true, false},
		{"Error: market data gap: 24 ticks lost after 5", true, false},
		{"java.lang.IllegalStateException: packets lost: expected 7, got 2671", true, false},
		{"transfer incomplete: 6 of 300 pieces after 1 s of silence", true, true},
		{"rtp: packet loss 12%, decoder cannot go on", true, false},
		{"fatal: frame counter jumped, stream is out of sync", true, false},
		{"dropped 12 metrics", true, false},
		{"received 188 of 200 datagrams", true, false},
		{"lost connection to the message broker", false, false},
		{"lost the lease on shard data", false, false},
		{"TypeError: f() missing 1 required positional argument: 'data'", false, false},
		{"missing key 'events' in config", false, false},
		{"region.map has no entry for eu-west", false, false},
		{"no such table: samples", false, false},
		{"session lost: update rejected", false, false},
		{"query of orders timed out after 5 s", false, true},
		{"no heartbeat from node 7 within 3 s", false, true},
		{"redis did not answer a ping within 2 s, stopping", false, true},
		{"publisher is stuck: no record was sent to the subscriber for 2 s", false, true},
		{"dial tcp 127.0.0.1:9024: i/o timeout", false, true},
		{"context deadline exceeded", false, true},
		{"license has expired", false, false},
		{"invalid timestamp in line 7", false, false},
		{"bad quantity", false, false},
	} {
		v := newView(mk("/srv/cart").stderr(x.said + "\n").exits(1))
		if got := v.saysLoss(); got != x.loss {
			t.Errorf("%q speaks of lost data: %t", x.said, got)
		}
		if got := v.saysWaited(); got != x.waited {
			t.Errorf("%q speaks of waiting: %t", x.said, got)
		}
	}
}

func TestLastWords(t *testing.T) {
	for said, want := range map[string]string{
		"12 packets lost\nexiting\n":                "12 packets lost",
		"12 packets lost\nshutting down now.\n":     "12 packets lost",
		"12 packets lost\nno entry in region.map\n": "no entry in region.map",
		"ready\n":    "ready",
		"stopping\n": "stopping",
		"config is bad\nstopping: the watchdog fired\n":    "stopping: the watchdog fired",
		"config is bad\nreplica lost 3 updates, exiting\n": "replica lost 3 updates, exiting",
	} {
		if got := newView(mk("/srv/cart").stderr(said).exits(1)).lastWords(); got != want {
			t.Errorf("%q: last words %q, want %q", said, got, want)
		}
	}
}

func TestAddressesMeet(t *testing.T) {
	for _, x := range []struct {
		local, asked string
		want         bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true}, {"*:80", "127.0.0.1:80", true}, {"[::]:80", "10.0.0.7:80", true},
		{"127.0.0.1:80", "10.0.0.7:80", false}, {"*:80", "127.0.0.1:8080", false}, {"/run/a.sock", "/run/a.sock", true},
		{"/run/a.sock", "/run/b.sock", false}, {"*:", "x:", false},
	} {
		if got := sameAddress(x.local, x.asked); got != x.want {
			t.Errorf("a connection to %q reaches %q: %t", x.asked, x.local, got)
		}
	}
}

// What a sweep counts is not taken for a full buffer where the kernel has told why each packet was dropped.
func TestDropsThatWereTold(t *testing.T) {
	c := load(t, "testdata/socket-memory/positive-real-python-udp.json")
	at := slices.IndexFunc(c.Timeline, func(o evidence.Observation) bool { return o.Kind() == evidence.KindExit })
	seen := c.Timeline[at]
	seen.BootNanos -= 57e6
	seen.Source = evidence.SourceSample
	seen.Detail = &evidence.Sockets{Telling: 1, Count: 1, Sockets: []evidence.Socket{{
		FD: 3, Protocol: evidence.FDUDP, Local: "127.0.0.1:8125", Inode: 9644, RecvBuf: 212992, Drops: 50, DropsGained: 50, Signs: []string{"drops"},
	}}}
	c.Timeline = slices.Insert(c.Timeline, at, seen)
	c.Findings = nil
	Judge(c)
	for _, f := range c.Findings {
		if f.Cause == "receive-overflow" {
			t.Errorf("found %s", f.Summary)
		}
	}
	if len(c.Findings) == 0 || c.Findings[0].Cause != "socket-memory" {
		t.Errorf("%+v", c.Findings)
	}
}
