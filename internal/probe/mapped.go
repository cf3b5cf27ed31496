//go:build linux

package probe

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// mappedFile says what is mapped where a SIGBUS was. size, magic and links were read in the kernel at
// that moment; the room of the file system and when the file was changed are asked for now.
func (f *faulted) mappedFile(o *evidence.Observation, size int64, magic uint64, links uint32) *evidence.MappedFile {
	a := &f.at
	if !a.mapped() || f.sig.Address < a.lo {
		return nil
	}
	m := &evidence.MappedFile{
		Path: f.parts.path(a.path), Size: size, Deleted: links == 0,
		Offset:     int64(f.sig.Address-a.lo) + int64(a.offset)*int64(os.Getpagesize()),
		Shared:     a.may(vmShared),
		Huge:       a.may(vmHugeTLB),
		FileSystem: evidence.FileSystemName(magic),
	}
	want := f.parts.mapping(a)
	path := strings.TrimSuffix(m.Path, " (deleted)")
	if !strings.HasPrefix(path, "/") {
		return m
	}
	// Of a name that is gone the folder tells as much of the file system.
	dir := path[:strings.LastIndexByte(path, '/')+1]
	for _, root := range []string{fmt.Sprintf("/proc/%d/root", o.PID), ""} {
		for _, p := range []string{path, dir} {
			var st unix.Stat_t
			var fs unix.Statfs_t
			if unix.Stat(root+p, &st) != nil || st.Dev != want.Device || unix.Statfs(root+p, &fs) != nil {
				continue
			}
			if st.Ino == want.Inode {
				m.Changed = st.Mtim.Nano()
				var x unix.Statx_t
				if unix.Statx(unix.AT_FDCWD, root+p, 0, unix.STATX_BTIME, &x) == nil && x.Mask&unix.STATX_BTIME != 0 {
					m.Born = x.Btime.Sec*1e9 + int64(x.Btime.Nsec)
				}
			}
			if fs.Blocks > 0 {
				m.FreeKnown, m.Free = true, int64(fs.Bavail)*fs.Frsize
			}
			return m
		}
	}
	return m
}
