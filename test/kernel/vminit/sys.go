//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// exitCode is 128+n for signal n, as a shell has it.
func exitCode(s *os.ProcessState) int {
	if ws := s.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

// raw makes a serial line pass all bytes as they are.
func raw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// drain waits until the line has sent what it holds (tcdrain).
func drain(fd int) error { return unix.IoctlSetInt(fd, unix.TCSBRK, 1) }

func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, req)
}

func load(module string) error {
	f, err := os.Open(module)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// cgroups mounts the hierarchies: version 2 alone with all controllers, or of version 1 one for each controller and one without,
// as systemd has it; hybrid: beside them version 2.
func cgroups(layout string) error {
	const root = "/sys/fs/cgroup"
	if layout != "v1" && layout != "hybrid" {
		if err := unix.Mount("cgroup2", root, "cgroup2", 0, ""); err != nil {
			return err
		}
		b, err := os.ReadFile(root + "/cgroup.controllers")
		if err != nil {
			return err
		}
		var all string
		for name := range strings.FieldsSeq(string(b)) {
			all += "+" + name + " "
		}
		return os.WriteFile(root+"/cgroup.subtree_control", []byte(all), 0)
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	b, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		return err
	}
	mounts := [][3]string{{"systemd", "cgroup", "none,name=systemd"}}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 4 && f[3] == "1" {
			mounts = append(mounts, [3]string{f[0], "cgroup", f[0]})
		}
	}
	if layout == "hybrid" {
		mounts = append(mounts, [3]string{"unified", "cgroup2", ""})
	}
	for _, m := range mounts {
		dir := root + "/" + m[0]
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m[1], dir, m[1], 0, m[2]); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	return nil
}
