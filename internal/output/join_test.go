package output

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// A program is told as few spans, a log with garbage at its start and later is told as it is.
func TestBinaryFile(t *testing.T) {
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if got, s := check(t, bytes.NewReader(b)); len(got) > 3 || len(got) == 0 || got[0].LooksLike != "ELF" || got[0].Length < int64(len(b))/2 || s.Spans != int64(len(got)) {
		t.Errorf("%d spans, the first %+v", len(got), got[0])
	}
	honest := strings.Repeat("2026-11-22 07:24:16 INFO checkout 8812 ok\n", 30)
	for _, first := range []string{string(random(300, 1)), strings.Repeat("\x00", 100000)} {
		if got, s := check(t, strings.NewReader(first+"\n"+honest+string(random(300, 2))+"\n"+honest)); len(got) != 2 || s.Spans != 2 {
			t.Errorf("%+v", got)
		}
	}
}
