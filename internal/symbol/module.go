package symbol

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// module is one opened binary. What is in it is read under recover and SetPanicOnFault (see
// Resolver.guard): a file that is cut short while it is mapped faults.
type module struct {
	key   moduleKey
	img   *image
	err   error // why it cannot be used
	data  []byte
	refs  int    // users, under Resolver.mu
	use   uint64 // when last used, under Resolver.mu
	held  bool   // by Hold
	debug *module

	// partial is why there is no file but the mapping's Head alone: addresses have their place, and the debug file may name them.
	partial error
	memory  bool // data is no mapping of a file
	id      string
	mini    *image // .gnu_debugdata, with debug

	mu        sync.Mutex // what follows is made on demand
	goDone    bool
	goTab     *goTable
	linesDone bool
	lines     *lineData
	debugDone bool
}

// moduleKey is what a mapping says of its file. Without an inode (0) the path alone counts, and
// the file's own inode takes its place.
type moduleKey struct {
	path       string // below the root
	root       string
	dev, inode uint64
	id         string // what Mapping.BuildID and Mapping.Head ask for
}

// maxBinary is how large a binary may be.
const maxBinary = 4 << 30

var (
	errReplaced = errors.New("the file was replaced since it was mapped")
	errShort    = errors.New("the file there now ends before its segments do")
	errDeleted  = errors.New("the file was deleted")
	errOther    = errors.New("the file there now has other content than the one that was mapped")
)

// openBelow opens a regular file for reading, with symbolic links resolved below root.
func openBelow(root, path string) (*os.File, error) {
	var fd int
	var err error
	full := path
	if root == "" || root == "/" {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	} else {
		full = filepath.Join(root, path)
		var dir int
		if dir, err = unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0); err == nil {
			// RESOLVE_IN_ROOT: Linux 5.6. An absolute link in a container must not lead out of it.
			fd, err = unix.Openat2(dir, strings.TrimPrefix(path, "/"), &unix.OpenHow{
				Flags: unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
			unix.Close(dir) //nolint:errcheck // O_PATH
		}
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: full, Err: err}
	}
	f := os.NewFile(uintptr(fd), full)
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close() //nolint:errcheck // read only
		return nil, fmt.Errorf("open %s: not a regular file", full)
	}
	return f, nil
}

// openMapping opens the file of a mapping and checks that it is the one that was mapped.
func openMapping(root string, m *Mapping) (*os.File, error) {
	f, err := openBelow(root, m.Path)
	if err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil, errDeleted
		}
		return nil, err
	}
	if m.Inode == 0 {
		if m.Deleted && m.BuildID == "" && m.Head == "" {
			f.Close() //nolint:errcheck // read only
			return nil, errDeleted
		}
		return f, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close() //nolint:errcheck // read only
		return nil, fmt.Errorf("stat %s: %w", m.Path, err)
	}
	if st.Ino != m.Inode && !(m.Device != 0 && st.Dev != m.Device && !m.Deleted && onOverlay(f)) {
		f.Close() //nolint:errcheck // read only
		return nil, errReplaced
	}
	return f, nil
}

// onOverlay tells a file of overlayfs, where the inode and device that the kernel knows of a
// mapping need not be those of stat(2): both differ then.
func onOverlay(f *os.File) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &st) == nil && st.Type == unix.OVERLAYFS_SUPER_MAGIC
}

// load maps a file and parses its headers.
func (mod *module) load(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	if st.Size() < 64 || st.Size() > maxBinary {
		return errELF
	}
	if mod.data, err = unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_PRIVATE); err != nil {
		return fmt.Errorf("map %s: %w", f.Name(), err)
	}
	if mod.img, err = parseELF(mod.data); err == nil {
		mod.id = mod.img.buildID()
	}
	return err
}

// check compares the file with what a core knows of the one that was mapped.
func (mod *module) check(m *Mapping) error {
	switch {
	case m.BuildID != "" && mod.id != "" && m.BuildID != mod.id:
		return fmt.Errorf("the file there now has build id %s, the one that was mapped %s", mod.id, m.BuildID)
	case m.BuildID != "" && mod.id == "", (m.BuildID == "" || mod.id == "") && m.Head != "" && !strings.HasPrefix(string(mod.data[:min(len(mod.data), len(m.Head))]), m.Head):
		return errOther
	}
	for _, s := range mod.img.loads {
		if m.BuildID+m.Head != "" && s.filesz > 0 && mod.img.slice(s.off, s.filesz) == nil {
			return errShort
		}
	}
	return nil
}

