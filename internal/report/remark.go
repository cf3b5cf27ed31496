package report

import "github.com/descry-dev/descry/internal/evidence"

// Safe is text of foreign origin in one line, without anything that a terminal would obey.
func Safe(s string) string { return clean(s) }

// Withdrawn is the line that takes back a Warning.
func Withdrawn(h *evidence.Headroom) string {
	if h.Limit == "fd_setsize" {
		return "descry: descriptors no longer grow towards what select() can hold"
	}
	return "descry: descriptors no longer grow towards their limit"
}
