// Package deploy tests what is in deploy/ with the real tools: promtool, Prometheus and helm.
package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/metrics"
)

const (
	rules      = "../../deploy/prometheus/rules.yaml"
	chart      = "../../deploy/helm/descry"
	promtool   = "promtool"
	prometheus = "prometheus"
)

func tool(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs %s (Debian's package %s)", name, pkg)
	}
	return path
}

func run(t *testing.T, stdin, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Stdin, cmd.Dir = strings.NewReader(stdin), dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestRules(t *testing.T) {
	tool(t, promtool, "prometheus")
	dir := filepath.Dir(rules)
	run(t, "", dir, promtool, "check", "rules", "rules.yaml")
	if out := run(t, "", dir, promtool, "test", "rules", "rules_test.yaml"); !strings.Contains(out, "SUCCESS") {
		t.Error(out)
	}
}

// The chart has the same rules, and every metric that they name is one of ours.
func TestRulesAreOfOurMetrics(t *testing.T) {
	b, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := os.ReadFile(filepath.Join(chart, "files/rules.yaml")); err != nil || !bytes.Equal(b, c) {
		t.Errorf("the chart's rules are others (%v): make deploy copies them", err)
	}
	known := map[string]bool{}
	for i := range metrics.Families {
		known[metrics.Families[i].Name] = true
	}
	names := regexp.MustCompile(`descry_\w+`).FindAllString(string(b), -1)
	if len(names) < 10 {
		t.Errorf("the rules name %d metrics", len(names))
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("the rules ask for %s, which there is not", name)
		}
	}
}

// promtool judges names, types and help texts.
func TestPromtoolLikesThePage(t *testing.T) {
	tool(t, promtool, "prometheus")
	page := string(full().Render(nil, false))
	if out := run(t, page, ".", promtool, "check", "metrics"); strings.TrimSpace(out) != "" {
		t.Errorf("promtool check metrics: %s", out)
	}
	cmd := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(strings.Replace(page, "# HELP descry_container_processes", "# HOLP descry_container_processes", 1))
	if cmd.Run() == nil {
		t.Error("promtool likes anything: this test shows nothing")
	}
}
