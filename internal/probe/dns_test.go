//go:build linux

package probe

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/descry-dev/descry/internal/evidence"
)

// query is a question as resolvers send it, with EDNS.
func query(id uint16, name string, typ uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = append(b, 1, 0x20, 0, 1, 0, 0, 0, 0, 0, 1)
	for _, l := range strings.Split(name, ".") {
		b = append(append(b, byte(len(l))), l...)
	}
	b = append(b, 0, byte(typ>>8), byte(typ), 0, 1)
	return append(b, 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0) // OPT
}

// reply is the answer that the beginning of the name asks for; nil: none.
func reply(q []byte) []byte {
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	b := append([]byte(nil), q[:end+5]...)
	b[2], b[3], b[11] = 0x81, 0x80, 0
	how := string(q[13 : 13+q[12]])
	switch {
	case strings.HasPrefix(how, "drop"):
		return nil
	case strings.HasPrefix(how, "nx"):
		b[3] |= 3
	case strings.HasPrefix(how, "sf"):
		b[3] |= 2
	case strings.HasPrefix(how, "re"):
		b[3] |= 5
	case strings.HasPrefix(how, "tc"):
		b[2] |= 2
	case strings.HasPrefix(how, "no"):
	case strings.HasPrefix(how, "alone") && end > 20: // only the bare name is known
		b[3] |= 3
	default:
		b[7] = 1
		b = append(b, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1)
	}
	return b
}

func length(m []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...) }

// serveDNS answers on port 53 of an address of loopback.
func serveDNS(addr string) (stop func(), err error) {
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		udp.Close()
		return nil, err
	}
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := udp.ReadFrom(b)
			if err != nil {
				return
			}
			if a := reply(b[:n]); a != nil {
				udp.WriteTo(a, from)
			}
		}
	}()
	go func() {
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			go serveStream(c)
		}
	}()
	return func() { udp.Close(); tcp.Close() }, nil
}

// serveStream answers in pieces that have nothing to do with the messages' bounds: two answers go out
// together, cut behind the first one's name, and the first one's length goes alone.
func serveStream(c net.Conn) {
	defer c.Close()
	_ = c.(*net.TCPConn).SetNoDelay(true)
	var out []byte
	for k := 0; ; k++ {
		var n [2]byte
		if _, err := io.ReadFull(c, n[:]); err != nil {
			return
		}
		m := make([]byte, binary.BigEndian.Uint16(n[:]))
		if _, err := io.ReadFull(c, m); err != nil {
			return
		}
		a := reply(m)
		if a == nil {
			continue
		}
		out = append(out, length(a)...)
		if k%2 == 0 {
			continue
		}
		for _, at := range []int{2, 30} {
			c.Write(out[:at])
			time.Sleep(20 * time.Millisecond) // so that they are segments of their own
			out = out[at:]
		}
		c.Write(out)
		out = nil
	}
}

func init() {
	// dns ADDRESS OP…: u,NAME,TYPE,ID asks and waits; n,… asks and does not; r,… repeats; storm,N;
	// tcp,A,B asks two at once; bits,A,B the same in pieces; to,PORT sends a datagram there; serve.
	children["dns"] = func(args []string) {
		addr := args[0]
		c, err := net.Dial("udp", addr)
		must(err)
		b := make([]byte, 4096)
		ask := func(conn net.Conn, q []byte) {
			_, err := conn.Write(q)
			must(err)
			_, err = conn.Read(b)
			must(err)
		}
		for _, op := range args[1:] {
			f := strings.Split(op, ",")
			num := func(i int) uint16 { n, err := strconv.Atoi(f[i]); must(err); return uint16(n) }
			switch f[0] {
			case "u":
				ask(c, query(num(3), f[1], num(2)))
			case "n":
				_, err = c.Write(query(num(3), f[1], num(2)))
				must(err)
			case "r":
				_, err = c.Write(query(num(3), f[1], num(2)))
				must(err)
				time.Sleep(10 * time.Millisecond)
				_, err = c.Write(query(num(3), f[1], num(2)))
				must(err)
			case "storm":
				for i := range num(1) {
					ask(c, query(i, []string{"ok", "nx", "sf"}[i%3]+strconv.Itoa(int(i))+".test", 1))
				}
			case "tcp", "bits":
				t, err := net.Dial("tcp", addr)
				must(err)
				out := append(length(query(1, f[1], 1)), length(query(2, f[2], 28))...)
				for _, at := range []int{2, 20, 60} {
					if f[0] == "bits" {
						_, err = t.Write(out[:at])
						must(err)
						time.Sleep(20 * time.Millisecond)
						out = out[at:]
					}
				}
				_, err = t.Write(out)
				must(err)
				for range 2 {
					_, err = io.ReadFull(t, b[:2])
					must(err)
					_, err = io.ReadFull(t, b[2:2+int(binary.BigEndian.Uint16(b))])
					must(err)
				}
				t.Close()
			case "to":
				host, _, _ := net.SplitHostPort(addr)
				p, err := net.Dial("udp", net.JoinHostPort(host, f[1]))
				must(err)
				_, err = p.Write([]byte("hello"))
				must(err)
			case "serve":
				_, err := serveDNS(addr)
				must(err)
			case "wait":
				fmt.Println("ready")
				_, _ = os.Stdin.Read(b)
			}
		}
	}
}

