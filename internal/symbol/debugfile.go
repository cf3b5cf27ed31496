package symbol

import (
	"hash/crc32"
	"path"
	"path/filepath"
	"strings"
)

// debugImages are what else names the module's functions: its separate debug file, found by build id or by
// .gnu_debuglink, and the symbols that it brings along itself in .gnu_debugdata. Both may be missing.
func (mod *module) debugImages(dirs []string, limit uint64) []*image {
	mod.mu.Lock()
	defer mod.mu.Unlock()
	if !mod.debugDone {
		mod.debugDone = true
		if mod.findDebug(dirs); mod.debug == nil && mod.partial == nil {
			mod.mini = mod.img.miniDebug(limit)
		}
	}
	var out []*image
	if mod.debug != nil {
		out = append(out, mod.debug.img)
	}
	if mod.mini != nil {
		out = append(out, mod.mini)
	}
	return out
}

// findDebug looks for the separate debug file, below the root first.
func (mod *module) findDebug(dirs []string) {
	roots := []string{mod.key.root, ""}
	if mod.key.root == "" {
		roots = roots[1:]
	}
	if id := mod.id; len(id) > 2 {
		for _, root := range roots {
			for _, dir := range dirs {
				if mod.openDebug(root, filepath.Join(dir, ".build-id", id[:2], id[2:]+".debug"), 0) {
					return
				}
			}
		}
	}
	name, crc, ok := mod.img.debugLink()
	if !ok {
		return
	}
	at := path.Dir(mod.key.path)
	for _, root := range roots {
		if mod.openDebug(root, filepath.Join(at, name), crc) || mod.openDebug(root, filepath.Join(at, ".debug", name), crc) {
			return
		}
		for _, dir := range dirs {
			if mod.openDebug(root, filepath.Join(dir, at, name), crc) {
				return
			}
		}
	}
}

// maxLinked is how large a debug file may be whose sum has to be computed, since it has no build id.
const maxLinked = 256 << 20

// openDebug takes a file if it is the debug file of this very module: by its build id, or else by crc, where that is not 0.
func (mod *module) openDebug(root, name string, crc uint32) bool {
	f, err := openBelow(root, name)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // read only
	d := &module{}
	if d.load(f) != nil || d.img.arm != mod.img.arm {
		d.close()
		return false
	}
	same := d.id == mod.id
	if mod.id == "" || d.id == "" {
		same = crc != 0 && len(d.data) <= maxLinked && crc32.ChecksumIEEE(d.data) == crc
	}
	if !same || d.img.section(".symtab") == nil && d.img.section(".debug_info") == nil {
		d.close()
		return false
	}
	mod.debug = d
	return true
}

// debugLink is what .gnu_debuglink says: the base name of the debug file, and its sum.
func (f *image) debugLink() (name string, crc uint32, ok bool) {
	r := buf{b: f.content(".gnu_debuglink", maxName)}
	name = r.str()
	r.off = (r.off + 3) &^ 3
	crc = r.u32()
	return name, crc, !r.bad && name != "" && name != "." && name != ".." && !strings.Contains(name, "/")
}

// miniDebug is the ELF file that .gnu_debugdata holds, packed with xz: the symbols of local functions, as
// Fedora's binaries have them.
func (f *image) miniDebug(limit uint64) *image {
	packed := f.raw(f.section(".gnu_debugdata"))
	if len(packed) == 0 {
		return nil
	}
	b, err := unxz(packed, limit)
	if err != nil {
		return nil
	}
	img, err := parseELF(b)
	if err != nil || img.arm != f.arm {
		return nil
	}
	return img
}
