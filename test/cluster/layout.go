package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Names and addresses on the node. It has no uplink: its address sits on a bridge of its own network
// namespace, in the range for benchmarks (198.18.0.0/15), which is routed nowhere.
const (
	nodeName    = "node1"
	nodeIP      = "198.18.0.1"
	podCIDR     = "198.19.0.0/24"
	serviceCIDR = "198.18.128.0/24"
	serviceIP   = "198.18.128.1" // the service "kubernetes"; bound to lo, so that pods reach it without kube-proxy
	cgroupStem  = "descry-cluster-"
)

// cluster is where all of one cluster lies.
type cluster struct {
	dir          string // binaries and images, kept
	pidNS, proxy bool
}

func newCluster(dir string) *cluster { return &cluster{dir: dir} }

// cgroupName is the cluster's own: others on this machine lie in other directories.
func (c *cluster) cgroupName() string { return cgroupStem + sum([]byte(c.dir))[:8] }

func (c *cluster) bin(name string) string { return filepath.Join(c.dir, "bin", name) }
func (c *cluster) images() string         { return filepath.Join(c.dir, "images") }
func (c *cluster) runDir() string         { return filepath.Join(c.dir, "run") } // of the running cluster, made anew by up
func (c *cluster) at(name string) string  { return filepath.Join(c.runDir(), name) }
func (c *cluster) pki(name string) string { return filepath.Join(c.runDir(), "pki", name) }
func (c *cluster) log(name string) string { return filepath.Join(c.runDir(), "log", name) }

// node is the pid of the node's first process, 0 where no cluster is up.
func (c *cluster) node() int {
	b, err := os.ReadFile(c.at("node.pid"))
	if err != nil {
		return 0
	}
	pid, start, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	n, err := strconv.Atoi(pid)
	if err != nil || startTime(n) != start {
		return 0 // its number belongs to another process now
	}
	return n
}

// startTime tells processes apart that had one pid: field 22 of /proc/PID/stat.
func startTime(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 20 {
		return ""
	}
	return f[19]
}

// env is the environment of commands on the node.
func (c *cluster) env() []string {
	return append(os.Environ(),
		"PATH="+filepath.Join(c.dir, "bin")+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"KUBECONFIG="+c.pki("admin.kubeconfig"), "KUBECACHEDIR="+c.at("kubecache"), "HOME="+c.runDir())
}

// command is a command in the namespaces and cgroups of the node.
func (c *cluster) command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	if len(args) == 0 {
		return nil, errors.New("which command is to be run on the node?")
	}
	pid := c.node()
	if pid == 0 {
		return nil, errors.New("no cluster is up: go run ./test/cluster up")
	}
	groups, err := c.groups()
	if err != nil {
		return nil, err
	}
	// The shell joins the node's cgroups first, so that /proc/self/cgroup reads "/" in there.
	script := ""
	for _, g := range groups {
		script += "echo $$ > '" + g + "/cgroup.procs'; "
	}
	wd, _ := os.Getwd()
	script += `exec nsenter -t "$0" -m -n -u -i -C `
	if c.hasPIDNS(pid) {
		script += "-p "
	}
	script += `-w"$1" -- "${@:2}"`
	cmd := exec.CommandContext(ctx, "bash", append([]string{"-c", script, strconv.Itoa(pid), wd}, args...)...)
	cmd.Env = c.env()
	return cmd, nil
}

func (c *cluster) hasPIDNS(pid int) bool {
	a, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
	b, err2 := os.Readlink("/proc/self/ns/pid")
	return err == nil && err2 == nil && a != b
}
