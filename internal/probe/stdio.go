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
