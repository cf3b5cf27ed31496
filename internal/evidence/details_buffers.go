package evidence

import "github.com/go-json-experiment/json/jsontext"

// Reasons of a Drop.
const (
	DropBufferFull     = "receive buffer full"   // of the socket itself
	DropUDPMemory      = "UDP memory"            // all UDP sockets of the machine, or of the cgroup, at their limit
	DropSocketMemory   = "socket memory"         // of the cgroup
	DropProtocolMemory = "protocol memory"       // of all the machine's sockets of that protocol (tcp_mem, udp_mem)
	DropAcceptFull     = "accept queue full"     // a listener's
	DropUnsaid         = "dropped by the socket" // sk_drops grew, and nothing says why
)

// Drop is data that a socket of the subject was refused room for, the first ones of each socket
// whole, then counted.
type Drop struct {
	Protocol FDKind `json:"protocol"`        // tcp, udp, raw, unix, packet, netlink; socket: another
	Local    string `json:"local,omitzero"`  // "127.0.0.1:53"
	Peer     string `json:"peer,omitzero"`   // of a connected socket
	Reason   string `json:"reason"`          // one of the above
	Buffer   int64  `json:"buffer,omitzero"` // bytes, sk_rcvbuf (with Sending sk_sndbuf): twice what SO_RCVBUF asked for
	Queued   int64  `json:"queued,omitzero"` // bytes of memory that its queue held at that time, bookkeeping included
	Count    int64  `json:"count"`           // of that socket and reason up to now, exact
	Inode    uint64 `json:"inode,omitzero"`  // of the socket, as in /proc/PID/fd
	Sending  bool   `json:"sending,omitzero"`

	// Of protocol memory: pages that all sockets of the protocol hold, and its three limits (low,
	// pressure, high). Zero elsewhere.
	Allocated int64    `json:"allocated,omitzero"`
	Limits    [3]int64 `json:"limits,omitzero"`

	Unknown jsontext.Value `json:",embed"`
}

// Kind is KindDrop.
func (*Drop) Kind() Kind { return KindDrop }

func (d *Drop) walk(c *codec) {
	c.str((*string)(&d.Protocol))
	c.str(&d.Local)
	c.str(&d.Peer)
	c.str(&d.Reason)
	c.i64(&d.Buffer)
	c.i64(&d.Queued)
	c.i64(&d.Count)
	c.u64(&d.Inode)
	c.flag(&d.Sending)
	c.i64(&d.Allocated)
	for i := range d.Limits {
		c.i64(&d.Limits[i])
	}
	c.bytes((*[]byte)(&d.Unknown))
}

// Signs that make a socket worth telling.
const (
	SignReceiveFull = "receive queue full"   // nearly full counts
	SignSendFull    = "send queue full"      // nearly full counts
	SignZeroWindow  = "zero window"          // the peer takes nothing, and data waits for it
	SignAcceptFull  = "accept queue full"    //
	SignDrops       = "drops"                // grew since the sample before
	SignRetransmits = "retransmitting"       // the peer does not answer
	SignPeerFull    = "peer's receive queue" // a UNIX datagram socket's peer is full
)

// Socket is one socket of a process in a sample. Queues are bytes.
type Socket struct {
	FD       int32  `json:"fd"`
	Protocol FDKind `json:"protocol"`
	State    string `json:"state,omitzero"` // tcp: "ESTABLISHED"; unix: "ESTABLISHED", "LISTEN"
	Local    string `json:"local,omitzero"`
	Peer     string `json:"peer,omitzero"`
	Inode    uint64 `json:"inode,omitzero"`

	RecvQ   int64 `json:"recvQ,omitzero"`   // tcp: bytes that the program has not read; else as RecvMemory
	RecvBuf int64 `json:"recvBuf,omitzero"` // sk_rcvbuf, limits RecvMemory; unix: sk_sndbuf of the peer, to whom it is charged
	SendQ   int64 `json:"sendQ,omitzero"`   // tcp: bytes that the peer has not acknowledged; else as SendMemory
	SendBuf int64 `json:"sendBuf,omitzero"` // sk_sndbuf, limits SendMemory
	Drops   int64 `json:"drops,omitzero"`   // sk_drops of its whole life

	AcceptQ int64 `json:"acceptQ,omitzero"` // listeners: connections that wait to be accepted; unix datagrams: messages that wait
	Backlog int64 `json:"backlog,omitzero"` // listeners: full above this many; the lower of listen's and somaxconn

	Unacked      int64 `json:"unacked,omitzero"`      // tcp: packets on the way
	Retransmits  int64 `json:"retransmits,omitzero"`  // tcp: time-outs in a row without an answer
	TotalRetrans int64 `json:"totalRetrans,omitzero"` // tcp: of its whole life
	SendWindow   int64 `json:"sendWindow,omitzero"`   // tcp: bytes that the peer allows; 0 with data queued: the peer does not read

	FullNanos int64  `json:"fullNanos,omitzero"` // how long its signs were there, as far as samples saw
	NetNS     uint64 `json:"netns,omitzero"`     // inode of its network namespace

	Signs       []string `json:"signs,omitempty"`      // why it is told
	RecvMemory  int64    `json:"recvMemory,omitzero"`  // bytes with their bookkeeping, sk_rmem_alloc
	SendMemory  int64    `json:"sendMemory,omitzero"`  // bytes with their bookkeeping, sk_wmem_queued or sk_wmem_alloc
	RecvWindow  int64    `json:"recvWindow,omitzero"`  // tcp: bytes that the peer was allowed to send
	PeerInode   uint64   `json:"peerInode,omitzero"`   // unix: the other end
	PeerQueue   int64    `json:"peerQueue,omitzero"`   // unix datagrams: messages that wait at the peer
	PeerBacklog int64    `json:"peerBacklog,omitzero"` // unix datagrams: more than this many block the sender
	DropsGained int64    `json:"dropsGained,omitzero"` // of Drops, since the run's first sample of it
	Type        string   `json:"type,omitzero"`        // unix: "stream", "dgram", "seqpacket"
	AtDeath     bool     `json:"atDeath,omitzero"`     // seen as its process ended
}

