//go:build linux

package agent

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// What the agent says of itself comes from what it does: its figures change with a death and a climb.
func TestNodeMetrics(t *testing.T) {
	n := newTestNode(t)
	n.cfg.Metrics = "127.0.0.1:0"
	n.start()
	text, err := os.ReadFile(n.log)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`serving metrics" address=(\S+)`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("it does not say where it serves metrics: %s", text)
	}
	address := string(m[1])
	var page string
	scrape := func() string {
		r, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		page = string(b)
		return page
	}
	lives, dies := n.box(testPod, 0, "fds:64").watched(), n.box(testPod, 1, "fds:64").watched()
	shows := func(lines ...string) func() bool {
		return func() bool {
			p := scrape()
			for _, l := range lines {
				if !strings.Contains(p, "\n"+l) {
					return false
				}
			}
			return true
		}
	}
	n.until("both are counted", shows("descry_agent_subjects 2\n", "descry_agent_processes 2\n", "descry_agent_cases 0\n", `descry_agent_events_total{probe="probe/container"}`))
	dies.die()
	dies.wait()
	n.until("the death is counted", shows("descry_agent_subjects 1\n", "descry_agent_cases 1\n", `descry_agent_cases_kept_total{kind="death"} 1`+"\n",
		`descry_deaths_total{namespace="`, "descry_agent_case_seconds_count 1\n"))
	if regexp.MustCompile(`(?m)^descry_agent_recordings_bytes 0$`).MatchString(page) {
		t.Error("recordings take no memory")
	}
	lives.die()
	n.stop()
}
