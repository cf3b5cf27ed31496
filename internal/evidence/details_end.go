package evidence

// AtEnd is what the kernel knows of a process at its end, beside its descriptors.
type AtEnd struct {
	UID          int32  `json:"uid"`                  // that files are judged by
	GID          int32  `json:"gid"`                  //
	Caps         uint64 `json:"caps,omitzero"`        // effective capabilities, a bit each
	AddressLimit int64  `json:"addressLimit"`         // RLIMIT_AS, bytes; -1: none
	DataLimit    int64  `json:"dataLimit"`            // RLIMIT_DATA, bytes; -1: none
	AddressPeak  int64  `json:"addressPeak,omitzero"` // bytes of address space that it had at most; 0: not known, before Linux 6.16
	Inotify      int64  `json:"inotify,omitzero"`     // inotify instances of its user, where they are counted that let it have fewest more
	InotifyMax   int64  `json:"inotifyMax,omitzero"`  // that it may have; 0: not known
	Written      int64  `json:"written,omitzero"`     // bytes that it gave to calls of write since its exec, to whatever descriptor
}

func (e *AtEnd) walk(c *codec) {
	c.i32(&e.UID)
	c.i32(&e.GID)
	c.u64(&e.Caps)
	for _, n := range []*int64{&e.AddressLimit, &e.DataLimit, &e.AddressPeak, &e.Inotify, &e.InotifyMax, &e.Written} {
		c.i64(n)
	}
}

// StdioTurned is one of descriptors 0 to 2 that is something else at the end of a process than it was when its
// program began. How it came to that was not seen.
type StdioTurned struct {
	FD    int32  `json:"fd"`
	Was   FDKind `json:"was,omitzero"` // empty: it was closed
	Is    FDKind `json:"is,omitzero"`  // empty: it is closed
	State string `json:"state,omitzero"`
	Path  string `json:"path,omitzero"`
	Peer  string `json:"peer,omitzero"`
}

func (s *StdioTurned) walk(c *codec) {
	c.i32(&s.FD)
	c.str((*string)(&s.Was))
	c.str((*string)(&s.Is))
	c.str(&s.State)
	c.str(&s.Path)
	c.str(&s.Peer)
}
