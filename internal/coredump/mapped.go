package coredump

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// mapped is the file that was mapped where a SIGBUS was, as it was while the kernel waited; of a core that
// is no entry's as it is now. A container's files are then looked for below the root only.
func (s *summary) mapped(m *Meaning) *evidence.MappedFile {
	if e := s.o.Entry; e != nil {
		if f := e.Mapped; f != nil && s.c.Signal == sigBUS && s.c.Code == busAdrErr && f.Address == m.Address {
			file := f.File
			return &file
		}
		return nil // what lies there now may be another file, of another root
	}
	at := m.Where
	if s.c.Signal != sigBUS || s.c.Code != busAdrErr || at == nil || at.Path == "" || at.Path[0] != '/' {
		return nil
	}
	out := &evidence.MappedFile{Path: said(at.Path), Offset: int64(m.Address - at.Start + at.Offset), Size: m.FileBytes, Deleted: at.Deleted}
	if at.Deleted || m.FileBytes < 0 || strings.Contains(at.Path, "/../") {
		return nil // how long it was is not known
	}
	dir, err := unix.Open(filepath.Join("/", s.o.Root), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return out
	}
	defer unix.Close(dir) //nolint:errcheck // O_PATH
	fd, err := unix.Openat2(dir, strings.TrimPrefix(at.Path, "/"), &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return out
	}
	defer unix.Close(fd) //nolint:errcheck // O_PATH
	var st unix.Statx_t
	if unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MTIME|unix.STATX_BTIME, &st) == nil {
		out.Changed = st.Mtime.Sec*1e9 + int64(st.Mtime.Nsec)
		if st.Mask&unix.STATX_BTIME != 0 {
			out.Born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
		}
	}
	return out
}
