package agent

import (
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/recorder"
)

// Many recordings stay below their bound in all, those that tell little keep what they have, and the others get
// their room back when there is some.
func TestBoundRecordings(t *testing.T) {
	n := &node{subjects: map[uint32]*subject{}}
	fill := func(s *subject, observations int) {
		for i := range observations {
			s.rec.Record(&evidence.Observation{BootNanos: int64(i), PID: 7, Detail: &evidence.Process{Open: int64(i), Highest: 9}})
		}
	}
	const loud, quiet = 150, 50
	for i := range uint32(loud + quiet) {
		rec, err := recorder.New(recorder.Options{Memory: subjectMemory})
		if err != nil {
			t.Fatal(err)
		}
		s := &subject{id: i, rec: rec, memory: subjectMemory}
		n.subjects[i] = s
		if i < loud {
			fill(s, 6000)
		} else {
			fill(s, 20)
		}
	}
	size := func() (all int) {
		for _, s := range n.subjects {
			all += s.rec.Size()
		}
		return all
	}
	if size() < recordingsMemory {
		t.Fatalf("%d bytes are not more than all may have", size())
	}
	n.boundRecordings()
	if size() > recordingsMemory || int64(size()) < recordingsMemory/3 {
		t.Errorf("all take %d bytes", size())
	}
	for i := range uint32(quiet) {
		s := n.subjects[loud+i]
		if got := len(s.rec.Observations()); got != 20 {
			t.Fatalf("%d of 20 observations of a quiet one are left", got)
		}
	}
	for i := range uint32(loud - 5) {
		delete(n.subjects, i)
	}
	for range 10 {
		n.boundRecordings()
	}
	for _, s := range n.subjects {
		if s.id < loud && s.memory != subjectMemory {
			t.Errorf("subject %d has room for %d bytes now", s.id, s.memory)
		}
	}
	// Where even the least of all is too much, it ends nevertheless.
	for i := range uint32(400) {
		rec, _ := recorder.New(recorder.Options{Memory: subjectMemory})
		s := &subject{id: 1000 + i, rec: rec, memory: subjectMemory}
		fill(s, 3000)
		n.subjects[s.id] = s
	}
	n.boundRecordings()
}
