package symbol

import "io/fs"

// FileAt reads what the file of m has for addr, an address within m, and says how many bytes it
// read; 0 where the file cannot be used. It is what a core lacks of pages that were never written.
func (r *Resolver) FileAt(root string, m Mapping, addr uint64, p []byte) (n int) {
	r.use(root, &m, func(mod *module) {
		if addr < m.Start || addr >= m.End || mod.memory {
			return
		}
		at := addr - m.Start + m.Offset
		if at < m.Offset || at >= uint64(len(mod.data)) {
			return
		}
		b := mod.data[at:]
		n = copy(p, b[:min(uint64(len(b)), m.End-addr)])
	})
	return n
}

// Address is where the process has the symbol name of the file of m, an executable mapping; ok is
// false where the file has no such symbol, or cannot be used.
func (r *Resolver) Address(root string, m Mapping, name string) (addr uint64, ok bool) {
	r.use(root, &m, func(mod *module) {
		base, found := mod.img.vaddr(m.Offset)
		if !found {
			return
		}
		if v, found := mod.img.symbolValue(name); found && v != 0 {
			addr, ok = v-base+m.Start, true
			return
		}
		for _, d := range mod.debugImages(r.opts.DebugDirs, r.opts.MaxInflate) {
			if v, found := d.symbolValue(name); found && v != 0 {
				addr, ok = v-base+m.Start, true
				return
			}
		}
	})
	return addr, ok
}

// use runs f on the binary of m, if that can be used.
func (r *Resolver) use(root string, m *Mapping, f func(*module)) {
	if m.Path == "" || m.Path[0] != '/' {
		return
	}
	mod := r.get(&Context{Root: root}, m)
	defer r.put([]*module{mod})
	if mod.err != nil || mod.img == nil {
		return
	}
	r.guard(func() error { f(mod); return nil }) //nolint:errcheck // a damaged binary: nothing was found
}

// Stat is what stat(2) says of the regular file at path below root, with symbolic links resolved within it.
func Stat(root, path string) (fs.FileInfo, error) {
	f, err := openBelow(root, path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	return f.Stat() //nolint:wrapcheck // says what was attempted on what
}
