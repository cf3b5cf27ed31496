package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/metrics"
)

func web() *metrics.Container {
	return &metrics.Container{
		ID: "0123456789abcdef", Namespace: "shop", Pod: "web-1", Name: "nginx", Processes: 3, OpenFDs: 950, WorstOpen: 900, WorstLimit: 1024,
		Forecasts: []metrics.Forecast{{Limit: "nofile", Seconds: 700, Warned: true}, {Limit: "memory.max", Seconds: 900, Warned: true}},
		Counters:  map[string]int64{evidence.CountFDRefused: 0, evidence.CountGarbled: 0},
	}
}

// full has something of everything.
func full() *metrics.Metrics {
	m := metrics.New(metrics.Config{})
	c := web()
	m.Set(c)
	m.Set(&metrics.Container{ID: "u", Unit: "odd \"name\"\\.service", OpenFDs: 3})
	m.Died(c, metrics.Death{Kind: "death", Cause: "fd-leak", Confidence: "likely", At: time.Now(), Took: 42 * time.Millisecond})
	one := map[string]int64{"probe/exit": 1}
	m.SetAgent(&metrics.Agent{Subjects: 2, Events: one, Lost: one, Climbs: map[string]int64{"growth": 1}, Kept: map[string]int64{"death": 1},
		Probes: []metrics.Probe{{Name: "probe/exit", By: "tp_btf/sched_process_exit", Up: true}}, Runtimes: []metrics.Runtime{{Name: "containerd", Up: true}}})
	m.Ready(true)
	m.Swept(3 * time.Millisecond)
	return m
}

// A real Prometheus scrapes the server, with the alert rules loaded, and alerts.
func TestPrometheusScrapes(t *testing.T) {
	binary := tool(t, prometheus, "prometheus")
	m := full()
	l, err := metrics.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = m.Serve(ctx, l) }()

	dir := t.TempDir()
	path, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `global: {scrape_interval: 1s, evaluation_interval: 1s, scrape_timeout: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: descry
    honor_labels: true
    static_configs: [{targets: [%q], labels: {namespace: descry, pod: agent-x}}]
`, path, l.Addr()), 0o644); err != nil {
		t.Fatal(err)
	}
	addr := freeAddress(t)
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(binary, "--config.file", config, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", addr)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(out.Name())
			t.Logf("prometheus: %s", b)
		}
	})
	query := func(q string) string { return ask(addr, q) }
	until(t, `up{job="descry"}`, "1", query)
	// The pod's own labels win over those of the scraped target.
	until(t, `descry_container_open_fds{namespace="shop",pod="web-1",container="nginx"}`, "950", query)
	until(t, `count({unit="odd \"name\"\\.service",__name__="descry_container_open_fds"})`, "1", query)
	until(t, `descry_agent_sweep_seconds_count`, "1", query)
	until(t, `count(ALERTS{alertname="DescryFDExhaustionSoon",alertstate="firing",pod="web-1"})`, "1", query)
	until(t, `count(ALERTS{alertname="DescryDeath",alertstate="firing",cause="fd-leak"})`, "1", query)

	c := web()
	c.Forecasts = nil // the forecast is withdrawn, calls are refused, and the log turns to garbage
	c.Counters = map[string]int64{evidence.CountFDRefused: 3, evidence.CountGarbled: 312}
	m.Set(c)
	m.Swept(time.Millisecond)
	until(t, `count(ALERTS{alertname="DescryRefusals",alertstate="firing",limit="nofile"})`, "1", query)
	until(t, `count(ALERTS{alertname="DescryGarbledOutput",alertstate="firing"})`, "1", query)
	until(t, `count(ALERTS{alertname="DescryFDExhaustionSoon",alertstate="firing"}) or vector(0)`, "0", query)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// ask gives the value of the only series that a query finds, "" where there is none.
func ask(addr, query string) string {
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + addr + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if json.NewDecoder(resp.Body).Decode(&answer) != nil || len(answer.Data.Result) != 1 {
		return ""
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1])
}

func until(t *testing.T, query, want string, get func(string) string) {
	t.Helper()
	got := ""
	for limit := time.Now().Add(2 * time.Minute); time.Now().Before(limit); time.Sleep(100 * time.Millisecond) {
		if got = get(query); strings.TrimSpace(got) == want {
			return
		}
	}
	t.Fatalf("%s did not become %q within two minutes, the last was %q", query, want, got)
}
