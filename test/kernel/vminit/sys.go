//go:build linux

package main

import (
	"errors"
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

// controllers lets cgroups have limits, as systemd does.
func controllers() error {
	const root = "/sys/fs/cgroup/cgroup."
	b, err := os.ReadFile(root + "controllers")
	if err != nil {
		return err
	}
	var all string
	for name := range strings.FieldsSeq(string(b)) {
		all += "+" + name + " "
	}
	return os.WriteFile(root+"subtree_control", []byte(all), 0)
}
