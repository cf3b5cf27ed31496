package agent

import "github.com/descry-dev/descry/internal/evidence"

// lastOutput is the end of what a subject wrote, nil where it is not read.
func (n *node) lastOutput(*subject) *evidence.LastOutput { return nil }

// outputCoverage says whether a subject's output was read.
func (n *node) outputCoverage(*subject) evidence.Coverage {
	return evidence.Coverage{Source: "output", Missing: "its output is not read"}
}