// inLeaf lets a child enter a cgroup that is the subject's.
func inLeaf(t *testing.T, w *watch) (before func(pid int)) {
	t.Helper()
	path, join := leafOf(t)
	return func(pid int) {
		join(pid)
		if err := w.Leaf(path, pid); err != nil {
			t.Fatal(err)
		}
		w.need("probe/dns")
	}
}

// nameServer starts one on an address of its own.
func nameServer(t *testing.T) string {
	t.Helper()
	n := time.Now().UnixNano()
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(n >> 8), byte(n >> 16), byte(2 + n>>24%250)}), 53).String()
	stop, err := serveDNS(addr)
	if err != nil {
		t.Skip("needs port 53 of loopback: ", err)
	}
	t.Cleanup(stop)
	return addr
}

// askDNS lets a child do the ops in a leaf, and returns when all is told.
func askDNS(t *testing.T, w *watch, addr string, ops ...string) *kid {
	t.Helper()
	k := command(t, "dns", append([]string{addr}, ops...)...)
	k.before = inLeaf(t, w)
	w.run(k)
	if st := k.end(); st.ExitStatus() != 0 {
		t.Fatalf("the child ended with %d", st.ExitStatus())
	}
	w.exitOf(k.pid)
	w.flushed()
	if err := w.Counts(w.handle); err != nil {
		t.Fatal(err)
	}
	return k
}

func dnsCounts(w *watch) map[string]int64 {
	out := map[string]int64{}
	for k, n := range w.Counters() {
		if name, ok := strings.CutPrefix(k, "dns."); ok && n != 0 && k != evidence.CountDNSSlowest {
			out[name] = n
		}
	}
	return out
}

func sameCounts(t *testing.T, w *watch, want map[string]int64) {
	t.Helper()
	if got := dnsCounts(w); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("counted %v, want %v", got, want)
	}
	if n := w.Lost()["probe/dns"]; n != 0 {
		t.Errorf("%d lost", n)
	}
}

// told are the observations of names, in words.
func told(w *watch) (out []string) {
	for _, o := range w.all(func(*evidence.Observation) bool { return true }) {
		switch d := o.Detail.(type) {
		case *evidence.DNSAnswered:
			out = append(out, fmt.Sprint(d.Name, " ", d.Type, " ", d.Protocol, " answered ", d.Answers, " retries ", d.Retries))
		case *evidence.DNSFailed:
			out = append(out, fmt.Sprint(d.Name, " ", d.Type, " ", d.Protocol, " ", d.RCode, " cut ", d.Truncated))
		case *evidence.DNSUnanswered:
			out = append(out, fmt.Sprint(d.Name, " ", d.Type, " ", d.Protocol, " unanswered ended ", d.Ended, " retries ", d.Retries))
		}
	}
	return out
}

