package evidence

import "github.com/go-json-experiment/json/jsontext"

// Step is a climb or a descent on the ladder: from now on a subject is looked at closer, or no closer.
type Step struct {
	Step    int32          `json:"step"`           // from now on: 1, its system calls are looked at; 0, they are not
	Sign    string         `json:"sign,omitzero"`  // what asked for it: "growth"; or for the former climb
	Why     string         `json:"why,omitzero"`   // in words
	Error   string         `json:"error,omitzero"` // why it could not be done; then nothing has changed
	Unknown jsontext.Value `json:",embed"`
}

// Kind is KindStep.
func (*Step) Kind() Kind { return KindStep }

func (d *Step) walk(c *codec) {
	c.i32(&d.Step)
	c.str(&d.Sign)
	c.str(&d.Why)
	c.str(&d.Error)
	c.bytes((*[]byte)(&d.Unknown))
}
