package agent

import "slices"

// Bounds of all recordings together: one that tells little needs little, and a node has many.
const (
	recordingsMemory = 12 << 20 // bytes
	leastRecording   = 48 << 10 // of one subject
)

// boundRecordings keeps all recordings together below their bound: where they are above, the largest give way,
// and they get it back where there is room.
func (n *node) boundRecordings() {
	total, bounded := 0, false
	for _, s := range n.subjects {
		total += s.rec.Size()
		bounded = bounded || s.memory > 0 && s.memory < subjectMemory
	}
	n.figures.recordings = int64(total)
	switch {
	case total > recordingsMemory:
		all := make([]*subject, 0, len(n.subjects))
		for _, s := range n.subjects {
			all = append(all, s)
		}
		for total > recordingsMemory {
			slices.SortFunc(all, func(a, b *subject) int { return b.rec.Size() - a.rec.Size() })
			before := total
			for _, s := range all[:(len(all)+3)/4] {
				if s.memory <= leastRecording {
					continue
				}
				was := s.rec.Size()
				s.memory = max(s.memory/2, leastRecording)
				s.rec.Bound(s.memory)
				if total -= was - s.rec.Size(); total <= recordingsMemory {
					break
				}
			}
			if total == before && !slices.ContainsFunc(all, func(s *subject) bool { return s.memory > leastRecording }) {
				return
			}
		}
	case bounded && total < recordingsMemory/2:
		for _, s := range n.subjects {
			if s.memory > 0 && s.memory < subjectMemory && s.rec.Size() > s.memory/4 {
				s.memory = min(2*s.memory, subjectMemory)
				s.rec.Bound(s.memory)
			}
		}
	}
}
