package casebook

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// Match is a case that was found by a name.
type Match struct {
	Case  *evidence.Case
	Alike int      // more cases of the same subject, older ones
	Other []string // what else the name may mean, in words; the newest case was taken
}

// Find gives the newest case that name means: an id or its beginning (Get), a pod, NAMESPACE/POD, POD/CONTAINER,
// NAMESPACE/POD/CONTAINER, a container's name or id, a systemd unit, the name of a command, or the beginning of a
// pod's name ("cart" for cart-7d9f-x2x, as its Deployment is called). Of these the first one that fits counts. Empty means the newest case of
// all. The error is ErrNone, ErrNotFound or ErrAmbiguous, or says why the case cannot be read.
func (b *Book) Find(name string) (*Match, error) {
	c, err := b.Get(name)
	if err == nil {
		return &Match{Case: c}, nil
	}
	if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrAmbiguous) {
		return nil, err
	}
	entries, _, listErr := b.List()
	if listErr != nil {
		return nil, listErr
	}
	best, found := 0, []*Entry(nil)
	for i := range entries {
		switch fit := entries[i].fits(name); {
		case fit > best:
			best, found = fit, []*Entry{&entries[i]}
		case fit == best && fit > 0:
			found = append(found, &entries[i])
		}
	}
	if best == 0 {
		return nil, err
	}
	m := &Match{}
	subject := found[0].subject()
	for _, e := range found[1:] { // newest first
		if s := e.subject(); s == subject {
			m.Alike++
		} else if !slices.Contains(m.Other, s) {
			m.Other = append(m.Other, s)
		}
	}
	if m.Case, err = b.read(found[0].ID + suffix); err != nil {
		return nil, fmt.Errorf("read case %s: %w", found[0].ID, err)
	}
	return m, nil
}

// fits says how well a name fits: 0 not at all.
func (e *Entry) fits(name string) int {
	command, unit := "", path.Base(e.Unit) // what is no unit's is named by its cgroup's path
	if e.Unit == "" {
		unit = ""
	}
	if len(e.Command) > 0 {
		command = filepath.Base(e.Command[0])
	}
	if a, rest, has := strings.Cut(name, "/"); has {
		switch {
		case e.Unit != "" && (e.Unit == name || strings.HasSuffix(e.Unit, "/"+name)):
			return 6
		case e.Pod == "":
			if len(e.Command) > 0 && e.Command[0] == name {
				return 4
			}
			return 0
		case rest == e.Pod+"/"+e.Container && a == e.Namespace:
			return 8
		case rest == e.Pod && a == e.Namespace, a == e.Pod && rest == e.Container:
			return 7
		case a == e.Namespace && strings.HasPrefix(e.Pod, rest+"-"):
			return 2
		}
		return 0
	}
	const shortest = 6 // hex digits of a container's id: fewer may well be a word
	switch {
	case name == "":
	case name == e.Pod, name == unit, name+".service" == unit:
		return 6
	case len(name) >= shortest && strings.HasPrefix(e.ContainerID, name):
		return 5
	case name == e.Container:
		return 4
	case name == command, name == e.Comm:
		return 3
	case strings.HasPrefix(e.Pod, name+"-"):
		return 2
	}
	return 0
}

// subject names whose case it is; what was restarted is the same.
func (e *Entry) subject() string {
	switch {
	case e.Pod != "":
		return e.Namespace + "/" + e.Pod + "/" + e.Container
	case e.Unit != "":
		return e.Unit
	case e.Container != "":
		return e.Container
	case e.ContainerID != "":
		return e.ContainerID[:min(12, len(e.ContainerID))]
	case len(e.Command) > 0:
		return e.Command[0]
	}
	return e.Comm
}
