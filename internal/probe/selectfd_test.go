//go:build linux

package probe

import (
	"debug/elf"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() { children["select"] = childSelect }

const aboveSetSize = 1090

// doSelect calls pselect6, which all architectures have, and returns at once.
func doSelect(nfds int, r, w, e uintptr) {
	zeroTime := [2]int64{}
	_, err := raw(unix.SYS_PSELECT6, uintptr(nfds), r, w, e, uintptr(unsafe.Pointer(&zeroTime)), 0)
	if err != 0 && err != unix.EBADF { // a set that runs into the next one names what is not open
		panic(fmt.Sprint("pselect6: ", err))
	}
}

// heapOf makes a heap as malloc does, of blocks of these sizes (headers included), and gives the
// address of the user's part of each.
func heapOf(sizes ...uint64) (blocks []uintptr) {
	brk, _ := raw(unix.SYS_BRK, 0)
	start := (brk + 4095) &^ 4095
	total := uintptr(0)
	for _, s := range sizes {
		total += uintptr(s)
	}
	end := (start + total + 64 + 4095) &^ 4095
	if got, _ := raw(unix.SYS_BRK, end); got != end {
		panic("no heap")
	}
	at := start
	for _, s := range sizes {
		*(*uint64)(atAddr(at + 8)) = s | 1 // the block before it is in use
		blocks = append(blocks, at+16)
		at += uintptr(s)
	}
	*(*uint64)(atAddr(at + 8)) = uint64(end-at) | 1 // what is left
	return blocks
}

func atAddr(at uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&at)) }

func setBit(at uintptr, fd int) { *(*byte)(atAddr(at + uintptr(fd/8))) |= 1 << (fd % 8) }

// childSelect calls select in one of many ways, with a pipe open as aboveSetSize.
func childSelect(args []string) {
	runtime.LockOSThread()
	var lim unix.Rlimit
	must(unix.Getrlimit(unix.RLIMIT_NOFILE, &lim))
	lim.Cur = 2000
	must(unix.Setrlimit(unix.RLIMIT_NOFILE, &lim))
	if args[0] == "small" { // a table of 64, and a program that always asks for as many as it may have
		mem := mapped8k()
		doSelect(2000, mem, mem+128, mem+256)
		return
	}
	var p [2]int
	must(unix.Pipe2(p[:], 0))
	must(unix.Dup3(p[0], aboveSetSize, 0))
	file, err := unix.Open("/proc/self/status", unix.O_RDONLY, 0)
	must(err)
	must(unix.Dup3(file, aboveSetSize-1, 0))
	mem := mapped8k()
	switch args[0] {
	case "overlap": // three sets of 128 bytes in a row
		setBit(mem, aboveSetSize)
		for range 12 {
			doSelect(aboveSetSize+1, mem, mem+128, mem+256)
		}
	case "dynamic": // as far apart as needed
		for range 12 {
			doSelect(aboveSetSize+1, mem, mem+144, mem+288)
		}
	case "same": // one set for two
		doSelect(aboveSetSize+1, mem, mem, 0)
	case "one":
		setBit(mem, aboveSetSize)
		doSelect(aboveSetSize+1, mem, 0, 0)
	case "block": // malloc(sizeof(fd_set))
		b := heapOf(0x90, 0x90, 0x410)
		doSelect(aboveSetSize+1, b[0], 0, 0)
	case "bigblock": // a block that is large enough
		b := heapOf(0xa0, 0xa0, 0x410)
		doSelect(aboveSetSize+1, b[0], 0, 0)
	case "inside": // a set inside a larger block: what is before it is no header
		b := heapOf(0x410, 0x410)
		*(*uint64)(atAddr(b[0] + 8)) = 0x91
		doSelect(aboveSetSize+1, b[0]+16, 0, 0)
	case "dense": // the next block's header names open descriptors, so select overwrites it
		for fd := 1088; fd < aboveSetSize+10; fd++ {
			if fd < aboveSetSize-1 || fd > aboveSetSize {
				must(unix.Dup3(p[0], fd, 0))
			}
		}
		b := heapOf(0x90, 0x90, 0x410)
		doSelect(aboveSetSize+10, b[0], 0, 0)
		for fd := aboveSetSize + 1; fd < aboveSetSize+10; fd++ {
			must(unix.Close(fd))
		}
		if *(*uint64)(atAddr(b[1] - 8)) == 0x91 {
			panic("the header was not overwritten")
		}
	case "bit":
		setBit(mem, aboveSetSize)
		doSelect(1024, mem, 0, 0)
		doSelect(1024, mem, 0, 0)
	case "garbage": // behind the set is something else
		*(*uint64)(atAddr(mem + 128)) = 0x00007ffd12345678
		*(*uint64)(atAddr(mem + 136)) = 0x00007ffd12345678
		doSelect(1024, mem, 0, 0)
	case "file": // no one waits for a file
		setBit(mem, aboveSetSize-1)
		must(unix.Close(aboveSetSize))
		doSelect(1024, mem, 0, 0)
	case "neighbour": // behind the set is the next one
		setBit(mem+128, aboveSetSize-1024)
		must(unix.Dup3(p[1], aboveSetSize-1024, 0)) // which can be written to, so the bit stays
		doSelect(1024, mem, mem+128, 0)
	case "low":
		for range 1000 {
			doSelect(100, mem, 0, 0)
		}
	}
}

