package container

import (
	"cmp"
	"slices"
	"time"
)

// Forgotten are lives of a container that its runtime has forgotten: it keeps the newest dead one.
type Forgotten struct {
	Namespace, Pod, PodUID, Container string

	From, To uint32    // their attempts
	After    time.Time // none of them began before; zero: not known
	Before   time.Time // all of them had ended by then
}

// DiedSince gives the containers that have died since t, sandboxes apart, the first death first, and which
// lives may have ended since t of which nothing is known but their number. Of a pod that was deleted meanwhile
// nothing is left to be known; Synced says when the answer is whole.
func (r *Registry) DiedSince(t time.Time) (died []Info, forgotten []Forgotten) {
	lives := map[[2]string][]Info{}
	for _, i := range r.All() {
		if i.Sandbox {
			continue
		}
		if i.State == StateExited && !i.FinishedAt.Before(t) {
			died = append(died, i)
		}
		name := [2]string{i.PodUID, i.Container}
		if i.PodUID == "" {
			name = [2]string{"", i.ID} // outside of Kubernetes a container keeps its id
		}
		lives[name] = append(lives[name], i)
	}
	for _, l := range lives {
		slices.SortFunc(l, func(a, b Info) int { return cmp.Compare(a.Attempt, b.Attempt) })
		next, after := uint32(0), time.Time{}
		for _, i := range l {
			if begun := i.begun(); i.Attempt > next && begun.After(t) {
				forgotten = append(forgotten, Forgotten{i.Namespace, i.Pod, i.PodUID, i.Container, next, i.Attempt - 1, after, begun})
			}
			next, after = i.Attempt+1, i.FinishedAt
		}
	}
	slices.SortFunc(died, func(a, b Info) int {
		return cmp.Or(a.FinishedAt.Compare(b.FinishedAt), cmp.Compare(a.ID, b.ID))
	})
	slices.SortFunc(forgotten, func(a, b Forgotten) int { return a.Before.Compare(b.Before) })
	return died, forgotten
}

func (i *Info) begun() time.Time {
	if i.StartedAt.IsZero() {
		return i.CreatedAt
	}
	return i.StartedAt
}
