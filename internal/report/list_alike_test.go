package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestListAlike(t *testing.T) {
	var cases []*evidence.Case
	for i, print := range []string{"aa", "", "aa", "bb", "aa"} {
		c := &evidence.Case{ID: "c", OpenedAt: time.Date(2024, 5, 20-i, 12, 0, 0, 0, time.UTC)}
		if print != "" {
			c.Core = &evidence.Core{Fingerprint: print}
		}
		cases = append(cases, c)
	}
	var b bytes.Buffer
	if err := List(&b, cases, Options{Width: 200}, nil); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")[1:]
	for i, want := range []string{", 3rd alike since 2024-05-16 12:00:00", "", ", 2nd alike since 2024-05-16 12:00:00", "", ""} {
		if !strings.HasSuffix(lines[i], want) || want == "" && strings.Contains(lines[i], "alike") {
			t.Errorf("line %d: %q, want %q", i, lines[i], want)
		}
	}
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 21: "21st", 113: "113th"} {
		if got := ordinal(n); got != want {
			t.Errorf("%d is %s", n, got)
		}
	}
}
