package sample

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

// Network reads the counters of one network namespace. It holds the namespace: the counters can be
// read after the last process in it has ended. It is not for several goroutines at once.
type Network struct {
	NetNS uint64 // inode

	files [len(networkFiles)]*os.File // nil: there is none, as snmp6 without IPv6
	buf   []byte                      // while it is read
}

// networkBuffers are for all: a node has many namespaces.
var networkBuffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

var networkFiles = [...]string{"netstat", "snmp", "snmp6"}

// NetNSOf is the inode of the network namespace that a process is in. root is where /proc is
// mounted, "" for "/proc".
func NetNSOf(root string, pid int) (uint64, error) {
	if root == "" {
		root = "/proc"
	}
	name, err := os.Readlink(filepath.Join(root, strconv.Itoa(pid), "ns/net"))
	if err != nil {
		return 0, gone(err)
	}
	return netnsInode(name)
}

// netnsInode reads "net:[4026531833]".
func netnsInode(name string) (uint64, error) {
	digits, ok := strings.CutPrefix(name, "net:[")
	digits, end := strings.CutSuffix(digits, "]")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || !end || err != nil {
		return 0, fmt.Errorf("network namespace: unexpected name %q", name)
	}
	return n, nil
}

// OpenNetwork opens the counters of the network namespace that a process is in. root is where /proc
// is mounted, "" for "/proc".
func OpenNetwork(root string, pid int) (*Network, error) {
	if root == "" {
		root = "/proc"
	}
	n := new(Network)
	var err error
	for i, name := range networkFiles {
		n.files[i], err = os.Open(filepath.Join(root, strconv.Itoa(pid), "net", name))
		if err != nil && name == "netstat" {
			return nil, fmt.Errorf("read network counters: %w", gone(err))
		}
	}
	// Asked afterwards: a process that has changed it in between is told by who compares.
	if n.NetNS, err = NetNSOf(root, pid); err != nil {
		n.Close()
		return nil, fmt.Errorf("read network counters: %w", err)
	}
	return n, nil
}

// Close lets the namespace go.
func (n *Network) Close() error {
	var errs []error
	for _, f := range n.files {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Read gives the counters as they are now, since the namespace was made. What a kernel does not
// count is 0.
func (n *Network) Read() (c evidence.NetworkCounts, err error) {
	buf := networkBuffers.Get().(*[]byte)
	n.buf = *buf
	defer func() {
		*buf, n.buf = n.buf, nil
		networkBuffers.Put(buf)
	}()
	for i, f := range n.files {
		if f == nil {
			continue
		}
		b, err := n.content(f)
		if err != nil {
			return c, fmt.Errorf("read network counters: %w", err)
		}
		if networkFiles[i] == "snmp6" {
			parseFlat(b, &c)
		} else {
			parsePaired(b, &c)
		}
	}
	return c, nil
}

// content reads an open file of /proc from its beginning.
func (n *Network) content(f *os.File) ([]byte, error) {
	for at := 0; ; {
		m, err := f.ReadAt(n.buf[at:], int64(at))
		at += m
		if err == io.EOF {
			return n.buf[:at], nil
		}
		if err != nil {
			return nil, err
		}
		if at == len(n.buf) {
			if at >= maxFile {
				return nil, fmt.Errorf("%s: %w", f.Name(), unix.EFBIG)
			}
			n.buf = append(n.buf, make([]byte, at)...)
		}
	}
}

// parsePaired reads netstat and snmp: a line of names and a line of numbers for each protocol.
func parsePaired(b []byte, c *evidence.NetworkCounts) {
	for len(b) > 0 {
		var names, values []byte
		names, b = cutLine(b)
		protocol, names, ok := bytes.Cut(names, []byte(":"))
		if !ok {
			continue
		}
		values, rest := cutLine(b)
		again, values, ok := bytes.Cut(values, []byte(":"))
		if !ok || !bytes.Equal(protocol, again) {
			continue
		}
		b = rest
		of := counters(string(protocol), c)
		if of == nil {
			continue
		}
		for {
			var name, value []byte
			name, names = field(names)
			value, values = field(values)
			if len(name) == 0 || len(value) == 0 {
				break
			}
			if to := of[string(name)]; to != nil {
				*to = count(value)
			}
		}
	}
}

// parseFlat reads snmp6: a name and a number in each line.
func parseFlat(b []byte, c *evidence.NetworkCounts) {
	of := counters("6", c)
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		name, line := field(line)
		value, _ := field(line)
		if to := of[string(name)]; to != nil {
			*to = count(value)
		}
	}
}

// counters are those of a protocol that are kept, by their names.
func counters(protocol string, c *evidence.NetworkCounts) map[string]*int64 {
	switch protocol {
	case "TcpExt":
		return map[string]*int64{
			"ListenOverflows": &c.ListenOverflows, "ListenDrops": &c.ListenDrops, "PruneCalled": &c.PruneCalled,
			"RcvPruned": &c.RcvPruned, "TCPRcvCollapsed": &c.TCPRcvCollapsed, "TCPRcvQDrop": &c.TCPRcvQDrop,
			"TCPMemoryPressures": &c.TCPMemoryPressures, "TCPAbortOnMemory": &c.TCPAbortOnMemory,
			"TCPBacklogDrop": &c.TCPBacklogDrop, "TCPAbortOnTimeout": &c.TCPAbortOnTimeout, "TCPToZeroWindowAdv": &c.TCPToZeroWindowAdv,
		}
	case "Tcp":
		return map[string]*int64{
			"OutRsts": &c.OutRsts, "RetransSegs": &c.RetransSegs, "EstabResets": &c.EstabResets, "AttemptFails": &c.AttemptFails,
		}
	case "Udp":
		return map[string]*int64{
			"InErrors": &c.UDPInErrors, "RcvbufErrors": &c.UDPRcvbufErrors, "SndbufErrors": &c.UDPSndbufErrors, "MemErrors": &c.UDPMemErrors,
		}
	case "6":
		return map[string]*int64{
			"Udp6InErrors": &c.UDP6InErrors, "Udp6RcvbufErrors": &c.UDP6RcvbufErrors, "Udp6SndbufErrors": &c.UDP6SndbufErrors, "Udp6MemErrors": &c.UDP6MemErrors,
		}
	}
	return nil
}

func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, []byte("\n"))
	return line, rest
}

// field cuts the first word off a line.
func field(b []byte) (word, rest []byte) {
	b = bytes.TrimLeft(b, " \t")
	if i := bytes.IndexAny(b, " \t"); i >= 0 {
		return b[:i], b[i:]
	}
	return b, nil
}

// count reads a counter; what is none is 0.
func count(b []byte) int64 {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Shared says whether a process outside of the subject is in a network namespace: then its counters
// are those of all of them. inside are the subject's processes. Where not all processes of the
// machine can be seen from here, it says that one is.
func Shared(root string, netns uint64, inside func(pid int) bool) bool {
	if root == "" {
		root = "/proc"
	}
	if own, err := os.Readlink(filepath.Join(root, "self/ns/pid")); err != nil || own != "pid:[4026531836]" { // PROC_PID_INIT_INO
		return true
	}
	dir, err := os.Open(root)
	if err != nil {
		return true
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return true
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || inside(pid) {
			continue
		}
		n, err := NetNSOf(root, pid)
		if err == nil && n == netns || pid != 1 && errors.Is(err, os.ErrPermission) { // init may be out of reach: it is where kthreadd is
			return true
		}
	}
	return false
}
