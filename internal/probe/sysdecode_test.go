//go:build linux

package probe

import (
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

var farAway = time.Now().Add(time.Hour)

// What the kernel's programs write is trusted, and yet nothing that is too short or odd may panic.
func FuzzSyscallEvents(f *testing.F) {
	for i, size := range []int{0, headerSize, 520, 2096, 700, 24000} {
		b := make([]byte, size)
		for j := range b {
			b[j] = byte(j*7 + i)
		}
		f.Add(byte(i), b)
	}
	f.Fuzz(func(t *testing.T, which byte, raw []byte) {
		events := syscallProbe.Events
		e := &events[int(which)%len(events)]
		if e.Type == evAddress || e.Type == evFile { // look into /proc
			return
		}
		s := new(Set)
		if d := e.Decode(s, new(evidence.Observation), raw); d != nil {
			if _, err := (&evidence.Observation{Detail: d}).AppendBinary(nil); err != nil {
				t.Error(err)
			}
		}
	})
}
