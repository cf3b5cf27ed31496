// Cluster brings up a real Kubernetes on this machine, in namespaces and cgroups of its own, runs the
// tests of ./test/cluster/suite on its one node, and takes everything down again: etcd, API server,
// controller manager, scheduler, kubelet, containerd with NRI, and runc. It needs root and a few packages of
// Debian (it says which); the rest is built from Go modules into a cache directory, once.
//
//	go run ./test/cluster                  up, all tests, down
//	go run ./test/cluster -run Restart     tests that match
//	go run ./test/cluster -keep            leaves it up; then
//	go run ./test/cluster kubectl get pods
//	go run ./test/cluster sh ps ax         any command on the node
//	go run ./test/cluster up | down | build
//
// What a cluster writes to the whole machine (sysctls, cgroups, mount points) goes to places of its own, and is
// removed at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type options struct {
	run     string
	keep    bool
	verbose bool
	pidNS   bool
	proxy   bool
	limit   time.Duration
	table   string
	pods    string
}

func main() {
	if len(os.Args) == 2 && (os.Args[1] == enterWord || os.Args[1] == nodeWord) {
		os.Exit(inside(os.Args[1]))
	}
	var o options
	var dir string
	flag.StringVar(&dir, "dir", "", "`directory` of binaries, images and the running cluster; the user's cache by default")
	flag.StringVar(&o.run, "run", "", "only tests that match, as go test -run")
	flag.BoolVar(&o.keep, "keep", false, "leave the cluster up")
	flag.BoolVar(&o.verbose, "v", false, "show the output of all tests")
	flag.BoolVar(&o.pidNS, "pidns", false, "give the node a pid namespace of its own; by default it sees the machine's pids, as a node does")
	flag.BoolVar(&o.proxy, "proxy", false, "run kube-proxy too, for Services")
	flag.DurationVar(&o.limit, "timeout", 20*time.Minute, "time limit of the tests")
	flag.StringVar(&o.table, "table", "", "write what came out of each death to this `file`")
	flag.StringVar(&o.pods, "pods", "", "of the pods that die, only these `names`, with commas between")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := do(ctx, dir, o, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "test/cluster:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func do(ctx context.Context, dir string, o options, args []string) (int, error) {
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return 0, fmt.Errorf("find a place for the cluster: %w (-dir DIR names one)", err)
		}
		dir = filepath.Join(cache, "descry-cluster")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return 0, err
	}
	if o.table != "" { // the tests are elsewhere
		if o.table, err = filepath.Abs(o.table); err != nil {
			return 0, err
		}
	}
	if os.Geteuid() != 0 {
		return 0, errors.New("a node needs root: run it with sudo")
	}
	c := newCluster(dir)
	c.pidNS, c.proxy = o.pidNS, o.proxy
	word := "test"
	if len(args) > 0 {
		word = args[0]
	}
	switch word {
	case "build":
		return 0, errors.Join(c.build(ctx), c.buildPrograms(ctx))
	case "down":
		return 0, c.down()
	case "kubectl":
		return c.onNode(ctx, append([]string{"kubectl"}, args[1:]...))
	case "sh":
		return c.onNode(ctx, args[1:])
	case "up":
		return 0, c.up(ctx)
	case "test":
	default:
		return 2, fmt.Errorf("unknown command %q: up, down, build, kubectl ARGS, sh CMD, or nothing", word)
	}
	if err := c.buildPrograms(ctx); err != nil {
		return 0, err
	}
	if err := c.up(ctx); err != nil {
		return 0, err
	}
	code, err := c.tests(ctx, o)
	if o.keep {
		return code, err
	}
	return code, errors.Join(err, c.down())
}

// onNode runs a command in the namespaces of the node; its exit code comes back.
func (c *cluster) onNode(ctx context.Context, args []string) (int, error) {
	cmd, err := c.command(ctx, args...)
	if err != nil {
		return 0, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
