package trace

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestWriteAndRead(t *testing.T) {
	was := &Trace{Name: "nginx", Kind: Honest, What: "a test", Recorded: "today", Series: []*Series{
		{Quantity: NoFile, PID: 12, Comm: "a b", Max: 1024, Unit: 1, From: 3, Step: 1, Values: []int64{Missing, 0, 0, 0, 5, 5, Missing, Missing, 5, 4, 1 << 40}},
		{Quantity: Pids, Max: 10, Unit: 1, Step: 10},
	}}
	for i := range int64(500) {
		was.Series[1].Values = append(was.Series[1].Values, i*i%97)
	}
	var b bytes.Buffer
	if err := Write(&b, was); err != nil {
		t.Fatal(err)
	}
	is, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(was, is) {
		t.Errorf("%+v became %+v", was.Series[0], is.Series[0])
	}
	for _, bad := range []string{"5 5", "series x", "series nofile pid=1 max=1 unit=0 from=0 step=1 comm=\n1", "series nofile pid=1 max=1 unit=1 from=0 step=1 comm=\nx", "series nofile pid=1 max=1 unit=1 from=0 step=1 comm=\n*99999999"} {
		if _, err := Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