func sameTold(t *testing.T, w *watch, want ...string) {
	t.Helper()
	got := strings.Join(told(w), "\n")
	if got != strings.Join(want, "\n") {
		t.Errorf("told:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

func TestDNSAnswers(t *testing.T) {
	w := open(t, Config{})
	addr := nameServer(t)
	k := askDNS(t, w, addr, "u,ok.test,1,7", "u,nx.test,28,8", "u,sf.test,33,9", "u,re.test,15,10", "u,no.test,65,11", "u,tc.test,16,12",
		"u,alone.corp.example,1,13", "u,alone,1,14")
	sameTold(t, w, "ok.test A udp answered 1 retries 0", "nx.test AAAA udp NXDOMAIN cut false", "sf.test SRV udp SERVFAIL cut false",
		"re.test MX udp REFUSED cut false", "no.test HTTPS udp NOERROR cut false", "tc.test TXT udp NOERROR cut true",
		"alone.corp.example A udp NXDOMAIN cut false", "alone A udp answered 1 retries 0")
	sameCounts(t, w, map[string]int64{"asked": 8, "answered": 8, "failed": 4, "nxdomain": 2, "servfail": 1, "refused": 1, "empty": 2})
	for _, o := range w.all(kind(evidence.KindDNSFailed)) {
		if d := o.Detail.(*evidence.DNSFailed); int(o.PID) != k.pid || o.Comm == "" || o.TID == 0 || d.Server != addr || d.Nanos <= 0 || d.Nanos > int64(patience) {
			t.Errorf("%+v: %+v", o, d)
		}
	}
	got := w.all(kind(evidence.KindDNSAnswered))
	if len(got) != 2 || got[0].Detail.(*evidence.DNSAnswered).Again || !got[1].Detail.(*evidence.DNSAnswered).Again {
		t.Error("a success after a failure along the search path is not told as one, or another is")
	}
}

func TestDNSUnanswered(t *testing.T) {
	w := open(t, Config{})
	addr := nameServer(t)
	askDNS(t, w, addr, "r,drop.test,1,7", "n,drop.more.test,28,8", "u,nx.late.test,1,9")
	sameCounts(t, w, map[string]int64{"asked": 3, "answered": 1, "failed": 1, "nxdomain": 1, "unanswered": 2, "retried": 1})
	got := strings.Join(told(w), "\n")
	for _, want := range []string{"drop.test A udp unanswered ended true retries 1", "drop.more.test AAAA udp unanswered ended true retries 0", "nx.late.test A udp NXDOMAIN cut false"} {
		if !strings.Contains(got, want) {
			t.Errorf("not told: %s in\n%s", want, got)
		}
	}
}

// Nobody listens: what comes back is told of in place of an answer.
func TestDNSPortClosed(t *testing.T) {
	for _, addr := range []string{"127.9.8.7:53", "[::1]:53"} {
		t.Run(addr, func(t *testing.T) {
			w := open(t, Config{})
			if addr == "[::1]:53" { // which another test has in use, or nobody
				c, err := net.ListenPacket("udp", addr)
				if err != nil {
					t.Skip("needs port 53 of loopback over IPv6: ", err)
				}
				c.Close()
			}
			askDNS(t, w, addr, "n,closed.test,1,7")
			got := w.all(kind(evidence.KindDNSUnanswered))
			if len(got) != 1 {
				t.Fatalf("%d told", len(got))
			}
			if d := got[0].Detail.(*evidence.DNSUnanswered); d.Errno != evidence.ECONNREFUSED || d.Server != addr || d.Name != "closed.test" {
				t.Errorf("%+v", d)
			}
		})
	}
}

// A question without an answer is told of while its process lives, once.
func TestDNSWaits(t *testing.T) {
	w := open(t, Config{})
	k := command(t, "dns", nameServer(t), "n,drop.test,1,7", "wait")
	k.before = inLeaf(t, w)
	w.run(k)
	k.line()
	for len(w.all(kind(evidence.KindDNSUnanswered))) == 0 {
		must(w.Counts(w.handle))
		time.Sleep(50 * time.Millisecond)
	}
	must(w.Counts(w.handle))
	got := w.all(kind(evidence.KindDNSUnanswered))
	if d := got[0].Detail.(*evidence.DNSUnanswered); len(got) != 1 || d.Ended || d.Nanos < dnsTellAfter {
		t.Errorf("%d told, %+v", len(got), d)
	}
	k.in.Close()
	k.end()
}

// However fast they come, the totals are exact, and only some go out whole.
func TestDNSStorm(t *testing.T) {
	w := open(t, Config{})
	askDNS(t, w, nameServer(t), "storm,9000")
	sameCounts(t, w, map[string]int64{"asked": 9000, "answered": 9000, "failed": 6000, "nxdomain": 3000, "servfail": 3000})
	if n := len(told(w)); n < 20 || n > 8000 {
		t.Errorf("%d went out whole", n)
	}
}

func TestDNSOverTCP(t *testing.T) {
	for _, how := range []string{"tcp", "bits"} {
		t.Run(how, func(t *testing.T) {
			w := open(t, Config{})
			askDNS(t, w, nameServer(t), how+",ok.of.some.length.test,nx.of.another.test")
			sameCounts(t, w, map[string]int64{"asked": 2, "answered": 2, "failed": 1, "nxdomain": 1})
			got := told(w)
			if how == "tcp" {
				sameTold(t, w, "ok.of.some.length.test A tcp answered 1 retries 0", "nx.of.another.test AAAA tcp NXDOMAIN cut false")
			} else if len(got) != 2 || !strings.Contains(got[0], " tcp answered 1") || !strings.Contains(got[1], "tcp NXDOMAIN") {
				t.Errorf("told %q", got) // the names came in pieces
			}
		})
	}
}

func TestDNSIPv6(t *testing.T) {
	w := open(t, Config{})
	stop, err := serveDNS("[::1]:53")
	for range 100 { // another test's
		if err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
		stop, err = serveDNS("[::1]:53")
	}
	if err != nil {
		t.Skip("needs port 53 of loopback over IPv6: ", err)
	}
	defer stop()
	askDNS(t, w, "[::1]:53", "u,ok.test,1,7", "u,nx.test,28,8", "tcp,ok.b.test,sf.b.test")
	sameCounts(t, w, map[string]int64{"asked": 4, "answered": 4, "failed": 2, "nxdomain": 1, "servfail": 1})
	if d := w.await("failure", kind(evidence.KindDNSFailed)).Detail.(*evidence.DNSFailed); d.Server != "[::1]:53" {
		t.Errorf("%+v", d)
	}
}

// A subject that answers itself: its own question counts once, and a stranger's not at all.
func TestDNSServer(t *testing.T) {
	w := open(t, Config{})
	n := time.Now().UnixNano()
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), 9}), 53).String()
	k := command(t, "dns", addr, "serve", "u,nx.own.test,1,7", "wait")
	k.before = inLeaf(t, w)
	w.run(k)
	k.line()
	c, err := net.Dial("udp", addr)
	must(err)
	defer c.Close()
	for i := range 5 {
		_, err := c.Write(query(uint16(i), "sf.stranger.test", 1))
		must(err)
		_, err = c.Read(make([]byte, 512))
		must(err)
	}
	k.in.Close()
	k.end()
	w.exitOf(k.pid)
	w.flushed()
	must(w.Counts(w.handle))
	sameCounts(t, w, map[string]int64{"asked": 1, "answered": 1, "failed": 1, "nxdomain": 1})
	sameTold(t, w, "nx.own.test A udp NXDOMAIN cut false")
}

