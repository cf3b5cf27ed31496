package diagnose

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var fileMissing = Cause{
	ID:    "file-missing",
	Title: "A file was not there",
	Why:   "A file or directory that the program needed does not exist by the name that it asked for: not mounted, not copied into the image, another working directory, a misspelt path, or a directory on the way that is missing.",
	Seen: "A call on a file failed with ENOENT or ENOTDIR and the program's last words name that file and the error: certain. They name the file as one that could not be had, or the error as the last thing that failed: likely; or, where system calls were not watched, both, and the file was not there right after the end. " +
		"It exited at once after that, without a word, with nothing else that failed: possible. Programs look for files that need not be there all the time (search paths, locales, optional configuration): one that is in no last words is not its end.",
	Advice:   "Check that path as the program sees it (its working directory, its mounts).",
	Rule:     ruleFileMissing,
	Explains: []string{"uncaught-error", "assertion"},
}

// absentWords say of a file that it could not be had.
var absentWords = newPattern(`(?i)(not found|does ?n[o']t exist|not exist|missing|no such|unreadable|not readable|not accessible|inaccessible|` +
	`(can ?not|can't|could ?n[o']t|could not|unable to|fail(ed|s|ure)?( to| in)?:?|error|failed while|problem|impossible to|not) ?(in |on |while |when |at )?(open|load|find|read|access|stat|locat|import|includ|chang|chdir|cd |enter|execut|run|start|spawn|creat|writ|sav|delet|remov|renam|mov|copy)\w*|open(ing)?\b.*\bfail|fail(ed|ure)? (opening|loading|reading))`)

func isMissing(c *evidence.FailedCall) bool {
	return (c.Errno == evidence.ENOENT || c.Errno == 20 /* ENOTDIR */) && (onFiles(c.Call) || strings.HasPrefix(c.Call, "exec")) && c.Path != ""
}

func ruleFileMissing(v *View) *evidence.Finding {
	if v.asked >= 0 {
		return nil
	}
	switch v.How {
	case endFault:
		return v.missingUnchecked()
	case endError, endAbort:
	default:
		return nil
	}
	if startFailure.Rule(v) != nil {
		return nil
	}
	words := append(slices.Concat(errnoWords[evidence.ENOENT], errnoWords[20]), "No such file", "no such file")
	whole := "" // the last words together, where the last of them is the error
	if how, _ := v.tells(func(line string) bool { return mentions(line, words...) }); how == toldLast && v.text.final == nil {
		for _, last := range v.endLines(4) {
			whole += strings.Join(last, "\n") + "\n"
		}
	}
	var best struct {
		c    *evidence.FailedCall
		at   int
		conf evidence.Confidence
		rank int
	}
	offer := func(c *evidence.FailedCall, at int) {
		if c.BootNanos > v.End || v.End-c.BootNanos > window {
			return
		}
		// The error and the file in one line, or in one report.
		conf, rank := evidence.Confidence(""), 0
		how, line := v.tells(func(line string) bool { return namesPath(line, c.Path) && mentions(line, words...) })
		switch {
		case how == toldLast:
			conf, rank = v.afterwards(evidence.Certain, v.End-c.BootNanos, evidence.Possible), 4
		case how == toldEarlier:
			conf, rank = evidence.Likely, 3
		default:
			how, line = v.tells(func(line string) bool { return namesPath(line, c.Path) && absentWords.MatchString(line) })
			switch {
			case len(c.Path) > len(path.Base(c.Path)) && strings.Contains(whole, c.Path):
				conf, rank, line = v.afterwards(evidence.Certain, v.End-c.BootNanos, evidence.Possible), 3, whole
			case how != toldNot && !v.otherError(words) && !ofAnother(line, words) && v.onlyOne(c, line):
				conf, rank = evidence.Likely, 2
				if how == toldLast && !c.Searching() && len(c.Path) > len(path.Base(c.Path)) && strings.Contains(line, c.Path) && v.isLast(c) && v.End-c.BootNanos < atOnce {
					conf = evidence.Certain
				}
			}
		}
		if conf == "" {
			return
		}
		if strings.Contains(line, c.Path) && len(c.Path) > len(path.Base(c.Path)) {
			rank += 10 // the whole path
		}
		if best.c == nil || rank > best.rank || rank == best.rank && (!c.Searching() && best.c.Searching() || c.Searching() == best.c.Searching() && c.BootNanos >= best.c.BootNanos) {
			best.c, best.at, best.conf, best.rank = c, at, conf, rank
		}
	}
	for _, t := range v.threads {
		for k := range t.calls {
			if isMissing(&t.calls[k]) {
				offer(&t.calls[k], t.at)
			}
		}
	}
	v.missingElsewhere(offer)
	if best.c == nil {
		if c, at, alone := v.missingLast(); c != nil {
			how, _ := v.tells(func(line string) bool { return asErrno(line, c.Errno) })
			switch {
			case how == toldLast && alone:
				best.c, best.at, best.conf = c, at, evidence.Certain
			case how == toldLast:
				best.c, best.at, best.conf = c, at, evidence.Likely
			case v.quotesPath(c):
				best.c, best.at, best.conf = c, at, evidence.Possible
			case v.text.seen && v.text.said() == "" && v.End-c.BootNanos < second/100:
				best.c, best.at, best.conf = c, at, evidence.Possible
			}
		}
	}
	if best.c == nil {
		return v.missingUnseen()
	}
	return v.missingFinding(best.c, best.at, best.conf)
}

