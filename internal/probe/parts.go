//go:build linux

package probe

// parts are what the kernel sends ahead of an event that needs more room: the groups of a table,
// mappings, and the paths that both refer to.
type parts struct {
	groups   []byte
	paths    []byte
	mappings []byte
	lost     bool // the groups found no room in the ring
}

// path reads one path that the kernel wrote.
func (p *parts) path(at uint32) string {
	if uint64(at) >= uint64(len(p.paths)) {
		return ""
	}
	return readPath(p.paths[at:])
}

// pending holds parts until the event that they belong to.
type pending map[uint64]*parts

const maxPending = 256 // beyond, their events were lost

func (p *pending) of(id uint64) *parts {
	if v := (*p)[id]; v != nil {
		return v
	}
	if len(*p) >= maxPending || *p == nil {
		*p = pending{}
	}
	v := new(parts)
	(*p)[id] = v
	return v
}

// take gives the parts and forgets them.
func (p *pending) take(id uint64) *parts {
	v := (*p)[id]
	if v == nil {
		return new(parts)
	}
	delete(*p, id)
	return v
}
