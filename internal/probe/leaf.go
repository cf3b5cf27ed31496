//go:build linux

package probe

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// leaf mirrors struct leaf.
type leaf struct{ Subject, PID uint32 }

// Leaf makes the cgroup (version 2) in directory path the subject's, with pid as its main process, as
// descry sees it: what happens to the sockets of processes in it, or below it, is the subject's from
// now on. Sockets that a process had before it came there are not. It is to be called before the
// subject runs. A probe that cannot be attached there is missing from then on, see Status; the error
// says that the cgroup cannot be had at all.
func (s *Set) Leaf(path string, pid int) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("watch the cgroup %s: %w", path, err)
	}
	defer dir.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return fmt.Errorf("watch the cgroup %s: %w", path, err)
	}
	m := s.env.maps["leaves"]
	if m == nil {
		return nil // no probe asks
	}
	if err := m.Put(st.Ino, &leaf{PID: uint32(pid)}); err != nil { // the inode of its directory is a cgroup's id
		return fmt.Errorf("watch the cgroup %s: %w", path, err)
	}
	s.atLeaf(dir, path)
	return nil
}

// attachUnified attaches what needs a cgroup of version 2 to the one that holds all of a node's
// containers: whose a packet is says its socket's cgroup.
func (s *Set) attachUnified() {
	path := s.env.node.unified()
	if path == "" {
		s.NoLeaf("this machine has no cgroups of version 2")
		return
	}
	dir, err := os.Open(path)
	if err != nil {
		s.NoLeaf(err.Error())
		return
	}
	defer dir.Close()
	s.atLeaf(dir, path)
}

func (s *Set) atLeaf(dir *os.File, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.status {
		made := s.leafed[s.status[i].Name]
		if made == nil || made.AtLeaf == nil {
			continue
		}
		links, err := made.AtLeaf(s, dir)
		s.links = append(s.links, links...)
		if err != nil {
			s.status[i].By, s.status[i].Missing = "", fmt.Sprintf("attach to the cgroup %s: %v", path, err)
		}
	}
}

// NoLeaf says why the subject has no cgroup of its own: what needs one is missing.
func (s *Set) NoLeaf(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.status {
		if s.leafed[s.status[i].Name] != nil {
			s.status[i].By, s.status[i].Missing = "", "it needs a cgroup of the program's own: "+why
		}
	}
}