// onlyOne says whether a file was looked for by that path alone, or the line names the path itself:
// what was looked for in several places may have been found in the last of them.
func (v *View) onlyOne(c *evidence.FailedCall, line string) bool {
	if path.IsAbs(c.Path) && strings.Contains(line, c.Path) {
		return true
	}
	for _, t := range v.threads {
		for k := range t.calls {
			if x := &t.calls[k]; isMissing(x) && x.Path != c.Path && path.Base(x.Path) == path.Base(c.Path) {
				return false
			}
		}
	}
	return true
}

// otherError says whether the last words name an error that the kernel returned and that is not one of words.
func (v *View) otherError(words []string) bool { return v.names(words) == saysOther }

// quotesPath says whether the last line has the whole path of a file that was not there and right after which
// it ended, whatever else it says: its words may be of any language.
func (v *View) quotesPath(c *evidence.FailedCall) bool {
	how, line := v.tells(func(line string) bool { return path.IsAbs(c.Path) && path.Dir(c.Path) != "/" && bounded(line, c.Path) })
	return how == toldLast && v.End-c.BootNanos < atOnce && !ofAnother(line, nil)
}

// ofAnother says whether a line names an error that is not one of words.
func ofAnother(line string, words []string) bool {
	for _, other := range errnoWords {
		if mentions(line, other...) {
			return !mentions(line, words...)
		}
	}
	return false
}

// missingElsewhere offers what programs met that the culprit started and that failed, and programs
// that could not be started.
func (v *View) missingElsewhere(offer func(*evidence.FailedCall, int)) {
	for i, t := range ofPID[*evidence.ThreadFailures](v, 0) {
		if !v.failedChild(v.Case.Timeline[i].PID) {
			continue
		}
		for k := range t.Calls {
			if isMissing(&t.Calls[k]) {
				offer(&t.Calls[k], i)
			}
		}
	}
	for i, x := range ofPID[*evidence.ExecFailed](v, 0) {
		if x.Errno == evidence.ENOENT && x.Path != "" && !v.foundLater(i, path.Base(x.Path)) {
			offer(&evidence.FailedCall{BootNanos: v.boot(i), Call: "execve", Errno: x.Errno, FD: -1, Path: x.Path}, i)
		}
	}
}

// foundLater says whether a program of that name was started after all, from elsewhere in PATH.
func (v *View) foundLater(at int, name string) bool {
	for i, e := range ofPID[*evidence.Exec](v, 0) {
		if v.boot(i) >= v.boot(at) && (path.Base(e.Path) == name || len(e.Args) > 0 && path.Base(e.Args[0]) == name) {
			return true
		}
	}
	return false
}

