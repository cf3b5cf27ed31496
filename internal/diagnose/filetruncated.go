package diagnose

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

var fileTruncated = Cause{
	ID:    "file-truncated",
	Title: "A mapped file was cut short",
	Why: "A file that is mapped (mmap) is read as memory. Where the file ends before the mapping does, because it was cut short or overwritten in place after it was mapped (a log that is rotated by copying and truncating, a binary or database that is replaced by cp, not mv), " +
		"or because its disk, image or server does not give the page, there is nothing to read, and the kernel sends SIGBUS.",
	Seen: "SIGBUS (BUS_ADRERR), and how long the file was that is mapped at the address, as the kernel had it at that moment. Certain: the address lies beyond the end of a file that was there before the process and changed while it ran. " +
		"Likely: beyond the end of a file that it made itself or of which that is not known; or within a file whose file system has room (then its page could not be read). " +
		"A file that has not changed since the process began never was as long as its mapping, which is the program's own mistake. Not to be told from a cut: a file that was mapped beyond its end and has only grown since.",
	Advice:   "Replace files by writing a new one and renaming it over the old one (mv, not cp; logrotate without copytruncate), so that who has it mapped keeps the old one. Do not map what others may cut short, or read it instead.",
	Rule:     ruleFileTruncated,
	Absent:   absentFileTruncated,
	Explains: []string{"uncaught-error", "assertion"},
	Swallows: []string{"invalid-access", "uncaught-error"},
}

const busAdrErr = 2

// busError is the SIGBUS that the culprit ended by: its death, what its handler took before it ended
// itself, or what its runtime made an error of.
func (v *View) busError() (*evidence.SignalFatal, int, bool) {
	if f := v.Fault; f != nil && f.Signal == evidence.SIGBUS && (v.How == endFault || v.How == endAbort) && byKernel(f) {
		return f, v.faultAt, true
	}
	if v.How != endError || v.asked >= 0 {
		return nil, -1, false
	}
	for i, c := range of[*evidence.SignalCaught](v) {
		gap := v.End - v.boot(i)
		if c.Signal != evidence.SIGBUS || !byKernel(&c.SignalFatal) || gap < 0 || gap > window {
			continue
		}
		said := containsAny(v.text.said(), "SIGBUS", "bus error", "Bus error", "Bus Error", "fault occurred in", "unexpected fault address", "signal 7") || v.Code == 128+int32(evidence.SIGBUS)
		if said {
			return &c.SignalFatal, i, true
		}
	}
	return nil, -1, false
}

func ruleFileTruncated(v *View) *evidence.Finding {
	f, at, ok := v.busError()
	if !ok || f.Code != busAdrErr || f.Mapped == nil || f.Mapped.Huge {
		return nil
	}
	m := f.Mapped
	start, ahead := v.startWall()
	conf := evidence.Likely
	name := plain(m.Path, 100)
	if name == "" {
		name = "a file"
	}
	var sum, title, advice string
	switch {
	case m.PastEnd():
		if m.Changed != 0 && start != 0 && m.Changed < start {
			return nil // it never was that long
		}
		if start != 0 && m.Changed >= start+ahead && m.Born != 0 && m.Born < start {
			conf = evidence.Certain
		}
		title = "a mapped file that was cut short"
		sum = fmt.Sprintf("It read byte %d of %s, which it had mapped and which ends at %s now, and got SIGBUS.", m.Offset, name, bytesOf(m.Size))
		switch {
		case conf == evidence.Certain:
			sum += fmt.Sprintf(" The file was changed %s before that, while it was mapped.", span(max(0, v.wallOf(at)-m.Changed)))
		case m.Deleted:
			sum += " The file has no name any more; it was cut short after it was mapped, or never was that long."
		default:
			sum += " It was cut short after it was mapped, or never was that long."
		}
		if m.Shared {
			advice = "See who cuts the file short or writes it anew while it is mapped: replace it by renaming a new one over it."
		}
	case m.FileSystem == "tmpfs" || m.FreeKnown && m.Free < 1<<20:
		return nil // no room for the page: the disk is full
	default:
		title = "a mapped file that could not be read"
		sum = fmt.Sprintf("It touched byte %d of %s, which it had mapped and which is %s long, and the kernel could not get that page (SIGBUS): as a rule an error of the disk, the image or the server it lies on (%s).",
			m.Offset, name, bytesOf(m.Size), plain(m.FileSystem, 20))
		advice = "Look into the kernel's log (dmesg) for errors of that disk or mount, and check the file."
	}
	if fr := ownFrame(f.Trace); fr != nil {
		sum += " It was in " + frameText(fr) + "."
	}
	if f != v.Fatal && v.How != endFault {
		sum += fmt.Sprintf(" Its runtime took the signal, and it %s.", v.endWords())
	}
	return &evidence.Finding{Confidence: conf, Title: title, Summary: sum, Evidence: v.faultSeen(at), Advice: advice}
}

