package main

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed conf
var conf embed.FS

// inside is what the program does as the node's first processes.
func inside(word string) int {
	c := newCluster(os.Getenv("CLUSTER_DIR"))
	c.pidNS, c.proxy = os.Getenv("CLUSTER_PIDNS") == "true", os.Getenv("CLUSTER_PROXY") == "true"
	do := c.enter
	if word == nodeWord {
		do = c.be
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	return 0
}

// enter joins the cluster's cgroups and becomes the parent of the node, whose cgroup namespace begins there.
func (c *cluster) enter() error {
	if err := c.joinGroups(); err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", nodeWord)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	flags := unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP
	if c.pidNS {
		flags |= unix.CLONE_NEWPID
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(flags), Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("make the node's namespaces: %w", err)
	}
	pid := cmd.Process.Pid
	if err := os.WriteFile(c.at("node.pid"), fmt.Appendf(nil, "%d %s\n", pid, startTime(pid)), 0o644); err != nil {
		return err
	}
	return cmd.Wait()
}

// be is the node: it mounts, sets up the network, starts the parts in order, and stays until it is killed.
func (c *cluster) be() error {
	n := &node{cluster: c, from: time.Now(), died: make(chan error, 16)}
	for _, step := range []func() error{n.mounts, n.network, n.parts} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := os.WriteFile(c.at("ready"), nil, 0o644); err != nil {
		return err
	}
	return <-n.died
}

type node struct {
	*cluster
	from time.Time
	died chan error
}

func (n *node) stamp(what string) {
	fmt.Printf("%-26s %6d ms\n", what, time.Since(n.from).Milliseconds())
}

// hostSysctls are what the kubelet insists on writing though they belong to the whole machine: it gets plain files.
var hostSysctls = map[string]string{
	"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1",
	"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}

// mounts makes the node's own places; all stay in its mount namespace.
func (n *node) mounts() error {
	if err := unix.Sethostname([]byte(nodeName)); err != nil {
		return err
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if n.pidNS {
		if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			return fmt.Errorf("mount /proc: %w", err)
		}
	}
	// The machine may have no such directories. What is made on it for one cluster could not be removed under another.
	for _, dir := range []string{"/var/lib", "/etc"} {
		if err := n.overlay(dir); err != nil {
			return err
		}
	}
	for to, from := range map[string]string{
		"/run": "fs-run", "/var/lib/kubelet": "fs-kubelet", "/var/lib/containerd": "fs-containerd",
		"/var/log": "fs-log", "/etc/cni": "fs-cni", "/var/lib/cni": "fs-cnistate",
	} {
		for _, dir := range []string{n.at(from), to} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		if err := bind(n.at(from), to); err != nil {
			return err
		}
	}
	for _, dir := range []string{"/run/lock", "/run/nri", "/etc/cni/net.d", "/etc/kubernetes/manifests", n.at("etcd"), n.at("sysctl")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for name, to := range map[string]string{
		"10-bridge.conflist": "/etc/cni/net.d/10-bridge.conflist", "kubelet.yaml": n.at("kubelet.yaml"), "containerd.toml": n.at("containerd.toml"),
	} {
		b, err := conf.ReadFile("conf/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, []byte(strings.ReplaceAll(string(b), "@PKI@", n.pki(""))), 0o644); err != nil {
			return err
		}
	}
	// The agent of a node sees the whole of its machine's cgroups, and this node is a part of one only.
	if err := os.MkdirAll(n.at("machine-cgroup"), 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/sys/fs/cgroup", n.at("machine-cgroup"), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep the machine's cgroups in sight: %w", err)
	}
	if err := n.groupMounts(string(groups)); err != nil {
		return err
	}
	for name, value := range hostSysctls {
		file := filepath.Join(n.at("sysctl"), strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := bind(file, "/proc/sys/"+name); err != nil {
			return err
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the node's mounts with its pods: %w", err)
	}
	n.stamp("mounts")
	return nil
}

// overlay lets the node write below a directory of the machine, which stays as it is.
func (n *node) overlay(dir string) error {
	upper, work := n.at("overlay"+dir), n.at("overlay-work"+dir)
	for _, d := range []string{upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("overlay", dir, "overlay", 0, "lowerdir="+dir+",upperdir="+upper+",workdir="+work); err != nil {
		return fmt.Errorf("lay a directory of the node's own over %s: %w", dir, err)
	}
	return nil
}

func bind(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s at %s: %w", from, to, err)
	}
	return nil
}

// groupMounts mounts the hierarchies anew: their roots are the cluster's cgroups then.
func (n *node) groupMounts(own string) error {
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys of the node's network: %w", err)
	}
	if err := unix.Mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /sys/fs/cgroup: %w", err)
	}
	for line := range strings.Lines(own) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		dir, kind, options := strings.TrimPrefix(f[1], "name="), "cgroup", f[1]
		if f[1] == "" {
			dir, kind, options = "unified", "cgroup2", ""
		}
		dir = filepath.Join("/sys/fs/cgroup", dir)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(kind, dir, kind, 0, options); err != nil {
			return fmt.Errorf("mount the cgroups %s: %w", f[1], err)
		}
	}
	return nil
}

// network gives the node an address and no way out.
func (n *node) network() error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", serviceIP + "/32", "dev", "lo"},
		{"link", "add", "node0", "type", "bridge"}, // dummy devices are not in every kernel
		{"addr", "add", nodeIP + "/32", "dev", "node0"},
		{"link", "set", "node0", "up"},
		{"route", "add", "default", "dev", "node0", "src", nodeIP},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("let packets of pods pass: %w", err)
	}
	n.stamp("network")
	return nil
}

// run starts a part, whose output goes to a log of its own. Its end is the end of the node.
func (n *node) run(name string, args ...string) error {
	f, err := os.Create(n.log(name))
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.Command(n.bin(name), args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // what restarts a part signals its group
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	if err := os.WriteFile(n.at(name+".pid"), fmt.Appendf(nil, "%d\n", cmd.Process.Pid), 0o644); err != nil {
		return err
	}
	go func() {
		err := cmd.Wait()
		for name == "containerd" || name == "kubelet" { // tests restart them
			n.stamp(name + " ended: " + fmt.Sprint(err))
			if err = n.run(name, args...); err == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		n.died <- fmt.Errorf("%s ended: %w, see %s", name, errors.Join(err), n.log(name))
	}()
	return nil
}

// until asks again and again until ask says yes.
func (n *node) until(what string, ask func() bool) error {
	for limit := time.Now().Add(upLimit); time.Now().Before(limit); {
		if ask() {
			n.stamp(what)
			return nil
		}
		select {
		case err := <-n.died:
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s: not after %s", what, upLimit)
}

func (n *node) kubectl(args ...string) (string, bool) {
	out, err := exec.Command(n.bin("kubectl"), args...).Output()
	return string(out), err == nil
}
