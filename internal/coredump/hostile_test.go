package coredump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/symbol"
)

// elfHeader is a core's header with phnum program headers at byte 64.
func elfHeader(class, data byte, machine, typ, phnum uint16) []byte {
	b := make([]byte, 64)
	copy(b, "\x7fELF")
	b[4], b[5], b[6] = class, data, 1
	order := binary.ByteOrder(le)
	if data == 2 {
		order = binary.BigEndian
	}
	order.PutUint16(b[16:], typ)
	order.PutUint16(b[18:], machine)
	le.PutUint64(b[32:], 64)
	le.PutUint16(b[54:], phdrSize)
	le.PutUint16(b[56:], phnum)
	return b
}

func programHeader(typ uint32, off, vaddr, filesz, memsz uint64) []byte {
	b := make([]byte, phdrSize)
	le.PutUint32(b, typ)
	le.PutUint32(b[4:], 6)
	le.PutUint64(b[8:], off)
	le.PutUint64(b[16:], vaddr)
	le.PutUint64(b[32:], filesz)
	le.PutUint64(b[40:], memsz)
	return b
}

func TestOpenForeign(t *testing.T) {
	for _, x := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "the file is empty"},
		{"text", []byte("no core at all"), "not ELF"},
		{"short", []byte("\x7fELF\x02\x01"), "ends within its header"},
		{"zstd", []byte("\x28\xb5\x2f\xfd....................................."), "packed with zstd"},
		{"i386", elfHeader(1, 1, 3, 4, 1), "32-bit x86 process"},
		{"x32", elfHeader(1, 1, 62, 4, 1), "32-bit amd64 process"},
		{"ppc64", elfHeader(2, 2, 21, 4, 1), "big-endian 64-bit PowerPC process"},
		{"arm64 big endian", elfHeader(2, 2, 183, 4, 1), "big-endian arm64 process"},
		{"riscv", elfHeader(2, 1, 243, 4, 1), "RISC-V process"},
		{"unknown", elfHeader(2, 1, 9999, 4, 1), "e_machine 9999"},
		{"program", elfHeader(2, 1, 62, 3, 1), "is a shared object or position-independent executable (amd64), not a core"},
		{"no headers", elfHeader(2, 1, 62, 4, 0), "no program headers"},
		{"headers missing", elfHeader(2, 1, 62, 4, 5), "ends before its program headers"},
		{"only zeros", append(elfHeader(2, 1, 62, 4, 2), make([]byte, 200)...), "no program header tells of memory or notes"},
	} {
		_, err := Open(bytes.NewReader(x.b), int64(len(x.b)))
		if err == nil || !errors.Is(err, ErrNotCore) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", x.name, err)
		}
	}
	// A core's real words are not lost for a foreign byte elsewhere: the other programs of this machine.
	if self, err := os.Executable(); err == nil {
		f, err := os.Open(self)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // read only
		if _, err := Open(f, 1<<20); err == nil || !strings.Contains(err.Error(), "not a core") {
			t.Errorf("this test's program: %v", err)
		}
	}
}

// endless is a core of any size whose bytes beyond head repeat one note, and counts what is read.
type endless struct {
	head, note []byte
	read       int64
}

func (e *endless) ReadAt(p []byte, off int64) (int, error) {
	e.read += int64(len(p))
	for i := range p {
		if at := off + int64(i); at < int64(len(e.head)) {
			p[i] = e.head[at]
		} else {
			p[i] = e.note[(at-int64(len(e.head)))%int64(len(e.note))]
		}
	}
	return len(p), nil
}

func oneNote(typ uint32, size uint32, desc []byte) []byte {
	b := make([]byte, 20)
	le.PutUint32(b, 5)
	le.PutUint32(b[4:], size)
	le.PutUint32(b[8:], typ)
	copy(b[12:], "CORE")
	return append(b, desc...)
}

// TestOpenHuge opens cores that tell of more than any process has: time and memory stay bounded.
func TestOpenHuge(t *testing.T) {
	const size = 1 << 40
	registers := make([]byte, 336)
	le.PutUint32(registers[prPID:], 7)
	many := elfHeader(2, 1, 62, 4, 65530)
	for i := range uint64(65529) {
		many = append(many, programHeader(ptLoad, 4096*i, 0x1000+8192*i, 4096, 4096)...)
	}
	many = append(many, programHeader(ptNote, uint64(len(many)+phdrSize), 0, 4096*356, 0)...)
	notes := func(n uint64) []byte {
		return append(elfHeader(2, 1, 62, 4, 1), programHeader(ptNote, 64+phdrSize, 0, n, 0)...)
	}
	files := make([]byte, 64)
	le.PutUint64(files, 1<<60)
	le.PutUint64(files[8:], 4096)
	for _, x := range []struct {
		name     string
		e        endless
		threads  int
		mappings int
		damage   string
	}{
		{"threads for ever", endless{head: notes(size), note: oneNote(ntPRStatus, 336, registers)}, maxThreads, 0, "more than 32768 threads"},
		{"notes of gigabytes", endless{head: notes(size), note: oneNote(99, 0xfffffff0, make([]byte, 12))}, 0, 0, "no thread"},
		{"names of gigabytes", endless{head: notes(size), note: oneNote(ntFile, 0xfffffff0, files)}, 0, 0, "tells of 1152921504606846976 files"},
		{"as many mappings as there can be", endless{head: many, note: oneNote(ntPRStatus, 336, registers)}, 4096, 65529, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			c, err := Open(&x.e, size)
			if err != nil {
				t.Fatal(err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			if len(c.Threads) != x.threads || len(c.Mappings) != x.mappings || !strings.Contains(strings.Join(c.Damage, "; "), x.damage) {
				t.Errorf("%d threads, %d mappings, %q", len(c.Threads), len(c.Mappings), c.Damage)
			}
			if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 64<<20 {
				t.Errorf("holds %d MiB", held>>20)
			}
			if all := after.TotalAlloc - before.TotalAlloc; all > 256<<20 {
				t.Errorf("took %d MiB in all", all>>20)
			}
			if x.e.read > 1<<31 {
				t.Errorf("read %d MiB", x.e.read>>20)
			}
			if len(c.Threads) > 0 {
				res := symbol.New(symbol.Options{})
				defer res.Close()
				if stacks, err := c.Backtraces(res, "", BacktraceOptions{Threads: 3}); len(stacks) != 3 || err == nil {
					t.Errorf("%d stacks, %v", len(stacks), err)
				}
			}
			runtime.KeepAlive(c)
		})
	}
}
