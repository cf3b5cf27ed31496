// Package wire is what the host of a test machine and the first process in it agree on: the list
// of jobs that goes in with the initramfs, and the frames that come back over a serial line.
package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

// SpecPath is where the machine's first process finds its Spec, as JSON.
const SpecPath = "/spec.json"

// Spec is what a machine is to do.
type Spec struct {
	TTY     string   // where frames go, "/dev/ttyS1"
	Cgroups string   // hierarchies: "v2", "v1", "hybrid"
	Modules []string // kernel modules in the initramfs, loaded in this order
	Jobs    []Job    // run one after another
}

// A test that finds StoreEnv in its environment sends the cases that it recorded as lines of its
// output: StoreWord, where it belongs ("CAUSE/NAME"), and a piece of it, gzip in Base64; in the end
// StoreWord, where it belongs, and what was found in it: "CAUSE CONFIDENCE".
const (
	StoreEnv  = "GUEST_STORE"
	StoreWord = "descry-case:"
)

// Job is one command.
type Job struct {
	Argv []string
	Env  []string // added to the machine's own few variables
	Dir  string   // working directory; made where it is missing
}

// Kind says what a frame is.
type Kind byte

// The kinds of frames. A machine sends Ready, then for each job Output as it comes and one Exit,
// then Done. A machine that ends without Done has crashed.
const (
	Ready   Kind = 'R' // payload: what uname says, and seconds since boot
	Output  Kind = 'O' // bytes of the job's standard output and error
	Exit    Kind = 'X' // payload: the exit code of the job, 128+n for signal n, in decimal
	Trouble Kind = 'T' // the machine itself could not do something; text
	Done    Kind = 'D'
)

const maxPayload = 1 << 16

// Write sends one frame; a payload of more than 64 KiB goes out as several.
func Write(w io.Writer, k Kind, payload []byte) error {
	for {
		n := min(len(payload), maxPayload)
		b := make([]byte, 5, 5+n)
		b[0] = byte(k)
		binary.BigEndian.PutUint32(b[1:], uint32(n))
		if _, err := w.Write(append(b, payload[:n]...)); err != nil {
			return fmt.Errorf("send frame %c: %w", k, err)
		}
		if payload = payload[n:]; len(payload) == 0 {
			return nil
		}
	}
}

// Read takes the next frame. The error is io.EOF only between two frames.
func Read(r io.Reader) (Kind, []byte, error) {
	var h [5]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > maxPayload {
		return 0, nil, fmt.Errorf("frame %q of %d bytes: the line carries something else", h[0], n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, nil, fmt.Errorf("rest of frame %q: %w", h[0], io.ErrUnexpectedEOF)
	}
	return Kind(h[0]), b, nil
}
