package evidence

import "github.com/go-json-experiment/json/jsontext"

// Step is a climb or a descent on the ladder: from now on a subject, or one of its outputs, is looked at closer, or no closer.
type Step struct {
	Step    int32          `json:"step"`           // from now on: 1, its system calls, or stacks of its writes, are looked at; 0, they are not
	Sign    string         `json:"sign,omitzero"`  // what asked for it: "growth"; or for the former climb
	Why     string         `json:"why,omitzero"`   // in words
	Error   string         `json:"error,omitzero"` // why it could not be done; then nothing has changed
	Unknown jsontext.Value `json:",embed"`

	Stream string `json:"stream,omitzero"` // it is writes to "stdout" or "stderr" alone that are looked at closer, by their stacks; "": all of the subject
}

// Kind is KindStep.
func (*Step) Kind() Kind { return KindStep }

func (d *Step) walk(c *codec) {
	c.i32(&d.Step)
	c.str(&d.Sign)
	c.str(&d.Why)
	c.str(&d.Error)
	c.bytes((*[]byte)(&d.Unknown))
	c.str(&d.Stream)
}
