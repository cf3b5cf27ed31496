package report

import (
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestWordsOfBuffers(t *testing.T) {
	for want, d := range map[string]evidence.Detail{
		"udp 127.0.0.1:53: a datagram dropped, receive buffer full (203 KiB of 208 KiB), 193 times": &evidence.Drop{
			Protocol: evidence.FDUDP, Local: "127.0.0.1:53", Reason: evidence.DropBufferFull, Buffer: 212992, Queued: 208000, Count: 193},
		"tcp 10.0.0.1:80 to 10.0.0.2:5000: a send buffer refused, protocol memory (2048 bytes of 16 KiB)": &evidence.Drop{
			Protocol: evidence.FDTCP, Local: "10.0.0.1:80", Peer: "10.0.0.2:5000", Reason: evidence.DropProtocolMemory, Buffer: 16384, Queued: 2048, Count: 1, Sending: true},
		"tcp 0.0.0.0:80 (descriptor 3): accept queue full, drops, 129 wait, backlog 128, for 2.5 s; 2 sockets more": &evidence.Sockets{
			Telling: 3, Sockets: []evidence.Socket{{
				FD: 3, Protocol: evidence.FDTCP, State: "LISTEN", Local: "0.0.0.0:80", AcceptQ: 129, Backlog: 128, Drops: 7, FullNanos: 25e8,
				Signs: []string{evidence.SignAcceptFull, evidence.SignDrops}}}},
		"unix to /run/log (descriptor 4): send queue full, 208 KiB not taken": &evidence.Sockets{
			Telling: 1, Sockets: []evidence.Socket{{FD: 4, Protocol: evidence.FDUnix, Peer: "/run/log", SendQ: 213000, Signs: []string{evidence.SignSendFull}}}},
		"no socket is in trouble any more": &evidence.Sockets{},
		"network counters: accept queue overflows 6, UDP receive buffer errors 193 (shared with other programs)": &evidence.Network{
			NetworkCounts: evidence.NetworkCounts{ListenOverflows: 6, ListenDrops: 6, UDPRcvbufErrors: 190, UDP6RcvbufErrors: 3, OutRsts: 5}, Shared: true},
		"": &evidence.Network{NetworkCounts: evidence.NetworkCounts{OutRsts: 5}},
		"TCP memory 900 of 1000 pages, 512 MiB of 16 GiB memory available": &evidence.Machine{
			TCPMem: 900, TCPMemLimits: [3]int64{500, 700, 1000}, MemTotal: 16 << 30, MemAvailable: 512 << 20},
	} {
		if got, _, _ := describe(&evidence.Observation{Detail: d}); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// Foreign names must not reach a terminal as they are.
func TestWordsOfBuffersAreClean(t *testing.T) {
	d := &evidence.Sockets{Sockets: []evidence.Socket{{Protocol: evidence.FDUnix, Local: "@\x1b[2Jx", Signs: []string{evidence.SignSendFull}}}}
	if got, _, _ := describe(&evidence.Observation{Detail: d}); got != clean(got) {
		t.Errorf("%q", got)
	}
}
