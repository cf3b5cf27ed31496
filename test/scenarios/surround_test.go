package scenarios

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// surround makes what the scenario wants around its program. Nothing of it reaches the machine:
// what is not the scenario's own directory stands in namespaces and cgroups that end with the test.
// Descry is started inside the namespaces too; the user and the cgroups are the program's alone.
func (r *Run) surround() {
	s := r.s
	if s.NetNS || len(s.Mounts) > 0 {
		r.namespaces()
	}
	for i, m := range s.Mounts {
		if m.FS != "" {
			r.mount(m, i)
		}
	}
	r.files()
	for i, m := range s.Mounts {
		if m.FS == "" {
			r.mount(m, i)
		}
	}
	for _, line := range s.Net {
		r.Inside("sh", "-c", line)
	}
	if s.MemCG != 0 {
		r.cgroup = r.makeCgroup("memory", []setting{
			{"memory.limit_in_bytes", "memory.max", s.MemCG},
			{"memory.memsw.limit_in_bytes", "", s.MemCG}, {"", "memory.swap.max", 0}, // absent without swap accounting
		})
	}
	if s.PidsMax != 0 {
		r.pids = r.makeCgroup("pids", []setting{{"pids.max", "pids.max", s.PidsMax}})
	}
}

// surroundingNeeds lists what the machine must have for them.
func (s *Scenario) surroundingNeeds() []string {
	var n []string
	if s.NetNS {
		n = append(n, "root: network namespace")
	}
	for _, line := range s.Net {
		n = append(n, strings.Fields(line)[0])
	}
	for _, m := range s.Mounts {
		n = append(n, "root: mount namespace", "mount")
		if m.FS == "ext4" {
			n = append(n, "mkfs.ext4")
		}
	}
	if s.UID != 0 {
		n = append(n, "root: another user", "setpriv")
	}
	if s.PidsMax != 0 {
		n = append(n, "root: cgroup of pids")
	}
	return n
}

// namespaces makes a mount namespace, and with NetNS one of the network, that live until the test's end.
func (r *Run) namespaces() {
	hold := map[string]string{}
	for k, v := range r.s.Sysctl {
		hold[k] = v
	}
	if r.s.Ports != "" {
		hold["net/ipv4/ip_local_port_range"] = r.s.Ports
	}
	c := r.launcher(launch{Hold: hold, NetNS: r.s.NetNS}, "hold-"+r.mark)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if r.s.NetNS {
		c.SysProcAttr.Cloneflags |= unix.CLONE_NEWNET
	}
	in, err := c.StdinPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		r.t.Skipf("needs root: namespaces: %v", err)
	}
	r.t.Cleanup(func() { in.Close(); c.Wait() })
	b := make([]byte, 5)
	if _, err := io.ReadFull(out, b); err != nil || string(b) != "ready" {
		r.t.Fatalf("namespaces: %q, %v", b, err)
	}
	r.holder = c.Process.Pid
}

// Path is where the test finds a file that the program finds at path: in the working directory when
// it is relative, and as the scenario's mounts have it.
func (r *Run) Path(path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(r.dir, path)
	}
	if r.holder == 0 {
		return path
	}
	return fmt.Sprintf("/proc/%d/root%s", r.holder, path)
}

func (r *Run) files() {
	s := r.s
	for _, name := range slices.Sorted(func(yield func(string) bool) { // directories before what is in them
		for name := range s.Files {
			if !yield(name) {
				return
			}
		}
	}) {
		text, path, mode := s.Files[name], r.Path(name), os.FileMode(0o644)
		if strings.HasSuffix(name, "/") {
			mode = 0o777
			if err := os.MkdirAll(path, mode); err != nil {
				r.t.Fatal(err)
			}
		} else {
			if strings.HasPrefix(text, "#!") {
				mode = 0o755
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				r.t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "{DIR}", r.dir)), mode); err != nil {
				r.t.Fatal(err)
			}
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			r.t.Fatal(err)
		}
	}
	for name, uid := range s.Owner {
		if err := os.Chown(r.Path(name), uid, uid); err != nil {
			r.t.Fatal(err)
		}
	}
	for name, mode := range s.Modes {
		if err := os.Chmod(r.Path(name), mode); err != nil {
			r.t.Fatal(err)
		}
	}
}

// mount number i, by mount(8).
func (r *Run) mount(m Mount, i int) {
	m.At = strings.ReplaceAll(m.At, "{dir}", r.dir)
	beside := filepath.Join(filepath.Dir(r.dir), fmt.Sprintf("mount%d", i))
	switch {
	case m.FS == "ext4":
		size, inodes, opt := "1m", "64", []string{"loop"}
		for _, o := range strings.Split(m.Opt, ",") {
			if v, ok := strings.CutPrefix(o, "size="); ok {
				size = v
			} else if v, ok := strings.CutPrefix(o, "inodes="); ok {
				inodes = v
			} else if o != "" {
				opt = append(opt, o)
			}
		}
		r.Inside("rm", "-f", beside)
		r.Inside("truncate", "-s", size, beside)
		r.Inside("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-m", "0", "-N", inodes, "-E", "root_owner=0:0", beside)
		r.Inside("mkdir", "-p", m.At)
		r.Inside("mount", "-t", "ext4", "-o", strings.Join(opt, ","), beside, m.At)
		r.Inside("chmod", "777", m.At)
	case m.FS != "":
		if m.FS == "tmpfs" && !strings.Contains(m.Opt, "mode=") {
			m.Opt = strings.TrimPrefix(m.Opt+",mode=777", ",")
		}
		r.Inside("mkdir", "-p", m.At)
		r.Inside("mount", "-t", m.FS, "-o", cmp.Or(m.Opt, "defaults"), m.FS, m.At)
	case m.Text != "":
		if err := os.WriteFile(beside, []byte(strings.ReplaceAll(m.Text, "{DIR}", r.dir)), 0o644); err != nil {
			r.t.Fatal(err)
		}
		r.Inside("mount", "--bind", beside, m.At)
		if m.Opt != "" {
			r.Inside("mount", "-o", "remount,bind,"+m.Opt, m.At)
		}
	default:
		r.Inside("mount", "--bind", m.At, m.At)
		r.Inside("mount", "-o", "remount,bind,"+m.Opt, m.At)
	}
}