func (s *Socket) walk(c *codec) {
	c.i32(&s.FD)
	c.str((*string)(&s.Protocol))
	c.str(&s.State)
	c.str(&s.Local)
	c.str(&s.Peer)
	c.u64(&s.Inode)
	c.i64(&s.RecvQ)
	c.i64(&s.RecvBuf)
	c.i64(&s.SendQ)
	c.i64(&s.SendBuf)
	c.i64(&s.Drops)
	c.i64(&s.AcceptQ)
	c.i64(&s.Backlog)
	c.i64(&s.Unacked)
	c.i64(&s.Retransmits)
	c.i64(&s.TotalRetrans)
	c.i64(&s.SendWindow)
	c.i64(&s.FullNanos)
	c.u64(&s.NetNS)
	c.strs(&s.Signs)
	c.i64(&s.RecvMemory)
	c.i64(&s.SendMemory)
	c.i64(&s.RecvWindow)
	c.u64(&s.PeerInode)
	c.i64(&s.PeerQueue)
	c.i64(&s.PeerBacklog)
	c.i64(&s.DropsGained)
	c.str(&s.Type)
	c.flag(&s.AtDeath)
}

// MaxSockets bounds the sockets of one observation.
const MaxSockets = 16

// Sockets are those sockets of a process that show a sign of trouble. There is none where no
// socket does; where the last of them has recovered, one without sockets says so.
type Sockets struct {
	Sockets []Socket       `json:"sockets,omitempty"` // at most MaxSockets, the worst first
	Telling int64          `json:"telling,omitzero"`  // how many show a sign
	Count   int64          `json:"count,omitzero"`    // tcp, udp, raw and UNIX sockets of the process
	ByState []StateCount   `json:"byState,omitempty"` // of all of them: "tcp ESTABLISHED", most first
	Unknown jsontext.Value `json:",embed"`
}

// Kind is KindSockets.
func (*Sockets) Kind() Kind { return KindSockets }

func (d *Sockets) walk(c *codec) {
	list(c, &d.Sockets, func(c *codec, s *Socket) { s.walk(c) })
	c.i64(&d.Telling)
	c.i64(&d.Count)
	list(c, &d.ByState, func(c *codec, s *StateCount) { s.walk(c) })
	c.bytes((*[]byte)(&d.Unknown))
}

// NetworkCounts are counters of a network namespace, by their names in /proc/PID/net.
type NetworkCounts struct {
	ListenOverflows    int64 `json:"listenOverflows,omitzero"` // accept queue full
	ListenDrops        int64 `json:"listenDrops,omitzero"`     // those, and connections dropped for memory
	PruneCalled        int64 `json:"pruneCalled,omitzero"`
	RcvPruned          int64 `json:"rcvPruned,omitzero"`          // received data thrown away
	TCPRcvCollapsed    int64 `json:"tcpRcvCollapsed,omitzero"`    // packets put together to save room
	TCPRcvQDrop        int64 `json:"tcpRcvQDrop,omitzero"`        // dropped, the receive queue being full
	TCPMemoryPressures int64 `json:"tcpMemoryPressures,omitzero"` //
	TCPAbortOnMemory   int64 `json:"tcpAbortOnMemory,omitzero"`   // connections aborted: no memory, or too many orphans
	UDPInErrors        int64 `json:"udpInErrors,omitzero"`
	UDPRcvbufErrors    int64 `json:"udpRcvbufErrors,omitzero"`
	UDPSndbufErrors    int64 `json:"udpSndbufErrors,omitzero"`
	UDPMemErrors       int64 `json:"udpMemErrors,omitzero"` // since Linux 5.11
	UDP6InErrors       int64 `json:"udp6InErrors,omitzero"`
	UDP6RcvbufErrors   int64 `json:"udp6RcvbufErrors,omitzero"`
	UDP6SndbufErrors   int64 `json:"udp6SndbufErrors,omitzero"`
	UDP6MemErrors      int64 `json:"udp6MemErrors,omitzero"` // since Linux 5.11
	OutRsts            int64 `json:"outRsts,omitzero"`
	RetransSegs        int64 `json:"retransSegs,omitzero"`
	EstabResets        int64 `json:"estabResets,omitzero"`
	AttemptFails       int64 `json:"attemptFails,omitzero"`
	TCPBacklogDrop     int64 `json:"tcpBacklogDrop,omitzero"`
	TCPAbortOnTimeout  int64 `json:"tcpAbortOnTimeout,omitzero"`
	TCPToZeroWindowAdv int64 `json:"tcpToZeroWindowAdv,omitzero"` // a receiver closed its window
}

