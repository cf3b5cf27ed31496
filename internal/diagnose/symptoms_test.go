package diagnose

import (
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/descry-dev/descry/internal/evidence"
)

// What was not looked at is said beside what was found.
func TestGarbledSaysWhatWasNotLookedAt(t *testing.T) {
	b, err := os.ReadFile("testdata/select-overflow/positive-real-c-log-buffer.json")
	if err != nil {
		t.Fatal(err)
	}
	for lost, want := range map[int64]string{0: "400 bytes of its output are no text, the first on stdout", 3 << 20: "400 bytes of its output are no text (3 MiB more went by too fast to be looked at), the first on stdout"} {
		var c evidence.Case
		if err := json.Unmarshal(b, &c); err != nil {
			t.Fatal(err)
		}
		for i := range c.Coverage {
			if c.Coverage[i].Source == "output" {
				c.Coverage[i].Lost = lost
			}
		}
		Judge(&c)
		got := ""
		for _, s := range c.Symptoms {
			got += s.Summary + "\n"
		}
		if !strings.Contains(got, want) {
			t.Errorf("%d lost: %q", lost, got)
		}
	}
}
