//go:build cluster

package suite

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// kubectl runs kubectl and gives what it prints; a failure fails the test.
func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := try(t, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// try is kubectl that may fail.
func try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return command(t, "", "kubectl", args...)
}

func command(t *testing.T, stdin, name string, args ...string) (string, error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// pod makes a pod of one container and removes it at the end of the test. more are lines of its spec, with
// two spaces before them; container are fields of its container.
func pod(t *testing.T, name string, container string, more ...string) {
	t.Helper()
	apply(t, fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s}
spec:
  terminationGracePeriodSeconds: 1
%s
  containers:
  - {name: c, image: %q, imagePullPolicy: Never, %s}
`, name, strings.Join(more, "\n"), os.Getenv("CLUSTER_LOAD_IMAGE"), container))
	t.Cleanup(func() {
		// The test's own context has ended.
		_ = exec.Command("kubectl", "delete", "pod", name, "--grace-period=1", "--wait=false").Run()
	})
}

func apply(t *testing.T, manifest string) {
	t.Helper()
	if _, err := command(t, manifest, "kubectl", "apply", "-f", "-"); err != nil {
		t.Fatalf("apply: %v\n%s", err, manifest)
	}
}

// until waits until ask gives something that holds want.
func until(t *testing.T, want string, ask func() string) string {
	t.Helper()
	got := ""
	for limit := time.Now().Add(2 * time.Minute); time.Now().Before(limit); time.Sleep(200 * time.Millisecond) {
		if got = ask(); strings.Contains(got, want) {
			return got
		}
	}
	t.Fatalf("%q did not come within two minutes; the last was %q", want, got)
	return ""
}

// field asks for a field of a pod, "" as long as it has none.
func field(t *testing.T, pod, path string) func() string {
	return func() string {
		out, _ := try(t, "get", "pod", pod, "-o", "jsonpath={"+path+"}")
		return out
	}
}

// loadPrograms brings the images of real programs to the node, once.
func loadPrograms(t *testing.T) {
	t.Helper()
	programs.Do(func() {
		_, programsErr = command(t, "", "ctr", "-n", "k8s.io", "images", "import", "--local", "--snapshotter", "overlayfs", os.Getenv("CLUSTER_PROGRAMS"))
	})
	if programsErr != nil {
		t.Fatalf("bring the images of programs to the node: %v", programsErr)
	}
}

var (
	programs    sync.Once
	programsErr error
)

// kubectlLater runs kubectl at the end of a test, when its own context is over.
func kubectlLater(args ...string) { _ = exec.Command("kubectl", args...).Run() }

// remove removes a namespace with its pods.
func remove(namespace string) {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute) // the test's own has ended
	defer stop()
	_ = exec.CommandContext(ctx, "kubectl", "-n", namespace, "delete", "pods,jobs", "--all", "--grace-period=1", "--wait=false").Run()
	_ = exec.CommandContext(ctx, "kubectl", "delete", "namespace", namespace, "--wait=true").Run()
}
