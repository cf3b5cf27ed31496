package metrics

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/descry-dev/descry/internal/evidence"
)

// clock is a time that tests move.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

func made(cfg Config) (*Metrics, *clock) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	cfg.Now = c.now
	return New(cfg), c
}

func web(id string) *Container {
	return &Container{
		ID: id, Namespace: "shop", Pod: "web-1", Name: "nginx", Processes: 3, OpenFDs: 120, HighestFD: 90, WorstOpen: 80, WorstLimit: 1024,
		Counters: map[string]int64{evidence.CountFDRefused: 0},
	}
}

// value is that of one series, "" where there is none.
func value(t *testing.T, m *Metrics, series string) string {
	t.Helper()
	for line := range strings.Lines(string(m.Render(nil, false))) {
		if v, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

const ofWeb = `{namespace="shop",pod="web-1",container="nginx"`

func want(t *testing.T, m *Metrics, series, want string) {
	t.Helper()
	if got := value(t, m, series); got != want {
		t.Errorf("%s is %q, want %q", series, got, want)
	}
}

func TestContainer(t *testing.T) {
	m, _ := made(Config{})
	c := web("aaaa")
	c.Forecasts = []Forecast{{Limit: "nofile", Seconds: 812.5, Warned: true}}
	c.Counters = map[string]int64{evidence.CountFDRefused: 7, evidence.CountFDRefusedTable: 2, evidence.CountGarbled: 312}
	m.Set(c)
	want(t, m, "descry_container_open_fds"+ofWeb+"}", "120")
	want(t, m, "descry_container_fd_limit"+ofWeb+"}", "1024")
	want(t, m, "descry_container_fd_used_ratio"+ofWeb+"}", "0.078125")
	want(t, m, "descry_container_exhaustion_seconds"+ofWeb+`,limit="nofile"}`, "812.5")
	want(t, m, "descry_container_exhaustion_warning"+ofWeb+`,limit="nofile"}`, "1")
	want(t, m, "descry_container_refusals_total"+ofWeb+`,limit="nofile"}`, "5")
	want(t, m, "descry_container_refusals_total"+ofWeb+`,limit="file_max"}`, "2")
	want(t, m, "descry_container_garbled_bytes_total"+ofWeb+"}", "312")
	want(t, m, "descry_container_drops_total"+ofWeb+`,kind="receive_buffer"}`, "0")
	want(t, m, "descry_container_dns_questions_total"+ofWeb+`,result="failed"}`, "") // nobody looked

	c.Forecasts = nil
	m.Set(c)
	want(t, m, "descry_container_exhaustion_seconds"+ofWeb+`,limit="nofile"}`, "")
}

// A container that restarts keeps its counters; its gauges are those of the new life.
func TestRestarted(t *testing.T) {
	m, now := made(Config{})
	series := "descry_container_refusals_total" + ofWeb + `,limit="nofile"}`
	c := web("aaaa")
	c.Counters[evidence.CountFDRefused] = 7
	m.Set(c)
	c.Counters[evidence.CountFDRefused] = 9 // at its end
	m.Ended(c)
	want(t, m, series, "9")
	want(t, m, "descry_container_open_fds"+ofWeb+"}", "")
	m.Died(c, Death{Kind: "death", Cause: "fd-limit", Confidence: "certain", At: now.now()})

	now.Time = now.Add(time.Minute)
	c = web("bbbb")
	c.OpenFDs, c.Counters[evidence.CountFDRefused] = 4, 1
	m.Set(c)
	want(t, m, series, "10")
	want(t, m, "descry_container_open_fds"+ofWeb+"}", "4")
	want(t, m, "descry_container_restarts_total"+ofWeb+"}", "1")
	want(t, m, "descry_container_deaths_total"+ofWeb+"}", "1")
	want(t, m, "descry_container_last_death_timestamp_seconds"+ofWeb+`,cause="fd-limit",confidence="certain"}`, "1800000000")

	now.Time = now.Add(time.Hour) // it lives: nothing expires
	m.Swept(time.Millisecond)
	want(t, m, series, "10")
}

// Two lives may overlap: the new one is shown, and counters are the sum.
func TestOverlap(t *testing.T) {
	m, now := made(Config{})
	old, fresh := web("aaaa"), web("bbbb")
	old.StartedAt, fresh.StartedAt = now.now(), now.Add(time.Second)
	old.OpenFDs, fresh.OpenFDs = 11, 22
	old.Counters[evidence.CountOOM], fresh.Counters[evidence.CountOOM] = 1, 2
	m.Set(fresh)
	m.Set(old)
	want(t, m, "descry_container_open_fds"+ofWeb+"}", "22")
	want(t, m, "descry_container_oom_kills_total"+ofWeb+"}", "3")
	m.Ended(old)
	want(t, m, "descry_container_oom_kills_total"+ofWeb+"}", "3")
}

func TestGoesAway(t *testing.T) {
	m, now := made(Config{})
	m.Set(web("aaaa"))
	m.Ended(web("aaaa"))
	now.Time = now.Add(4 * time.Minute)
	m.Swept(time.Millisecond)
	want(t, m, "descry_container_deaths_total"+ofWeb+"}", "0")
	now.Time = now.Add(2 * time.Minute)
	m.Swept(time.Millisecond)
	if page := string(m.Render(nil, false)); strings.Contains(page, "nginx") {
		t.Errorf("six minutes after its end a container is still shown:\n%s", page)
	}
	if len(m.lives)+len(m.series)+len(m.ended) != 0 {
		t.Errorf("something is left of it: %d lives, %d series, %d ended", len(m.lives), len(m.series), len(m.ended))
	}
	// The judgement may come later than that.
	m.Died(web("aaaa"), Death{Kind: "death", At: now.now()})
	want(t, m, "descry_container_deaths_total"+ofWeb+"}", "1")
	now.Time = now.Add(6 * time.Minute)
	m.Swept(time.Millisecond)
	if len(m.series) != 0 {
		t.Errorf("%d series are left", len(m.series))
	}
}

// Names come later than containers, and may never come.
func TestNameless(t *testing.T) {
	m, now := made(Config{})
	c := web("0123456789abcdef")
	c.Namespace, c.Pod, c.Name = "", "", ""
	c.Counters[evidence.CountGarbled] = 5
	m.Set(c)
	byID := `descry_container_garbled_bytes_total{namespace="",pod="",container="0123456789ab"}`
	want(t, m, byID, "")
	now.Time = now.Add(11 * time.Second)
	want(t, m, byID, "5")
	c.Namespace, c.Pod, c.Name = "shop", "web-1", "nginx"
	c.Counters[evidence.CountGarbled] = 6
	m.Set(c)
	want(t, m, byID, "")
	want(t, m, "descry_container_garbled_bytes_total"+ofWeb+"}", "6")
	want(t, m, "descry_container_restarts_total"+ofWeb+"}", "0")
	if len(m.series) != 1 {
		t.Errorf("%d series, want one", len(m.series))
	}
}

func TestCap(t *testing.T) {
	m, now := made(Config{MaxSeries: 3*perContainer + 1})
	numbered := func(i int) *Container {
		c := web(fmt.Sprint("id", i))
		c.Pod = fmt.Sprint("web-", i)
		return c
	}
	for i := range 5 {
		m.Set(numbered(i))
	}
	shown := func() (out []string) {
		for line := range strings.Lines(string(m.Render(nil, false))) {
			if rest, ok := strings.CutPrefix(line, `descry_container_processes{namespace="shop",pod="`); ok {
				pod, _, _ := strings.Cut(rest, `"`)
				out = append(out, pod)
			}
		}
		return out
	}
	if d := cmp.Diff([]string{"web-0", "web-1", "web-2"}, shown()); d != "" {
		t.Error(d)
	}
	want(t, m, "descry_agent_containers_hidden", "2")
	want(t, m, "descry_agent_containers_left_out_total", "2")
	m.Ended(numbered(1))
	now.Time = now.Add(6 * time.Minute)
	m.Swept(0)
	if d := cmp.Diff([]string{"web-0", "web-2", "web-3"}, shown()); d != "" {
		t.Errorf("the one that has waited longest has the room: %s", d)
	}
	want(t, m, "descry_agent_containers_hidden", "1")
	want(t, m, "descry_agent_containers_left_out_total", "2")
}

func TestDeathsAreBounded(t *testing.T) {
	m, now := made(Config{})
	for i := range 3 * maxDeaths {
		c := web("x")
		c.Namespace = fmt.Sprint("preview-", i)
		m.Died(c, Death{Kind: "child-death", Cause: "abort", At: now.now()})
	}
	if len(m.deaths) > maxDeaths+1 {
		t.Errorf("%d pairs of namespace and cause", len(m.deaths))
	}
	want(t, m, `descry_child_deaths_total{namespace="_other",cause="abort"}`, fmt.Sprint(2*maxDeaths))
	want(t, m, `descry_child_deaths_total{namespace="preview-7",cause="abort"}`, "1")
}

// Every series that is written stands in the table, with the labels that stand there, and a container has no more
// than perContainer of them.
func TestTableHolds(t *testing.T) {
	families := map[string]*Family{}
	for i := range Families {
		f := &Families[i]
		if families[f.Name] != nil {
			t.Errorf("%s stands twice in the table", f.Name)
		}
		families[f.Name] = f
		if (f.Type == Counter) != strings.HasSuffix(f.Name, "_total") {
			t.Errorf("%s is a %s", f.Name, f.Type)
		}
		if f.Unit != "" && !strings.HasSuffix(strings.TrimSuffix(f.Name, "_total"), "_"+f.Unit) {
			t.Errorf("%s does not end in its unit %s", f.Name, f.Unit)
		}
		if !strings.HasSuffix(f.Help, ".") || strings.ContainsAny(f.Help+f.Note, "\n|\\") {
			t.Errorf("%s: help is no sentence: %q", f.Name, f.Help)
		}
	}
	m := full()
	seen, ofOne := map[string]bool{}, 0
	for line := range strings.Lines(string(m.Render(nil, false))) {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, "process_") || strings.HasPrefix(line, "go_") {
			continue
		}
		name, rest, _ := strings.Cut(line[:strings.LastIndexByte(line, ' ')], "{")
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && families[base] != nil {
				name = base
			}
		}
		f := families[name]
		if f == nil {
			t.Errorf("not in the table: %s", line)
			continue
		}
		seen[name] = true
		expect := f.Labels
		switch {
		case f.PerContainer():
			expect = append([]string{"namespace", "pod", "container"}, f.Labels...)
			ofOne++
		case f.Type == Histogram && strings.Contains(line, "_bucket"):
			expect = []string{"le"}
		}
		var got []string
		for part := range strings.SplitSeq(strings.TrimSuffix(rest, "}"), `",`) {
			if k, _, ok := strings.Cut(part, `="`); ok {
				got = append(got, k)
			}
		}
		if !slices.Equal(expect, got) {
			t.Errorf("%s has the labels %q, the table says %q", name, got, expect)
		}
	}
	for name := range families {
		if !seen[name] {
			t.Errorf("%s was not written, though all was set", name)
		}
	}
	if ofOne != perContainer {
		t.Errorf("a container with everything has %d series, perContainer says %d", ofOne, perContainer)
	}
}

