package engines

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wordEnv says what the test binary is to be in place of the tests.
const wordEnv = "DESCRY_ENGINES"

func TestMain(m *testing.M) {
	args := os.Args[1:]
	var err error
	switch os.Getenv(wordEnv) {
	case "":
		code := m.Run()
		if built.dir != "" {
			os.RemoveAll(built.dir)
		}
		os.Exit(code)
	case "keep":
		err = keep(args)
	case "join":
		err = join(args)
	case "be":
		err = be(args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "engines:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// node is a machine for an engine: namespaces and cgroups of its own.
type node struct {
	t      *testing.T
	dir    string
	name   string
	layout string // of cgroups: "v1", "v2", "hybrid"
	scope  string // its cgroup, as /proc/PID/cgroup has it
	groups []string
	pid    int // of its first process
}

var nodes atomic.Int32

// patience is how long a condition is waited for that comes in a second on an idle machine.
const patience = 90 * time.Second

// newNode makes one whose processes see the cgroups as a machine of that layout has them. Controllers are as on this
// machine: where it has them in hierarchies of version 1, version 2 has none.
func newNode(t *testing.T, layout string) *node {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("an engine needs root")
	}
	for _, p := range []string{"unshare", "nsenter", "ip"} {
		need(t, p)
	}
	n := &node{t: t, layout: layout, name: fmt.Sprintf("descry-engines-%d-%d", os.Getpid(), nodes.Add(1))}
	// Sockets have short names, and what the engine leaves is removed when all is unmounted.
	var err error
	if n.dir, err = os.MkdirTemp("", "engine"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(n.dir); err != nil {
			t.Error(err)
		}
	})
	n.makeGroups()
	n.keeper()
	log := n.at("node.log")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	n.start(log, nil, "join", append(n.groups, "--", "unshare", "-m", "-n", "-u", "-i", "-C", "--propagation", "private",
		"env", wordEnv+"=be", self, n.dir, layout))
	n.until("the node is ready", func() bool {
		if said := read(log); said != "" {
			t.Fatalf("the node: %s", said)
		}
		_, err := fmt.Sscan(read(n.at("ready")), &n.pid)
		return err == nil
	})
	return n
}

func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("needs the program %s", program)
	}
	return path
}

func read(file string) string {
	b, _ := os.ReadFile(file)
	return string(b)
}

func (n *node) at(name string) string { return filepath.Join(n.dir, name) }

func (n *node) until(what string, met func() bool) {
	n.t.Helper()
	for end := time.Now().Add(patience); !met(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("waited in vain: %s", what)
		}
	}
}

// makeGroups makes a cgroup in each hierarchy, below the test's own.
func (n *node) makeGroups() {
	n.t.Helper()
	for line := range strings.Lines(read("/proc/self/cgroup")) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		root := filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(f[1], "name="))
		if f[1] == "" {
			if root = "/sys/fs/cgroup"; !exists(root + "/cgroup.controllers") {
				root += "/unified"
			}
		}
		dir := filepath.Join(root, f[2], n.name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			n.t.Skip("needs to make cgroups: ", err)
		}
		if f[1] == "cpuset" { // empty in a new one, and nothing may join it then
			for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(read(filepath.Join(filepath.Dir(dir), name))), 0o644); err != nil {
					n.t.Fatal(err)
				}
			}
			_ = os.WriteFile(filepath.Join(dir, "cgroup.clone_children"), []byte("1"), 0o644)
		}
		n.groups = append(n.groups, dir)
		if n.scope == "" || f[1] == "pids" || f[1] == "" && !exists("/sys/fs/cgroup/pids") {
			n.scope = filepath.Join(f[2], n.name)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// keeper starts who ends all when the test does.
func (n *node) keeper() {
	n.t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{n.dir}, n.groups...)...)
	cmd.Env = append(os.Environ(), wordEnv+"=keep")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			n.t.Errorf("take the node down: %v: %s", err, said.Bytes())
		}
	})
}

// keep waits until nobody holds its standard input, ends all that is in the cgroups, and removes them and the directory: DIR GROUP…
func keep(args []string) error {
	_, _ = io.Copy(io.Discard, os.Stdin)
	groups := args[1:]
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		left := 0
		for _, g := range groups {
			_ = os.WriteFile(filepath.Join(g, "cgroup.kill"), []byte("1"), 0)
			_ = filepath.WalkDir(g, func(dir string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					for pid := range strings.FieldsSeq(read(filepath.Join(dir, "cgroup.procs"))) {
						left++
						var p int
						if _, err := fmt.Sscan(pid, &p); err == nil && p > 1 {
							_ = unix.Kill(p, unix.SIGKILL)
						}
					}
				}
				return nil
			})
		}
		var err error
		if left == 0 {
			for _, g := range groups {
				err = errors.Join(err, removeGroup(g))
			}
			if err == nil {
				return os.RemoveAll(args[0])
			}
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes are left: %w", left, err)
		}
	}
}

func removeGroup(dir string) error {
	all, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range all {
		if d.IsDir() {
			if err := removeGroup(filepath.Join(dir, d.Name())); err != nil {
				return err
			}
		}
	}
	return unix.Rmdir(dir)
}

// join joins cgroups and becomes another program: GROUP… -- PROGRAM ARG…
func join(args []string) error {
	for i, a := range args {
		if a != "--" {
			if err := os.WriteFile(filepath.Join(a, "cgroup.procs"), []byte("0"), 0); err != nil {
				return fmt.Errorf("join a cgroup: %w", err)
			}
			continue
		}
		path, err := exec.LookPath(args[i+1])
		if err != nil {
			return err
		}
		os.Unsetenv(wordEnv)
		return unix.Exec(path, args[i+1:], os.Environ())
	}
	return errors.New("join what?")
}

// start starts a process in the cgroups of the node, whose output goes to a file.
func (n *node) start(log string, env []string, word string, args []string) *exec.Cmd {
	n.t.Helper()
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		n.t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(append(os.Environ(), wordEnv+"="+word), env...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { // the keeper ends it
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if n.t.Failed() {
			b := read(log)
			n.t.Logf("%s:\n%s", log, b[max(0, len(b)-6000):])
		}
	})
	return cmd
}

// inside are the arguments of join that run a command on the node.
func (n *node) inside(args []string) []string {
	return append(append(append([]string{}, n.groups...), "--", "nsenter", "-t", fmt.Sprint(n.pid), "-m", "-n", "-u", "-i", "-C", "--"), args...)
}

// daemon starts a program that stays, on the node.
func (n *node) daemon(name string, args ...string) *exec.Cmd {
	n.t.Helper()
	return n.start(n.at(name+".log"), []string{"TMPDIR=/run"}, "join", n.inside(args))
}

// try runs a command on the node.
func (n *node) try(args ...string) (string, error) {
	cmd := exec.Command("/proc/self/exe", n.inside(args)...)
	cmd.Env = append(os.Environ(), wordEnv+"=join", "TMPDIR=/run")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, errs.Bytes())
	}
	return strings.TrimSpace(out.String()), nil
}

// run is likewise, of one that must not fail.
func (n *node) run(args ...string) string {
	n.t.Helper()
	from := time.Now()
	out, err := n.try(args...)
	if err != nil {
		n.t.Fatal(err)
	}
	if d := time.Since(from); d > 2*time.Second {
		n.t.Logf("%s: %s", args, d)
	}
	return out
}