func TestDNSUnseen(t *testing.T) {
	w := open(t, Config{})
	askDNS(t, w, nameServer(t), "to,853", "to,5353", "to,5353", "to,54")
	sameCounts(t, w, map[string]int64{"encrypted": 1, "multicast": 2})
}

// Strangers' packets are no matter.
func TestDNSStrangers(t *testing.T) {
	w := open(t, Config{})
	addr := nameServer(t)
	c, err := net.Dial("udp", addr)
	must(err)
	defer c.Close()
	k := command(t, "dns", addr, "u,ok.test,1,7", "wait")
	k.before = inLeaf(t, w)
	w.run(k)
	k.line()
	_, err = c.Write(query(9, "nx.stranger.test", 1))
	must(err)
	_, err = c.Read(make([]byte, 512))
	must(err)
	k.in.Close()
	k.end()
	w.flushed()
	sameCounts(t, w, map[string]int64{"asked": 1, "answered": 1})
}

func TestDNSMissing(t *testing.T) {
	w := open(t, Config{Without: []string{"cgroup_skb"}})
	for _, st := range w.Status() {
		if st.Name == "probe/dns" && (st.Missing == "" || st.Cost == "") {
			t.Errorf("%+v", st)
		}
	}
	w = open(t, Config{})
	w.NoLeaf("no reason")
	for _, st := range w.Status() {
		if st.Name == "probe/dns" && !strings.Contains(st.Missing, "no reason") {
			t.Errorf("%+v", st)
		}
	}
}

