package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/descry-dev/descry/test/kernel/wire"
)

// file goes from src on the host to dst in the machine.
type file struct{ src, dst string }

// machine is one emulated computer that boots, runs jobs and ends.
type machine struct {
	emulator emulator
	kernel   kernel
	init     string
	busybox  string
	memory   int // MiB
	cgroups  string
	cpus     int
	limit    time.Duration
	short    bool      // tests leave out what does not depend on the kernel
	console  bool      // show it
	out      io.Writer // what it shows, but for the output of a command
	files    []file
	modules  []module // in the order to load
}

// listener hears of a machine's jobs as they run; it is called from one goroutine.
type listener interface {
	output(job int, b []byte)
	exit(job, code int)
}

// run boots the machine and runs the jobs. The error says what went wrong with the machine; how the
// jobs ended is told to l alone.
func (m *machine) run(ctx context.Context, jobs []wire.Job, l listener) (err error) {
	work, err := os.MkdirTemp("", "descry-vm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	initrd := filepath.Join(work, "initrd")
	if err := m.initramfs(initrd, jobs); err != nil {
		return fmt.Errorf("make the initramfs: %w", err)
	}
	line, err := net.Listen("unix", filepath.Join(work, "line"))
	if err != nil {
		return err
	}
	defer line.Close()

	limited, cancel := context.WithTimeout(ctx, m.limit)
	defer cancel()
	cmd := exec.CommandContext(limited, m.emulator.path, m.arguments(initrd, line.Addr().String())...)
	cmd.Env = append(os.Environ(), m.emulator.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	console := &console{}
	if m.console {
		console.show = m.out
	}
	var complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = console, &complaint
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start qemu: %w", err)
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		line.Close() // in case it never connected
		ended <- err
	}()
	done, troubles, err := m.listen(line, l, begin)
	qemu := <-ended
	var said string
	if len(troubles) > 0 {
		said = "; it said: " + strings.Join(troubles, "; ")
	}
	switch {
	case err != nil:
		return err
	case done && len(troubles) > 0:
		return fmt.Errorf("the machine is not as it should be: %s", strings.Join(troubles, "; "))
	case done:
		return console.oops()
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case limited.Err() != nil:
		return fmt.Errorf("not done after %s, the time limit%s\n%s", m.limit, said, console.tail())
	case qemu != nil:
		return fmt.Errorf("qemu: %w: %s%s\n%s", qemu, bytes.TrimSpace(complaint.Bytes()), said, console.tail())
	}
	return fmt.Errorf("the machine went down before its jobs were done%s: %s\n%s", said, bytes.TrimSpace(complaint.Bytes()), console.tail())
}

// listen reads the frames of a machine until it ends; done says whether all jobs ran.
func (m *machine) listen(at net.Listener, l listener, begin time.Time) (done bool, troubles []string, err error) {
	conn, err := at.Accept()
	if err != nil {
		return false, nil, nil // qemu ended before it connected; it says why
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for job := 0; ; {
		kind, payload, err := wire.Read(r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
			return done, troubles, nil
		}
		if err != nil {
			return false, troubles, fmt.Errorf("read from the machine: %w", err)
		}
		switch kind {
		case wire.Ready:
			fmt.Fprintf(m.out, "%s is up after %.1f s (release and seconds by its own clock: %s)\n", m.kernel.version, time.Since(begin).Seconds(), payload)
		case wire.Output:
			l.output(job, payload)
		case wire.Exit:
			code, err := strconv.Atoi(string(payload))
			if err != nil {
				return false, troubles, fmt.Errorf("exit code of job %d: %w", job, err)
			}
			l.exit(job, code)
			job++
		case wire.Trouble:
			troubles = append(troubles, string(payload))
		case wire.Done:
			done = true
		}
	}
}

// arguments of qemu. The first serial line is the kernel's console and goes to standard output, the
// second carries our frames: kernel messages cannot tear them.
func (m *machine) arguments(initrd, line string) []string {
	cmdline := "rdinit=/init panic=-1 oops=panic mitigations=off audit=0 nowatchdog random.trust_cpu=on descry_vm=1"
	args := append(slices.Clone(m.emulator.args),
		"-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max", "-smp", strconv.Itoa(m.cpus), "-m", strconv.Itoa(m.memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-monitor", "none",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", "socket,id=line,path="+line, "-kernel", m.kernel.image, "-initrd", initrd)
	switch m.kernel.arch {
	case "amd64":
		// Without a known clock rate the kernel measures for half a second; reboot=t ends even a
		// machine whose firmware does not answer.
		cmdline += " console=ttyS0 reboot=t tsc=reliable no_timer_check lpj=4000000"
		args = append(args, "-M", "pc,usb=off,vmport=off", "-vga", "none", "-device", "isa-serial,chardev=line,index=1")
	case "arm64":
		// pauth-impdef: the architected pointer authentication is half of the time under emulation.
		args[slices.Index(args, "max")] = "max,pauth-impdef=on"
		cmdline += " console=ttyAMA0"
		args = append(args, "-M", "virt,gic-version=3", "-device", "pci-serial,chardev=line")
	}
	if !m.console {
		cmdline += " quiet"
	}
	return append(args, "-append", cmdline)
}

// tools are what a machine has of busybox, beside sh.
var tools = []string{"cat", "dmesg", "echo", "env", "false", "ip", "kill", "ls", "mkdir", "mount", "nc", "ps", "rm", "seq", "sleep", "timeout", "true", "umount", "unshare"}

func (m *machine) initramfs(to string, jobs []wire.Job) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	a := archive{w: w}
	spec := wire.Spec{TTY: "/dev/ttyS1", Cgroups: m.cgroups, Jobs: jobs}
	if m.kernel.arch == "arm64" {
		spec.TTY = "/dev/ttyS0" // its console is no ttyS
	}
	for _, d := range []string{"dev", "proc", "sys", "tmp", "run", "root", "etc", "bin"} {
		a.dir(d)
	}
	// A shell of its own, and not a link: its scripts name it, and busybox goes by its name.
	files := append([]file{{m.init, "/init"}, {m.busybox, "/bin/busybox"}, {m.busybox, "/bin/sh"}}, m.files...)
	for _, tool := range tools {
		a.link("/bin/"+tool, "busybox")
	}
	for _, mod := range m.modules {
		dst := "/modules/" + mod.name + ".ko"
		a.add(dst, 0o644, mod.content)
		spec.Modules = append(spec.Modules, dst)
	}
	there := map[string]bool{}
	for _, f := range files {
		if there[f.dst] { // a library of several programs
			continue
		}
		there[f.dst] = true
		b, err := os.ReadFile(f.src)
		if err != nil {
			return err
		}
		st, err := os.Stat(f.src)
		if err != nil {
			return err
		}
		a.add(f.dst, st.Mode(), b)
	}
	a.add("/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"))
	a.add("/etc/hosts", 0o644, []byte("127.0.0.1 localhost\n::1 localhost\n"))
	b, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	a.add(wire.SpecPath, 0o644, b)
	if err := a.close(); err != nil {
		return err
	}
	return w.Flush()
}

// console keeps the last of what the machine's kernel says.
type console struct {
	show io.Writer // nil: not
	mu   sync.Mutex
	kept []byte
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.show != nil {
		_, _ = c.show.Write(b)
	}
	c.kept = append(c.kept, b...)
	if n := len(c.kept) - 1<<20; n > 0 {
		c.kept = c.kept[n:]
	}
	return len(b), nil
}

// wrong is what the kernel says of itself when it has a bug, or when we showed it one.
var wrong = regexp.MustCompile(`(?m)^.*(Kernel panic|Oops|BUG:|WARNING:|general protection|Unable to handle kernel|rcu.*stall|blocked for more than).*$`)

// oops is the error of a kernel that went on, but should not have had to complain.
func (c *console) oops() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := wrong.FindIndex(c.kept); at != nil {
		return fmt.Errorf("the kernel complained:\n%s", indent(c.kept[at[0]:], 60, false))
	}
	return nil
}

// tail shows the console from its first complaint, else its end.
func (c *console) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := wrong.FindIndex(c.kept); at != nil {
		return "console, from its first complaint:\n" + indent(c.kept[at[0]:], 100, false)
	}
	if len(bytes.TrimSpace(c.kept)) == 0 {
		return "its console is empty; -console shows more"
	}
	return "the last of its console:\n" + indent(c.kept, 40, true)
}

func indent(b []byte, lines int, last bool) string {
	all := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(b), "\r", "")), "\n")
	if n := len(all) - lines; n > 0 && last {
		all = all[n:]
	} else if n > 0 {
		all = append(all[:lines], fmt.Sprintf("(%d more lines)", n))
	}
	return "    " + strings.Join(all, "\n    ")
}
