package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The user without privileges has processes of nobody else to its name.
const user = 47001

// surroundings makes what the programs meet.
func surroundings() error {
	for _, line := range []string{
		"mount --make-rprivate /",
		"mount -t tmpfs -o mode=755 srv /srv",
		"mkdir /srv/full /srv/inodes /srv/ro /srv/etc /srv/bin /srv/data",
		"mount -t tmpfs -o size=256k full /srv/full",
		"mount -t tmpfs -o nr_inodes=1 inodes /srv/inodes",
		"mount -t tmpfs -o ro ro /srv/ro",
		"touch /srv/etc/open.conf /srv/etc/key.pem",
		"chmod 600 /srv/etc/key.pem",
		"ln -s ring /srv/etc/ring",
		"cp /bin/sleep /srv/etc/running",
		"ip link set lo up",
		"ip link add d0 type veth peer name d1",
		"ip link set d1 arp off up",
		"ip link set d0 up",
		"ip addr add 10.9.0.1/24 dev d0",
		"ip neigh replace 10.9.0.3 lladdr 02:00:00:00:00:03 dev d0 nud permanent",
		"sysctl -qw net.ipv4.tcp_syn_retries=1",
		"sysctl -qw net.ipv4.neigh.d0.mcast_solicit=1",
	} {
		f := strings.Fields(line)
		if b, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, b)
		}
	}
	// An ELF file for no machine that there is.
	elf := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 57)...)
	binary.LittleEndian.PutUint16(elf[16:], 2)
	binary.LittleEndian.PutUint16(elf[18:], 4242)
	if err := os.WriteFile("/srv/etc/other-machine", elf, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile("/srv/resolv.conf", []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		return err
	}
	if b, err := exec.Command("mount", "--bind", "/srv/resolv.conf", "/etc/resolv.conf").CombinedOutput(); err != nil {
		return fmt.Errorf("put a resolver in place: %w: %s", err, b)
	}
	running := exec.Command("/srv/etc/running", "900")
	running.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := running.Start(); err != nil {
		return err
	}
	if b, err := exec.Command("gcc", "-o", bin+"refuse", "test/runtimes/testdata/refuse.c").CombinedOutput(); err != nil {
		return fmt.Errorf("build refuse.c: %w: %s", err, b)
	}
	return serve()
}

// serve listens on 4100, resets whoever says something to 4101, and answers for two names.
func serve() error {
	taken, err := net.Listen("tcp4", "127.0.0.1:4100")
	if err != nil {
		return err
	}
	reset, err := net.Listen("tcp4", "127.0.0.1:4101")
	if err != nil {
		return err
	}
	go func() {
		defer taken.Close() // it is held as long as this runs
		for {
			c, err := reset.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 100))
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}()
	dns, err := net.ListenPacket("udp4", "127.0.0.1:53")
	if err != nil {
		return err
	}
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := dns.ReadFrom(b)
			if err != nil || n < 12 {
				continue
			}
			code := byte(3) // NXDOMAIN
			if bytes.Contains(b[:n], []byte("\x06broken")) {
				code = 2 // SERVFAIL
			}
			end := 12
			for end < n && b[end] != 0 {
				end++
			}
			end = min(n, end+5)
			b[2], b[3] = 0x81, 0x80|code
			b[6], b[7], b[8], b[9], b[10], b[11] = 0, 0, 0, 0, 0, 0
			dns.WriteTo(b[:end], from)
		}
	}()
	return nil
}

// record runs one program into one refusal and writes what it said.
func (l *language) record(c *refused, where string) error {
	for _, f := range []string{"/srv/full/journal"} {
		os.Remove(f)
	}
	args := append(append([]string{}, l.run...), c.op)
	if l.name == "java-nio" && c.op == "open" {
		args[len(args)-1] = "nio"
	}
	if l.name == "java-nio" && c.op == "connect" {
		args[len(args)-1] = "dial"
	}
	if c.op == "dial" && (l.name == "cpp" || l.name == "c" || l.name == "c-musl") {
		args[len(args)-1] = "connect"
	}
	args = append(args, c.arg...)
	told := strings.Join(args[len(l.run)-1:], " ")
	if c.call != "" {
		for _, n := range filtered[c.call] {
			args = append([]string{bin + "refuse", fmt.Sprint(n), fmt.Sprint(c.errno)}, args...)
		}
	}
	var limits []string
	if c.nofile {
		limits = append(limits, fmt.Sprintf("--nofile=%d", max(l.nofile, 24)))
	}
	if c.nproc {
		limits = append(limits, fmt.Sprintf("--nproc=%d", max(l.nproc, 8)))
	}
	if c.as {
		n := l.as
		if n == 0 {
			n = 700
		}
		limits = append(limits, fmt.Sprintf("--as=%d", n<<20))
	}
	if c.user {
		args = append([]string{"setpriv", fmt.Sprintf("--reuid=%d", user), fmt.Sprintf("--regid=%d", user), "--clear-groups"}, args...)
	}
	if limits != nil {
		args = append(append(append([]string{"prlimit"}, limits...), "--"), args...)
	}
	ctx, stop := context.WithTimeout(context.Background(), 70*time.Second)
	defer stop()
	var pipe *os.File
	if c.stdout != "" {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer w.Close()
		if c.stdout == "closed" {
			r.Close()
		} else {
			defer r.Close()
			// Starting a program makes its descriptors block, so it waits until they do not again.
			args = append([]string{"sh", "-c", `sleep 0.3; exec "$@"`, "sh"}, args...)
		}
		pipe = w
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/"}, l.env...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if pipe != nil {
		cmd.Stdout, cmd.ExtraFiles = pipe, []*os.File{pipe}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if c.stdout == "full" {
		if err := syscall.SetNonblock(int(pipe.Fd()), true); err != nil {
			return err
		}
	}
	err := cmd.Wait()
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("it did not fail: %v; it said %q", err, clip(stderr.String()))
	}
	if ctx.Err() != nil {
		return fmt.Errorf("it did not end; it said %q", clip(stderr.String()))
	}
	if stderr.Len() == 0 {
		return errors.New("it said nothing")
	}
	says := c.says
	if s := l.says[c.name]; s != "" {
		says = s
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# by %s\n# run %s\n# says %s\n", l.versionLine(), told, says)
	for _, x := range [][2]string{{"path", c.path}, {"address", c.addr}, {"host", c.host}} {
		if x[1] != "" {
			fmt.Fprintf(&b, "# %s %s\n", x[0], x[1])
		}
	}
	if c.call != "" {
		fmt.Fprintf(&b, "# filter %s\n", c.call)
	}
	status := exit.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		fmt.Fprintf(&b, "# signal %d\n", status.Signal())
	} else {
		fmt.Fprintf(&b, "# exit %d\n", status.ExitStatus())
	}
	b.WriteString("\n")
	b.Write(stderr.Bytes())
	dir := filepath.Join(where, l.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, c.name+".txt"), []byte(b.String()), 0o644)
}

func clip(s string) string { return s[:min(len(s), 300)] }