// symbolizing says whether a call looked for what a report of an error is made prettier by.
func symbolizing(c *evidence.FailedCall) bool {
	return strings.Contains(c.Path, "/usr/lib/debug") || strings.HasSuffix(c.Path, ".debug") || strings.HasSuffix(c.Path, ".dwp")
}

// missingLast is the last thing that failed in the thread that ended it, where that was a file which
// it looked for by its name and not along a search path; alone says that there was no other such.
func (v *View) missingLast() (last *evidence.FailedCall, at int, alone bool) {
	for _, t := range v.threads {
		if !t.ender {
			continue
		}
		alone = true
		for k := len(t.calls) - 1; k >= 0; k-- {
			c := &t.calls[k]
			switch {
			case c.BootNanos > v.End || c.Searching() || symbolizing(c) || noise(c.Errno) && !isMissing(c):
			case last == nil && (!isMissing(c) || v.End-c.BootNanos > atOnce):
				return nil, -1, false
			case last == nil:
				last, at = c, t.at
			case isMissing(c) && c.Path != last.Path:
				if path.Base(c.Path) == path.Base(last.Path) {
					return nil, -1, false // a search path of its own
				}
				alone = alone && last.BootNanos-c.BootNanos > second
			}
		}
	}
	return last, at, alone
}

// missingUnchecked is a stream that could not be opened and was used all the same.
func (v *View) missingUnchecked() *evidence.Finding {
	f := v.Fault
	c, at, _ := v.missingLast()
	if c == nil || f == nil || !nullPage(f) || !inStdio(f.Trace) || !strings.HasPrefix(c.Call, "open") {
		return nil
	}
	out := v.missingFinding(c, at, evidence.Certain)
	out.Summary = sentences(out.Summary, "The result of opening it was not checked, and a null pointer used.")
	return out
}

func (v *View) missingFinding(c *evidence.FailedCall, at int, conf evidence.Confidence) *evidence.Finding {
	p := plain(c.Path, 120)
	title := "a missing file"
	sum := fmt.Sprintf("%s was not there: %s failed with %s %s before it %s.", p, plain(c.Call, 30)+"()", c.Errno, span(v.End-c.BootNanos), v.endWords())
	advice := ""
	switch {
	case strings.HasPrefix(c.Call, "exec"):
		title = "a missing program"
		dirs := map[string]bool{}
		for _, x := range ofPID[*evidence.ExecFailed](v, v.Case.Timeline[at].PID) {
			if path.Base(x.Path) == path.Base(c.Path) {
				dirs[path.Dir(x.Path)] = true
			}
		}
		if len(dirs) > 1 {
			sum = fmt.Sprintf("The program %s was not found, which it tried to start from several places (PATH), %s before it %s.", plain(path.Base(c.Path), 60), span(v.End-c.BootNanos), v.endWords())
		}
		advice = fmt.Sprintf("Install %s where this runs, or check the path and PATH.", plain(path.Base(c.Path), 60))
	case c.Errno == 20:
		sum = fmt.Sprintf("%s could not be had: a part of that path is no directory (%s of %s() %s before it %s).", p, c.Errno, plain(c.Call, 30), span(v.End-c.BootNanos), v.endWords())
	case hasAnyPrefix(c.Call, "mkdir", "mknod", "rename", "creat", "link", "symlink") || hasAnyPrefix(c.Call, "open") && c.Arg&0o100 != 0:
		title = "a missing directory"
		sum = fmt.Sprintf("%s could not be made: a directory on that path was not there (%s of %s() %s before it %s).", p, c.Errno, plain(c.Call, 30), span(v.End-c.BootNanos), v.endWords())
		advice = "Make the directory first (mkdir -p), or mount what belongs there."
	}
	if !path.IsAbs(c.Path) {
		sum = sentences(sum, "The path is relative to its working directory.")
	}
	return &evidence.Finding{Confidence: conf, Title: title, Summary: sum, Evidence: append([]int{at}, v.deathAt()...), Advice: advice}
}
