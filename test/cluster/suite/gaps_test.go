//go:build cluster

package suite

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// moments are lives between a moment and two seconds.
func moments(i int) float64 { return float64(i%9) / 4 }

// Fifty containers that live for a moment, at once: a case of each, and of none a second one.
func TestStorm(t *testing.T) {
	a := newAgent(t)
	a.start()
	q := newQuick(t)
	q.storm(50, 25, func(int) float64 { return 0 })
	q.work.Wait()
	if left := a.await(30*time.Second, func() []string { return q.amiss(a.list()) }); left != nil {
		t.Errorf("%d of %d:\n%s", len(left), len(q.ended()), strings.Join(left, "\n"))
	}
	q.check(a.list())
}

// check says that cases of none but these are there.
func (q *quick) check(cases []*evidence.Case) {
	q.t.Helper()
	ended := q.ended()
	for _, c := range cases {
		if _, ok := ended[c.Subject.ContainerID]; !ok {
			q.t.Errorf("a case of what is none of ours: %s", show(c))
		}
	}
}

// The agent is killed, comes again, is killed again, and is followed by another version, while containers die all the time:
// a case of each, and of none a second one.
func TestAgentComesAgain(t *testing.T) {
	a := newAgent(t)
	a.start()
	q := newQuick(t)
	done := make(chan struct{})
	go func() { q.storm(60, 8, moments); q.work.Wait(); close(done) }()
	rounds := 0
	for binary, over := os.Getenv("CLUSTER_DESCRY"), false; !over; rounds++ {
		select {
		case <-done:
			over = true
		case <-time.After(3 * time.Second):
		}
		sig := syscall.SIGKILL
		if rounds%3 == 2 {
			sig = syscall.SIGTERM
		}
		a.end(sig)
		time.Sleep(time.Duration(rounds%3) * 700 * time.Millisecond) // containers start, live and die meanwhile
		if rounds%2 == 1 {
			binary = os.Getenv("CLUSTER_DESCRY_NEXT")
		} else {
			binary = os.Getenv("CLUSTER_DESCRY")
		}
		a.startAs(binary)
	}
	if rounds < 3 {
		t.Errorf("the agent came again %d times: this shows little", rounds)
	}
	if left := a.await(30*time.Second, func() []string { return q.amiss(a.list()) }); left != nil {
		t.Errorf("the agent came again %d times; %d of %d:\n%s", rounds, len(left), len(q.ended()), strings.Join(left, "\n"))
	}
	q.check(a.list())
}

// Versions whose probes tell otherwise what they see follow each other, by -9 and by SIGTERM, while pods die: what is in the ring
// then is no more to be read. A case of each death all the same, and of none a second one.
func TestAgentOfOtherProbes(t *testing.T) {
	const pods = 36
	var list []workload
	for i := range pods {
		list = append(list, workload{
			name: fmt.Sprintf("ends-%d", i), spec: "  restartPolicy: Never\n" + one(imageC, "", "sh", "-c", fmt.Sprintf("sleep %d.%d; exit %d", i*2/3, i%10, 1+i)),
			dies: []death{{container: "c", image: imageC, causes: []string{"exit-error"}, first: []string{"exit-error"}, once: true}},
		})
	}
	a := newAgent(t)
	a.start()
	begin(t, "versions", list)
	versions := []string{os.Getenv("CLUSTER_DESCRY_LATER"), os.Getenv("CLUSTER_DESCRY"), os.Getenv("CLUSTER_DESCRY_LATER"), os.Getenv("CLUSTER_DESCRY_NEXT")}
	for i, next := range versions {
		time.Sleep(4 * time.Second) // pods die meanwhile
		a.end([]syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[i%2])
		time.Sleep(time.Duration(i%2) * time.Second)
		a.startAs(next)
	}
	if left := a.await(90*time.Second, func() []string { return missing(list, a.list(), 1) }); left != nil {
		t.Errorf("%d deaths without a case:\n%s", len(left), strings.Join(left, "\n"))
	}
	for _, w := range check("versions", list, a.list(), statuses(t, "versions")) {
		t.Error(w)
	}
	unseen := 0
	for _, c := range a.list() {
		i := 0
		if _, err := fmt.Sscanf(c.Subject.Pod, "ends-%d", &i); err != nil || c.Death.ExitCode != int32(1+i) {
			t.Errorf("another's exit code: %s", show(c))
		}
		if c.Death.Unseen {
			unseen++
		}
	}
	t.Logf("%d of %d deaths are told by the runtime alone", unseen, pods)
}