func mapped8k() uintptr {
	b, err := unix.Mmap(-1, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	must(err)
	return uintptr(unsafe.Pointer(&b[0]))
}

func TestSelect(t *testing.T) {
	type want struct {
		whole    int
		proof    string
		calls    int64
		distance int64
		chunk    int64
		where    string
		bit      int32
	}
	cases := map[string]want{
		"overlap":   {whole: 8, proof: "sets overlap", calls: 12, distance: 128, where: "other"},
		"dynamic":   {whole: 8, calls: 12, distance: 144, where: "other"},
		"same":      {whole: 1, calls: 1, where: "other"},
		"one":       {whole: 1, calls: 1, where: "other"},
		"block":     {whole: 1, proof: "heap block too small", calls: 1, chunk: 0x88, where: "heap"},
		"bigblock":  {whole: 1, calls: 1, chunk: 0x98, where: "heap"},
		"inside":    {whole: 1, calls: 1, where: "heap"},
		"dense":     {whole: 1, proof: "heap block too small", calls: 1, chunk: 0x88, where: "heap"},
		"bit":       {whole: 1, proof: "bit beyond the set", calls: 2, bit: aboveSetSize, where: "other"},
		"garbage":   {calls: 1},
		"file":      {calls: 1},
		"neighbour": {calls: 1},
		"low":       {calls: 1000},
		"small":     {calls: 1},
	}
	eachWay(t, func(t *testing.T, w *watch) {
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				w.t = t
				k := w.program("select", name)
				w.done(k)
				seen := ofKind[*evidence.SelectBeyond](w, k.pid)
				if len(seen) != c.whole {
					t.Fatalf("%d told of, want %d: %+v", len(seen), c.whole, seen)
				}
				for i, s := range seen {
					proof := c.proof
					if i > 0 { // once is enough
						proof = ""
					}
					nfds := int32(aboveSetSize + 1)
					highest := int64(aboveSetSize)
					switch name {
					case "bit":
						nfds = 1024
					case "dense":
						nfds, highest = aboveSetSize+10, aboveSetSize+9
					}
					if s.Proof != proof || s.Distance != c.distance || s.ChunkSize[0] != c.chunk || s.Where[0] != c.where || s.BitFD != c.bit ||
						s.Call != "pselect6" || s.NFDs != nfds || s.Highest != highest || int(s.Count) != i+1 || s.Sets[0] == 0 {
						t.Errorf("%d: %+v, want %+v", i, s, c)
					}
					if s.Context == nil {
						t.Error("no stack")
					} else {
						checkCallContext(t, s.Context, false, 8192)
					}
				}
				if _, e := w.exitOf(k.pid); e.SelectCalls != c.calls {
					t.Errorf("%d calls at its exit, want %d", e.SelectCalls, c.calls)
				}
			})
		}
		w.t = t
		if n := w.Counters()[evidence.CountSelectBeyond]; n != 12+12+6+1 {
			t.Errorf("%d counted", n)
		}
		w.bystander("select", "overlap")
	})
}

// Real programs with glibc's malloc.
func TestSelectInC(t *testing.T) {
	bin := compiled(t, "select")
	w := openWay(t, SysExit)
	wants := map[string]struct {
		proof, where string
		chunk        int64
	}{
		"malloc": {"heap block too small", "heap", 136},
		"dense":  {"heap block too small", "heap", 136},
		"calloc": {"", "heap", 152},
		"large":  {"", "other", 1<<20 + 4096 - 16},
		"struct": {"", "heap", 0},
		"stack":  {"sets overlap", "stack", 0},
		"data":   {"bit beyond the set", "data", 0},
	}
	if static(bin) {
		// The C library takes the first piece of the heap for its threads: where the blocks begin is
		// not known then, and nothing is said of one whose neighbour was overwritten.
		for _, how := range []string{"malloc", "dense"} {
			want := wants[how]
			want.proof, want.chunk = "", 0
			wants[how] = want
		}
	}
	for how, want := range wants {
		t.Run(how, func(t *testing.T) {
			w.t = t
			k := w.start("become", bin, how)
			w.done(k)
			seen := ofKind[*evidence.SelectBeyond](w, k.pid)
			if len(seen) != 1 {
				t.Fatalf("%d told of, want 1", len(seen))
			}
			if s := seen[0]; s.Proof != want.proof || s.Where[0] != want.where || s.ChunkSize[0] != want.chunk {
				t.Errorf("%+v, want %+v", s, want)
			}
		})
	}
}

// static says that a program asks for no loader.
func static(bin string) bool {
	f, err := elf.Open(bin)
	must(err)
	defer f.Close()
	return !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}
