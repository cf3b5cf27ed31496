package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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
	descry, next, later := c.at("descry"), c.at("descry-next"), c.at("descry-later")
	for _, b := range []struct {
		version, path string
		overlay       func(ctx context.Context) (string, error)
	}{{"this", descry, nil}, {"next", next, c.otherBuild}, {"later", later, c.otherShapes}} {
		args := []string{"build", "-trimpath", "-ldflags", "-X " + module + "internal/version.Version=" + b.version, "-o", b.path}
		if b.overlay != nil {
			overlay, err := b.overlay(ctx)
			if err != nil {
				return 1, fmt.Errorf("make the %s version: %w", b.version, err)
			}
			args = append(args, "-overlay", overlay)
		}
		build = exec.CommandContext(ctx, "go", append(args, module+"cmd/descry")...)
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
	cmd.Env = append(cmd.Env, "CLUSTER_RUN="+c.runDir(), "CLUSTER_BIN="+c.bin(""), "CLUSTER_LOAD_IMAGE="+loadImage, "CLUSTER_PROGRAMS="+c.programsTar(), "CLUSTER_DESCRY="+descry, "CLUSTER_MACHINE_PID="+strconv.Itoa(os.Getpid()), "CLUSTER_DESCRY_NEXT="+next, "CLUSTER_DESCRY_LATER="+later, "CLUSTER_TABLE="+o.table, "CLUSTER_PODS="+o.pods)
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
