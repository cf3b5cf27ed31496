//go:build linux

package probe

import "testing"

func TestOpen(t *testing.T) {
	s, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range s.Status() {
		t.Logf("%+v", st)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
