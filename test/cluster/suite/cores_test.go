//go:build cluster

package suite

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/casebook"
	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/test/exclusive"
)

// shareRun gives the node the machine's /run/descry for its own: the kernel looks for sockets from the machine's root,
// which of a real node is the same.
func shareRun(t *testing.T) {
	t.Helper()
	const dir = "/run/descry"
	machine := "/proc/" + os.Getenv("CLUSTER_MACHINE_PID") // of who runs the tests, outside of the node
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(machine + "/root" + dir); errors.Is(err, os.ErrNotExist) {
		if err := os.Mkdir(machine+"/root"+dir, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(machine + "/root" + dir) }) // unless somebody else has put something there
	}
	fds, failed := make(chan int, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread is in another namespace then
		ns, err := os.Open(machine + "/ns/mnt")
		if err == nil {
			defer ns.Close()
			err = errors.Join(unix.Unshare(unix.CLONE_FS), unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS))
		}
		fd := -1
		if err == nil {
			fd, err = unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		}
		failed <- err
		fds <- fd
	}()
	if err := <-failed; err != nil {
		t.Fatalf("find the machine's %s: %v", dir, err)
	}
	fd := <-fds
	defer unix.Close(fd)
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		t.Fatalf("mount the machine's %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount the machine's %s: %v", dir, err)
		}
	})
}

// The agent in its pod receives the cores of the node: a pod's program faults, and its case has the core's stacks; after the
// agent was killed, and upgraded, too. In the end core_pattern is what it was.
func TestDeployedCores(t *testing.T) {
	pattern := exclusive.CorePattern(t)
	before := pattern()
	shareRun(t)
	loadPrograms(t)
	install(t, "agent.cores=stacks")
	ours := func() {
		t.Helper()
		until(t, "|/run/descry/core-handler ", pattern)
		until(t, "True", ofAgent(t, `.status.conditions[?(@.type=="Ready")].status`))
	}
	ours()
	book := casebook.New(filepath.Join(deployState, "cases"), casebook.Bounds{})
	cored := func(name string) {
		t.Helper()
		spec := workload{name: name, spec: "  restartPolicy: Never\n" + one(imageC, "", "/opt/invalid-access/null")}
		apply(t, spec.manifest("default"))
		t.Cleanup(func() { kubectlLater("delete", "pod", name, "--grace-period=1", "--wait=false") })
		var found *evidence.Case
		until(t, "found", func() string {
			entries, _, err := book.List()
			if err != nil {
				return err.Error()
			}
			for _, e := range entries {
				if e.Pod == name && e.Kind == evidence.CaseDeath {
					if c, err := book.Get(e.ID); err == nil {
						found = c
						return "found"
					}
				}
			}
			return "no case of " + name
		})
		if cause, _ := verdict(found); cause != "invalid-access" {
			t.Errorf("%s", show(found))
		}
		if found.Core == nil || len(found.Core.Frames) == 0 {
			t.Fatalf("%s: its case has no core: %+v", name, found.Core)
		}
		stack := ""
		for _, f := range found.Core.Frames {
			stack += f.Function + " "
		}
		if !strings.Contains(stack, "main") {
			t.Errorf("%s: the core's stack is %s", name, stack)
		}
	}
	cored("faults-first")
	if err := syscall.Kill(agentPID(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "1", ofAgent(t, ".status.containerStatuses[0].restartCount"))
	ours()
	cored("faults-after-kill")
	kubectl(t, "-n", deployNS, "rollout", "restart", "ds/descry")
	kubectl(t, "-n", deployNS, "rollout", "status", "ds/descry", "--timeout=55s")
	ours()
	cored("faults-after-upgrade")
	// Killed, and gone for good before it could come again.
	pid := agentPID(t)
	manifest := chart(t, "agent.cores=stacks,uninstall=true,pauseImage="+os.Getenv("CLUSTER_PAUSE_IMAGE"))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	applied(t, manifest)
	kubectl(t, "-n", deployNS, "rollout", "status", "ds/descry", "--timeout=55s")
	until(t, "done True", ofAgent(t, `.spec.containers[0].name} {.items[*].status.conditions[?(@.type=="Ready")].status`))
	until(t, before, pattern)
	if now := pattern(); now != before {
		t.Errorf("core_pattern is %q after all was removed, and was %q", now, before)
	}
}
