package guest

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// needMachine skips a test outside of the machines of test/kernel. The word stands on the kernel's
// command line, so that no environment can talk a test into changing a real computer.
func needMachine(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile("/proc/cmdline")
	if err != nil || !strings.Contains(" "+strings.TrimSpace(string(b))+" ", " descry_vm=1 ") {
		t.Skip("needs the VM of make test-kernel: it changes the whole machine")
	}
}

// seen loads a program that adds one to the counter of the current process under a condition, and
// returns how to read that counter.
func seen(t *testing.T, attach ebpf.AttachType, to string, when asm.Instructions) (*ebpf.Program, func(pid int) uint64) {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 1024})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	ins := append(when,
		asm.FnGetCurrentPidTgid.Call(),
		asm.RSh.Imm(asm.R0, 32),
		asm.StoreMem(asm.R10, -4, asm.R0, asm.Word),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JNE.Imm(asm.R0, 0, "there"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreMem(asm.R10, -16, asm.R1, asm.DWord),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -4),
		asm.Mov.Reg(asm.R3, asm.R10),
		asm.Add.Imm(asm.R3, -16),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnMapUpdateElem.Call(),
		asm.Ja.Label("out"),
		asm.Mov.Imm(asm.R1, 1).WithSymbol("there"),
		asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
		asm.Return(),
	)
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Tracing, AttachType: attach, AttachTo: to, License: "GPL", Instructions: ins,
	})
	if err != nil {
		t.Fatalf("load a program for %s: %v", to, err)
	}
	t.Cleanup(func() { p.Close() })
	return p, func(pid int) uint64 {
		var b [8]byte
		key := uint32(pid)
		if err := m.Lookup(&key, &b); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			t.Fatal(err)
		}
		return binary.NativeEndian.Uint64(b[:])
	}
}

// The way without trampolines: a BTF tracepoint on system calls.
func TestTracepointSeesRefusal(t *testing.T) {
	needMachine(t)
	// sys_exit(regs, ret): the refusal of one descriptor.
	p, count := seen(t, ebpf.AttachTraceRawTp, "sys_exit", asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 8, asm.DWord),
		asm.JNE.Imm(asm.R6, -int32(unix.EMFILE), "out"),
	})
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	wantRefusal(t, count)
}

// The other way: the function that gives out descriptors.
func TestTrampolineSeesRefusal(t *testing.T) {
	needMachine(t)
	needTrampolines(t)
	// alloc_fd(start, end, flags) and what it returned.
	p, count := seen(t, ebpf.AttachTraceFExit, "alloc_fd", asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 24, asm.DWord),
		asm.LSh.Imm(asm.R6, 32), // an int: its upper half is anything
		asm.ArSh.Imm(asm.R6, 32),
		asm.JNE.Imm(asm.R6, -int32(unix.EMFILE), "out"),
	})
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	wantRefusal(t, count)
}

// wantRefusal runs a child that is refused one descriptor and wants that to be counted.
func wantRefusal(t *testing.T, count func(pid int) uint64) {
	t.Helper()
	cmd := child("descriptors")
	if code := exitCode(t, cmd); code != 24 {
		t.Fatalf("the child should have been refused a descriptor: exit code %d", code)
	}
	if n := count(cmd.Process.Pid); n != 1 {
		t.Errorf("saw %d refusals, the child had 1", n)
	}
}

// needTrampolines skips where the kernel cannot attach to functions: arm64 before 6.4.
func needTrampolines(t *testing.T) {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFExit, AttachTo: "alloc_fd", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		t.Fatalf("load a program for alloc_fd: %v", err)
	}
	defer p.Close()
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if errors.Is(err, syscall.Errno(524)) || errors.Is(err, ebpf.ErrNotSupported) {
		t.Skipf("needs BPF trampolines: %v", err)
	}
	if err != nil {
		t.Fatalf("attach to alloc_fd: %v", err)
	}
	l.Close()
}

// A child is in its own leaf from its first instruction on.
func TestCgroupLeaf(t *testing.T) {
	needMachine(t)
	dir := leaf(t, "guest-leaf")
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	p, count := seen(t, ebpf.AttachTraceRawTp, "sched_process_exec", asm.Instructions{
		asm.FnGetCurrentCgroupId.Call(),
		asm.LoadImm(asm.R6, int64(st.Ino), asm.DWord),
		asm.JNE.Reg(asm.R0, asm.R6, "out"),
	})
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	in := child("pass")
	in.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	exitCode(t, in)
	if n := count(in.Process.Pid); n != 1 {
		t.Errorf("saw %d execs in the leaf, there was 1", n)
	}
	out := child("pass")
	exitCode(t, out)
	if n := count(out.Process.Pid); n != 0 {
		t.Errorf("saw %d execs of a process outside the leaf", n)
	}
}
