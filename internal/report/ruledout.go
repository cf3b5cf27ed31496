package report

import (
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// families are what a reader asks about: was it the network, the disk? Each has the causes that must
// all be absent for that, the more telling figures first.
var families = []struct {
	name   string
	causes []string
}{
	{"descriptors", []string{"fd-limit", "select-overflow", "system-fd-limit", "inotify-limit"}},
	{"DNS", []string{"dns-failure"}},
	{"connections", []string{"connect-failure", "connection-loss", "address-in-use", "port-exhaustion"}},
	{"buffers", []string{"receive-overflow", "accept-overflow", "send-stalled", "socket-memory"}},
	{"its output", []string{"output-stalled", "stdio-replaced"}},
	{"memory", []string{"memory-limit", "mapping-limit", "node-memory"}},
	{"processes", []string{"pid-limit"}},
	{"disk", []string{"disk-full"}},
	{"files", []string{"permission", "file-truncated"}},
}

// ruledOut lists what it was not, with figures: whole families where all of their causes are absent,
// else those causes that are. Where the case is explained, or somebody ended it, one figure of each will do.
func ruledOut(c *evidence.Case) string {
	because := map[string]string{}
	for _, r := range c.RuledOut {
		because[r.Cause] = clean(r.Because)
	}
	figures := 2
	if explained(c) || len(c.Findings) > 0 && c.Findings[0].Cause == "killed" {
		figures = 1
	}
	var out []string
	told := map[string]bool{}
	put := func(name string, causes ...string) {
		var why []string
		for _, id := range causes {
			told[id] = true
			if because[id] != "" && len(why) < figures && !slices.Contains(why, because[id]) {
				why = append(why, because[id])
			}
		}
		if len(why) > 0 {
			name += " (" + strings.Join(why, "; ") + ")"
		}
		out = append(out, name)
	}
	for _, f := range families {
		if !slices.ContainsFunc(f.causes, func(id string) bool { return because[id] == "" }) {
			put(f.name, f.causes...)
			continue
		}
		for _, id := range f.causes {
			if because[id] != "" {
				put(nameOf(id), id)
			}
		}
	}
	for _, r := range c.RuledOut {
		if !told[r.Cause] {
			put(nameOf(r.Cause), r.Cause)
		}
	}
	return strings.Join(out, ", ")
}

func nameOf(cause string) string {
	if name := causeNames[cause]; name != "" {
		return name
	}
	return clean(cause)
}
