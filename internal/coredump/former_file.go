package coredump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// file writes the core where and as the kernel would have: as the process's own user, from its root
// and working directory, a new file of mode 0600, not more than its limit. This process is that
// user's from then on, and may do nothing else afterwards.
func (f *former) file(core io.Reader) error {
	if f.Dumpable != 1 {
		return errors.New("the process's core is root's alone to read, and no file is written for it")
	}
	core1, err := f.limit(coreLimit)
	if err != nil {
		return err
	}
	if core1 < minCore {
		return nil
	}
	size, err := f.limit(fileLimit)
	if err != nil {
		return err
	}
	id, err := f.identity()
	if err != nil {
		return err
	}
	pid, err := readSysctl("core_uses_pid")
	if err != nil {
		return err
	}
	name := coreFile(f.Pattern, strings.TrimSpace(pid) != "0", id.NSPID, f.specifiers(&id))
	// What may be done in a user namespace holds there, not here.
	caps := id.Capabilities
	if !f.inOurUserNamespace() {
		caps = 0
	}
	root, err := os.Open(f.alive("root"))
	if err != nil {
		return fmt.Errorf("open the root of process %d: %w", f.PID, err)
	}
	cwd, err := os.Open(f.alive("cwd"))
	if err != nil {
		return fmt.Errorf("open the working directory of process %d: %w", f.PID, err)
	}
	if err := become(&id, caps, root, cwd); err != nil {
		return fmt.Errorf("become what process %d was: %w", f.PID, err)
	}
	out, err := createCore(name, id.UID[3])
	if err != nil {
		return fmt.Errorf("write the core of process %d: %w", f.PID, err)
	}
	defer out.Close()
	return writeSparse(out, core, int64(min(core1, size, 1<<62)))
}

// become gives this process another's user, groups, capabilities, root and working directory.
func become(id *identity, caps uint64, root, cwd *os.File) error {
	runtime.LockOSThread()
	if err := unix.Fchdir(int(root.Fd())); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	if err := unix.Fchdir(int(cwd.Fd())); err != nil {
		return err
	}
	unix.Umask(0) // what is created is 0600
	// The bounding set goes first, while that may still be done.
	uid, gid := id.UID[3], id.GID[3]
	if err := syscall.Setgroups(id.Groups); err != nil {
		return err
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return err
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return err
	}
	if uid != 0 {
		return nil // and with it all capabilities went
	}
	// Only this thread opens files from here on.
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return err
	}
	data[0].Effective &= uint32(caps)
	data[1].Effective &= uint32(caps >> 32)
	for i := range data {
		data[i].Permitted, data[i].Inheritable = data[i].Effective, 0
	}
	return unix.Capset(&hdr, &data[0])
}

// createCore makes the file with the rules of the kernel: what stands there goes, no link is
// followed, and it must come out as this user's own.
func createCore(name string, uid int) (*os.File, error) {
	if name == "" {
		return nil, errors.New("it has no name")
	}
	unix.Unlink(name)
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_LARGEFILE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", strconv.Quote(name), err)
	}
	out := os.NewFile(uintptr(fd), name)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && (st.Mode != unix.S_IFREG|0o600 || st.Nlink != 1 || int(st.Uid) != uid) {
		err = errors.New("the file system changed its owner or mode")
	}
	if err != nil {
		out.Close()
		return nil, fmt.Errorf("create %s: %w", strconv.Quote(name), err)
	}
	return out, nil
}

// writeSparse copies a core; its empty pages become holes and do not count towards limit bytes.
func writeSparse(out *os.File, core io.Reader, limit int64) error {
	var zero [4096]byte
	buf := make([]byte, 64<<10)
	var at, written int64
	for {
		n, err := io.ReadFull(core, buf)
		for page := buf[:n]; len(page) > 0; {
			p := page[:min(len(page), len(zero))]
			page = page[len(p):]
			if bytes.Equal(p, zero[:len(p)]) {
				at += int64(len(p))
				continue
			}
			if written+int64(len(p)) > limit {
				return out.Truncate(at) // the kernel stops there too
			}
			if _, err := out.WriteAt(p, at); err != nil {
				return fmt.Errorf("write the core: %w", err)
			}
			at += int64(len(p))
			written += int64(len(p))
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return out.Truncate(at)
		case err != nil:
			out.Truncate(at)
			return fmt.Errorf("read the core: %w", err)
		}
	}
}
