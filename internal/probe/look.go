//go:build linux

package probe

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// looking is step 1 of a node: programs on system calls, which are loaded once and attached while
// somebody is looked at.
type looking struct {
	group *group
	why   error               // that there is none
	on    map[uint32]struct{} // who is looked at
	links []link.Link
	left  []uint32 // whom a process before this one looked at
}

const rowLooked = 1

// expectCalls makes ready for the events of what loadLook will load.
func (s *Set) expectCalls() {
	for j := range syscallProbe.Events {
		e := &syscallProbe.Events[j]
		s.byType[e.Type], s.owner[e.Type] = e, syscallProbe.Name
	}
	s.missed[syscallProbe.Name] = func() int64 {
		<-s.later
		s.sweep.mu.Lock()
		defer s.sweep.mu.Unlock()
		if s.look.group == nil {
			return 0
		}
		return s.look.group.missed()
	}
}

// loadLook loads what Look attaches.
func (s *Set) loadLook() {
	st := Status{Name: syscallProbe.Name, Cost: syscallProbe.Cost}
	l := &s.look
	l.on = map[uint32]struct{}{}
	if s.env.node.NoCalls {
		l.why = &NotSupportedError{Feature: "looking at system calls", Err: errors.New("forbidden by the configuration")}
	}
	for i := range syscallProbe.Ways {
		m := &syscallProbe.Ways[i]
		if l.group != nil || l.why != nil && s.env.node.NoCalls {
			break
		}
		err := s.unusable(syscallProbe, m)
		if err == nil {
			l.group, err = m.Load(s.env)
		}
		if err != nil {
			if l.why == nil || m.Way == s.env.way {
				l.why, st.Since = err, m.Since
			}
			continue
		}
		st.By, st.Since, l.why = m.By+", while a container is looked at closer", m.Since, nil
	}
	if l.group != nil {
		p, err := s.env.load(syscallObject, "on_look")
		if err == nil {
			var it link.Link
			if it, err = s.env.attach(syscallObject, "on_look", p); err == nil {
				s.links = append(s.links, it)
				s.iters["on_look"] = it.(*link.Iter)
			}
			p.Close()
		}
		if err != nil {
			l.group.close()
			l.group, l.why, st.By = nil, err, ""
		}
	}
	if l.why != nil {
		st.Missing = l.why.Error()
	}
	s.status = append(s.status, st)
}

// Look switches step 1 of a subject on or off: what is seen at system calls. The programs are attached
// while at least one subject is looked at. The error wraps ErrNotSupported where the kernel, or
// Node.NoCalls, does not allow it, and os.ErrNotExist for a subject that is not known.
func (s *Set) Look(subject uint32, closer bool) error {
	if s.env.node == nil {
		return fmt.Errorf("look closer at subject %d: %w", subject, errNode)
	}
	<-s.later
	s.sweep.mu.Lock()
	defer s.sweep.mu.Unlock()
	l := &s.look
	if !closer {
		if _, on := l.on[subject]; !on {
			return nil
		}
		_, err := s.flagAll(subject, 0)
		delete(l.on, subject)
		if len(l.on) == 0 {
			for _, k := range l.links {
				err = errors.Join(err, k.Close())
			}
			l.links = nil
		}
		if err != nil {
			return fmt.Errorf("look no closer at subject %d: %w", subject, err)
		}
		return nil
	}
	if l.why != nil {
		return fmt.Errorf("look closer at subject %d: %w", subject, l.why)
	}
	if _, on := l.on[subject]; on {
		return nil
	}
	for _, n := range l.left {
		if _, err := s.flagAll(n, 0); err != nil {
			return fmt.Errorf("look no closer at subject %d: %w", n, err)
		}
	}
	l.left = nil
	if len(l.on) == 0 {
		// What is left of before is of threads that may have ended unseen.
		for _, name := range []string{"threads", "stdio"} {
			if err := clearMap(s.env.maps[name]); err != nil {
				return fmt.Errorf("look closer at subject %d: clear %s: %w", subject, name, err)
			}
		}
	}
	known, err := s.flagAll(subject, 1)
	if err == nil && !known {
		err = os.ErrNotExist
	}
	if err == nil && l.links == nil {
		l.links, err = l.group.attach()
	}
	if err != nil {
		_, _ = s.flagAll(subject, 0)
		return fmt.Errorf("look closer at subject %d: %w", subject, err)
	}
	l.on[subject] = struct{}{}
	return nil
}

// flagAll flags the processes of a subject, or takes the flag away, and says whether it is known. Twice: one
// that came into the tree before the subject was flagged may have a number that the first look had passed.
func (s *Set) flagAll(subject uint32, on uint64) (known bool, err error) {
	for range 2 {
		if err := s.setState(nodeLook, uint64(subject)<<1|on); err != nil {
			return false, err
		}
		rows, err := s.rows("on_look")
		if err != nil {
			return false, err
		}
		eachRow(rows, func(typ uint32, row []byte) { known = known || typ == rowLooked && len(row) >= 16 })
	}
	return known, nil
}

// clearMap deletes all entries of a hash.
func clearMap(m *ebpf.Map) error {
	if m == nil {
		return nil
	}
	key := make([]byte, m.KeySize())
	for m.NextKey(nil, &key) == nil {
		if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
	return nil
}
