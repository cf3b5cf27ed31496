//go:build linux

package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

var dnsObject = &object{name: "dns", spec: loadDns}

const dnsBy = "cgroup_skb"

var dnsProbe = &Probe{
	Name: "probe/dns",
	Cost: "names that do not resolve are told only by what the program says of them",
	Ways: []Made{{
		By: dnsBy, Since: "5.17", Needs: []string{"cgroup_skb", "tp_btf"},
		Object: dnsObject, Load: loadDNS, Leaf: true, AtLeaf: attachDNS,
	}},
	Events: []Event{{Type: evDNS, Decode: decodeDNS, Total: totalDNS}},
	Tally:  tallyDNS,
}

// dnsLoaded are loaded with the others and attached when there is a leaf.
type dnsLoaded struct{ packet *ebpf.Program }

const (
	dnsErrors = "dns_refused" // attached as the others are
	dnsOut    = "dns_packet_out"
	dnsIn     = "dns_packet_in"
)

func (p *dnsLoaded) Close() {
	if p != nil {
		p.packet.Close()
	}
}

func loadDNS(e *env) (*group, error) {
	if l := e.node.attached(dnsErrors); l != nil && e.node.attached(dnsOut) != nil && e.node.attached(dnsIn) != nil {
		if _, err := e.open(dnsObject); err != nil { // its maps
			return nil, err
		}
		return &group{attach: func() ([]link.Link, error) { return []link.Link{l}, nil }, close: func() {}}, nil
	}
	packet, err := e.load(dnsObject, "dns_packet")
	if err != nil {
		return nil, err
	}
	if l := e.node.attached(dnsErrors); l != nil { // who pinned it might not attach to cgroups
		e.dns.Close()
		e.dns = &dnsLoaded{packet}
		return &group{attach: func() ([]link.Link, error) { return []link.Link{l}, nil }, close: func() {}}, nil
	}
	errs, err := e.load(dnsObject, dnsErrors)
	if err != nil {
		packet.Close()
		return nil, err
	}
	e.dns.Close() // of a first try to load all
	e.dns = &dnsLoaded{packet}
	return &group{
		attach: func() ([]link.Link, error) {
			l, err := attach(errs)
			if err != nil {
				return nil, fmt.Errorf("attach %s: %w", dnsErrors, err)
			}
			return []link.Link{l}, nil
		},
		close: func() { errs.Close() },
		names: []string{dnsErrors},
	}, nil
}

func attachDNS(s *Set, dir *os.File) (links []link.Link, err error) {
	defer func() {
		s.env.dns.Close()
		s.env.dns = nil
	}()
	if s.env.node == nil {
		var st unix.Stat_t
		if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
			return nil, err
		}
		var is leaf
		if err := s.env.maps["leaves"].Lookup(st.Ino, &is); err != nil {
			return nil, fmt.Errorf("find the main process: %w", err)
		}
		pace := dnsPace{Root: is.PID}
		if err := s.env.maps["dns_pace"].Put(uint32(0), &pace); err != nil {
			return nil, err
		}
	}
	for at, name := range map[ebpf.AttachType]string{ebpf.AttachCGroupInetEgress: dnsOut, ebpf.AttachCGroupInetIngress: dnsIn} {
		if l := s.env.node.attached(name); l != nil {
			links = append(links, l)
			continue
		}
		l, err := link.AttachCgroup(link.CgroupOptions{Path: fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), Attach: at, Program: s.env.dns.packet})
		if err != nil {
			return links, err
		}
		links = append(links, l)
		s.env.node.keep(name, l)
	}
	return links, nil
}

// dnsPace mirrors struct dns_pace.
type dnsPace struct {
	Second, Good, Others, Credit, Slowest uint64
	Root, Pad                             uint32
}

// dnsKey mirrors struct dns_key.
type dnsKey struct {
	Server   [16]byte
	Port, ID uint16
	Proto    uint32
	Subject  uint32
}

