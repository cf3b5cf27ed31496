//go:build linux

package probe

import (
	"strings"
	"sync"
)

// dnsNames remembers what failed, so that a success can be told as one after a failure.
type dnsNames struct {
	mu  sync.Mutex
	bad []string // the latest, each once

	// Of tallyDNS alone: packets of the questions that were told of.
	waiting map[dnsKey]uint32
}

const maxBadNames = 128

func (n *dnsNames) failed(name string) {
	if name == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, b := range n.bad {
		if b == name {
			n.bad = append(append(n.bad[:i:i], n.bad[i+1:]...), name)
			return
		}
	}
	if len(n.bad) >= maxBadNames {
		n.bad = append(n.bad[:0:0], n.bad[1:]...)
	}
	n.bad = append(n.bad, name)
}

// had says whether the name failed before, or another form of it along the search path: one that begins alike.
func (n *dnsNames) had(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range n.bad {
		if sameHead(b, name) {
			return true
		}
	}
	return false
}

// sameHead says whether two names begin with the same label: forms of one along the search path.
func sameHead(a, b string) bool {
	x, _, _ := strings.Cut(a, ".")
	y, _, _ := strings.Cut(b, ".")
	return x == y
}
