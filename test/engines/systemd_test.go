package engines

import (
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

// systemd starts a real one, the first process of a pid namespace on the node, with these units beside what it needs itself.
// It gives who runs systemctl.
func systemd(n *node, units map[string]string) (systemctl func(args ...string) (string, error)) {
	n.t.Helper()
	const program = "/lib/systemd/systemd"
	if !exists(program) {
		n.t.Skip("needs the program systemd")
	}
	all := maps.Clone(units)
	all["dbus.socket"] = "[Socket]\nListenStream=/run/dbus/system_bus_socket\n"
	all["dbus.service"] = "[Unit]\nRequires=dbus.socket\n[Service]\nType=notify\nExecStart=" + need(n.t, "dbus-daemon") + " --system --address=systemd: --nofork --nopidfile --systemd-activation\n"
	wants := "dbus.service"
	for name, text := range all {
		n.file("/run/systemd/system/"+name, "[Unit]\nDefaultDependencies=no\n"+text+"\n")
		if units[name] != "" {
			wants += " " + name
		}
	}
	n.file("/run/systemd/system/trial.target", "[Unit]\nDefaultDependencies=no\nWants="+wants+"\n")
	first := n.daemon("systemd", "unshare", "-p", "-f", "--mount-proc", "--kill-child", "env", "container=test", program, "--system", "--unit=trial.target", "--log-target=console", "--log-level=info", "--show-status=no").Process.Pid
	return func(args ...string) (string, error) {
		pid := strings.TrimSpace(read(fmt.Sprintf("/proc/%d/task/%d/children", first, first)))
		return n.try(append([]string{"nsenter", "-t", pid, "-p", "--", "systemctl"}, args...)...)
	}
}

// What dies in a unit has the unit's name, and an end that systemd was asked for is none.
func TestSystemd(t *testing.T) {
	n := newNode(t, "hybrid")
	a := newAgent(n, "--standalone")
	a.watch()
	systemctl := systemd(n, map[string]string{
		"null.service":  "[Service]\nExecStart=" + filepath.Join(programs(t), "null"),
		"fails.service": "[Service]\nExecStart=/bin/sh -c 'sleep 0.3; exit 3'",
		"again.service": "StartLimitBurst=2\nStartLimitIntervalSec=1h\n[Service]\nRestart=on-failure\nRestartSec=100ms\nExecStart=/bin/sh -c 'sleep 0.3; exit 4'",
		"stays.service": "[Service]\nExecStart=/bin/sleep 1000",
	})
	unit := func(name string) (out []*evidence.Case) {
		for _, c := range a.cases() {
			if c.Kind == evidence.CaseDeath && strings.HasSuffix(c.Subject.Unit, "/system.slice/"+name) {
				out = append(out, c)
			}
		}
		return out
	}
	for name, want := range map[string]struct {
		code  int32
		cause string
		lives int
	}{"null.service": {139, "invalid-access", 1}, "fails.service": {3, "exit-error", 1}, "again.service": {4, "exit-error", 2}} {
		n.until("the case of "+name, func() bool { return len(unit(name)) >= want.lives })
		for _, c := range unit(name) {
			if c.Death.ExitCode != want.code || len(c.Findings) == 0 || c.Findings[0].Cause != want.cause {
				t.Errorf("%s: %s", name, show(c))
			}
		}
	}
	if _, err := systemctl("stop", "stays.service"); err != nil {
		t.Error(err)
	}
	if _, err := systemctl("restart", "fails.service"); err != nil {
		t.Error(err)
	}
	n.until("the next case", func() bool { return len(unit("fails.service")) == 2 })
	for _, c := range unit("stays.service") {
		t.Errorf("a case of what was stopped: %s", show(c))
	}
}

// Docker with the cgroups that systemd makes: a service of its own, and a scope for each container.
func TestSystemdDriver(t *testing.T) {
	for _, p := range []string{"dockerd", "containerd", "runc", "docker"} {
		need(t, p)
	}
	n := newNode(t, "hybrid")
	e := &engine{node: n, command: "docker"}
	systemd(n, map[string]string{"docker.service": "[Service]\nType=notify\nDelegate=yes\nKillMode=process\nExecStart=" + strings.Join(append([]string{need(t, "dockerd"), "--exec-opt", "native.cgroupdriver=systemd"}, dockerFlags...), " ")})
	n.until("Docker answers", func() bool { _, err := n.try("docker", "version"); return err == nil })
	n.run("docker", "import", n.image(), image)
	if out := n.run("docker", "info", "-f", "{{.CgroupDriver}}"); out != "systemd" {
		t.Fatal(out)
	}
	a := newAgent(n)
	a.watch()
	for _, x := range ends {
		if x.name == "null" || x.name == "fails" || x.name == "hog" {
			e.die(a, []end{x})
		}
	}
	e.again(a)
	e.box("stays", "", waits)
	a.named("stays")
	if s := a.subject("stays"); !strings.HasSuffix(s.Cgroup, "/system.slice/docker-"+s.ContainerID+".scope") {
		t.Errorf("its cgroup: %s", s.Cgroup)
	}
	a.none()
}
