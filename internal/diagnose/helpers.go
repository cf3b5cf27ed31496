package diagnose

import (
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// helperFailed is for a helper that the culprit started and that ended with an error right after
// what it met at boot, with the culprit soon behind it: git's and scp's ssh. names tells the lines
// that speak of that.
func (v *View) helperFailed(pid int32, boot int64, names func(line string) bool) (evidence.Confidence, []int) {
	if v.asked >= 0 || v.How != endError || v.End-boot > window {
		return "", nil
	}
	for i, e := range ofPID[*evidence.Exit](v, pid) {
		t := v.boot(i)
		switch {
		case t < boot || t > v.End:
			continue
		case e.ExitCode == 0 && e.Signal == 0:
			return "", nil
		case t-boot > soon || v.End-t > soon:
			return "", nil
		}
		if v.saidAbove(boot, names) {
			if v.passes(v.PID) { // a script may go on
				return evidence.Likely, []int{i}
			}
			return evidence.Certain, []int{i}
		}
		if e.Parent != v.PID || v.End-t > atOnce || v.text.final != nil {
			return "", nil
		}
		return v.wordless(evidence.Likely, ofConnection), []int{i}
	}
	return "", nil
}

// saidAbove says whether its last lines come to speak of what it met at boot before they speak of
// other trouble: behind it stand hints, or its own words for what follows.
func (v *View) saidAbove(boot int64, names func(line string) bool) bool {
	if v.How != endError || v.End-boot > window || v.text.final != nil {
		return false
	}
	for _, s := range v.text.streams {
		for i := len(s.all) - 1; i >= max(0, len(s.all)-12); i-- {
			line := npmError.ReplaceAllString(s.all[i], "")
			switch {
			case strings.TrimSpace(line) == "":
			case names(line):
				return !wentOn.MatchString(line) && (!livedOn.MatchString(line) || phpLine.MatchString(line))
			case wentOn.MatchString(line), ownReason.MatchString(line), otherTrouble.MatchString(line) && !ofConnection.MatchString(line):
				return false
			}
		}
	}
	return false
}