// dnsError mirrors struct dns_error.
type dnsError struct{ BootNS, Err uint64 }

// Where what stands in struct dns_event.
const (
	dnsKeyAt   = headerSize
	dnsFirstAt = dnsKeyAt + 32
	dnsLastAt  = dnsFirstAt + 8
	dnsTriesAt = dnsLastAt + 8
	dnsFlagsAt = dnsTriesAt + 12
	dnsLenAt   = dnsFlagsAt + 4
	dnsHeadAt  = dnsLenAt + 8
	dnsSize    = dnsHeadAt + 272
)

// What is counted, in countKey.Nr.
const (
	dnsAsked uint16 = iota + 1
	dnsRetried
	dnsAnswered
	dnsEmpty
	dnsEncrypted
	dnsMulticast
)

func totalDNS(k *countKey, v *countValue, add func(string, int64)) {
	n := int64(v.N)
	switch k.Nr {
	case dnsAsked:
		add(evidence.CountDNSAsked, n)
		add(evidence.CountDNSUnanswered, n)
	case dnsRetried:
		add(evidence.CountDNSRetried, n)
	case dnsAnswered:
		add(evidence.CountDNSAnswered, n)
		add(evidence.CountDNSUnanswered, -n)
		if k.Err != 0 {
			add(evidence.CountDNSFailed, n)
		}
		switch k.Err {
		case 2:
			add(evidence.CountDNSServFail, n)
		case 3:
			add(evidence.CountDNSNoName, n)
		case 5:
			add(evidence.CountDNSRefused, n)
		}
	case dnsEmpty:
		add(evidence.CountDNSEmpty, n)
	case dnsEncrypted:
		add(evidence.CountDNSEncrypted, n)
	case dnsMulticast:
		add(evidence.CountDNSMulticast, n)
	}
}

// readQuestion reads what is known of the question of an event.
func readQuestion(raw []byte) (q evidence.DNSQuestion, first, last int64) {
	server := netip.AddrFrom16([16]byte(raw[dnsKeyAt:][:16])).Unmap()
	q.Server = netip.AddrPortFrom(server, 53).String()
	q.Protocol = evidence.FDUDP
	if le.Uint32(raw[dnsKeyAt+20:]) == unix.IPPROTO_TCP {
		q.Protocol = evidence.FDTCP
	}
	first, last = int64(le.Uint64(raw[dnsFirstAt:])), int64(le.Uint64(raw[dnsLastAt:]))
	if tries := le.Uint32(raw[dnsTriesAt:]); tries > 1 {
		q.Retries = int32(min(tries-1, 1<<30))
		q.SinceNanos = max(0, last-first)
	}
	head := raw[dnsHeadAt:dnsSize]
	q.Name, q.Type = dnsName(head[:min(int(le.Uint32(raw[dnsLenAt:])), len(head))])
	return q, first, last
}

// decodeDNS reads a question with its answer.
func decodeDNS(s *Set, o *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < dnsSize {
		return nil
	}
	q, _, last := readQuestion(raw)
	flags, answers := le.Uint16(raw[dnsFlagsAt:]), int32(le.Uint16(raw[dnsFlagsAt+2:]))
	code, cut, took := flags&15, flags&0x200 != 0, max(0, o.BootNanos-last)
	if code == 0 && !cut && answers > 0 {
		return &evidence.DNSAnswered{DNSQuestion: q, Nanos: took, Answers: answers, Again: s.names.had(q.Name)}
	}
	s.names.failed(q.Name)
	return &evidence.DNSFailed{DNSQuestion: q, Nanos: took, RCode: rcodeName(code), Answers: answers, Truncated: cut}
}

const (
	dnsTellAfter  = int64(3 * time.Second)  // a question without an answer is told of
	dnsForgetTime = int64(60 * time.Second) // and forgotten: resolvers have long given up
)