func TestDNSName(t *testing.T) {
	head := "\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
	long := strings.Repeat("\x3f"+strings.Repeat("x", 63), 3)
	for _, x := range []struct{ msg, name, typ string }{
		{head + "\x02db\x04prod\x00\x00\x01\x00\x01", "db.prod", "A"},
		{head + "\x00\x00\x02\x00\x01", ".", "NS"},
		{head + "\x04a.b\\\x00\x00\x1c\x00\x01", `a\.b\\`, "AAAA"},
		{head + "\x03\x1b[m\x02\xff \x00\x12\x34\x00\x01", `\027[m.\255\032`, "TYPE4660"},
		{head + long + "\x3d" + strings.Repeat("y", 61) + "\x00\x00\x01\x00\x01", strings.Repeat(strings.Repeat("x", 63)+".", 3) + strings.Repeat("y", 61), "A"},
		{head + long + "\x3f" + strings.Repeat("y", 63) + "\x00\x00\x01\x00\x01", "", ""}, // 257 bytes
		{head + "\xc0\x0c\x00\x01\x00\x01", "", ""}, // points to itself
		{head + "\x02db\xc0\x0c\x00\x01\x00\x01", "", ""},
		{head + "\x02db\x04pro", "", ""},
		{head + "\x02db\x00\x00", "", ""},
		{head[:11], "", ""},
		{"\x00\x07\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02db\x00\x00\x01\x00\x01", "", ""}, // no question
		{"", "", ""},
	} {
		if name, typ := dnsName([]byte(x.msg)); name != x.name || typ != x.typ {
			t.Errorf("%q: %q %q, want %q %q", x.msg, name, typ, x.name, x.typ)
		}
	}
}

func FuzzDNSName(f *testing.F) {
	f.Add(query(1, "db.prod.svc.cluster.local", 1))
	f.Add(query(1, "a", 28)[:20])
	f.Add([]byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\xc0\x0c"))
	f.Add([]byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x3f\x1b]0;x\x07"))
	f.Fuzz(func(t *testing.T, b []byte) {
		name, typ := dnsName(b)
		if (name == "") != (typ == "") || len(name) > 4*255 {
			t.Errorf("%q %q", name, typ)
		}
		for _, c := range []byte(name) {
			if c <= ' ' || c >= 0x7f {
				t.Errorf("%q is not fit to be shown", name)
			}
		}
	})
}

func FuzzDNSEvent(f *testing.F) {
	f.Add(make([]byte, dnsSize))
	whole := make([]byte, dnsSize)
	for i := range whole {
		whole[i] = 0xff
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeDNS(new(Set), new(evidence.Observation), b)
	})
}

// Who forbids a look at packets has no program at them, and is told that names are not seen.
func TestNoDNS(t *testing.T) {
	for _, forbidden := range []bool{false, true} {
		g := newGrounds(t, "")
		w := openNode(t, g, Node{NoDNS: forbidden})
		dir, err := os.Open(g.dirs[0].dir)
		must(err)
		defer dir.Close()
		for _, at := range []ebpf.AttachType{ebpf.AttachCGroupInetEgress, ebpf.AttachCGroupInetIngress} {
			r, err := link.QueryPrograms(link.QueryOptions{Target: int(dir.Fd()), Attach: at})
			if err != nil {
				t.Fatal(err)
			}
			if attached := len(r.Programs) > 0; attached == forbidden {
				t.Errorf("forbidden %v, and %d programs at %v", forbidden, len(r.Programs), at)
			}
		}
		for _, st := range w.Status() {
			if st.Name == "probe/dns" && (st.Missing != "") != forbidden {
				t.Errorf("forbidden %v: %+v", forbidden, st)
			}
		}
	}
}
