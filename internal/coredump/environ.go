package coredump

import (
	"slices"
	"strings"
)

const maxEnvironmentBytes = 128 << 10

// environment lists the variables that the process began with: their names, and with SummaryOptions.Unmasked the
// values, where the core holds them. The kernel puts them right before the executable's name (AT_EXECFN).
func (s *summary) environment() {
	at, ok := s.c.Aux(atExecFn)
	if !ok {
		return
	}
	m := s.c.MappingAt(at)
	if m == nil {
		return
	}
	b := make([]byte, min(at-m.Start, maxEnvironmentBytes))
	for from := at - uint64(len(b)); len(b) > 0; { // the last stretch that the core holds
		if n := s.c.Memory(from, b); n == len(b) {
			break
		}
		half := (len(b) + 1) / 2
		from, b = from+uint64(half), b[half:]
	}
	words := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	var list []string
	for _, w := range slices.Backward(words[min(1, len(words)):]) { // the first may be cut
		name, _, ok := strings.Cut(w, "=")
		if !ok || name == "" || strings.ContainsAny(name, " /-") || len(list) == maxEnvironment {
			break
		}
		if !s.o.Unmasked {
			w = name
		}
		list = append(list, said(w))
	}
	if slices.Reverse(list); len(list) > 0 && (s.o.Unmasked || len(s.out.Environment) == 0) {
		s.out.Environment = list
	}
}
