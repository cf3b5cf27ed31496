package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var diskFull = Cause{
	ID:    "disk-full",
	Title: "The disk is full",
	Why: "A write, or a call that makes or extends a file, found no room: the blocks of the file system are used up, or its inodes (many small files), or the quota of the user, group or project is. " +
		"A container's writable layer, an emptyDir with a limit and a tmpfs are file systems of that kind.",
	Seen: "A call on a file was refused with ENOSPC or EDQUOT and the program's last words name the error: certain. Refused as the last thing before it exited without a word of its own: likely. " +
		"Refused in a process that it started, which failed, and named in the last words: certain. A write that failed and that it lived on with (a log, a cache) is not its end. " +
		"Where system calls were not watched: the last words name the error and the file, and there was no room right after the end: likely. ENOSPC of inotify is not the disk. What is written through a mapping is refused by SIGBUS: certain where the page lies within the file and its file system has no room left; what io_uring writes is no system call's error.",
	Advice:   "Free space there or make it larger; see what fills it (du -x, df -h, df -i).",
	Rule:     ruleDiskFull,
	Absent:   absentDiskFull,
	Explains: []string{"uncaught-error", "assertion", "output-stalled", "broken-pipe"},
	Swallows: []string{"invalid-access"},
}

// writing is what a program says of a write that failed without its error.
var writing = newPattern(`(?i)\b(writ\w*|wrote|sav(e|ed|ing)|flush\w*|fflush|fsync|sync|clos(e|ing)|fclose|stor(e|ing)|copy\w*|extract\w*|truncat\w*|disk|output|i/o|io|dump\w*|append\w*|commit\w*|rename|mkdir|creat\w*|allocat\w*|storage|persist\w*)\b`)

func isFull(e evidence.Errno) bool { return e == evidence.ENOSPC || e == evidence.EDQUOT }

func ruleDiskFull(v *View) *evidence.Finding {
	words := slices.Concat(errnoWords[evidence.ENOSPC], errnoWords[evidence.EDQUOT], fullWords)
	match := func(c *evidence.FailedCall) bool { return isFull(c.Errno) && onFiles(c.Call) }
	var s seen
	own := v.refusedFiles(v.PID, evidence.ENOSPC, evidence.EDQUOT)
	for _, i := range own {
		s.add(v, i, 0)
		s.count = max(s.count, v.fileRefused(i).Count)
	}
	for _, e := range []evidence.Errno{evidence.ENOSPC, evidence.EDQUOT} {
		if i, w := v.refusedWrite(e); w != nil {
			s.add(v, i, 0)
			s.count = max(s.count, w.Count)
		}
	}
	if len(s.evidence) > 4 {
		s.evidence = append(s.evidence[:1:1], s.evidence[len(s.evidence)-3:]...)
	}
	l := v.link(others, match, words, s)
	how, _ := v.tells(func(line string) bool { return mentions(line, words...) })
	at := -1
	if l.call != nil {
		at = v.ofCall(l.call)
	}
	if at < 0 && len(own) > 0 {
		at = own[len(own)-1]
	}
	for said, k := v.text.said(), len(own)-1; k >= 0 && at >= 0 && !namesPath(said, v.fileRefused(at).Path); k-- {
		if namesPath(said, v.fileRefused(own[k]).Path) { // of several, the one that it names
			at, l.gap = own[k], v.End-v.boot(own[k])
		}
	}
	if l.conf != "" {
		l.conf = v.plainly(l, how, func(said string) bool {
			return v.text.final == nil && writing.MatchString(said)
		})
	}
	in := ""
	if l.conf == "" && how != toldNot && v.asked < 0 && (v.How == endError || v.How == endAbort) {
		// What it started met it and failed.
		for _, i := range v.refusedFiles(0, evidence.ENOSPC, evidence.EDQUOT) {
			if o := &v.Case.Timeline[i]; v.failedChild(o.PID) && v.End-o.BootNanos < window {
				at, in = i, fmt.Sprintf("In %s (pid %d), which it had started and which failed: ", plain(o.Comm, 40), o.PID)
				l = link{conf: evidence.Certain, gap: v.End - o.BootNanos, evidence: []int{i}}
			}
		}
		if how == toldEarlier {
			l.conf = capped(l.conf, evidence.Likely)
		}
	}
	if l.conf == "" {
		if f := v.pageWithoutRoom(); f != nil {
			return f
		}
		return v.diskFullUnseen()
	}
	var r *evidence.FileRefused
	if at >= 0 {
		r = v.fileRefused(at)
		l.evidence = append(l.evidence, at)
		if r.Space == nil {
			if i, whole := v.lookedAt(at); i >= 0 {
				r = whole
				l.evidence = append(l.evidence, i)
			}
		}
	}
	title, sum, advice := v.fullDisk(l, r)
	return &evidence.Finding{Confidence: l.conf, Title: title, Summary: in + sum, Evidence: append(l.evidence, v.deathAt()...), Advice: advice}
}

// lookedAt completes a refusal by one on the same kind of file system and of the same process whose
// surroundings were looked at: of many in a row, only some are.
func (v *View) lookedAt(at int) (int, *evidence.FileRefused) {
	r := v.fileRefused(at)
	for _, i := range v.refusedFiles(v.Case.Timeline[at].PID, r.Errno) {
		o := v.fileRefused(i)
		if o.Space == nil || r.FSType != "" && o.FSType != r.FSType || o.Mount != "" && o.Mount != "/" && fullPath(r) != "" && !strings.HasPrefix(fullPath(r), o.Mount+"/") {
			continue
		}
		whole := *r
		whole.FSType, whole.Mount, whole.Device, whole.Space = o.FSType, o.Mount, o.Device, o.Space
		return i, &whole
	}
	return -1, nil
}

