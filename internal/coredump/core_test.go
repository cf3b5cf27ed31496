package coredump

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

const threadsC = `
#include <pthread.h>
#include <unistd.h>
#include <string.h>
#include <stdlib.h>
char marker[] = "a marker in the data";
static void *wait_here(void *p) { for (;;) pause(); return p; }
int main(int argc, char **argv) {
	pthread_t t;
	for (int i = 0; i < 3; i++) pthread_create(&t, 0, wait_here, 0);
	usleep(20000);
	marker[0] = 'A';
	int *p = (int *)(argc > 5 ? 8 : 0x1234);
	*p = 7;
	return 0;
}`

func TestOpen(t *testing.T) {
	plainCores(t)
	prog := build(t, threadsC, "threads.c", "gcc", "-g", "-O0", "-pthread", "-Wl,--build-id=0x1234567890abcdef", "-o", "OUT", "SRC")
	path, _ := crashed(t, []string{"ONE=1"}, prog, "an argument", "another")
	c := open(t, path)
	if len(c.Damage) != 0 {
		t.Errorf("damage of a whole core: %q", c.Damage)
	}
	if c.Arch != runtime.GOARCH {
		t.Errorf("Arch = %q", c.Arch)
	}
	if c.Signal != sigSEGV || c.Code != segvMapErr || c.FaultAddress != 0x1234 {
		t.Errorf("signal %v code %d at %#x", c.Signal, c.Code, c.FaultAddress)
	}
	if len(c.Threads) != 4 {
		t.Fatalf("%d threads", len(c.Threads))
	}
	if c.PID == 0 || c.Threads[0].TID != c.PID || c.UID != uint32(os.Getuid()) || c.Comm != "threads" || !strings.HasPrefix(c.Command, prog+" an argument") {
		t.Errorf("pid %d, first thread %d, uid %d, comm %q, command %q", c.PID, c.Threads[0].TID, c.UID, c.Comm, c.Command)
	}
	for _, th := range c.Threads {
		if th.PC == 0 || th.SP == 0 || th.TLS == 0 {
			t.Errorf("thread %+v", th)
		}
		if m := c.MappingAt(th.PC); m == nil || !m.Executable || m.Path == "" {
			t.Errorf("thread %d runs in %+v", th.TID, m)
		}
		if m := c.MappingAt(th.SP); m == nil || !m.Writable || !m.Saved {
			t.Errorf("thread %d has its stack in %+v", th.TID, m)
		}
	}
	names := map[string]bool{}
	for _, m := range c.Mappings {
		names[m.Path] = true
		if m.Path == prog && m.BuildID != "1234567890abcdef" {
			t.Errorf("build id %q of %+v", m.BuildID, m)
		}
		if m.Path != prog || !m.Writable {
			continue
		}
		b := make([]byte, m.End-m.Start)
		if n := c.Memory(m.Start, b); n != len(b) {
			t.Errorf("Memory read %d of %d bytes of %+v", n, len(b), m)
		}
		if n := c.Memory(m.End-8, b[:16]); n != 8 && c.MappingAt(m.End) == nil {
			t.Errorf("Memory read %d bytes beyond the end of %+v", n, m)
		}
		if m.End-m.Start > 0x20 && strings.Contains(string(b), "A marker in the data") {
			names["marker"] = true
		}
	}
	for _, want := range []string{prog, "[vdso]", "[stack]", "marker"} {
		if !names[want] {
			t.Errorf("no mapping of %s: %v", want, names)
		}
	}
	if n := c.Memory(0x1234, make([]byte, 8)); n != 0 {
		t.Errorf("Memory read %d bytes of nothing", n)
	}
	if c.MemoryBytes == 0 || c.MissingBytes != 0 {
		t.Errorf("memory %d, missing %d", c.MemoryBytes, c.MissingBytes)
	}
}