// full has everything set, of one container.
func full() *Metrics {
	m, now := made(Config{})
	c := web("aaaa")
	for i := range counts {
		c.Counters[counts[i].plus] = int64(i + 1)
	}
	c.Forecasts = []Forecast{{Limit: "nofile", Seconds: 60, Warned: true}, {Limit: "fd_setsize", Seconds: 1e6}, {Limit: "pids.max", Seconds: 9}, {Limit: "memory.max", Seconds: 700}, {Limit: "vm.max_map_count", Seconds: 8}}
	m.Set(c)
	for _, kind := range []string{"death", "child-death", "warning"} {
		m.Died(c, Death{Kind: kind, Cause: "fd-leak", Confidence: "likely", At: now.now(), Took: 42 * time.Millisecond})
	}
	m.Swept(3 * time.Millisecond)
	m.Ready(true)
	one := map[string]int64{"probe/exit": 1}
	m.SetAgent(&Agent{
		Subjects: 1, Climbs: map[string]int64{"growth": 1}, Events: one, Lost: one, Kept: map[string]int64{"death": 1}, Outbox: &Outbox{Pending: 1},
		Forecasts: []Forecast{{Limit: "fs.file-max", Seconds: 5000}},
		Probes:    []Probe{{Name: "probe/exit", By: "tp_btf/sched_process_exit", Up: true}, {Name: "probe/dns"}}, Runtimes: []Runtime{{Name: "containerd", Up: true}},
	})
	return m
}

func TestLabelsAreClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a\"b\\c\nd": `a\"b\\c\nd`, "bad\xff": "bad\uFFFD", strings.Repeat("x", 300): strings.Repeat("x", maxLabel),
		strings.Repeat("x", maxLabel-1) + "ü": strings.Repeat("x", maxLabel-1),
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) is %q, want %q", in, got, want)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("a", "b", "c", "")
	f.Add("\"", "\\", "\n", "")
	f.Add("", "", "", "ssh.service")
	f.Fuzz(func(t *testing.T, namespace, pod, name, unit string) {
		m, now := made(Config{})
		c := &Container{ID: "0123", Namespace: namespace, Pod: pod, Name: name, Unit: unit}
		m.Set(c)
		m.Died(c, Death{Kind: "death", Cause: name, At: now.now()})
		for s := bufio.NewScanner(strings.NewReader(string(m.Render(nil, true)))); s.Scan(); {
			line := s.Text()
			if !strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "descry_") && !strings.HasPrefix(line, "process_") && !strings.HasPrefix(line, "go_") {
				t.Errorf("a line begins oddly: %q", line)
			}
			if strings.Count(strings.NewReplacer(`\\`, "", `\"`, "").Replace(line), `"`)%2 != 0 {
				t.Errorf("quotes do not pair: %q", line)
			}
		}
	})
}

