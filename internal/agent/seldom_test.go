package agent

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/evidence"
)

// Cases that cannot be kept, as on a full disk, are told of once, and then each minute how many there were.
func TestCasesThatCannotBeKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "no-directory")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	at := time.Unix(1e9, 0)
	n := &node{book: casebook.New(filepath.Join(file, "cases"), casebook.Bounds{}), log: slog.New(slog.NewTextHandler(&out, nil)), figures: figures{kept: map[string]int64{}}}
	n.failing.when = func() time.Time { return at }
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for range 50 {
				c := &evidence.Case{ID: ulid.Make().String(), Kind: evidence.CaseDeath}
				j := &job{workload: c.ID} // each of another workload
				if n.keep(j, c) {
					t.Error("kept in a file")
				}
			}
		})
	}
	all.Wait()
	lines := func() int { return strings.Count(out.String(), "a case is not kept") }
	if lines() != 1 {
		t.Errorf("told of %d times at first", lines())
	}
	n.failing.tell(n.log)
	if lines() != 1 {
		t.Errorf("told of again at once: %s", &out)
	}
	at = at.Add(seldomEvery)
	n.failing.tell(n.log)
	if lines() != 2 || !strings.Contains(out.String(), "times=999") {
		t.Errorf("a minute later: %s", &out)
	}
	at = at.Add(seldomEvery)
	n.failing.tell(n.log)
	n.failing.tell(n.log)
	if lines() != 2 {
		t.Errorf("told of what has ended: %s", &out)
	}
	n.keep(&job{workload: "again"}, &evidence.Case{ID: ulid.Make().String(), Kind: evidence.CaseDeath})
	if lines() != 3 {
		t.Errorf("the next one is not told of: %s", &out)
	}
	if n.unkept.Load() != 1001 {
		t.Errorf("%d are counted", n.unkept.Load())
	}
}
