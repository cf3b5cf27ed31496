//go:build cluster

package suite

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// Many pods die at once, each of another cause, and again after they were started again. Each case names the right
// container and cause; what is well has none.
func TestPodsDie(t *testing.T) {
	a := newAgent(t)
	a.start()
	list := slices.Concat(dying, healthy)
	if only := os.Getenv("CLUSTER_PODS"); only != "" {
		list = slices.DeleteFunc(list, func(w workload) bool { return !slices.Contains(strings.Split(only, ","), w.name) })
	}
	begin(t, "shop", list)
	if left := a.await(3*time.Minute, func() []string { return missing(list, a.list(), 2) }); left != nil {
		t.Errorf("no case after three minutes:\n%s", strings.Join(left, "\n"))
	}
	truth := statuses(t, "shop")
	if left := a.await(30*time.Second, func() []string { return a.uncovered(truth) }); left != nil {
		t.Errorf("deaths without a case:\n%s", strings.Join(left, "\n"))
	}
	cases := a.list()
	for _, w := range check("shop", list, cases, truth) {
		t.Error(w)
	}
	for _, s := range truth { // the well are well
		if w := workloadOf(list, s.pod); w != nil && w.death(s.container) == nil && s.deaths > 0 {
			for id, exit := range s.exits {
				if exit != 0 {
					t.Errorf("%s/%s was meant to live: %.12s ended with %d", s.pod, s.container, id, exit)
				}
			}
		}
	}
	if file := os.Getenv("CLUSTER_TABLE"); file != "" && !t.Failed() {
		if err := os.WriteFile(file, []byte(table(cases)), 0o644); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d cases\n%s", len(cases), table(cases))
}

// await waits until nothing is left, and gives what is left at the end.
func (a *agent) await(most time.Duration, left func() []string) []string {
	a.t.Helper()
	for limit := time.Now().Add(most); ; time.Sleep(500 * time.Millisecond) {
		l := left()
		if l == nil || time.Now().After(limit) {
			return l
		}
		if a.cmd != nil {
			select {
			case err := <-a.ended:
				a.cmd = nil
				a.t.Fatalf("the agent ended by itself: %v", err)
			default:
			}
		}
	}
}

// table is what came out, as docs/cluster.md has it.
func table(cases []*evidence.Case) string {
	var out strings.Builder
	out.WriteString("| pod | dies of | first death | second death |\n| --- | --- | --- | --- |\n")
	all := deaths(cases)
	for _, w := range dying {
		for _, d := range w.dies {
			var cs []*evidence.Case
			for _, c := range cases {
				if c.Kind == evidence.CaseChildDeath && w.podName(c.Subject.Pod) {
					cs = append(cs, c)
				}
			}
			for k, list := range all {
				pod, container, _ := strings.Cut(k, "/")
				if w.podName(pod) && container == d.container {
					cs = append(cs, list...)
				}
			}
			words := []string{"", ""}
			for i := range min(2, len(cs)) {
				cause, sure := verdict(cs[i])
				words[i] = strings.TrimSpace(cause + ", " + string(sure))
			}
			fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", w.name, w.why, words[0], words[1])
		}
	}
	return out.String()
}
