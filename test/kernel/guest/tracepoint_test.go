package guest

import (
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"

	"github.com/descry-dev/descry/internal/probe"
)

// A system call tracepoint that is on taxes every system call of the machine. The way by functions
// must leave none on, whatever else is attached.
func TestFunctionsLeaveSystemCallsAlone(t *testing.T) {
	needMachine(t)
	taxed := taxedChild(t)
	if taxed() {
		t.Fatal("a system call tracepoint is on before anything was attached")
	}
	own, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "sys_exit", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	on, err := link.AttachTracing(link.TracingOptions{Program: own})
	if err != nil {
		t.Fatal(err)
	}
	if !taxed() {
		t.Fatal("a system call tracepoint is on, and cannot be seen: this test proves nothing")
	}
	on.Close()
	bothWays(t, func(t *testing.T, way probe.Way) {
		s, err := probe.Open(probe.Config{Way: way})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, st := range s.Status() {
			t.Logf("%s: %s %s", st.Name, st.By, st.Missing)
		}
		if got, want := taxed(), way == probe.SysExit; got != want {
			t.Errorf("a system call tracepoint is on: %v, want %v", got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if taxed() {
			t.Error("a system call tracepoint was left on")
		}
	})
}

// taxedChild returns a function that runs a child and says whether its system calls went through
// tracepoints: the kernel's own mark of that on a thread.
func taxedChild(t *testing.T) func() bool {
	t.Helper()
	k, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	var task, info *btf.Struct
	if err := k.TypeByName("task_struct", &task); err != nil {
		t.Fatal(err)
	}
	if err := k.TypeByName("thread_info", &info); err != nil {
		t.Fatal(err)
	}
	field, bit := "flags", int64(10) // TIF_SYSCALL_TRACEPOINT of arm64, a macro
	if runtime.GOARCH == "amd64" {
		var bits *btf.Enum
		if err := k.TypeByName("syscall_work_bit", &bits); err != nil {
			t.Fatal(err)
		}
		field = "syscall_work"
		for _, v := range bits.Values {
			if v.Name == "SYSCALL_WORK_BIT_SYSCALL_TRACEPOINT" {
				bit = int64(v.Value)
			}
		}
	}
	at := offset(t, task, "thread_info") + offset(t, info, field)
	p, count := seen(t, ebpf.AttachTraceRawTp, "sched_process_exec", asm.Instructions{
		asm.FnGetCurrentTaskBtf.Call(),
		asm.LoadMem(asm.R6, asm.R0, int16(at), asm.DWord),
		asm.RSh.Imm(asm.R6, int32(bit)),
		asm.And.Imm(asm.R6, 1),
		asm.JEq.Imm(asm.R6, 0, "out"),
	})
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return func() bool {
		cmd := child("pass")
		if code := exitCode(t, cmd); code != 0 {
			t.Fatalf("the child should have done nothing: exit code %d", code)
		}
		return count(cmd.Process.Pid) > 0
	}
}

// offset of a member, in bytes.
func offset(t *testing.T, s *btf.Struct, name string) uint32 {
	t.Helper()
	for _, m := range s.Members {
		if m.Name == name {
			return m.Offset.Bytes()
		}
	}
	t.Fatalf("struct %s has no %s", s.Name, name)
	return 0
}
