package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// tests runs the tests of ./test/cluster/suite on the node: they see its files, network and cgroups as a
// program there does.
func (c *cluster) tests(ctx context.Context, o options) (int, error) {
	binary := c.at("suite.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "cluster", "-o", binary, module+"test/cluster/suite")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the tests: %w\n%s", err, out)
	}
	descry, next := c.at("descry"), c.at("descry-next")
	for path, version := range map[string]string{descry: "this", next: "next"} {
		build = exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-X "+module+"internal/version.Version="+version, "-o", path, module+"cmd/descry")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("build descry: %w\n%s", err, out)
		}
	}
	args := []string{binary, "-test.timeout=" + o.limit.String()}
	if o.verbose {
		args = append(args, "-test.v")
	}
	if o.run != "" {
		args = append(args, "-test.run="+o.run)
	}
	cmd, err := c.command(ctx, args...)
	if err != nil {
		return 1, err
	}
	tools, err := toolsDir()
	if err != nil {
		return 1, err
	}
	cmd.Dir = filepath.Join(filepath.Dir(tools), "suite")
	cmd.Env = append(cmd.Env, "CLUSTER_RUN="+c.runDir(), "CLUSTER_BIN="+c.bin(""), "CLUSTER_LOAD_IMAGE="+loadImage, "CLUSTER_PROGRAMS="+c.programsTar(), "CLUSTER_DESCRY="+descry, "CLUSTER_DESCRY_NEXT="+next, "CLUSTER_TABLE="+o.table, "CLUSTER_PODS="+o.pods)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	deployed, err := c.deployEnv(ctx)
	if err != nil {
		return 1, err
	}
	cmd.Env = append(cmd.Env, deployed...)
	from := time.Now()
	if err := cmd.Run(); err != nil {
		return 1, fmt.Errorf("tests on the node failed after %.0f s: %w (logs of its parts: %s)", time.Since(from).Seconds(), err, c.log(""))
	}
	return 0, nil
}
