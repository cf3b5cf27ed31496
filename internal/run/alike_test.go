package run

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What a program can find out about itself is the same with and without a watcher.
func TestAlike(t *testing.T) {
	status := "$W grep -E '^(Sig[PBIC]|ShdPnd|Umask|Cap|Seccomp|NoNewPrivs|Cpus|Threads|CoreDumping|Uid|Gid|Groups|State)' /proc/self/status"
	for name, text := range map[string]string{
		"status":                   status,
		"limits":                   "$W cat /proc/self/limits",
		"ulimit":                   "$W sh -c 'ulimit -a'",
		"soft limit lowered":       "ulimit -Sn 256; $W sh -c 'ulimit -Sn; ulimit -Hn'",
		"hard limit lowered":       "ulimit -n 300; $W sh -c 'ulimit -Sn; ulimit -Hn'",
		"limits one apart":         "ulimit -Hn 301; ulimit -Sn 300; $W sh -c 'ulimit -Sn; ulimit -Hn'",
		"other limits":             "ulimit -Sc 100; ulimit -Ss 4096; ulimit -f 12345; ulimit -Sl 64; $W cat /proc/self/limits",
		"ignored signals":          "trap '' PIPE CHLD QUIT TERM USR1 WINCH TSTP TTOU CONT URG PROF ALRM; " + status,
		"ignored HUP and INT":      "trap '' HUP INT; " + status,
		"umask":                    "umask 027; $W sh -c umask; umask 0; $W sh -c umask",
		"niceness":                 "nice -n 5 $W nice",
		"oom":                      "echo 321 >/proc/self/oom_score_adj; $W cat /proc/self/oom_score_adj",
		"working directory":        "cd /usr/lib; $W pwd; $W readlink /proc/self/cwd",
		"directory deleted":        "mkdir gone; cd gone; rmdir ../gone; $W readlink /proc/self/cwd | sed 's|.*/gone|gone|'; $W sh -c 'exit 4'",
		"descriptors":              "exec 4</dev/null 9>/dev/null 7<&4; $W sh -c 'cd /proc/self/fd; ls -d [0-9] [0-9][0-9]' 2>/dev/null",
		"no descriptors inherited": "$W sh -c 'cd /proc/$$/fd; echo *'",
		"all low descriptors":      "exec 3</dev/null 4<&3 5<&3 6<&3 7<&3 8<&3 9<&3; $W sh -c 'cd /proc/$$/fd; echo *; readlink 3 9'",
		"closed input":             "$W sh -c 'cd /proc/$$/fd; echo *' <&-",
		"closed output":            "$W sh -c 'cd /proc/$$/fd; echo * >&2' >&-",
		"closed errors":            "$W sh -c 'cd /proc/$$/fd; echo *' 2>&-",
		"closed both":              "exec 5>&1; $W sh -c 'cd /proc/$$/fd; echo * >&5' >&- 2>&-",
		"closed all":               "exec 5>&1; $W sh -c 'cd /proc/$$/fd; echo * >&5' <&- >&- 2>&-",
		"null for all":             "exec 5>&1; $W sh -c 'cd /proc/$$/fd; echo * >&5; readlink 0 >&5' </dev/null >/dev/null 2>&1",
		"output only readable":     "$W sh -c 'echo a; echo $? >&2' </dev/null 1</dev/null 2>&1",
		"stdin a pipe":             "printf 'a\\nb\\n' | $W sh -c 'read x; echo $x'",
		"rest of stdin":            "printf 'a\\nb\\n' | (head -c 2; $W cat)",
		"stdin at its end":         "$W cat </dev/null; $W sh -c 'read x; echo $?' </dev/null",
		"process group":            "$W ps -o pgid=,sid=,tty= -p $$ | head -1",
		"environment empty":        "env -i $(command -v env) -i $W /usr/bin/env",
		"command name":             "$W cat /proc/self/comm; $W cat /proc/self/cmdline | tr '\\0' ' '",
		"core filter":              "echo 0x7f >/proc/self/coredump_filter; $W cat /proc/self/coredump_filter",
		"timer slack":              "$W cat /proc/self/timerslack_ns",
		"exit 0":                   "$W true",
		"exit 1":                   "$W false",
		"exit 77":                  "$W sh -c 'exit 77'; echo $?; $W sh -c 'exit 255'",
		"both outputs, one file":   "$W sh -c 'for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done'; ls -l /proc/self/fd | wc -l >/dev/null",
		"file opened twice":        "$W sh -c 'for i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done' >>f 2>>f; cat f",
		"outputs apart":            "$W sh -c 'echo out; echo err >&2' >o 2>e; cat o e",
		"overwritten file":         "echo 123456789 >f; $W echo abc 1<>f; cat f",
		"appended file":            "echo 1 >f; $W echo 2 >>f; cat f",
		"reader closes":            "$W yes | head -n 2",
		// cat ends while the program still runs: the program is told to end only then.
		"program closes output": "mkfifo fifo; exec 8<>fifo; (exec $W sh -c 'exec >&-; read x; echo told >&2') <fifo 2>err 8>&- | { cat; echo x >&8; }; cat err",
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(text, "ps -o") {
				needs(t, "ps")
			}
			if got := alike(t, text); testing.Verbose() {
				t.Log(got)
			}
		})
	}
}