// headOnly makes a module of a file that cannot be read: what the mapping's Head tells. why is the reason.
func (mod *module) headOnly(m *Mapping, why error) bool {
	img, err := parseELF([]byte(m.Head))
	if err != nil || len(img.loads) == 0 {
		return false
	}
	// Nothing of it can be looked up but where addresses lie.
	img.sections, img.names, img.notes, img.ehHdr = nil, nil, nil, segment{}
	mod.data, mod.img, mod.err, mod.partial, mod.memory, mod.id = nil, img, nil, why, true, m.BuildID
	return true
}

// release gives back the memory of pages that were looked at; the page cache still has them.
func (mod *module) release() {
	mod.mu.Lock()
	defer mod.mu.Unlock()
	if mod.data != nil && !mod.memory {
		unix.Madvise(mod.data, unix.MADV_DONTNEED) //nolint:errcheck // saves memory, no more
	}
	if mod.debug != nil {
		mod.debug.release()
	}
}

func (mod *module) close() {
	if mod.data != nil && !mod.memory {
		unix.Munmap(mod.data) //nolint:errcheck // nothing could be done about it
	}
	mod.data, mod.img, mod.mini = nil, nil, nil
	if mod.debug != nil {
		mod.debug.close()
	}
}

// vdsoImage copies the kernel's vdso out of this process: it is the same in each one.
func vdsoImage() (*image, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil, fmt.Errorf("read own maps for the vdso: %w", err)
	}
	for _, m := range ParseMaps(maps) {
		if m.Path != "[vdso]" || m.End-m.Start > 1<<20 {
			continue
		}
		mem, err := os.Open("/proc/self/mem")
		if err != nil {
			return nil, fmt.Errorf("open own memory for the vdso: %w", err)
		}
		defer mem.Close() //nolint:errcheck // read only
		b := make([]byte, m.End-m.Start)
		if _, err := io.ReadFull(io.NewSectionReader(mem, int64(m.Start), int64(len(b))), b); err != nil {
			return nil, fmt.Errorf("read the vdso: %w", err)
		}
		return parseELF(b)
	}
	return nil, errors.New("no vdso")
}

// goTable is the module's pclntab, nil where it is no Go program.
func (mod *module) goTable() *goTable {
	mod.mu.Lock()
	defer mod.mu.Unlock()
	if !mod.goDone {
		mod.goDone = true
		mod.goTab = openGo(mod.img)
	}
	return mod.goTab
}

// lineData is the module's own DWARF, or that of its debug file.
func (mod *module) lineData(limit uint64) *lineData {
	mod.mu.Lock()
	defer mod.mu.Unlock()
	if !mod.linesDone {
		mod.linesDone = true
		if mod.lines = openLines(mod.img, limit); mod.lines == nil && mod.debug != nil {
			mod.lines = openLines(mod.debug.img, limit)
		}
	}
	return mod.lines
}

// forgetLines drops the DWARF that was parsed: its abbreviations and inflated sections are the
// largest part of what a module holds.
func (mod *module) forgetLines() {
	mod.mu.Lock()
	defer mod.mu.Unlock()
	mod.lines, mod.linesDone = nil, false
}

// mapFile is the link to exactly the file that a live process has mapped.
func mapFile(pid int, m *Mapping) string {
	return "/proc/" + strconv.Itoa(pid) + "/map_files/" + strconv.FormatUint(m.Start, 16) + "-" + strconv.FormatUint(m.End, 16)
}

// fileID is what identifies a file's content well enough to keep it open by: the inode, and when
// it was changed in place of the device.
func fileID(f *os.File) (id, inode uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, 0, fmt.Errorf("stat %s: %w", f.Name(), err)
	}
	return st.Dev ^ uint64(st.Mtim.Nano()), st.Ino, nil
}
