package evidence

import "github.com/go-json-experiment/json/jsontext"

// KindFileLooked is a file that descry looked at after a death.
const KindFileLooked Kind = "file.looked"

// FileLooked is a file that a program's last words name with an error, as descry found it right after the program's
// end: no call on it was seen.
type FileLooked struct {
	Path     string `json:"path"`
	Errno    Errno  `json:"errno"`             // that the words name
	UID      int32  `json:"uid"`               // whose files are meant: as the program ran
	FSType   string `json:"fsType,omitzero"`   // "tmpfs"
	Mount    string `json:"mount,omitzero"`    // where its file system is mounted, as the program sees it
	ReadOnly bool   `json:"readOnly,omitzero"` // the mount or the file system
	Missing  bool   `json:"missing,omitzero"`  // there is nothing by that path
	Space    *Space `json:"space,omitzero"`    // of the file system
	Forbids  string `json:"forbids,omitzero"`  // path of the component whose mode lets that user not read, write or pass
	Mode     int32  `json:"mode,omitzero"`     // permission bits of Forbids
	Owner    int32  `json:"owner,omitzero"`    //
	Group    int32  `json:"group,omitzero"`    //

	Unknown jsontext.Value `json:",embed"`
}

// Kind is KindFileLooked.
func (*FileLooked) Kind() Kind { return KindFileLooked }

func (d *FileLooked) walk(c *codec) {
	c.str(&d.Path)
	c.i32((*int32)(&d.Errno))
	c.i32(&d.UID)
	c.str(&d.FSType)
	c.str(&d.Mount)
	c.flag(&d.ReadOnly)
	c.flag(&d.Missing)
	optional(c, &d.Space, walkSpace)
	c.str(&d.Forbids)
	c.i32(&d.Mode)
	c.i32(&d.Owner)
	c.i32(&d.Group)
	c.bytes((*[]byte)(&d.Unknown))
}