func TestDescriptorNumbers(t *testing.T) {
	// A shell cannot name descriptors above 9 itself.
	needs(t, "python3")
	const prog = `
import os, sys, resource
for soft, fds in (1000, [3, 5, 11, 12, 13, 14, 15, 16, 17, 40, 900]), (4000, [3999, 100]), (2000, range(4, 300, 2)), (64, [63, 62, 20]):
    if os.fork() == 0:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft + 1000 * (soft > 100)))
        f = os.open("/etc/passwd", os.O_RDONLY)
        for fd in fds:
            os.dup2(f, fd)
        os.closerange(3, 3) if f in fds else os.close(f)
        a = sys.argv[1:] + ["python3", "-c", "import os; print(sorted((int(f), os.readlink('/proc/self/fd/' + f)) for f in os.listdir('/proc/self/fd') if int(f) > 2 and os.path.exists('/proc/self/fd/' + f)))"]
        os.execvp(a[0], a)
    os.wait()
`
	run := func(args ...string) string {
		out, err := exec.Command("python3", append([]string{"-c", prog}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	bare, got := run(), run(self(t), "watch")
	if bare != got || !strings.Contains(got, "3999") {
		t.Errorf("--- bare\n%s--- watched\n%s", bare, got)
	}
}

// ForkExec moves descriptors behind the highest that it is given: none inherited may be there.
func TestLauncherFiles(t *testing.T) {
	control, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(control)
	for _, inherited := range [][]int{nil, {3}, {3, 4, 5}, {control + 2, control + 7}, {193, 195, 197, 203}} {
		files, high, err := launcherFiles([3]int{190, 191, -1}, control, inherited)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(high)
		if n := len(files) - 1; slices.Contains(inherited, n) || files[n] != uintptr(high) || high <= 191 || files[2] != ^uintptr(0) {
			t.Errorf("%v beside %v", files, inherited)
		}
		for _, fd := range inherited {
			if fd > high && fd <= high+2 {
				t.Errorf("%d is right behind %d", fd, high)
			}
		}
	}
}

// A parent such as Python or Node.js gives /dev/null read-write on purpose: that is not closed.
func TestNullIsNotClosed(t *testing.T) {
	needs(t, "python3")
	out, err := exec.Command("python3", "-c", `
import subprocess, sys
w = sys.argv[1:] + ["readlink", "/proc/self/fd/0"]
print(subprocess.run(w, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout)`, self(t), "watch").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "/dev/null" {
		t.Errorf("stdin is %q, %v", out, err)
	}
}

func TestBlockedSignals(t *testing.T) {
	needs(t, "python3")
	const prog = `
import signal, subprocess, sys
S = signal
S.pthread_sigmask(S.SIG_BLOCK, [S.SIGCHLD, S.SIGTERM, S.SIGUSR2, S.SIGSEGV, S.SIGURG, S.SIGINT, S.SIGPROF, 34, 50])
S.signal(S.SIGPIPE, S.SIG_IGN); S.signal(S.SIGXFSZ, S.SIG_IGN); S.signal(40, S.SIG_IGN); S.signal(S.SIGSYS, S.SIG_IGN)
print(subprocess.run(sys.argv[1:] + ["grep", "-E", "SigBlk|SigIgn|SigCgt", "/proc/self/status"], capture_output=True, text=True, restore_signals=False).stdout)
`
	run := func(args ...string) string {
		out, err := exec.Command("python3", append([]string{"-c", prog}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	bare, got := run(), run(self(t), "watch")
	if bare != got || !strings.Contains(got, "SigBlk:\t000200020") {
		t.Errorf("--- bare\n%s--- watched\n%s", bare, got)
	}
}

// The environment passes with duplicates, strings that are no variables, and any bytes, and does
// not reach the Go runtimes on the way (GODEBUG would make them print).
func TestEnvironmentBytes(t *testing.T) {
	env := []string{"A=1", "A=2", "", "novalue", "=x", "B=\xff\xfe\n\x01", "A=1", "PATH=/usr/bin:/bin", "GODEBUG=inittrace=1", "GOGC=1", "LONG=" + strings.Repeat("x", 100_000)}
	file := writeScript(t, "", 0o600)
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// os/exec would remove duplicates itself.
	errFile := filepath.Join(t.TempDir(), "err")
	errOut, err := os.Create(errFile)
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess(self(t), []string{"w", "watch", "cat", "/proc/self/environ"}, &os.ProcAttr{Env: env, Files: []*os.File{null, out, errOut}})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := p.Wait(); err != nil || s.ExitCode() != 0 {
		t.Fatal(s, err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	if !slices.Equal(got, env) {
		t.Errorf("got %.300q", got)
	}
	if b, err = os.ReadFile(errFile); err != nil || strings.Count(string(b), "init runtime @") != 1 { // the watcher's own
		t.Errorf("%q, %v", b, err)
	}
	// As large an environment and as many arguments as bare.
	args := make([]string, 15)
	for i := range args {
		args[i] = strings.Repeat("y", 120_000)
	}
	o, err := exec.Command(self(t), append([]string{"watch", "sh", "-c", "echo $#", "sh"}, args...)...).Output()
	if string(o) != "15\n" || err != nil {
		t.Errorf("%q, %v", o, err)
	}
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	noexec := writeScript(t, "#!/bin/sh\n", 0o644)
	noInterpreter := writeScript(t, "#!/nonexistent/interpreter\n", 0o755)
	plain := writeScript(t, "echo plain $0 $1; exit 7\n", 0o755)
	empty := writeScript(t, "", 0o755)
	foreign := writeScript(t, "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xff\xff", 0o755)
	for _, c := range []struct {
		name   string
		args   []string
		code   int
		errno  string
		output string
	}{
		{"not found", []string{"/nonexistent/prog"}, 127, "ENOENT", ""},
		{"not in PATH", []string{"nonexistent-prog"}, 127, "ENOENT", ""},
		{"empty name", []string{""}, 127, "ENOENT", ""},
		{"directory", []string{dir}, 126, "EACCES", ""},
		{"path through a file", []string{noexec + "/x"}, 126, "ENOTDIR", ""},
		{"no exec bit", []string{noexec}, 126, "EACCES", ""},
		{"no interpreter", []string{noInterpreter}, 127, "ENOENT", ""},
		{"foreign binary", []string{foreign}, 126, "ENOEXEC", ""},
		{"script without #!", []string{plain, "arg"}, 7, "", "plain " + plain + " arg\n"},
		{"empty file", []string{empty}, 0, "", ""},
		{"SIGSEGV", []string{"sh", "-c", "kill -SEGV $$"}, 139, "", ""},
		{"SIGKILL", []string{"sh", "-c", "kill -KILL $$"}, 137, "", ""},
		{"realtime signal", []string{"sh", "-c", "kill -40 $$"}, 168, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := t.TempDir() + "/result"
			out, _ := exec.Command(self(t), append([]string{"watch", "-result", file}, c.args...)...).CombinedOutput()
			r := readResult(t, file)
			errno := ""
			if r.StartErrno != 0 {
				errno = unix.ErrnoName(r.StartErrno)
			}
			if r.ExitCode != c.code || errno != c.errno || string(out) != c.output || r.Started != (errno == "") {
				t.Errorf("exit code %d, %q, output %q, started %v", r.ExitCode, errno, out, r.Started)
			}
			if errno != "" && r.StartPath != c.args[0] {
				t.Errorf("failed at %q", r.StartPath)
			}
			if r.ExitCode > 128 && r.ExitCode != 128+int(r.Signal) {
				t.Errorf("signal %d", r.Signal)
			}
		})
	}
}

// Where PATH leads to a file that may not be executed, a later one that may is taken, and where
// there is none, that is the error.
func TestPath(t *testing.T) {
	base := t.TempDir()
	for _, d := range []string{"/denied", "/good", "/dir/prog"} {
		if err := os.MkdirAll(base+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for file, mode := range map[string]os.FileMode{"/denied/prog": 0o644, "/good/prog": 0o755} {
		if err := os.WriteFile(base+file, []byte("#!/bin/sh\necho $0\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path, out string
		code      int
	}{
		{base + "/none:" + base + "/denied:" + base + "/dir:" + base + "/good", base + "/good/prog\n", 0},
		{base + "/none:" + base + "/denied:", "", 126},
		{base + "/none:" + base + "/dir", "", 126},
		{base + "/none", "", 127},
		{"", "", 127},
	} {
		cmd := exec.Command(self(t), "watch", "prog")
		cmd.Env = []string{"PATH=" + c.path}
		out, _ := cmd.CombinedOutput()
		if string(out) != c.out || cmd.ProcessState.ExitCode() != c.code {
			t.Errorf("PATH=%s: %q, exit code %d", c.path, out, cmd.ProcessState.ExitCode())
		}
	}
	// An empty entry is the working directory; without PATH there are the usual ones.
	cmd := exec.Command(self(t), "watch", "prog")
	cmd.Dir, cmd.Env = base+"/good", []string{"PATH=/none:"}
	if out, err := cmd.Output(); string(out) != "prog\n" && string(out) != "./prog\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	cmd = exec.Command(self(t), "watch", "env")
	cmd.Env = []string{"X=1"}
	if out, err := cmd.Output(); string(out) != "X=1\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}

func TestUsage(t *testing.T) {
	file := t.TempDir() + "/result"
	if err := exec.Command(self(t), "watch", "-result", file, "sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done").Run(); err != nil {
		t.Fatal(err)
	}
	r := readResult(t, file)
	if r.UserTime <= 0 || r.EndedBoot <= r.StartedBoot || r.EndedAt.Before(r.StartedAt) || r.StartedBoot == 0 {
		t.Errorf("%+v", r.Result)
	}
	if len(r.Reasons) != 0 {
		t.Error(r.Reasons)
	}
}

func TestRuntimeVariables(t *testing.T) {
	exe := self(t)
	// Without symbols it says so, and goes on with what can be seen.
	needs(t, "strip")
	stripped := t.TempDir() + "/stripped"
	if out, err := exec.Command("strip", "-o", stripped, exe).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	file := t.TempDir() + "/result"
	// Whoever runs the tests may have signals ignored of its own.
	bare, err := exec.Command("sh", "-c", "trap '' TTOU HUP; grep SigIgn /proc/self/status").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, bare)
	}
	out, err := exec.Command("sh", "-c", "trap '' TTOU HUP; "+stripped+" watch -result "+file+" grep SigIgn /proc/self/status").CombinedOutput()
	if string(out) != string(bare) || err != nil {
		t.Errorf("%q, bare %q, %v", out, bare, err)
	}
	if r := readResult(t, file); len(r.Reasons) != 1 || !strings.Contains(r.Reasons[0], "stripped") {
		t.Error(r.Reasons)
	}
}

func TestPlanRoundTrip(t *testing.T) {
	p := plan{args: []string{"a", "", "\xff"}, env: []string{}, path: "/bin", ignored: 1 << 63, blocked: 5, inherited: []int{3, 900}, closed: [3]bool{1: true}}
	p.limitSet[3], p.rlimits[3].Cur, p.rlimits[3].Max = true, 7, ^uint64(0)
	b := p.encode()
	got, err := decodePlan(b[8:])
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(got.args)
	if string(a) != `["a","","\ufffd"]` || got.ignored != p.ignored || got.rlimits != p.rlimits || got.closed != p.closed || !slices.Equal(got.inherited, p.inherited) || got.limitSet != p.limitSet {
		t.Errorf("%+v", got)
	}
	for i := range b[8:] {
		if _, err := decodePlan(b[8 : 8+i]); err == nil {
			t.Fatalf("a plan cut at %s of %d was taken", strconv.Itoa(i), len(b)-8)
		}
	}
}

func FuzzELF(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01"))
	img := make([]byte, 64+2*64+48)
	copy(img, "\x7fELF\x02\x01")
	img[40], img[60] = 64, 2
	img[64+4], img[64+24], img[64+32], img[64+40] = 2, 192, 48, 1
	f.Add(img)
	f.Fuzz(func(t *testing.T, b []byte) {
		elfVariables(b, map[string]uint64{"x": 0, "yy": 8})
	})
}

// Sockets that a service manager passed are for the process that it started: now the command.
func TestServiceManagerPIDs(t *testing.T) {
	out, err := exec.Command("sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_PIDFDID=7 WATCHDOG_PID=1 exec "+self(t)+" watch sh -c 'echo $$ $LISTEN_PID $LISTEN_FDS $WATCHDOG_PID $LISTEN_PIDFDID'").Output()
	var own, listen, fds, watchdog int
	if n, _ := fmt.Sscan(string(out), &own, &listen, &fds, &watchdog); n != 4 || own != listen || fds != 1 || watchdog != 1 || err != nil || strings.Contains(string(out), "7\n") && !strings.HasSuffix(string(out), " 1\n") {
		t.Errorf("%q, %v", out, err)
	}
	got := renamePID([]string{"LISTEN_PID=8", "LISTEN_PIDFDID=7"}, 9, 10)
	if !slices.Equal(got, []string{"LISTEN_PID=8", "LISTEN_PIDFDID=7"}) {
		t.Error(got)
	}
}
