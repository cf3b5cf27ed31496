//go:build linux

package probe

import (
	"syscall"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// Where what stands in struct file_event.
const (
	fileType = 120
	filePath = fileType + 16
	fileDesc = filePath + 256
	fileSize = fileDesc + fdDescSize
)

// Flags of mounts and of file systems in the kernel (include/linux/mount.h, fs.h).
const (
	mntNoExec   = 0x04
	mntReadOnly = 0x40
	sbReadOnly  = 0x01
)

func decodeFile(s *Set, o *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < fileSize {
		return nil
	}
	d := &evidence.FileRefused{
		Call: callName(le.Uint32(raw[40:])), Errno: evidence.Errno(le.Uint32(raw[44:])), Count: int64(le.Uint64(raw[48:])),
		Lost: int64(le.Uint64(raw[56:])), Asked: int64(le.Uint64(raw[64:])), FD: int32(le.Uint32(raw[72:])),
		UID: int32(le.Uint32(raw[76:])), GID: int32(le.Uint32(raw[80:])), Caps: le.Uint64(raw[88:]),
		FSType: cString(raw[fileType:filePath]), Path: cString(raw[filePath:fileDesc]),
		Owner: -1, Group: -1,
	}
	is := readFDDesc(raw[fileDesc:])
	mount, sb := le.Uint32(raw[108:]), le.Uint32(raw[112:])
	d.ReadOnly = mount&mntReadOnly != 0 || sb&sbReadOnly != 0
	d.NoExec = mount&mntNoExec != 0
	a := asked{
		d: d, pid: int(o.PID), mntNS: le.Uint32(raw[84:]), rootIno: le.Uint64(raw[96:]), rootDev: device(le.Uint32(raw[104:])),
		arg: le.Uint32(raw[116:]), byFD: d.Path == "", ino: is.ino, magic: is.magic, dev: device(le.Uint32(raw[fileDesc+fdKindSize:])), at: is.path,
	}
	if is.path == "" && is.mode&syscall.S_IFMT == syscall.S_IFDIR {
		a.at = "/"
	}
	if a.byFD {
		d.Path = a.at
	} else {
		d.FD = -1
		if d.Path[0] != '/' {
			d.Dir = a.at
		}
	}
	// Only what happens now and then is looked into: it means reading /proc.
	if now := time.Now(); d.Count == 1 || now.Sub(s.filesAt) > 200*time.Millisecond {
		s.files.look(&a)
		s.filesAt = now
	}
	return d
}

// device is a number of a device as stat(2) gives it, from the kernel's own form.
func device(kernel uint32) uint64 {
	major, minor := uint64(kernel>>20), uint64(kernel&0xfffff)
	return minor&0xff | major<<8 | minor&^0xff<<12
}

func countedFile(_ *Set, k *countKey, v *countValue) evidence.Detail {
	if v.N <= wholeEvents {
		return nil
	}
	return &evidence.FileRefused{Call: callName(uint32(k.Nr)), Errno: evidence.Errno(k.Err), Count: int64(v.N), Lost: int64(v.Sum), FD: -1, UID: -1, GID: -1, Owner: -1, Group: -1}
}

func totalFile(k *countKey, v *countValue, add func(string, int64)) {
	switch evidence.Errno(k.Err) {
	case evidence.ENOSPC:
		add(evidence.CountFileNoSpace, int64(v.N))
	case evidence.EDQUOT:
		add(evidence.CountFileQuota, int64(v.N))
	case evidence.EROFS:
		add(evidence.CountFileReadOnly, int64(v.N))
	case evidence.EIO:
		add(evidence.CountFileIOError, int64(v.N))
	default:
		add(evidence.CountFileForbidden, int64(v.N))
	}
}
