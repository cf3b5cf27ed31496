package evidence

import "github.com/go-json-experiment/json/jsontext"

// KindFileRefused is a system call on a file that the kernel refused.
const KindFileRefused Kind = "file.refused"

// FileRefused is a system call on a file that failed with ENOSPC, EDQUOT, EROFS, EIO, EACCES or
// EPERM. What stands behind Count was read right after it, through /proc, while that could be
// done; what could not be read is left out.
type FileRefused struct {
	Call      string `json:"call"`
	Errno     Errno  `json:"errno"`
	Path      string `json:"path,omitzero"`      // as asked for, cut at 255 bytes; else that of the file behind the descriptor
	Dir       string `json:"dir,omitzero"`       // where a relative path starts at
	FD        int32  `json:"fd"`                 // of a call on a descriptor; -1: none
	Asked     int64  `json:"asked,omitzero"`     // bytes, of a write
	Lost      int64  `json:"lostBytes,omitzero"` // bytes not taken, summed
	Count     int64  `json:"count"`              // of this process, call and error up to now, exact
	UID       int32  `json:"uid"`                // that the kernel judged it by; -1: not known
	GID       int32  `json:"gid"`
	Caps      uint64 `json:"caps,omitzero"`      // effective capabilities, a bit each
	FSType    string `json:"fsType,omitzero"`    // "ext4"
	Mount     string `json:"mount,omitzero"`     // where its file system is mounted
	Device    string `json:"device,omitzero"`    // what is mounted there
	ReadOnly  bool   `json:"readOnly,omitzero"`  // the mount or the file system
	NoExec    bool   `json:"noExec,omitzero"`    // the mount
	Space     *Space `json:"space,omitzero"`     // of the file system, nil where not read
	Missing   bool   `json:"missing,omitzero"`   // there is nothing by that path
	Forbids   string `json:"forbids,omitzero"`   // path of the component whose mode, owner or attribute forbids it
	Mode      int32  `json:"mode,omitzero"`      // permission bits and sticky bit of Forbids, else of the file
	Owner     int32  `json:"owner"`              // likewise; -1: not known
	Group     int32  `json:"group"`              //
	Attribute string `json:"attribute,omitzero"` // "immutable", "append-only", "sticky": of Forbids

	Unknown jsontext.Value `json:",embed"`
}

// Space is what is left of a file system.
type Space struct {
	FreeBytes   int64 `json:"freeBytes"` // for who has no privileges
	TotalBytes  int64 `json:"totalBytes"`
	FreeInodes  int64 `json:"freeInodes"`
	TotalInodes int64 `json:"totalInodes"` // 0: it has no such limit
}

func walkSpace(c *codec, s *Space) {
	c.i64(&s.FreeBytes)
	c.i64(&s.TotalBytes)
	c.i64(&s.FreeInodes)
	c.i64(&s.TotalInodes)
}

// Kind is KindFileRefused.
func (*FileRefused) Kind() Kind { return KindFileRefused }

func (d *FileRefused) walk(c *codec) {
	c.str(&d.Call)
	c.i32((*int32)(&d.Errno))
	c.str(&d.Path)
	c.str(&d.Dir)
	c.i32(&d.FD)
	c.i64(&d.Asked)
	c.i64(&d.Lost)
	c.i64(&d.Count)
	c.i32(&d.UID)
	c.i32(&d.GID)
	c.u64(&d.Caps)
	c.str(&d.FSType)
	c.str(&d.Mount)
	c.str(&d.Device)
	c.flag(&d.ReadOnly)
	c.flag(&d.NoExec)
	optional(c, &d.Space, walkSpace)
	c.flag(&d.Missing)
	c.str(&d.Forbids)
	c.i32(&d.Mode)
	c.i32(&d.Owner)
	c.i32(&d.Group)
	c.str(&d.Attribute)
	c.bytes((*[]byte)(&d.Unknown))
}

// Counters of refused calls on files.
const (
	CountFileNoSpace   = "file.noSpace"   // ENOSPC
	CountFileQuota     = "file.quota"     // EDQUOT
	CountFileReadOnly  = "file.readOnly"  // EROFS
	CountFileIOError   = "file.ioError"   // EIO
	CountFileForbidden = "file.forbidden" // EACCES, EPERM
)
