package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// deployTag is of the image that the suite installs by the chart.
const deployTag = "cluster-test"

// deployEnv makes the image of descry and helm, which renders the chart, and tells the suite where they are.
func (c *cluster) deployEnv(ctx context.Context) ([]string, error) {
	tools, err := toolsDir()
	if err != nil {
		return nil, err
	}
	root := filepath.Join(tools, "../../..")
	image, helm := filepath.Join(c.images(), "descry.tar"), c.bin("helm")
	for _, b := range []struct {
		what, dir string
		args      []string
	}{
		{"the image of descry", root, []string{"run", "./deploy/image", "-o", image, "-arch", runtime.GOARCH, "-version", deployTag}},
		{"helm", filepath.Join(root, "test/helm"), []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", helm, "helm.sh/helm/v3/cmd/helm"}},
	} {
		cmd := exec.CommandContext(ctx, "go", b.args...)
		cmd.Dir = b.dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", b.what, err, out)
		}
	}
	return []string{"CLUSTER_SCOPE=/" + c.cgroupName() + "/kubepods", "CLUSTER_MACHINE_CGROUPS=" + c.at("machine-cgroup"), "CLUSTER_PAUSE_IMAGE=" + pauseImage, "CLUSTER_DESCRY_IMAGE=" + image, "CLUSTER_DESCRY_TAG=" + deployTag, "CLUSTER_HELM=" + helm, "CLUSTER_CHART=" + filepath.Join(root, "deploy/helm/descry")}, nil
}
