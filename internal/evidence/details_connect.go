package evidence

import "github.com/go-json-experiment/json/jsontext"

// ConnectFailed is a connection that was not made: the connect itself failed, at once or later, or
// the program gave up before there was an answer. The first ones of each peer and error are whole.
type ConnectFailed struct {
	Peer     string         `json:"peer"`              // "127.0.0.1:80", "[::1]:80", a path, "@name"
	Protocol FDKind         `json:"protocol,omitzero"` //
	Errno    Errno          `json:"errno,omitzero"`    // 0: none, the program closed the socket before the peer answered
	Nanos    int64          `json:"nanos,omitzero"`    // since the connect began; 0: it failed at once
	Blocking bool           `json:"blocking,omitzero"` // connect() waited for it
	Count    int64          `json:"count"`             // of this process, peer and error up to now, exact
	Resent   int64          `json:"resent,omitzero"`   // segments that were sent again, unanswered
	AtOnce   bool           `json:"atOnce,omitzero"`   // the system call was refused by this machine; nothing was sent, or nothing that could be seen
	Unknown  jsontext.Value `json:",embed"`
}

// Kind is KindConnectFailed.
func (*ConnectFailed) Kind() Kind { return KindConnectFailed }

func (d *ConnectFailed) walk(c *codec) {
	c.str(&d.Peer)
	c.str((*string)(&d.Protocol))
	c.i32((*int32)(&d.Errno))
	c.i64(&d.Nanos)
	c.flag(&d.Blocking)
	c.i64(&d.Count)
	c.i64(&d.Resent)
	c.flag(&d.AtOnce)
	c.bytes((*[]byte)(&d.Unknown))
}

// ConnectMade is a TCP connection that was made, by a process that failed to connect to the same port
// at another time, or lost a connection to it: what failed first may have gone well in the end.
type ConnectMade struct {
	Peer    string         `json:"peer"`
	Nanos   int64          `json:"nanos,omitzero"` // since the connect began
	Count   int64          `json:"count"`          // of this process and peer up to now
	Unknown jsontext.Value `json:",embed"`
}

// Kind is KindConnectMade.
func (*ConnectMade) Kind() Kind { return KindConnectMade }

func (d *ConnectMade) walk(c *codec) {
	c.str(&d.Peer)
	c.i64(&d.Nanos)
	c.i64(&d.Count)
	c.bytes((*[]byte)(&d.Unknown))
}

// ConnectionLost is an established TCP connection that ended against its owner's will: the peer reset
// it, nothing that was sent was acknowledged any more, or an error came back from the way there. One
// that the program itself closes while it is being sent again in vain counts, too.
type ConnectionLost struct {
	Peer     string         `json:"peer"`
	Local    string         `json:"local,omitzero"`
	Errno    Errno          `json:"errno,omitzero"`     // 0: the program closed it while nothing that it sent was acknowledged any more; ECONNRESET; EPIPE: reset after the peer had closed; ETIMEDOUT: retransmission or keepalive was given up
	Closing  bool           `json:"closing,omitzero"`   // the peer had closed its side before
	Accepted bool           `json:"accepted,omitzero"`  // the peer had connected, not the program; its pid is the main process's
	Nanos    int64          `json:"nanos,omitzero"`     // since it was made, 0: not known
	Sent     int64          `json:"sentBytes,omitzero"` // acknowledged ones
	Received int64          `json:"receivedBytes,omitzero"`
	Resent   int64          `json:"resent,omitzero"` // segments that were sent again
	Count    int64          `json:"count"`           // of this process, peer and error up to now, exact
	Unknown  jsontext.Value `json:",embed"`
}

// Kind is KindConnectionLost.
func (*ConnectionLost) Kind() Kind { return KindConnectionLost }

func (d *ConnectionLost) walk(c *codec) {
	c.str(&d.Peer)
	c.str(&d.Local)
	c.i32((*int32)(&d.Errno))
	c.flag(&d.Closing)
	c.flag(&d.Accepted)
	c.i64(&d.Nanos)
	c.i64(&d.Sent)
	c.i64(&d.Received)
	c.i64(&d.Resent)
	c.i64(&d.Count)
	c.bytes((*[]byte)(&d.Unknown))
}
