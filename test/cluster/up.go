package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Words with which the program calls itself.
const (
	enterWord = "enter-the-node's-cgroups"
	nodeWord  = "be-the-node"
)

// upLimit is how long a node may take to be ready; seven seconds are usual.
const upLimit = 3 * time.Minute

// up starts the cluster and returns when its node is ready and pods can be made.
func (c *cluster) up(ctx context.Context) error {
	if c.node() != 0 {
		return fmt.Errorf("a cluster is up already in %s: go run ./test/cluster down", c.dir)
	}
	if err := c.build(ctx); err != nil {
		return err
	}
	if err := c.clean(); err != nil { // what one that was killed left behind
		return err
	}
	if err := os.RemoveAll(c.runDir()); err != nil {
		return fmt.Errorf("remove what the last cluster left: %w", err)
	}
	if err := os.MkdirAll(c.log(""), 0o755); err != nil {
		return err
	}
	if err := c.makePKI(); err != nil {
		return fmt.Errorf("make the cluster's certificates: %w", err)
	}
	if err := c.makeGroups(); err != nil {
		return err
	}
	from := time.Now()
	if err := c.start(ctx); err != nil {
		return errors.Join(fmt.Errorf("bring the node up: %w\n%s", err, c.lastWords()), c.down())
	}
	fmt.Printf("the node is ready after %.1f s\n", time.Since(from).Seconds())
	return nil
}

// start starts the node's first process and waits until it says that all is ready.
func (c *cluster) start(ctx context.Context) error {
	logFile, err := os.Create(c.log("node"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	cmd := exec.Command("/proc/self/exe", enterWord)
	cmd.Env = append(c.env(), "CLUSTER_DIR="+c.dir, "CLUSTER_PIDNS="+strconv.FormatBool(c.pidNS), "CLUSTER_PROXY="+strconv.FormatBool(c.proxy))
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	limit := time.After(upLimit)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-ended:
			return fmt.Errorf("its first process ended: %w", errors.Join(err))
		case <-limit:
			return fmt.Errorf("it is not ready after %s", upLimit)
		case <-time.After(50 * time.Millisecond):
		}
		if _, err := os.Stat(c.at("ready")); err == nil {
			return nil
		}
	}
}

// lastWords are the ends of the logs.
func (c *cluster) lastWords() string {
	var out strings.Builder
	logs, _ := filepath.Glob(c.log("*"))
	for _, path := range logs {
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			continue
		}
		lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
		fmt.Fprintf(&out, "== %s\n%s\n", path, strings.Join(lines[max(0, len(lines)-5):], "\n"))
	}
	return out.String()
}

// down ends the cluster and removes what it made; logs stay.
func (c *cluster) down() error {
	if err := c.clean(); err != nil {
		return fmt.Errorf("take the cluster down: %w", err)
	}
	return nil
}

func (c *cluster) clean() error {
	if err := c.endGroups(); err != nil {
		return err
	}
	for _, name := range []string{"node.pid", "ready", "cgroups"} {
		_ = os.Remove(c.at(name))
	}
	return nil
}