// What runs already when the agent comes is watched, and its death has a case; so has what runs when it goes and comes.
func TestAgentComesLater(t *testing.T) {
	list := []workload{
		{name: "early", why: "a null pointer, long after its start",
			spec: one(imageC, "", "sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.2; done; exec /opt/invalid-access/null"),
			dies: []death{{container: "c", image: imageC, causes: []string{"invalid-access"}, sure: certain, first: []string{"invalid-access"}}}},
		{name: "asked", why: "a KeyError, long after its start",
			spec: one(imagePython, "", "python3", "-c", "import os, time\nwhile not os.path.exists('/tmp/go'): time.sleep(0.2)\n{}['rate']"),
			dies: []death{{container: "c", image: imagePython, causes: []string{"uncaught-error"}, sure: likely}}},
		{name: "stays", why: "is well", spec: one(imageGo, "", "/opt/killed/goidle")},
	}
	begin(t, "later", list)
	for _, w := range list {
		until(t, "true", ready(t, "later", w.name))
	}
	a := newAgent(t)
	a.start()
	a.end(syscall.SIGKILL)
	a.start()
	for _, name := range []string{"early", "asked"} {
		kubectl(t, "-n", "later", "exec", name, "--", "touch", "/tmp/go")
	}
	if left := a.await(time.Minute, func() []string { return missing(list, a.list(), 1) }); left != nil {
		t.Errorf("no case: %s", strings.Join(left, "\n"))
	}
	for _, w := range check("later", list, a.list(), statuses(t, "later")) {
		t.Error(w)
	}
	for _, c := range a.list() {
		t.Log(show(c))
	}
}

func ready(t *testing.T, namespace, pod string) func() string {
	return func() string {
		out, _ := try(t, "-n", namespace, "get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].ready}")
		return out
	}
}

