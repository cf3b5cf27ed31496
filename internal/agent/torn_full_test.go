package agent

import (
	"reflect"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/probe"
)

// Full buffers of two processes are told where they meet within a line of each, and only there.
func TestFullMeet(t *testing.T) {
	type write struct {
		pid  int32
		size int64
		ends string // what the last byte is, "": a letter
		not  string // "unseen", "blurred"
	}
	full := func(pid int32) write { return write{pid: pid, size: 4096} }
	for _, c := range []struct {
		name   string
		writes []write
		want   []int64
	}{
		{"they take turns", []write{full(1), full(2), full(1), full(2)}, []int64{2 * 4096, 3 * 4096}},
		{"larger buffers", []write{{pid: 1, size: 8192}, {pid: 2, size: 8192}, {pid: 1, size: 8192}}, []int64{16384}},
		{"one process", []write{full(1), full(1), full(1)}, nil},
		{"the first of each begins with a line", []write{full(1), full(2)}, nil},
		{"lines end where buffers do", []write{{1, 4096, "\n", ""}, {2, 4096, "\n", ""}, {1, 4096, "\n", ""}}, nil},
		{"its line was over", []write{{1, 4096, "\n", ""}, full(2), full(1), full(2)}, []int64{3 * 4096}},
		{"no full buffers", []write{{pid: 1, size: 20}, {pid: 2, size: 30}, {pid: 1, size: 20}, {pid: 2, size: 30}}, nil},
		{"a rest of one", []write{full(1), {pid: 2, size: 100}, full(1), full(2)}, nil},
		{"somebody unseen between", []write{full(1), full(2), {3, 4096, "", "unseen"}, full(1)}, nil},
		{"not sure whose", []write{full(1), full(2), {1, 4096, "", "blurred"}, full(2)}, nil},
		{"no text", []write{full(1), {2, 4096, "\x00", ""}, full(1), full(2)}, []int64{3 * 4096}},
	} {
		var data strings.Builder
		var pieces []piece
		at := int64(0)
		for _, x := range c.writes {
			end := x.ends
			if end == "" {
				end = "x"
			}
			data.WriteString(strings.Repeat("x", int(x.size)-1) + end)
			if x.not != "unseen" {
				pieces = append(pieces, piece{from: at, to: at + x.size, exact: x.not == "", run: &probe.Written{
					PID: x.pid, TID: x.pid, Offset: at - 7, Length: x.size, LastOffset: at - 7, Writes: 1,
				}})
			}
			at += x.size
		}
		if got := fullMeet(pieces, &window{data: []byte(data.String())}, 7); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
