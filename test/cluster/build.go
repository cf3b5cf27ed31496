package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Versions of what the Go module in tools builds; go.mod has the same.
const (
	kubernetesVersion = "v1.34.4"
	containerdVersion = "v2.2.9"
)

// hyperNames are the parts of Kubernetes that are one binary, by the name that it is called with.
var hyperNames = []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"}

// needs are programs from Debian, and their packages.
var needs = []struct{ program, pkg string }{
	{"runc", "runc"}, {"/usr/lib/cni/bridge", "containernetworking-plugins"}, {"iptables", "iptables"},
	{"ip", "iproute2"}, {"/bin/busybox", "busybox-static"}, {"nsenter", "util-linux"},
}

// checkNeeds says in one error which packages are missing.
func checkNeeds() error {
	var missing []string
	for _, n := range needs {
		if _, err := exec.LookPath(n.program); err != nil {
			missing = append(missing, n.pkg)
		}
	}
	if missing != nil {
		return fmt.Errorf("the node needs packages of Debian: apt-get install --no-install-recommends %s", strings.Join(missing, " "))
	}
	return nil
}

// build makes the binaries and images that are not there yet. Cold, Kubernetes takes about 12 minutes
// of CPU time.
func (c *cluster) build(ctx context.Context) error {
	if err := checkNeeds(); err != nil {
		return err
	}
	tools, err := toolsDir()
	if err != nil {
		return err
	}
	stamp, err := sourceHash(tools)
	if err != nil {
		return err
	}
	if b, _ := os.ReadFile(c.bin("stamp")); string(b) != stamp {
		if err := c.buildBinaries(ctx, tools); err != nil {
			return err
		}
		if err := os.WriteFile(c.bin("stamp"), []byte(stamp), 0o644); err != nil {
			return err
		}
	}
	return c.buildImages(ctx)
}

func (c *cluster) buildBinaries(ctx context.Context, tools string) error {
	from := time.Now()
	fmt.Println("building Kubernetes and containerd, once; cold this takes about 12 minutes of CPU time")
	if err := os.MkdirAll(c.bin(""), 0o755); err != nil {
		return err
	}
	version := "-s -w -X k8s.io/component-base/version.gitVersion=" + kubernetesVersion +
		" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34" +
		" -X k8s.io/client-go/pkg/version.gitVersion=" + kubernetesVersion +
		" -X github.com/containerd/containerd/v2/version.Version=" + containerdVersion
	for _, b := range [][]string{
		{c.bin("") + "/", "./hyper", "github.com/containerd/containerd/v2/cmd/containerd", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/ctr"},
		{c.bin("kubectl"), "k8s.io/kubernetes/cmd/kubectl"},
		{c.bin("etcd"), "go.etcd.io/etcd/server/v3"},
	} {
		cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-tags", "no_btrfs,no_devmapper,no_zfs", "-ldflags", version, "-o"}, b...)...)
		cmd.Dir = tools
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false", "GOGC=400")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build the node's binaries in %s: %w", tools, err)
		}
	}
	for _, name := range hyperNames {
		if err := os.Remove(c.bin(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink("hyper", c.bin(name)); err != nil {
			return err
		}
	}
	fmt.Printf("built in %.0f s\n", time.Since(from).Seconds())
	return nil
}

// toolsDir is the Go module of the binaries.
func toolsDir() (string, error) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/descry-dev/descry/test/cluster").Output()
	if err != nil {
		return "", fmt.Errorf("find the project's sources: %w (run it inside of the project)", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "tools"), nil
}

// sourceHash changes with what the binaries are made of.
func sourceHash(tools string) (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum", "hyper/main.go"} {
		b, err := os.ReadFile(filepath.Join(tools, name))
		if err != nil {
			return "", err
		}
		h.Write(b)
	}
	v, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		return "", err
	}
	h.Write(bytes.TrimSpace(v))
	return hex.EncodeToString(h.Sum(nil)), nil
}
