//go:build linux

// Vminit is the first process of a test machine. It mounts what programs expect, loads modules,
// runs the jobs of the spec one after another and turns the machine off. The jobs run under a
// second process, so that the first can reap orphans without taking os/exec its children.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/descry-dev/descry/test/kernel/wire"
	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "jobs" {
		if err := jobs(); err != nil {
			fmt.Fprintln(os.Stderr, "vminit:", err)
			os.Exit(1)
		}
		return
	}
	first()
	unix.Sync()
	// Where power off is not wired up, a restart ends qemu too (-no-reboot).
	unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}

func first() {
	for _, m := range []struct{ fs, at string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"devpts", "/dev/pts"},
		{"tmpfs", "/dev/shm"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"},
		{"bpf", "/sys/fs/bpf"}, {"tracefs", "/sys/kernel/tracing"}, {"debugfs", "/sys/kernel/debug"},
	} {
		os.MkdirAll(m.at, 0o755)
		if err := unix.Mount(m.fs, m.at, m.fs, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			fmt.Printf("vminit: mount %s: %v\n", m.at, err)
		}
	}
	os.Chmod("/tmp", 0o1777)
	for from, to := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		os.Symlink(to, from)
	}
	if spec, err := readSpec(); err != nil {
		fmt.Println("vminit:", err)
	} else if err := cgroups(spec.Cgroups); err != nil {
		fmt.Println("vminit: cgroups:", err)
	}
	// As systemd gives a service; the kernel's own hard limit of 4096 is met nowhere else.
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: 524288}); err != nil {
		fmt.Println("vminit: set RLIMIT_NOFILE:", err)
	}
	p, err := os.StartProcess("/proc/self/exe", []string{"vminit", "jobs"}, &os.ProcAttr{
		Env:   []string{"HOME=/root", "PATH=/bin:/sbin:/usr/bin:/usr/sbin", "TMPDIR=/tmp", "DESCRY_VM=1"},
		Files: []*os.File{nil, os.Stdout, os.Stderr},
	})
	if err != nil {
		fmt.Println("vminit: start the jobs:", err)
		return
	}
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		if pid == p.Pid || (err != nil && err != unix.EINTR) {
			return
		}
	}
}

func readSpec() (spec wire.Spec, err error) {
	b, err := os.ReadFile(wire.SpecPath)
	if err == nil {
		err = json.Unmarshal(b, &spec)
	}
	if err != nil {
		return spec, fmt.Errorf("read the spec: %w", err)
	}
	return spec, nil
}

func jobs() error {
	spec, err := readSpec()
	if err != nil {
		return err
	}
	line, err := os.OpenFile(spec.TTY, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("open the line to the host: %w", err)
	}
	if err := raw(int(line.Fd())); err != nil {
		return fmt.Errorf("make %s raw: %w", spec.TTY, err)
	}
	trouble := func(what string, err error) {
		if err != nil {
			wire.Write(line, wire.Trouble, fmt.Appendf(nil, "%s: %v", what, err))
		}
	}
	trouble("bring lo up", loopback())
	trouble("be spared when memory is out", os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0))
	for _, m := range spec.Modules {
		trouble("load "+m, load(m))
	}
	var u unix.Utsname
	unix.Uname(&u)
	up, _ := os.ReadFile("/proc/uptime")
	seconds, _, _ := strings.Cut(string(up), " ")
	wire.Write(line, wire.Ready, []byte(unix.ByteSliceToString(u.Release[:])+" "+seconds))
	for _, j := range spec.Jobs {
		code := run(j, line, trouble)
		if err := wire.Write(line, wire.Exit, []byte(strconv.Itoa(code))); err != nil {
			return err
		}
	}
	if err := wire.Write(line, wire.Done, nil); err != nil {
		return err
	}
	return drain(int(line.Fd()))
}

func run(j wire.Job, line *os.File, trouble func(string, error)) int {
	r, w, err := os.Pipe()
	if err != nil {
		trouble("make a pipe", err)
		return 125
	}
	defer r.Close()
	if j.Dir == "" {
		j.Dir = "/root"
	}
	trouble("make the working directory", os.MkdirAll(j.Dir, 0o755))
	cmd := exec.Command(j.Argv[0], j.Argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = w, w, j.Dir
	cmd.Env = append(os.Environ(), j.Env...)
	err = cmd.Start()
	w.Close()
	if err == nil { // what the jobs suffer, this process must survive: see jobs
		trouble("let the job be killed for memory", os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", cmd.Process.Pid), []byte("0"), 0))
	}
	if err != nil {
		trouble("start "+j.Argv[0], err)
		return 125
	}
	ended := make(chan int)
	go func() {
		cmd.Wait()
		// What a child of the job still holds open must not keep the machine: the reader
		// below gets what was written until here, and then no more.
		r.SetReadDeadline(time.Now().Add(time.Second))
		ended <- exitCode(cmd.ProcessState)
	}()
	buf := make([]byte, 1<<15)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			wire.Write(line, wire.Output, buf[:n])
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
				trouble("read the output", err)
			}
			return <-ended
		}
	}
}
