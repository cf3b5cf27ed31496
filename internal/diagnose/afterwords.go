package diagnose

import (
	"github.com/descry-dev/descry/internal/evidence"
)

// trouble says what the last lines make of an error that one of them names.
type trouble int

const (
	thisOne   trouble = iota // the last one names it itself, or tells what follows from it
	perhaps                  // it speaks of trouble that may follow from it, or says what cannot be read
	elsewhere                // it speaks of other trouble
)

var (
	// follows is what a program says when it gives up for want of a connection or an address.
	follows = newPattern(`(?i)(\bconnect|reach|refused|timed? ?out|timeout|unavailable|retr(y|ies)|attempt|giv(e|ing) up|gave up|access rights|could not read from remote|initiali[sz]|startup|start up|exiting|shutting down|running on that host)`)
	// wentOn is said of an error, or behind it, where a program can do without.
	wentOn  = newPattern(`(?i)(continu|fall(ing|s)? ?back|ignor|skip|proceed|instead)`)
	livedOn = newPattern(`(?i)(\bwarn|continu|fall(ing|s)? ?back|ignor|optional|skip|disabled|\boff\b|without|not yet|later|\binfo\b|\bdebug\b)`)
	// insists is what it says where it could not do without after all.
	insists = newPattern(`(?i)(\bconnect(ion)?s?\b|reach|refused|timed? ?out|timeout|unavailable|retr(y|ies)|attempt|giv(e|ing) up|gave up|address|\bport\b|\bbind|listen|resol|lookup)`)
	// ownReason is a reason that no network gives: what stands in such a line is what it ended for.
	ownReason = newPattern(`(?i)(\binvalid (value|setting|config\w*|option|format|json|yaml|key|token|licen\w+|credential\w*|certificate|input|data)\b|\bmissing (setting|value|key|option|argument|env\w*|column|field|parameter|required|config\w*)|\bauthenti\w+ (failed|error)|\bunauthori[sz]ed|\bforbidden|` +
		`\bHTTP(/\d\S*)? [45]\d\d\b|\bstatus(?: code)?:? [45]\d\d\b|\bsyntax error|\bparse error|\bunsupported|\bnot supported|\balready exists|\bout of memory|\bdisk full|\bno space left|\bpermission denied|\bassertion|\bcorrupt|\bchecksum|` +
		`\blicen[cs]e|\bexpired|\bdivision by zero|\bnull pointer|\bdoes not match|\bmismatch|\bunknown (option|column|key|field|command)|\btests? failed)`)
	// couldNot is what a tool could not do for want of its peer.
	couldNot = newPattern(`(?i)(could ?n[o']t|can ?not|can't|unable to|fail(ed)? to) (send|deliver|publish|subscribe|query|fetch|get|load|push|pull|clone|upload|install|report|join|regist\w+|open|read|write|list|update|find)`)
)

// matcher tells lines that may speak of an error's consequence.
type matcher interface{ MatchString(string) bool }

// anyOf matches what one of its patterns does.
type anyOf []pattern

func (p anyOf) MatchString(s string) bool {
	for _, x := range p {
		if x.MatchString(s) {
			return true
		}
	}
	return false
}

// afterWords says what stands behind the line that names an error; of tells whether a line of trouble
// may be the error's consequence.
func (v *View) afterWords(of matcher, names func(line string) bool) trouble {
	if v.text.final != nil {
		return thisOne
	}
	found, insisted := thisOne, true
	for i, s := range v.text.last[:min(3, len(v.text.last))] {
		if names(s) {
			switch {
			case wentOn.MatchString(s):
				return elsewhere
			case !livedOn.MatchString(s) || phpLine.MatchString(s):
			case i > 0 && !insisted:
				return elsewhere // it warned of it, and went on to what it ended for
			default:
				return max(found, perhaps)
			}
			return found
		}
		insisted = insisted && insists.MatchString(s)
		switch {
		case wentOn.MatchString(s), ownReason.MatchString(s):
			return elsewhere
		case follows.MatchString(s):
		case !otherTrouble.MatchString(s), of.MatchString(s), couldNot.MatchString(s):
			if i == 0 {
				found = perhaps
			}
		default:
			return elsewhere
		}
	}
	return found
}

// wordless is the confidence in an error that its last words do not name: they may speak of what follows
// from it, of something else, or in a way that cannot be read.
func (v *View) wordless(conf evidence.Confidence, of matcher) evidence.Confidence {
	said := v.text.said()
	switch {
	case said == "":
		return conf
	case ownReason.MatchString(said):
		return ""
	case of.MatchString(said):
		return conf
	case otherTrouble.MatchString(said):
		return ""
	case consequence.MatchString(said):
		return conf
	}
	return min2(conf, evidence.Possible)
}
