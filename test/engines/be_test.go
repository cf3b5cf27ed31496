package engines

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// own are the node's own places on the machine.
var own = map[string]string{
	"/run": "run", "/var/lib/docker": "docker", "/var/lib/containers": "containers", "/var/log": "log",
}

// be is the node's first process: it mounts, and then takes in orphans until it is killed.
func be(args []string) error {
	dir, layout := args[0], args[1]
	if err := mounts(dir, layout); err != nil {
		return err
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("the node's network: %w: %s", err, out)
	}
	if err := unix.Sethostname([]byte("node1")); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	ready := filepath.Join(dir, "ready")
	if err := os.WriteFile(ready+".new", fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
		return err
	}
	if err := os.Rename(ready+".new", ready); err != nil {
		return err
	}
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); errors.Is(err, unix.ECHILD) {
			if err := unix.Nanosleep(&unix.Timespec{Nsec: 50e6}, nil); err != nil && !errors.Is(err, unix.EINTR) {
				return err
			}
		}
	}
}

// mounts makes the node's own places; all stay in its mount namespace.
func mounts(dir, layout string) error {
	for _, d := range []string{"/var/lib", "/etc"} {
		upper, work := filepath.Join(dir, "overlay"+d), filepath.Join(dir, "overlay-work"+d)
		if err := errors.Join(os.MkdirAll(upper, 0o755), os.MkdirAll(work, 0o755)); err != nil {
			return err
		}
		if err := unix.Mount("overlay", d, "overlay", 0, "lowerdir="+d+",upperdir="+upper+",workdir="+work); err != nil {
			return fmt.Errorf("lay a directory of the node's own over %s: %w", d, err)
		}
	}
	machine := filepath.Join(dir, "machine-cgroup")
	if err := os.MkdirAll(machine, 0o755); err != nil {
		return err
	}
	// The agent of a node sees the whole of its machine's cgroups, and this node is a part of one only.
	if err := unix.Mount("/sys/fs/cgroup", machine, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep the machine's cgroups in sight: %w", err)
	}
	if err := groupMounts(layout); err != nil {
		return err
	}
	for to, from := range own {
		from = filepath.Join(dir, from)
		if err := errors.Join(os.MkdirAll(from, 0o755), os.MkdirAll(to, 0o755)); err != nil {
			return err
		}
		if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s at %s: %w", from, to, err)
		}
	}
	if err := os.MkdirAll("/run/lock", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("share the node's mounts: %w", err)
	}
	return nil
}

// groupMounts mounts the hierarchies anew: their roots are the node's cgroups then.
func groupMounts(layout string) error {
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys of the node's network: %w", err)
	}
	const at = "/sys/fs/cgroup"
	if layout == "v2" {
		if err := unix.Mount("cgroup2", at, "cgroup2", 0, ""); err != nil {
			return fmt.Errorf("mount the cgroups: %w", err)
		}
		return nil
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", at, err)
	}
	for line := range strings.Lines(read("/proc/self/cgroup")) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		kind, dir, options := "cgroup", strings.TrimPrefix(f[1], "name="), f[1]
		if f[1] == "" {
			if layout == "v1" {
				continue
			}
			kind, dir, options = "cgroup2", "unified", ""
		}
		dir = filepath.Join(at, dir)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(kind, dir, kind, 0, options); err != nil {
			return fmt.Errorf("mount the cgroups %s: %w", f[1], err)
		}
	}
	return nil
}
