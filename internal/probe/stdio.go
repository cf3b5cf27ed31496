//go:build linux

package probe

import "github.com/descry-dev/descry/internal/evidence"

// stdioContext is where the registers stand in struct stdio_event.
const stdioContext = 80 + fdDescSize

func decodeStdio(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < stdioContext+contextSize {
		return nil
	}
	d := &evidence.Stdio{
		FD: int32(le.Uint32(raw[44:])), Call: callName(le.Uint32(raw[40:])),
		Action:  word([]string{"closed", "replaced", "allocated"}, le.Uint32(raw[48:])),
		Context: readContext(raw[stdioContext:]),
	}
	if from := int32(le.Uint32(raw[52:])); from >= 0 {
		d.From = from
	}
	was, is := readFDKind(raw[56:]), readFDDesc(raw[80:])
	d.Was = was.kind("", "")
	d.Is, _, d.Peer, d.Path = is.describe()
	return d
}

// procStandard is PROC_STANDARD: proc.Std is known.
const procStandard = 2048

// stdWere gives what descriptors 0 to 2 of a process were when its program began.
func (s *Set) stdWere(pid int32) (was [3]stdWas, ok bool) {
	m := s.env.maps["tree"]
	if m == nil || s.env.level != 0 { // its number there is not known here
		return was, false
	}
	var p proc
	if m.Lookup(uint32(pid), &p) != nil || p.Flags&procStandard == 0 {
		return was, false
	}
	return p.Std, true
}

// Outputs gives the pipes that a process's standard output and error were when its program began, however soon it
// changed that. What was none has no inode. It is false where that is not known, as of a process that is gone.
func (s *Set) Outputs(pid int32) (out [2]Output, ok bool) {
	was, ok := s.stdWere(pid)
	for i := range out {
		if w := was[i+1]; kindAt(w.Kind) == evidence.FDPipe {
			out[i].Inode = w.Inode
		}
	}
	return out, ok
}

func kindAt(k uint16) evidence.FDKind {
	if k > 0 && int(k) < len(fdKinds) {
		return fdKinds[k]
	}
	return ""
}

// turned says which of a process's standard descriptors are something else than when its program began.
func (s *Set) turned(pid int32, now [3]standard, is []evidence.StdioIs) (out []evidence.StdioTurned) {
	was, ok := s.stdWere(pid)
	if !ok {
		return nil
	}
	for fd, w := range was {
		if n := now[fd]; n.kind != w.Kind || n.inode != w.Inode || n.dev != w.Dev {
			out = append(out, evidence.StdioTurned{FD: int32(fd), Was: kindAt(w.Kind), Is: is[fd].FDKind, Path: is[fd].Path})
		}
	}
	return out
}
