package sample

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/descry-dev/descry/internal/evidence"
)

// Machine reads what all of the machine has left: its memory, that for sockets, and open files. root is where
// /proc is mounted, "" for "/proc". What cannot be read is 0, as the limits are in a network
// namespace other than the machine's own; it is an error when nothing can.
func Machine(root string) (*evidence.Machine, error) {
	if root == "" {
		root = "/proc"
	}
	m := &evidence.Machine{PageSize: int64(os.Getpagesize())}
	var errs []error
	read := func(name string, parse func([]byte, *evidence.Machine)) {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err == nil {
			parse(b, m)
		} else if !errors.Is(err, fs.ErrNotExist) || name == "meminfo" {
			errs = append(errs, err)
		}
	}
	read("net/sockstat", parseSockstat)
	read("sys/net/ipv4/tcp_mem", func(b []byte, m *evidence.Machine) { m.TCPMemLimits = three(b) })
	read("sys/net/ipv4/udp_mem", func(b []byte, m *evidence.Machine) { m.UDPMemLimits = three(b) })
	read("sys/net/ipv4/tcp_max_orphans", func(b []byte, m *evidence.Machine) { m.MaxOrphans = count(bytes.TrimSpace(b)) })
	read("sys/fs/file-nr", func(b []byte, m *evidence.Machine) {
		n := three(b)
		m.Files, m.FilesMax = n[0]-n[1], n[2]
	})
	read("meminfo", parseMeminfo)
	if m.MemTotal == 0 && m.TCPMem == 0 && m.Sockets == 0 {
		return nil, fmt.Errorf("read the machine's memory: %w", errors.Join(append(errs, errors.New("there are no figures"))...))
	}
	return m, nil
}

// parseSockstat reads lines such as "TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1". What counts sockets is
// of the network namespace, what counts pages and orphans of the machine.
func parseSockstat(b []byte, m *evidence.Machine) {
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		protocol, line := field(line)
		for {
			var name, value []byte
			name, line = field(line)
			value, line = field(line)
			if len(value) == 0 {
				break
			}
			switch string(protocol) + string(name) {
			case "sockets:used":
				m.Sockets = count(value)
			case "TCP:orphan":
				m.Orphans = count(value)
			case "TCP:mem":
				m.TCPMem = count(value)
			case "UDP:mem":
				m.UDPMem = count(value)
			}
		}
	}
}

// parseMeminfo reads lines such as "MemTotal:       16384 kB".
func parseMeminfo(b []byte, m *evidence.Machine) {
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		name, line := field(line)
		value, _ := field(line)
		size := min(max(count(value), 0), 1<<50) << 10
		switch string(name) {
		case "MemTotal:":
			m.MemTotal = size
		case "MemAvailable:":
			m.MemAvailable = size
		case "SwapFree:":
			m.SwapFree = size
		}
	}
}

// three reads the numbers of tcp_mem and its like.
func three(b []byte) (n [3]int64) {
	b = bytes.TrimSpace(b)
	for i := range n {
		var word []byte
		word, b = field(b)
		n[i] = count(word)
	}
	return n
}
