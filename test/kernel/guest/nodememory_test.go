package guest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// bystander starts this binary as a child that descry does not watch.
func bystander(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	cmd := child(name)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

// littleMemory leaves a machine 250 MiB, so that who uses them up is soon done. The rest is given to
// huge pages that nobody uses.
func littleMemory(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	kib := map[string]int{}
	for l := range strings.Lines(string(b)) {
		var n int
		name, rest, _ := strings.Cut(l, ":")
		fmt.Sscan(rest, &n)
		kib[name] = n
	}
	if n := (kib["MemAvailable"] - 250<<10) / max(kib["Hugepagesize"], 1); n > 0 {
		sysctl(t, "vm.nr_hugepages", fmt.Sprint(n))
	}
}

var nodeMemory = []trial{
	{name: "memory-go", once: true, before: littleMemory, argv: []string{"child:memory"}, code: 137, cause: "node-memory", never: []string{"memory-limit"}, store: "node-memory/positive-real-go-hog"},
	{name: "memory-python", once: true, before: littleMemory, argv: []string{"python3", "memory.py"}, code: 137, cause: "node-memory", never: []string{"memory-limit"}, store: "node-memory/positive-real-python-hog"},
	{name: "memory-c", before: littleMemory, argv: []string{"memory.c"}, code: 137, cause: "node-memory", never: []string{"memory-limit"}, store: "node-memory/positive-real-c-hog"},
	{name: "memory-victim-python", once: true, before: littleMemory, argv: []string{"python3", "memory.py", "small"}, code: 137, cause: "node-memory", never: []string{"memory-limit"},
		midway: func(t *testing.T, r *running) { bystander(t, "hog"); <-r.ended }, store: "node-memory/positive-real-python-victim-of-another"},
	{name: "memory-child-of-sh", once: true, before: littleMemory, argv: []string{"/bin/sh", "-c", `GUEST_CHILD=memory "$0"; exit $?`, "child:pass"}, code: 137, cause: "node-memory",
		never: []string{"memory-limit"}, store: "node-memory/positive-real-shell-child"},
	{name: "memory-other-killed-python", once: true, before: littleMemory, argv: []string{"python3", "memory.py", "small"}, code: 1, cause: "exit-error", or: []string{"uncaught-error"}, never: []string{"node-memory", "memory-limit"},
		midway: func(t *testing.T, r *running) { bystander(t, "memory").Wait(); r.tell(t) }, store: "node-memory/near-miss-real-another-was-killed"},
	{name: "memory-other-killed-then-sigkill", once: true, before: littleMemory, argv: []string{"python3", "memory.py", "small"}, code: 137, cause: "killed", never: []string{"node-memory", "memory-limit"},
		midway: func(t *testing.T, r *running) {
			bystander(t, "memory").Wait()
			if err := syscall.Kill(r.pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}, store: "node-memory/near-miss-real-killed-by-hand"},
}
