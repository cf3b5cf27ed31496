// Package imports guards the arrows of docs/architecture.md: who may import whom.
package imports

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/descry-dev/descry/"

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"...")
	cmd.Dir = "../.."
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(out); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("go list: %v", err)
	}
	if len(pkgs) < 8 {
		t.Fatalf("go list gave %d packages: the test does not see the tree", len(pkgs))
	}
	return pkgs
}

// leaves may be imported by every part, and import nothing of ours.
var leaves = []string{"internal/evidence", "internal/symbol", "internal/version"}

// wiring may import the parts.
var wiring = []string{"internal/agent", "internal/server"}

// onlyIn maps a foreign package's prefix to the one place that may import it, and why.
var onlyIn = []struct{ prefix, place, why string }{
	{"github.com/cilium/ebpf", "internal/probe", "eBPF stays in probe, so that everything else runs without it"},
	{"database/sql", "internal/store", "SQL stays in store, which only the server uses"},
	{"github.com/spf13/cobra", "cmd/", "flags are read in cmd and become one Config; nothing below reads them"},
	{"flag", "cmd/", "flags are read in cmd and become one Config; nothing below reads them"},
}

// neverIn maps a command to what must not be linked into it, however deep.
var neverIn = map[string]map[string]string{
	"cmd/descry": {
		"k8s.io/client-go":     "the node's command stays small and needs no Kubernetes API",
		"k8s.io/apimachinery":  "the node's command stays small and needs no Kubernetes API",
		"database/sql$":        "only the server stores in databases",
		"github.com/stretchr/": "assertion libraries do not belong into a binary",
		"testing":              "test code does not belong into a binary",
	},
}

// tools are programs of the project's own building and testing; they may import what they need.
func isTool(path string) bool {
	return strings.HasPrefix(path, "test/") || strings.HasPrefix(path, "bench") || strings.HasPrefix(path, "examples/") || strings.HasPrefix(path, "deploy/") ||
		strings.HasSuffix(path, "gen")
}

func TestArrows(t *testing.T) {
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		if isTool(from) {
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if ours {
				if why := wrongArrow(from, to); why != "" {
					t.Errorf("%s imports %s: %s", from, to, why)
				}
				continue
			}
			for _, rule := range onlyIn {
				if (imp == rule.prefix || strings.HasPrefix(imp, rule.prefix+"/")) && !strings.HasPrefix(from, rule.place) {
					t.Errorf("%s imports %s: %s", from, imp, rule.why)
				}
			}
		}
		for bad, why := range neverIn[from] {
			for _, dep := range p.Deps {
				exact, only := strings.CutSuffix(bad, "$") // "$": that package itself, not those below it
				if dep == exact || !only && strings.HasPrefix(dep, strings.TrimSuffix(bad, "/")+"/") {
					t.Errorf("%s links %s: %s", from, dep, why)
				}
			}
		}
	}
}

// wrongArrow says which rule the import breaks, or nothing.
func wrongArrow(from, to string) string {
	switch {
	case slices.Contains(leaves, from):
		return "a leaf imports nothing of ours"
	case strings.HasPrefix(to, "cmd/"):
		return "commands are imported by nobody"
	case strings.HasPrefix(from, "cmd/"), under(from, wiring) != "":
		return ""
	case slices.Contains(leaves, to):
		return ""
	case strings.HasPrefix(to, from+"/"): // a part's own inner package
		return ""
	case under(to, wiring) != "":
		return "parts do not know who wires them: arrows go cmd → agent | server → parts → evidence, symbol"
	}
	return "parts never import each other: declare the small interface that is needed and let the wiring pass it in"
}

func under(path string, dirs []string) string {
	for _, d := range dirs {
		if path == d || strings.HasPrefix(path, d+"/") {
			return d
		}
	}
	return ""
}

// The test must be able to fail: these arrows are wrong, and those are right.
func TestWrongArrow(t *testing.T) {
	for _, c := range []struct {
		from, to string
		wrong    bool
	}{
		{"internal/evidence", "internal/symbol", true},
		{"internal/diagnose", "internal/recorder", true},
		{"internal/diagnose", "internal/agent", true},
		{"internal/agent", "cmd/descry", true},
		{"internal/diagnose", "internal/evidence", false},
		{"internal/agent", "internal/probe", false},
		{"cmd/descry", "internal/output", false},
		{"internal/store", "internal/store/sqlite", false},
	} {
		if got := wrongArrow(c.from, c.to) != ""; got != c.wrong {
			t.Errorf("%s → %s: wrong is %v, want %v", c.from, c.to, got, c.wrong)
		}
	}
}