// plainly weakens a link to what the program's last words bear: an error of a file that stands
// above another line may have been survived, and so may one that nothing is said of.
func (v *View) plainly(l link, how told, consequence func(said string) bool) evidence.Confidence {
	said := v.text.said()
	switch {
	case how == toldLast && l.said:
		return v.afterwards(l.conf, l.gap, evidence.Likely)
	case how == toldLast:
		return capped(l.conf, evidence.Likely)
	case how == toldEarlier:
		return capped(l.conf, evidence.Likely)
	case l.said:
		return "" // a warning on the way
	case said == "":
		if l.gap > atOnce {
			return ""
		}
		return capped(l.conf, evidence.Likely)
	case l.call != nil && namesPath(said, l.call.Path), consequence(said):
		return capped(l.conf, evidence.Likely)
	}
	return ""
}

// fullDisk says which file system was full, and of what.
func (v *View) fullDisk(l link, r *evidence.FileRefused) (title, sum, advice string) {
	title = "a full disk"
	call, errno, target := "a write", evidence.ENOSPC, ""
	if l.call != nil {
		call, errno = l.call.Call+"()", l.call.Errno
		if l.call.Path != "" {
			target = l.call.Path
		} else if l.call.FD >= 0 {
			target = v.target(l.call)
		}
	}
	if r != nil {
		call, errno = r.Call+"()", r.Errno
		if p := fullPath(r); p != "" {
			target = p
		}
	}
	sum = plain(call, 30)
	if target != "" {
		sum += " of " + plain(target, 120)
	}
	if r != nil {
		if fs := filesystem(r); fs != "" {
			sum += " (" + fs + ")"
		}
	}
	sum += fmt.Sprintf(" was refused with %s %s before it %s.", errno, span(l.gap), v.endWords())
	if errno == evidence.EDQUOT {
		title = "a used-up quota"
		advice = "Free space of that user, group or project, or raise its quota (quota -v, repquota)."
	}
	if r == nil {
		return title, sum, advice
	}
	where := "there"
	if r.Mount != "" {
		where = "on " + plain(r.Mount, 80)
	}
	switch s := r.Space; {
	case r.Path == "/dev/full":
		return title, sentences(sum, "That device says so to every write."), "Write to something else than /dev/full."
	case s == nil:
	case errno == evidence.EDQUOT:
		sum = sentences(sum, fmt.Sprintf("The file system itself has %s of %s free: it is the quota that is used up.", bytesOf(s.FreeBytes), bytesOf(s.TotalBytes)))
	case s.TotalInodes > 0 && s.FreeInodes == 0 && s.FreeBytes > 0:
		title = "running out of inodes"
		sum = sentences(sum, fmt.Sprintf("All %d inodes of that file system are used, while %s of %s are free.", s.TotalInodes, bytesOf(s.FreeBytes), bytesOf(s.TotalBytes)))
		advice = fmt.Sprintf("Remove files %s (each takes an inode; df -i shows it), or make the file system anew with more inodes.", where)
	case s.TotalBytes > 0 && s.FreeBytes*20 < s.TotalBytes || s.FreeBytes < 64<<10:
		sum = sentences(sum, fmt.Sprintf("%s of %s are free.", bytesOf(s.FreeBytes), bytesOf(s.TotalBytes)))
	case s.TotalBytes > 0 && r.Asked > s.FreeBytes:
		sum = sentences(sum, fmt.Sprintf("%s of %s are free, and the write was of %s.", bytesOf(s.FreeBytes), bytesOf(s.TotalBytes), bytesOf(r.Asked)))
	case s.TotalBytes > 0:
		sum = sentences(sum, fmt.Sprintf("Right after it %s of %s were free: it asked for more at once, something was removed, or a quota of the project or container is used up.", bytesOf(s.FreeBytes), bytesOf(s.TotalBytes)))
	}
	if r.Lost > 0 && r.Count > 1 {
		sum = sentences(sum, fmt.Sprintf("In all %d such calls were refused, %s not written.", r.Count, bytesOf(r.Lost)))
	}
	if advice == "" && r.Mount != "" {
		advice = fmt.Sprintf("Free space %s or make it larger; see what fills it (du -x %s, df -h, df -i).", where, plain(r.Mount, 80))
	}
	return title, sum, advice
}

func absentDiskFull(v *View) string {
	if v.pageWithoutRoom() != nil {
		return ""
	}
	if !v.dead() || !v.Case.Covered("probe/syscall") || v.Case.Counters[evidence.CountFileNoSpace] != 0 || v.Case.Counters[evidence.CountFileQuota] != 0 {
		return ""
	}
	for i := range v.Case.Timeline {
		switch d := v.Case.Timeline[i].Detail.(type) {
		case *evidence.FileRefused:
			if isFull(d.Errno) {
				return ""
			}
		case *evidence.WriteRefused:
			if isFull(d.Errno) {
				return ""
			}
		}
	}
	for _, t := range v.threads {
		if latestCall(t.calls, func(c *evidence.FailedCall) bool { return isFull(c.Errno) && onFiles(c.Call) }) != nil {
			return ""
		}
	}
	return "0 writes refused for want of space"
}