// Pods that are deleted while they work have no case; nor have commands that are run in them and fail.
func TestDeleted(t *testing.T) {
	list := []workload{
		{name: "store", spec: one(imageServers, "", "redis-server", "--save", "", "--bind", "127.0.0.1")},
		{name: "script", spec: one(imageC, "", "bash", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")},
		{name: "ends", spec: one(imagePython, "", "python3", "-c", "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\nprint('ready')\nwhile True: signal.pause()")},
		{name: "served", spec: one(imageGo, "", "/opt/killed/goidle")},
	}
	a := newAgent(t)
	a.start()
	begin(t, "deleted", list)
	for _, w := range list {
		until(t, "true", ready(t, "deleted", w.name))
	}
	for range 5 {
		if _, err := try(t, "-n", "deleted", "exec", "store", "--", "sh", "-c", "cat /no/such; exit 3"); err == nil {
			t.Error("the command in the pod was meant to fail")
		}
	}
	kubectl(t, "-n", "deleted", "delete", "pods", "--all", "--grace-period=10")
	time.Sleep(2 * time.Second) // there is nothing to wait for
	for _, c := range a.list() {
		t.Errorf("a case: %s", show(c))
	}
}

// The container runtime and the kubelet are killed and come again while pods die. No case is lost or doubled, and each has its
// names, those too of what died while the runtime could not be asked.
func TestRuntimeGone(t *testing.T) {
	list := []workload{
		{name: "quiet", spec: one(imageC, "", "/opt/exit-error/quiet"), dies: []death{{container: "c", image: imageC, causes: []string{"exit-error"}}}},
		{name: "list", spec: one(imageC, "", "sh", "-c", "sleep 2; exec /opt/invalid-access/null"), dies: []death{{container: "c", image: imageC, causes: []string{"invalid-access"}, sure: certain}}},
		{name: "store", spec: one(imageServers, "", "redis-server", "--save", "", "--bind", "127.0.0.1")},
	}
	a := newAgent(t)
	a.start()
	begin(t, "gone", list)
	for n, part := range []string{"containerd", "kubelet", "containerd"} {
		if left := a.await(2*time.Minute, func() []string { return missing(list, a.list(), n+1) }); left != nil {
			t.Fatalf("before %s was killed: %s", part, strings.Join(left, "\n"))
		}
		pid, err := os.ReadFile(filepath.Join(os.Getenv("CLUSTER_RUN"), part+".pid"))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("kill", "-9", strings.TrimSpace(string(pid))).CombinedOutput(); err != nil {
			t.Fatalf("kill %s: %v: %s", part, err, out)
		}
	}
	if left := a.await(2*time.Minute, func() []string { return missing(list, a.list(), 4) }); left != nil {
		t.Errorf("at the end: %s", strings.Join(left, "\n"))
	}
	truth := statuses(t, "gone")
	if left := a.await(30*time.Second, func() []string { return a.uncovered(truth) }); left != nil {
		t.Errorf("deaths without a case:\n%s", strings.Join(left, "\n"))
	}
	for _, w := range check("gone", list, a.list(), truth) {
		t.Error(w)
	}
}

// The file systems of the casebook and the agent's state are full: the newest cases stay, no case is torn or doubled, and all come again when there is room.
func TestNodeFull(t *testing.T) {
	a := newAgent(t)
	var disks []string
	for _, dir := range []string{"state", "cases"} {
		path := filepath.Join(a.dir, dir)
		disk := path + "-disk"
		for _, err := range []error{
			os.Mkdir(disk, 0o700), unix.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"),
			os.Mkdir(disk+"/"+dir, 0o700), os.Mkdir(path, 0o700), unix.Mount(disk+"/"+dir, path, "", unix.MS_BIND, ""),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		disks = append(disks, disk)
		t.Cleanup(func() { _, _ = unix.Unmount(path, unix.MNT_DETACH), unix.Unmount(disk, unix.MNT_DETACH) })
	}
	a.start()
	q := newQuick(t)
	q.storm(4, 4, moments)
	q.work.Wait()
	if left := a.await(30*time.Second, func() []string { return q.amiss(a.list()) }); left != nil {
		t.Fatalf("before: %s", strings.Join(left, "\n"))
	}
	before := len(a.list())
	var fillers []string
	for _, disk := range disks {
		path := filepath.Join(disk, "filler")
		fillers = append(fillers, path)
		_ = os.WriteFile(path, make([]byte, 4<<20), 0o600) // as much as there is room for
		if err := os.WriteFile(path+"2", make([]byte, 8192), 0o600); err == nil {
			t.Fatal("there is room yet")
		}
		_ = os.Remove(path + "2")
	}
	full := newQuick(t)
	full.storm(6, 6, moments)
	full.work.Wait()
	time.Sleep(2 * time.Second)
	clear(a.read)
	if n := len(a.list()); n < before/2 { // the oldest go for the newest, which may be larger
		t.Errorf("%d cases are left where there were %d", n, before)
	}
	a.end(syscall.SIGKILL) // and come again on a full disk
	a.start()
	for _, path := range fillers {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	later := newQuick(t)
	later.storm(4, 4, moments)
	later.work.Wait()
	if left := a.await(30*time.Second, func() []string { return later.amiss(a.list()) }); left != nil {
		t.Errorf("when there was room again: %s", strings.Join(left, "\n"))
	}
	clear(a.read)
	for _, left := range slices.Concat(q.amiss(a.list()), full.amiss(a.list())) {
		if !strings.HasSuffix(left, "has 0 cases") {
			t.Errorf("of what died before: %s", left)
		}
	}
	t.Logf("of %d deaths on a full disk %d have a case", len(full.ended()), len(full.ended())-len(full.amiss(a.list())))
}
