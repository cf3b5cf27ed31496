package symbol

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// GoProgram is what a Go binary tells of the process that runs it. Addresses are the process's.
type GoProgram struct {
	Version string // "go1.26.1", as the linker noted it; empty where it did not
	Bias    uint64 // address in the process less address in the file
	PCLn    uint64 // runtime.pclntab, which runtime.firstmoduledata begins with
	AllGs   uint64 // variable runtime.allgs; 0 in a stripped program
	Data    []Span // writable memory of the binary: initialised and not
	rodata  *image
	mod     *module
	r       *Resolver
}

// Span is a range of addresses.
type Span struct{ Start, End uint64 }

// ErrNotGo says that a binary is no Go program of Go 1.18 or later.
var ErrNotGo = errors.New("no Go program of Go 1.18 or later")

// Go reads what the binary of m, an executable mapping of it, tells of Go. Close the result. The
// error is ErrNotGo, or says why the binary cannot be used.
func (r *Resolver) Go(root string, m Mapping) (*GoProgram, error) {
	mod := r.get(&Context{Root: root}, &m)
	p := &GoProgram{mod: mod, r: r}
	if mod.err != nil || mod.img == nil {
		p.Close()
		return nil, fmt.Errorf("%s: %w", m.Path, mod.err)
	}
	err := r.guard(func() error {
		t := mod.goTable()
		vaddr, ok := mod.img.vaddr(m.Offset)
		if t == nil || !ok {
			return ErrNotGo
		}
		p.rodata, p.Bias = mod.img, m.Start-vaddr
		p.Version = goVersion(mod.img)
		p.PCLn = t.addr + p.Bias
		if v, ok := mod.img.symbolValue("runtime.allgs"); ok {
			p.AllGs = v + p.Bias
		}
		for _, s := range mod.img.loads {
			if s.flags&2 != 0 { // PF_W
				p.Data = append(p.Data, Span{s.vaddr + p.Bias, s.vaddr + p.Bias + s.memsz})
			}
		}
		return nil
	})
	if err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Close gives the binary back to its Resolver.
func (p *GoProgram) Close() {
	if p.mod != nil {
		p.r.put([]*module{p.mod})
		p.mod = nil
	}
}

// Read reads what the binary has at an address of the process, as it was before it ran, and says how
// many bytes: constants and types of a core that left them out.
func (p *GoProgram) Read(addr uint64, b []byte) (n int) {
	if p.mod == nil {
		return 0
	}
	p.r.guard(func() error { //nolint:errcheck // then nothing was read
		n = copy(b, p.rodata.at(addr-p.Bias))
		return nil
	})
	return n
}

// goVersion reads what the linker notes for "go version" (Go 1.18 and later write it in place).
func goVersion(f *image) string {
	b := f.raw(f.section(".go.buildinfo"))
	const head = 32
	if len(b) < head+1 || string(b[:14]) != "\xff Go buildinf:" || b[15]&2 == 0 {
		return ""
	}
	n, used := binary.Uvarint(b[head:])
	if used <= 0 || n > 64 || n > uint64(len(b)-head-used) {
		return ""
	}
	return string(b[head+used : head+used+int(n)])
}