// What is pushed each second for each container must cost nothing.
func TestSetAllocatesNothing(t *testing.T) {
	m, _ := made(Config{})
	c := web("aaaa")
	m.Set(c)
	if n := testing.AllocsPerRun(100, func() { m.Set(c) }); n > 0 {
		t.Errorf("Set allocates %v times", n)
	}
	a := &Agent{Events: map[string]int64{"probe/exit": 1}, Probes: []Probe{{Name: "probe/exit"}}}
	m.SetAgent(a)
	if n := testing.AllocsPerRun(100, func() { m.SetAgent(a); m.Swept(time.Millisecond) }); n > 0 {
		t.Errorf("SetAgent and Swept allocate %v times", n)
	}
}

func TestDocsAreCurrent(t *testing.T) {
	got, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(got), Docs()); d != "" {
		t.Errorf("docs/metrics.md is not current: run go generate ./internal/metrics\n%s", d)
	}
}

func BenchmarkRender100(b *testing.B) {
	m := New(Config{})
	for i := range 100 {
		c := web(fmt.Sprint(i))
		c.Pod = fmt.Sprint("some-deployment-7f9c5d8b6-", i)
		m.Set(c)
	}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = m.Render(buf[:0], true)
	}
	b.ReportMetric(float64(len(buf)), "bytes")
}
