package diagnose

import (
	"fmt"
	"path"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var uncaughtError = Cause{
	ID:    "uncaught-error",
	Title: "An error that nobody caught",
	Why:   "An exception, panic or fatal error reached the top of the program, and its language's runtime printed it and ended the process.",
	Seen: "The runtime's report is the last output, and the exit code or signal is the one of that runtime: certain. A report that was followed by other output was survived and is not it. " +
		"Where the report only names a cause of this catalogue that the kernel saw (too many open files, address in use), that cause stands before it.",
	Advice: "Look at the innermost frame of its own code.",
	Rule:   ruleUncaughtError,
}

func ruleUncaughtError(v *View) *evidence.Finding {
	t := v.text.final
	if t == nil || t.deep && t.lang != langPython {
		return nil
	}
	switch v.How {
	case endError, endAbort:
	default:
		return nil
	}
	if v.How == endAbort && t.signal == 0 {
		return nil
	}
	conf := evidence.Certain
	switch {
	case t.thread && !(v.How == endAbort && t.lang == langRust):
		return nil // a thread's end, survived as a rule
	case !t.fits(v):
		return nil // a report that was handled
	case t.trailer > 0 || v.asked >= 0:
		conf = evidence.Likely
	case t.lang == langPython && t.from > 0 && loggedBefore(v, t), t.lang == langJava && !t.proven, t.lang == langNode && !t.proven:
		conf = evidence.Likely // perhaps logged, and ended for it
	}
	what := t.name()
	sum := what + " ended it"
	if said := strings.TrimPrefix(t.typ+": "+t.msg, ": "); said != "" {
		sum += ": " + plain(strings.TrimSuffix(said, ": "), 200)
	}
	if t.frame != "" {
		sum += ", at " + plain(t.frame, 120)
	}
	title := strings.ToLower(what[:1]) + what[1:]
	if t.typ != "" {
		title = "an uncaught " + plain(t.typ, 60)
	}
	return &evidence.Finding{Confidence: conf, Title: title, Summary: strings.TrimSuffix(sum, ".") + ".", Evidence: v.deathAt()}
}

// name is what the report is of, to begin a sentence: "A Go panic".
func (t *trace) name() string {
	switch {
	case t.lang == langPerl:
		return "A die() in Perl"
	case t.what == "exception":
		return "An uncaught " + string(t.lang) + " exception"
	}
	return "A " + string(t.lang) + " " + t.what
}

// loggedBefore says whether the line above a Python traceback shows that it was logged.
func loggedBefore(v *View, t *trace) bool {
	for _, s := range v.text.streams {
		if s.name != t.stream {
			continue
		}
		from := t.from + max(0, len(s.all)-maxTraceLines)
		return from > 0 && from <= len(s.all) && containsAny(s.all[from-1], "ERROR", "CRITICAL", "Error:", "[error]", "level=error")
	}
	return false
}

var startFailure = Cause{
	ID:    "start-failure",
	Title: "It never ran",
	Why:   "The command was not found, is not executable, is built for another processor, or needs an interpreter, a loader or a library that is not there.",
	Seen: "execve() of the command failed: certain. A shell's exit code 126 or 127 with the failed lookup or exec that belongs to it: certain, with its message alone likely. " +
		"The loader's message and exit code 127 with the library's failed open: certain.",
	Advice: "Check the command's path and mode, the image's architecture (uname -m, file), the first line of scripts (#!), and that all libraries are there (ldd).",
	Rule:   ruleStartFailure,
}

var (
	notFound = newPattern(`^(?:.*: )?(?:line )?(?:\d+: )?([^\s:]+): (?:command )?not found$`)
	symbol   = newPattern(`symbol lookup error: ([^:]+): (undefined symbol: \S+)`)
	version  = newPattern("^(?:[^:]+: )?([^:\\s]+): version [`'](\\S+)' not found \\(required by")
	loader   = newPattern(`error while loading shared libraries: ([^:]+): (.*)$`)
	missing  = newPattern(`^(?:Error loading shared library|Error relocating) ([^:]+): (.*)$`) // musl
)

func startWords(e evidence.Errno, cmd string) (sum, advice string) {
	switch e {
	case evidence.ENOENT:
		return fmt.Sprintf("%s was not found, or the interpreter or loader that it names is missing (ENOENT).", cmd),
			"Check the path. If the file is there, its first line (#!) or its loader (readelf -l) names something that is not: often a glibc program in a musl image, or Windows line ends in a script."
	case evidence.EACCES:
		return fmt.Sprintf("%s may not be executed (EACCES): its mode, a directory's, a noexec mount, or it is a directory.", cmd),
			"Check its mode (chmod +x), its directories and the mount."
	case evidence.ENOEXEC:
		return fmt.Sprintf("%s is no program for this machine (ENOEXEC): built for another processor, damaged, or a script without #!.", cmd),
			"Compare `file` of it with `uname -m`; a script needs #! in its first line."
	case evidence.EPERM:
		return fmt.Sprintf("Executing %s is forbidden (EPERM).", cmd), ""
	}
	return fmt.Sprintf("%s could not be executed (%s).", cmd, e), ""
}

// notStartedWords say it of the command itself, whose file was looked at.
func notStartedWords(d *evidence.Death, cmd string) (sum, advice string) {
	if d.StartWhy == "" {
		return startWords(d.StartErrno, cmd)
	}
	file := cmd
	if d.StartPath != "" {
		file = plain(d.StartPath, 100)
	}
	sum = fmt.Sprintf("%s %s (%s).", file, plain(d.StartWhy, 200), d.StartErrno)
	switch why := d.StartWhy; {
	case strings.Contains(why, "PATH"):
		advice = "Check its name, that it is installed, and PATH; sudo has a PATH of its own. A program in this directory is started as ./NAME."
	case why == "does not exist":
		advice = "Check the path."
	case strings.Contains(why, "on the way"):
		advice = "Check the directories on its path (namei -l PATH): each needs the x permission."
	case strings.Contains(why, "directory"):
		advice = "Name the program in it."
	case strings.Contains(why, "permission"):
		advice = "Make it executable (chmod +x), or start it by its interpreter (sh FILE, python3 FILE)."
	case strings.Contains(why, "Windows"):
		advice = "Remove the carriage returns: sed -i 's/\\r$//' FILE."
	case strings.Contains(why, "loader"):
		advice = "It was built for another system: often a glibc program in a musl image, or the other way round. Build it there, or link it statically."
	case strings.Contains(why, "interpreter"):
		advice = "Install the interpreter, or mend the first line of the script."
	}
	return sum, advice
}

func ruleStartFailure(v *View) *evidence.Finding {
	const title = "a failure to start"
	if v.How == endNotStarted {
		cmd := "The command"
		if c := v.Case.Subject.Command; len(c) > 0 {
			cmd = plain(c[0], 100)
		}
		sum, advice := notStartedWords(v.Case.Death, cmd)
		var ev []int
		for i := range ofPID[*evidence.ExecFailed](v, 0) {
			ev = append(ev, i)
		}
		return &evidence.Finding{Confidence: evidence.Certain, Title: title, Summary: "It never ran: " + sum, Evidence: ev, Advice: advice}
	}
	if v.How != endError {
		return nil
	}
	if f := v.loaderFailed(title); f != nil {
		return f
	}
	if v.Code != 126 && v.Code != 127 {
		return nil
	}
	// A shell, or env and the like, whose exec failed. One that failed and was then found elsewhere
	// in PATH is no failure: an exec of the same name that went well follows.
	at := -1
	var failed *evidence.ExecFailed
	for i, e := range of[*evidence.ExecFailed](v) {
		if e.Path != "" && !v.foundLater(i, path.Base(e.Path)) {
			at, failed = i, e
		}
	}
	for _, p := range v.Passed {
		for i, e := range ofPID[*evidence.ExecFailed](v, p) {
			if failed == nil && e.Path != "" && !v.foundLater(i, path.Base(e.Path)) {
				at, failed = i, e
			}
		}
	}
	if failed != nil && v.End-v.boot(at) < soon {
		sum, advice := startWords(failed.Errno, plain(failed.Path, 100))
		return &evidence.Finding{Confidence: evidence.Certain, Title: title, Summary: sum + fmt.Sprintf(" %s gave up with code %d.", v.Name, v.Code),
			Evidence: append(v.deathAt(), at), Advice: advice}
	}
	if v.Code == 127 {
		for _, s := range v.text.last {
			m := notFound.FindStringSubmatch(s)
			if m == nil {
				continue
			}
			conf := evidence.Likely
			ev := v.deathAt()
			if c, at := v.lastOfEnder(func(c *evidence.FailedCall) bool {
				return c.Errno == evidence.ENOENT && path.Base(c.Path) == path.Base(m[1]) && v.End-c.BootNanos < window
			}); c != nil {
				conf, ev = evidence.Certain, append(ev, at)
			}
			return &evidence.Finding{Confidence: conf, Title: title, Evidence: ev,
				Summary: fmt.Sprintf("The command %s was not found; %s gave up with code 127.", plain(m[1], 80), v.Name),
				Advice:  "Check its name, that it is installed there, and PATH."}
		}
	}
	if v.Code == 126 {
		for _, s := range v.text.last[:min(2, len(v.text.last))] {
			if containsAny(s, "Permission denied", "Is a directory", "cannot execute", "Exec format error", "required file not found") {
				return &evidence.Finding{Confidence: evidence.Likely, Title: title, Evidence: v.deathAt(),
					Summary: fmt.Sprintf("The command could not be executed: %s; %s gave up with code 126.", quoteLine(s), v.Name)}
			}
		}
	}
	return nil
}

// loaderFailed is the dynamic loader's report of a missing library.
func (v *View) loaderFailed(title string) *evidence.Finding {
	if v.Code != 127 && v.Code != 1 {
		return nil
	}
	for _, s := range v.text.last[:min(3, len(v.text.last))] {
		if m := symbol.FindStringSubmatch(s); m != nil && v.Code == 127 {
			return &evidence.Finding{Confidence: evidence.Likely, Title: title, Evidence: v.deathAt(),
				Summary: fmt.Sprintf("It never got to its own code: the loader found no library that has what %s needs (%s).", plain(m[1], 80), plain(m[2], 100)),
				Advice:  "A library is of another version than the program was built with: install the one that belongs to it."}
		}
		if m := version.FindStringSubmatch(s); m != nil {
			return &evidence.Finding{Confidence: evidence.Likely, Title: title, Evidence: v.deathAt(),
				Summary: fmt.Sprintf("It never got to its own code: %s is too old here, version %s is needed.", plain(m[1], 80), plain(m[2], 60)),
				Advice:  "The program was built against a newer library than this image or machine has: build it there, or take a newer base image."}
		}
		m := loader.FindStringSubmatch(s)
		if m == nil {
			m = missing.FindStringSubmatch(s)
		}
		if m == nil {
			continue
		}
		lib := path.Base(strings.TrimSpace(m[1]))
		conf, ev := evidence.Likely, v.deathAt()
		if c, at := v.lastOfEnder(func(c *evidence.FailedCall) bool { return path.Base(c.Path) == lib }); c != nil {
			conf, ev = evidence.Certain, append(ev, at)
		} else if v.Code != 127 {
			continue
		}
		return &evidence.Finding{Confidence: conf, Title: title, Evidence: ev,
			Summary: fmt.Sprintf("It never got to its own code: the loader did not find the library %s (%s).", plain(lib, 80), plain(m[2], 100)),
			Advice:  fmt.Sprintf("Install the package that has %s in the image, or set the library path; ldd shows what is missing.", plain(lib, 80))}
	}
	return nil
}

var exitError = Cause{
	ID:     "exit-error",
	Title:  "It ended with an error code",
	Why:    "The program ended itself with a code other than 0. What was seen tells no more than that and its last words.",
	Seen:   "The exit code: certain that it ended so; why is not known.",
	Advice: "Its last words are what there is; raise its log level.",
	Rule: func(v *View) *evidence.Finding {
		if v.How != endError {
			return nil
		}
		sum := fmt.Sprintf("It exited with code %d", v.Code)
		if s := v.text.lastLine(); s != "" {
			sum += "; its last words: " + quoteLine(s)
		}
		ev := v.deathAt()
		for _, t := range v.threads {
			if t.ender {
				c := latestCall(t.calls, func(c *evidence.FailedCall) bool {
					return c.BootNanos <= v.End && (!noise(c.Errno) || c.Errno == evidence.ENOENT && c.Path != "" && !c.Searching() && v.missed(c))
				})
				if c == nil {
					continue
				}
				if gap := v.End - c.BootNanos; gap < soon {
					sum += fmt.Sprintf(". The last call that failed before it was %s", plain(c.Call, 30))
					if c.Path != "" {
						sum += "(" + plain(c.Path, 90) + ")"
					}
					sum += fmt.Sprintf(" with %s, %s before", c.Errno, span(gap))
					ev = append(ev, t.at)
				}
			}
		}
		sum += "."
		if v.full() {
			sum += fmt.Sprintf(" It held %d of the %d descriptors that it may have.", v.table().Open, v.table().SoftLimit)
		}
		return &evidence.Finding{Confidence: evidence.Certain, Title: fmt.Sprintf("an error of its own (exit code %d)", v.Code), Summary: sum, Evidence: ev}
	},
	Weak: true,
}

// missed says whether a file that was not there may be why it ended: it names the file, or it ended at
// once and said nothing.
func (v *View) missed(c *evidence.FailedCall) bool {
	if s := v.text.said(); s != "" {
		return strings.Contains(s, path.Base(c.Path))
	}
	return v.End-c.BootNanos < second/100
}

var finished = Cause{
	ID:     "finished",
	Title:  "It ended well",
	Why:    "The program ended itself with exit code 0.",
	Seen:   "The exit code: certain.",
	Advice: "Nothing to do, unless it was meant to run on.",
	Rule: func(v *View) *evidence.Finding {
		if v.How != endZero {
			return nil
		}
		sum := "It exited with code 0."
		ev := v.deathAt()
		if v.asked >= 0 {
			if s, ok := v.Case.Timeline[v.asked].Detail.(*evidence.SignalSent); ok {
				by := who(&evidence.Sender{PID: s.Sender, Comm: s.SenderComm})
				if s.Sender == 0 {
					by = "its terminal"
				}
				sum = fmt.Sprintf("It exited with code 0, %s after %s asked it to end (%s).", span(v.End-v.boot(v.asked)), by, s.Signal)
				ev = append(ev, v.asked)
			}
		}
		f := &evidence.Finding{Confidence: evidence.Certain, Title: "its own end (exit code 0)", Summary: sum, Evidence: ev}
		if v.Case.Counters[evidence.CountGarbled] > 0 {
			f.Advice = "If its output is meant to be text, see what it wrote where the garbage begins."
		}
		return f
	},
	Weak: true,
}