// pageWithoutRoom is a SIGBUS for a page that lies within its file and for which the file system has no
// room: the file is sparse and was written through its mapping.
func (v *View) pageWithoutRoom() *evidence.Finding {
	f, at, ok := v.busError()
	if !ok || f.Code != busAdrErr || f.Mapped == nil || f.Mapped.Huge || f.Mapped.PastEnd() {
		return nil
	}
	m, conf := f.Mapped, evidence.Certain
	switch {
	case m.FreeKnown && m.Free < 64<<10:
	case m.FreeKnown && m.Free < 1<<20, !m.FreeKnown && m.FileSystem == "tmpfs":
		conf = evidence.Likely
	default:
		return nil
	}
	sum := fmt.Sprintf("It touched byte %d of %s, which it had mapped and which is %s long but has holes, and its file system (%s) had no room for that page", m.Offset, plain(m.Path, 100), bytesOf(m.Size), plain(m.FileSystem, 20))
	if m.FreeKnown {
		sum += fmt.Sprintf(": %s are free", bytesOf(m.Free))
	}
	sum += ". The kernel says so with SIGBUS, as no system call failed."
	if fr := ownFrame(f.Trace); fr != nil {
		sum += " It was in " + frameText(fr) + "."
	}
	return &evidence.Finding{Confidence: conf, Title: "a full disk", Summary: sum, Evidence: v.faultSeen(at),
		Advice: "Free space there or make it larger (size= of a tmpfs, --shm-size of a container). A program that calls posix_fallocate() before it maps a file gets ENOSPC in place of SIGBUS."}
}

func (v *View) wall(i int) int64 { return v.Case.Timeline[i].WallNanos }

// faultSeen is where in the timeline a fault stands, behind the death; of one that the core alone shows there is none.
func (v *View) faultSeen(at int) []int {
	if at < 0 {
		return v.deathAt()
	}
	return append(v.deathAt(), at)
}

// wallOf is when a fault was, on the wall clock: where the timeline does not have it, when the program had died.
func (v *View) wallOf(at int) int64 {
	switch {
	case at >= 0:
		return v.wall(at)
	case v.Case.Death != nil:
		return v.Case.Death.At.UnixNano()
	}
	return 0
}

// startWall is when the culprit began, on the wall clock, and by how much that may be too early; 0 where it is not known.
func (v *View) startWall() (at, ahead int64) {
	if v.Exit != nil && v.Exit.StartNanos != 0 && v.exitAt >= 0 && v.wall(v.exitAt) != 0 {
		return v.wall(v.exitAt) - (v.boot(v.exitAt) - v.Exit.StartNanos), 0
	}
	if c := v.core(); c != nil {
		return c.Started, 20e6 // ticks of the process's start and of the file's change
	}
	return 0, 0
}

func absentFileTruncated(v *View) string {
	if !v.dead() || !v.Case.Covered("probe/signal") || v.Signal == evidence.SIGBUS {
		return ""
	}
	for _, f := range ofPID[*evidence.SignalFatal](v, 0) {
		if f.Signal == evidence.SIGBUS {
			return ""
		}
	}
	for _, c := range ofPID[*evidence.SignalCaught](v, 0) {
		if c.Signal == evidence.SIGBUS {
			return ""
		}
	}
	return "no SIGBUS"
}
