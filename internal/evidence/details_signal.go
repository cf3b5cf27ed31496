package evidence

import "github.com/go-json-experiment/json/jsontext"

// SignalSent is a signal sent to a process of the tree, the first ones whole, then counted.
type SignalSent struct {
	Signal        Signal         `json:"signal"`
	Code          int32          `json:"code,omitzero"` // si_code: 0 kill, -6 tgkill, 0x80 kernel
	Sender        int32          `json:"sender"`        // process; 0: the kernel; -1: one outside descry's pid namespace, or (in counts) not told
	SenderComm    string         `json:"senderComm,omitzero"`
	SenderParent  int32          `json:"senderParent,omitzero"`
	SenderCommand string         `json:"senderCommand,omitzero"` // command line, where it could still be read
	SenderInTree  bool           `json:"senderInTree,omitzero"`  // the sender is the subject itself
	Ignored       bool           `json:"ignored,omitzero"`       // by the target's disposition
	Count         int64          `json:"count,omitzero"`
	Unknown       jsontext.Value `json:",embed"`

	SenderContainer string `json:"senderContainer,omitzero"` // id of the sender's container, where that is another one than the subject's
}

// From is who sent it.
func (d *SignalSent) From() *Sender {
	return &Sender{PID: d.Sender, Comm: d.SenderComm, Command: d.SenderCommand, Container: d.SenderContainer}
}
