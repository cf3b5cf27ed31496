package evidence

import "github.com/go-json-experiment/json/jsontext"

// DNSQuestion is a name asked of a name server on port 53, as the packets have it. Names in multicast
// DNS, or asked over TLS or HTTPS, are not seen.
type DNSQuestion struct {
	Name       string `json:"name,omitzero"` // without the last dot, escaped as in zone files; empty where it could not be read
	Type       string `json:"type,omitzero"` // "A", "AAAA", "SRV", "TYPE65"
	Server     string `json:"server"`        // "10.96.0.10:53"
	Protocol   FDKind `json:"protocol"`      // udp, tcp
	Retries    int32  `json:"retries,omitzero"`
	SinceNanos int64  `json:"sinceNanos,omitzero"` // from the first packet of the question to the last one
}

func (q *DNSQuestion) walk(c *codec) {
	c.str(&q.Name)
	c.str(&q.Type)
	c.str(&q.Server)
	c.str((*string)(&q.Protocol))
	c.i32(&q.Retries)
	c.i64(&q.SinceNanos)
}

// DNSAnswered is a question with an answer that holds something: slow ones, some of each second, and
// the first ones after a failure. The observation's process asked; its time is the answer's.
type DNSAnswered struct {
	DNSQuestion
	Nanos   int64          `json:"nanos"`            // from the last packet of the question to the answer
	Answers int32          `json:"answers,omitzero"` // records
	Again   bool           `json:"again,omitzero"`   // the name, or a longer form of it, had failed before
	Unknown jsontext.Value `json:",embed"`
}

// DNSFailed is an answer that is an error (NXDOMAIN, SERVFAIL, REFUSED …), holds nothing (NOERROR), or
// did not fit into a packet (Truncated).
type DNSFailed struct {
	DNSQuestion
	Nanos     int64          `json:"nanos"` // from the last packet of the question to the answer
	RCode     string         `json:"rcode"` // "NXDOMAIN"
	Answers   int32          `json:"answers,omitzero"`
	Truncated bool           `json:"truncated,omitzero"` // it is to be asked again over TCP
	Unknown   jsontext.Value `json:",embed"`
}

// DNSUnanswered is a question without an answer, told of after a time or when the process that asked
// has ended. The observation's time is that of the question's last packet.
type DNSUnanswered struct {
	DNSQuestion
	Nanos   int64          `json:"nanos"`          // waited from the last packet until it was told of, or until Errno came
	Ended   bool           `json:"ended,omitzero"` // the process that asked had ended by then
	Errno   Errno          `json:"errno,omitzero"` // came back in place of an answer: ECONNREFUSED, nobody listens there
	Unknown jsontext.Value `json:",embed"`
}

// Kind is KindDNSAnswered.
func (*DNSAnswered) Kind() Kind { return KindDNSAnswered }

func (d *DNSAnswered) walk(c *codec) {
	d.DNSQuestion.walk(c)
	c.i64(&d.Nanos)
	c.i32(&d.Answers)
	c.flag(&d.Again)
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindDNSFailed.
func (*DNSFailed) Kind() Kind { return KindDNSFailed }

func (d *DNSFailed) walk(c *codec) {
	d.DNSQuestion.walk(c)
	c.i64(&d.Nanos)
	c.str(&d.RCode)
	c.i32(&d.Answers)
	c.flag(&d.Truncated)
	c.bytes((*[]byte)(&d.Unknown))
}

// Kind is KindDNSUnanswered.
func (*DNSUnanswered) Kind() Kind { return KindDNSUnanswered }

func (d *DNSUnanswered) walk(c *codec) {
	d.DNSQuestion.walk(c)
	c.i64(&d.Nanos)
	c.flag(&d.Ended)
	c.bytes((*[]byte)(&d.Unknown))
	c.i32((*int32)(&d.Errno))
}