// tallyDNS looks at the questions that wait for an answer.
func tallyDNS(s *Set, dead func(process) bool, handle func(*evidence.Observation)) error {
	m := s.env.maps["dns_open"]
	var subject uint32
	var pace dnsPace
	for it := s.env.maps["dns_pace"].Iterate(); it.Next(&subject, &pace); {
		if pace.Slowest > 0 {
			s.of(subject)[evidence.CountDNSSlowest] = int64(pace.Slowest)
		}
	}
	var clock unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &clock); err != nil {
		return fmt.Errorf("read the boot clock: %w", err)
	}
	now := clock.Nano()
	var key dnsKey
	raw := make([]byte, dnsSize)
	var gone []dnsKey
	waiting := map[dnsKey]uint32{} // packets of those that were told of
	for it := m.Iterate(); it.Next(&key, &raw); {
		if len(raw) < dnsSize {
			continue
		}
		o := new(evidence.Observation)
		if _, err := s.header(raw, o); err != nil {
			continue
		}
		q, first, last := readQuestion(raw)
		ended := dead(process{o.Subject, uint32(o.PID)})
		tries := le.Uint32(raw[dnsTriesAt:])
		if ended || now-last > dnsForgetTime {
			gone = append(gone, key)
		} else {
			waiting[key] = s.names.waiting[key]
		}
		if s.names.waiting[key] == tries && !ended || !ended && now-last < dnsTellAfter {
			continue
		}
		waiting[key] = tries
		o.BootNanos = last
		o.WallNanos = last + s.wall.Load()
		s.names.failed(q.Name)
		d := &evidence.DNSUnanswered{DNSQuestion: q, Nanos: max(0, now-last), Ended: ended}
		var back dnsError
		if at := (dnsKey{Server: key.Server, Port: key.Port, Proto: key.Proto, Subject: key.Subject}); s.env.maps["dns_errors"].Lookup(&at, &back) == nil && int64(back.BootNS) >= first {
			d.Errno, d.Nanos = evidence.Errno(back.Err), max(0, int64(back.BootNS)-last)
		}
		o.Detail = d
		handle(o)
	}
	s.names.waiting = waiting
	for i := range gone {
		if err := m.Delete(&gone[i]); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forget a question: %w", err)
		}
		delete(waiting, gone[i])
	}
	return nil
}

// rcodeName is the name of an answer's code, RFC 6895.
func rcodeName(c uint16) string {
	names := [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("RCODE%d", c)
}

// typeNames are the types of records that programs ask for.
var typeNames = map[uint16]string{1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR",
	43: "DS", 44: "SSHFP", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 251: "IXFR", 252: "AXFR", 255: "ANY", 257: "CAA"}

// dnsName reads the name and the type that a message asks for; the message may be cut short. The name
// is escaped as in zone files; empty where it cannot be read, and the type with it.
func dnsName(msg []byte) (name, typ string) {
	const header = 12
	if len(msg) < header || binary.BigEndian.Uint16(msg[4:]) == 0 {
		return "", ""
	}
	b := msg[header:]
	var out []byte
	for size := 0; ; {
		if len(b) == 0 {
			return "", ""
		}
		n := int(b[0])
		size += n + 1
		if n > 63 || size > 255 || len(b) < n+1 { // a pointer has no place in a question
			return "", ""
		}
		if n == 0 {
			b = b[1:]
			break
		}
		if len(out) > 0 {
			out = append(out, '.')
		}
		for _, c := range b[1 : n+1] {
			switch {
			case c == '.' || c == '\\':
				out = append(out, '\\', c)
			case c <= ' ' || c >= 0x7f:
				out = fmt.Appendf(out, "\\%03d", c)
			default:
				out = append(out, c)
			}
		}
		b = b[n+1:]
	}
	if len(b) < 2 {
		return "", ""
	}
	t := binary.BigEndian.Uint16(b)
	if typ = typeNames[t]; typ == "" {
		typ = fmt.Sprintf("TYPE%d", t)
	}
	if len(out) == 0 {
		out = append(out, '.')
	}
	return string(out), typ
}