type setting struct {
	v1, v2 string // file, "": not there
	value  uint64
}

// makeCgroup makes a cgroup with these limits, of whichever version this machine has. The first
// setting must succeed.
func (r *Run) makeCgroup(controller string, settings []setting) string {
	name := "descry-scenario-" + r.mark
	for i, base := range []string{"/sys/fs/cgroup/" + controller, "/sys/fs/cgroup"} {
		dir := filepath.Join(base, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		r.t.Cleanup(func() {
			for range 200 { // the dead leave it a moment after they were reaped
				if os.Remove(dir) == nil {
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
			r.t.Errorf("could not remove %s", dir)
		})
		var err error
		for k, s := range settings {
			file := []string{s.v1, s.v2}[i]
			if file == "" {
				continue
			}
			f, e := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
			if e == nil {
				_, e = f.WriteString(strconv.FormatUint(s.value, 10))
				f.Close()
			}
			if k == 0 {
				err = e
			}
		}
		if err == nil {
			return dir
		}
	}
	r.t.Skipf("needs root: a cgroup of %s that can be made", controller)
	return ""
}

// wrap makes the program enter its cgroup of pids and become its user.
func (r *Run) wrap(argv []string) []string {
	s := r.s
	if s.UID != 0 && r.uid == 0 {
		id := strconv.Itoa(s.UID)
		w := []string{"setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups"}
		if len(s.Groups) > 0 {
			w[3] = "--groups=" + strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Groups), " ", ","), "[]")
		}
		argv = append(w, argv...)
	}
	if r.pids != "" {
		argv = append([]string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, r.pids}, argv...)
	}
	return argv
}

// handOver copies our programs to where another user can read them.
func (r *Run) handOver(argv []string) {
	for i, w := range argv {
		if !strings.HasPrefix(w, self) && !strings.Contains(w, "descry-scenarios") {
			continue
		}
		dir := filepath.Join(filepath.Dir(r.dir), "programs")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			r.t.Fatal(err)
		}
		argv[i] = filepath.Join(dir, filepath.Base(w))
		if out, err := exec.Command("cp", "-rT", w, argv[i]).CombinedOutput(); err != nil {
			r.t.Fatalf("copy %s: %s", w, out)
		}
		if out, err := exec.Command("chmod", "-R", "a+rX", argv[i]).CombinedOutput(); err != nil {
			r.t.Fatalf("chmod %s: %s", w, out)
		}
	}
}

// Helper starts another program in the run's namespaces, as root, and ends it with the run. It
// waits until the helper wrote text to its stdout or stderr; no text: does not wait.
func (r *Run) Helper(text string, argv ...string) *exec.Cmd {
	r.t.Helper()
	c := r.launcher(launch{Argv: r.found(argv)}, "helper-"+r.mark)
	out := newCapture()
	rd, wr, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	c.Stdout, c.Stderr = wr, wr
	if err := c.Start(); err != nil {
		r.t.Fatalf("start %s: %v", argv[0], err)
	}
	wr.Close()
	go func() { io.Copy(out, rd); out.end(); rd.Close() }()
	r.t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	if text != "" && !out.await(text) {
		r.t.Fatalf("helper %s never wrote %q: %.1000q", argv[0], text, out)
	}
	return c
}

// Inside runs a command in the run's namespaces, as root, to its end, and gives what it wrote;
// {dir} in a word is the working directory. It fails the test when the command fails.
func (r *Run) Inside(argv ...string) string {
	r.t.Helper()
	out, err := r.launcher(launch{Argv: r.found(argv)}, "inside-"+r.mark).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s: %v\n%.2000s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

func (r *Run) found(argv []string) []string {
	argv = slices.Clone(argv)
	if p, ok := lookPath(argv[0]); ok && !strings.Contains(argv[0], "/") {
		argv[0] = p
	}
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], "{dir}", r.dir)
	}
	return argv
}

// launcher is a command that does what l says, in the run's namespaces and working directory.
func (r *Run) launcher(l launch, mark string) *exec.Cmd {
	l.Join, l.Dir = r.holder, r.dir
	b, err := json.Marshal(l)
	if err != nil {
		r.t.Fatal(err)
	}
	c := exec.Command("/proc/self/exe")
	c.Dir = r.dir
	var env []string
	for _, e := range os.Environ() {
		if k, _, _ := strings.Cut(e, "="); k != "LANG" && k != "LC_ALL" && k != "NODE_OPTIONS" && k != "GOTRACEBACK" && k != "PYTHONPATH" && k != "JAVA_TOOL_OPTIONS" {
			env = append(env, e)
		}
	}
	if l.UID != 0 || r.s.UID != 0 {
		env = append(env, "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin") // root's may hold what others cannot enter
	}
	c.Env = append(env, "LC_ALL=C.UTF-8", "PYTHONUNBUFFERED=1", "NO_COLOR=1", "TMPDIR="+r.dir, "HOME="+r.dir,
		launchEnv+"="+string(b), marker+"="+mark)
	c.Env = append(c.Env, r.s.Env...)
	return c
}
