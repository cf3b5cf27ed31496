package report

import (
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestWriterInWords(t *testing.T) {
	garbled := func(w *evidence.Writer, others int64) *evidence.Garbled {
		return &evidence.Garbled{Stream: "stderr", Length: 312, LooksLike: "TLS records", Writer: w, Others: others}
	}
	frames := []evidence.Frame{{Function: "write", Module: "/lib/libc.so.6"}, {Function: "flush_log", Offset: 0x41, Module: "/srv/cart", Own: true}}
	for _, test := range []struct {
		d    evidence.Detail
		want string
	}{
		{garbled(nil, 0), "stderr turned to garbage: 312 bytes, looks like TLS records"},
		{garbled(&evidence.Writer{PID: 7, TID: 9, Comm: "cart", Call: "write", FD: 2, Exact: true, Trace: frames}, 0),
			"stderr turned to garbage: 312 bytes, looks like TLS records, written by cart (pid 7, thread 9), write to descriptor 2, in flush_log+0x41 in cart"},
		{garbled(&evidence.Writer{PID: 7, TID: 7, Call: "writev", FD: 12, Was: evidence.FDTCP, WasPeer: "10.0.0.1:443"}, 3),
			"stderr turned to garbage: 312 bytes, looks like TLS records, most likely written by a process (pid 7) and 3 other threads, writev to descriptor 12, which had been tcp 10.0.0.1:443"},
		{&evidence.Garbled{Stream: "stdout", Length: 5, Writer: &evidence.Writer{PID: 7, TID: 7, Comm: "cart", FD: 1}, By: evidence.ByAlone},
			"stdout turned to garbage: 5 bytes, most likely written by cart (pid 7), which alone had it open, as descriptor 1"},
		{&evidence.Garbled{Stream: "stdout", Length: 5, Writer: &evidence.Writer{PID: 7, TID: 7, Comm: "cart", FD: 1}, By: evidence.ByRing},
			"stdout turned to garbage: 5 bytes, most likely written by cart (pid 7) through its io_uring, whose writes are not seen, to descriptor 1"},
		{&evidence.Step{Step: 1, Sign: "garbage", Why: "it turns to garbage at byte 5", Stream: "stdout"},
			"stdout looked at closer from here on: stacks of its next writes, too (it turns to garbage at byte 5)"},
		{&evidence.Step{Sign: "garbage", Why: "no garbage for 10s", Stream: "stderr"}, "stderr looked at no closer from here on (no garbage for 10s)"},
		{&evidence.Step{Step: 1, Sign: "growth", Why: "fd grows"}, "looked at closer from here on: system calls too (fd grows)"},
		{&evidence.Written{FD: 1, FDKind: evidence.FDTCP, Peer: "10.0.0.1:443", Bytes: 19, Data: []byte("INFO checkout ok\nmore"), Count: 2},
			`19 bytes written to descriptor 1, now tcp 10.0.0.1:443: "INFO checkout ok", 2 times`},
		{&evidence.Written{FD: 1, FDKind: evidence.FDFile, Path: "/srv/stock.tbl", Bytes: 5, Odd: true, Data: []byte{0, 1}, Count: 1},
			"5 bytes written to descriptor 1, now file /srv/stock.tbl"},
	} {
		if got, _, _ := describe(&evidence.Observation{Detail: test.d}); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

func TestBeforeTheGarbage(t *testing.T) {
	c := &evidence.Case{LastOutput: &evidence.LastOutput{FirstGarbage: []evidence.FirstGarbage{{
		Stream: "stdout", Offset: 5000, Before: []byte("a\nb\nc\nd\ne\ncut"), Begin: []byte{0x1f, 0x8b, 8, 0, 1, 2, 3, 4, 5, 6},
	}}}}
	stream, lines := beforeGarbage(c, []string{"bye"})
	if got := strings.Join(lines, "|"); stream != "stdout" || got != "c|d|e|cut<not text: 1f 8b 08 00 01 02 03 04 …>" {
		t.Errorf("%s: %q", stream, got)
	}
	if _, lines := beforeGarbage(c, []string{"<5 bytes, not text: 00>"}); lines != nil {
		t.Errorf("%q, want none where the garbage is shown", lines)
	}
}
