package coredump

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// fileBound is how long a look at a mapped file may take: its server may be dead.
const fileBound = time.Second

// faultFile is the file that a process has mapped where it got SIGBUS, or nil. The process must still wait:
// nobody else knows what was mapped there, and what lies at its path later may be another file.
func faultFile(h *dumpHead, proc string) *MappedFile {
	if s := &h.signal; evidence.Signal(s.number) != sigBUS || s.code != busAdrErr {
		return nil
	}
	maps, err := readFile(filepath.Join(proc, "maps"))
	if err != nil {
		return nil
	}
	f := mappedAt(string(maps), h.signal.address)
	if f == nil {
		return nil
	}
	name := f.File.Path // whole
	done := make(chan bool, 1)
	go func() { done <- f.look(proc, name) }()
	select {
	case ok := <-done:
		if !ok {
			return nil
		}
	case <-time.After(fileBound):
		return nil // f stays with who hangs
	}
	f.File.Path = bounded(strings.TrimSuffix(name, " (deleted)"))
	return f
}

// mappedAt finds the file mapping that holds addr in the text of /proc/PID/maps.
func mappedAt(maps string, addr uint64) *MappedFile {
	for line := range strings.Lines(maps) {
		f := &MappedFile{Address: addr}
		n, _ := fmt.Sscanf(line, "%x-%x %s %x %s %d", &f.Start, &f.End, &f.Mode, &f.From, &f.Device, &f.Inode)
		if n < 6 || addr < f.Start || addr >= f.End {
			continue
		}
		at := strings.IndexByte(line, '/')
		if f.Inode == 0 || at < 0 || len(f.Mode) != 4 {
			return nil
		}
		// A line feed in a name is shown as \012, and no other byte is changed.
		f.File.Path = strings.ReplaceAll(strings.TrimSuffix(line[at:], "\n"), "\\012", "\n")
		f.File.Offset = int64(addr - f.Start + f.From)
		f.File.Shared = f.Mode[3] == 's'
		return f
	}
	return nil
}

// look fills in the file itself: by the mapping, which is the file whatever became of its name, or by its
// name below the process's root, where the former is not permitted (CAP_CHECKPOINT_RESTORE).
func (f *MappedFile) look(proc, name string) bool {
	// The kernel's own idea of the file counts, not what a server says by now.
	const flags, mask = unix.AT_STATX_DONT_SYNC, unix.STATX_BASIC_STATS | unix.STATX_BTIME
	var x unix.Statx_t
	whole := proc
	if up := filepath.Dir(proc); filepath.Base(up) == "task" {
		whole = filepath.Join(filepath.Dir(filepath.Dir(up)), filepath.Base(proc)) // a thread's folder has no map_files there
	}
	path := filepath.Join(whole, "map_files", fmt.Sprintf("%x-%x", f.Start, f.End))
	if unix.Statx(unix.AT_FDCWD, path, flags, mask, &x) != nil {
		// Not filepath.Join: a process's root is a link that must be followed.
		path = proc + "/root" + name
		if unix.Statx(unix.AT_FDCWD, path, flags|unix.AT_SYMLINK_NOFOLLOW, mask, &x) != nil || x.Ino != f.Inode {
			return false
		}
	}
	if x.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	e := &f.File
	e.Size, e.Deleted = int64(x.Size), x.Nlink == 0
	e.Changed = x.Mtime.Sec*1e9 + int64(x.Mtime.Nsec)
	if x.Mask&unix.STATX_BTIME != 0 {
		e.Born = x.Btime.Sec*1e9 + int64(x.Btime.Nsec)
	}
	var fs unix.Statfs_t
	if unix.Statfs(path, &fs) == nil {
		e.FileSystem = evidence.FileSystemName(uint64(fs.Type))
		e.Huge = uint64(fs.Type) == unix.HUGETLBFS_MAGIC
		if fs.Blocks > 0 && !e.Huge {
			e.FreeKnown, e.Free = true, int64(fs.Bavail)*fs.Frsize
		}
	}
	return true
}

// startedAt is when the process of a /proc/PID/stat began, on the wall clock in nanoseconds; 0: not known.
// The kernel tells it in hundredths of a second, rounded down.
func startedAt(stat string) int64 {
	f := strings.Fields(stat[max(0, strings.LastIndexByte(stat, ')')):])
	const start = 22 - 2
	var ticks int64
	if len(f) <= start {
		return 0
	}
	var boot unix.Timespec
	if _, err := fmt.Sscan(f[start], &ticks); err != nil || ticks <= 0 || ticks > 1e12 || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return 0
	}
	return time.Now().UnixNano() - boot.Nano() + ticks*1e7
}
