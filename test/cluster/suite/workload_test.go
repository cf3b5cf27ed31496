//go:build cluster

package suite

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

// workload is a pod, or a job, and what must be said of its containers.
type workload struct {
	name string
	why  string // what it dies of, in one line
	spec string // YAML of a pod's spec, two spaces in front of each line
	job  bool
	file bool // a static pod: a file on the node makes it
	dies []death
}

// death is what must be said of a container. A container that none speaks of must have no case.
type death struct {
	container string
	causes    []string            // one of them is the first finding, and at least as sure as this:
	sure      evidence.Confidence // from the second death on
	first     []string            // further causes that are allowed of the first death: step 1 was not on yet
	image     string
	once      bool // it is not started again
	kind      evidence.CaseKind
	warned    string // a warning of this cause stands before the death
}

const (
	certain  = evidence.Certain
	likely   = evidence.Likely
	possible = evidence.Possible
)

// The images of programs.go.
const (
	imageC       = "local.test/c:1"
	imageGo      = "local.test/go:1"
	imagePython  = "local.test/python:3"
	imageNode    = "local.test/node:1"
	imageJava    = "local.test/java:17"
	imageServers = "local.test/servers:1"
)

// runs is a container, one of a pod's spec; more are further fields.
func runs(name, image, more string, command ...string) string {
	b, _ := json.Marshal(command)
	if more != "" {
		more = ", " + more
	}
	return fmt.Sprintf("  - {name: %s, image: %q, imagePullPolicy: Never, command: %s%s}\n", name, image, b, more)
}

// containers begin a spec; lines that stand before them are the pod's.
func containers(before string, list ...string) string {
	if before != "" {
		before = "  " + strings.ReplaceAll(before, "\n", "\n  ") + "\n"
	}
	return before + "  containers:\n" + strings.Join(list, "")
}

func (w *workload) manifest(namespace string) string {
	kind, version, spec := "Pod", "v1", "  terminationGracePeriodSeconds: 1\n"+w.spec
	if w.job {
		kind, version = "Job", "batch/v1"
		spec = "  backoffLimit: 1\n  template:\n    spec:\n      terminationGracePeriodSeconds: 1\n" + strings.ReplaceAll("\n"+strings.TrimRight(w.spec, "\n"), "\n", "\n    ")[1:] + "\n"
	}
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: %s, labels: {app: %s}}\nspec:\n%s", version, kind, w.name, namespace, w.name, spec)
}

// podName tells whether a pod by that name is one of the workload.
func (w *workload) podName(name string) bool {
	switch {
	case w.job:
		return strings.HasPrefix(name, w.name+"-") && !strings.Contains(name[len(w.name)+1:], "-")
	case w.file:
		return name == w.name+"-node1"
	}
	return name == w.name
}

func workloadOf(list []workload, pod string) *workload {
	i := slices.IndexFunc(list, func(w workload) bool { return w.podName(pod) })
	if i < 0 {
		return nil
	}
	return &list[i]
}

func (w *workload) death(container string) *death {
	if i := slices.IndexFunc(w.dies, func(d death) bool { return d.container == container }); i >= 0 {
		return &w.dies[i]
	}
	return nil
}

// begin makes all workloads in a namespace of their own and removes them at the end.
func begin(t *testing.T, namespace string, list []workload) {
	t.Helper()
	loadPrograms(t)
	var all []string
	names := map[string]bool{}
	for _, w := range list {
		if names[w.name] {
			t.Fatalf("two workloads are named %s", w.name)
		}
		names[w.name] = true
		if !w.file {
			all = append(all, w.manifest(namespace))
			continue
		}
		path := "/etc/kubernetes/manifests/" + w.name + ".yaml"
		if err := os.WriteFile(path, []byte(w.manifest(namespace)), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(path) })
	}
	apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+namespace+"}\n")
	until(t, "default", func() string { out, _ := try(t, "-n", namespace, "get", "serviceaccounts"); return out })
	t.Cleanup(func() { remove(namespace) })
	apply(t, strings.Join(all, "---\n"))
}