func (n *NetworkCounts) walk(c *codec) {
	for _, v := range n.all() {
		c.i64(v)
	}
}

// all are the counters in the order of the struct.
func (n *NetworkCounts) all() []*int64 {
	return []*int64{&n.ListenOverflows, &n.ListenDrops, &n.PruneCalled, &n.RcvPruned, &n.TCPRcvCollapsed, &n.TCPRcvQDrop,
		&n.TCPMemoryPressures, &n.TCPAbortOnMemory, &n.UDPInErrors, &n.UDPRcvbufErrors, &n.UDPSndbufErrors, &n.UDPMemErrors,
		&n.UDP6InErrors, &n.UDP6RcvbufErrors, &n.UDP6SndbufErrors, &n.UDP6MemErrors, &n.OutRsts, &n.RetransSegs,
		&n.EstabResets, &n.AttemptFails, &n.TCPBacklogDrop, &n.TCPAbortOnTimeout, &n.TCPToZeroWindowAdv}
}

// Since gives what was counted since before; a counter that fell back counts as nothing.
func (n NetworkCounts) Since(before NetworkCounts) NetworkCounts {
	from := before.all()
	for i, v := range n.all() {
		*v = max(0, *v-*from[i])
	}
	return n
}

// Network is what the counters of a process's network namespace gained since the run began. There
// is one at the start, one when a counter that tells of trouble has grown, and one at the end.
type Network struct {
	NetworkCounts
	NetNS   uint64         `json:"netns,omitzero"`  // inode
	Shared  bool           `json:"shared,omitzero"` // processes outside of the subject are in that namespace: the counters are theirs too
	Nanos   int64          `json:"nanos,omitzero"`  // since the first reading
	Last    bool           `json:"last,omitzero"`   // read after the main process ended
	Unknown jsontext.Value `json:",embed"`
}

// Kind is KindNetwork.
func (*Network) Kind() Kind { return KindNetwork }

func (d *Network) walk(c *codec) {
	d.NetworkCounts.walk(c)
	c.u64(&d.NetNS)
	c.flag(&d.Shared)
	c.i64(&d.Nanos)
	c.flag(&d.Last)
	c.bytes((*[]byte)(&d.Unknown))
}

// Machine is what all of the machine has left: one at the start, and one when it comes near to a
// limit or has changed much. What could not be read is 0.
type Machine struct {
	TCPMem       int64          `json:"tcpMem,omitzero"`       // pages that TCP's sockets hold
	TCPMemLimits [3]int64       `json:"tcpMemLimits,omitzero"` // net.ipv4.tcp_mem, pages: low, pressure, high; absent in a container's /proc/sys
	UDPMem       int64          `json:"udpMem,omitzero"`       // pages
	UDPMemLimits [3]int64       `json:"udpMemLimits,omitzero"` // net.ipv4.udp_mem, pages
	Sockets      int64          `json:"sockets,omitzero"`      // in use in descry's network namespace
	Orphans      int64          `json:"orphans,omitzero"`      // TCP sockets without a process
	MaxOrphans   int64          `json:"maxOrphans,omitzero"`   // net.ipv4.tcp_max_orphans
	PageSize     int64          `json:"pageSize,omitzero"`     // bytes
	MemTotal     int64          `json:"memTotal,omitzero"`     // bytes
	MemAvailable int64          `json:"memAvailable,omitzero"` // bytes
	SwapFree     int64          `json:"swapFree,omitzero"`     // bytes
	Last         bool           `json:"last,omitzero"`         // read after the main process ended
	Unknown      jsontext.Value `json:",embed"`

	Files    int64 `json:"files,omitzero"`    // open files of all processes
	FilesMax int64 `json:"filesMax,omitzero"` // fs.file-max
}

// Kind is KindMachine.
func (*Machine) Kind() Kind { return KindMachine }

func (d *Machine) walk(c *codec) {
	c.i64(&d.TCPMem)
	for i := range d.TCPMemLimits {
		c.i64(&d.TCPMemLimits[i])
	}
	c.i64(&d.UDPMem)
	for i := range d.UDPMemLimits {
		c.i64(&d.UDPMemLimits[i])
	}
	c.i64(&d.Sockets)
	c.i64(&d.Orphans)
	c.i64(&d.MaxOrphans)
	c.i64(&d.PageSize)
	c.i64(&d.MemTotal)
	c.i64(&d.MemAvailable)
	c.i64(&d.SwapFree)
	c.flag(&d.Last)
	c.bytes((*[]byte)(&d.Unknown))
	c.i64(&d.Files)
	c.i64(&d.FilesMax)
}
