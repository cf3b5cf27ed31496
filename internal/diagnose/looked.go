package diagnose

import (
	"fmt"
	"path"

	"github.com/descry-dev/descry/internal/evidence"
)

// Claim is a file that a program's last words name with the error that it met there.
type Claim struct {
	Path  string // from the root
	Errno evidence.Errno
}

// maxClaims are the files of one death that are worth a look.
const maxClaims = 4

// Claims gives the files that are worth a look after a death whose failed system calls were not watched.
func Claims(c *evidence.Case) (out []Claim) {
	if c.Death == nil || c.Death.ExitCode == 0 || c.LastOutput == nil {
		return nil
	}
	v := newView(c)
	if !v.unwatched() {
		return nil
	}
	for i := range v.text.refused {
		r := &v.text.refused[i]
		switch r.errno {
		case evidence.ENOSPC, evidence.EROFS, evidence.EACCES, evidence.ENOENT:
			if r.as >= lastLine && path.IsAbs(r.path) && len(r.path) < 1024 && len(out) < maxClaims {
				out = append(out, Claim{path.Clean(r.path), r.errno})
			}
		}
	}
	return out
}

// looked is what was found of the file that the last words name with that error.
func (v *View) looked(e evidence.Errno) (int, *evidence.FileLooked, string) {
	if !v.unwatched() {
		return -1, nil, ""
	}
	for i, l := range of[*evidence.FileLooked](v) {
		for k := range v.text.refused {
			if r := &v.text.refused[k]; l.Errno == e && r.errno == e && r.as >= lastLine && path.Clean(r.path) == l.Path {
				line := r.line
				if t := v.text.final; t != nil && r.as == finalReport {
					line = t.typ + ": " + t.msg
				}
				return i, l, line
			}
		}
	}
	return -1, nil, ""
}

// onMount is " (tmpfs on /data)".
func onMount(l *evidence.FileLooked) string {
	if l.FSType == "" || l.Mount == "" {
		return ""
	}
	return fmt.Sprintf(" (%s on %s)", plain(l.FSType, 20), plain(l.Mount, 80))
}

// diskFullUnseen is a program that says that there was no room, where there is none.
func (v *View) diskFullUnseen() *evidence.Finding {
	i, l, line := v.looked(evidence.ENOSPC)
	if l == nil || l.Space == nil {
		return nil
	}
	s := l.Space
	left, title := fmt.Sprintf("%s of %s were free", bytesOf(s.FreeBytes), bytesOf(s.TotalBytes)), "a full disk"
	switch {
	case s.TotalInodes > 0 && s.FreeInodes == 0:
		left, title = fmt.Sprintf("none of its %d inodes were free", s.TotalInodes), "running out of inodes"
	case s.TotalBytes > 0 && (s.FreeBytes < 64<<10 || s.FreeBytes*100 < s.TotalBytes):
	default:
		return nil // a quota, inotify, or it asked for more at once
	}
	advice := ""
	if l.Mount != "" {
		advice = fmt.Sprintf("Free space on %s or make it larger; see what fills it (du -x %s, df -h, df -i).", plain(l.Mount, 80), plain(l.Mount, 80))
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: title, Evidence: append(v.deathAt(), i), Advice: advice,
		Summary: sentences(itSays(line), fmt.Sprintf("Right after its end %s on that file system%s.", left, onMount(l)), notWatched)}
}

// permissionUnseen is a program that says that it was not allowed, where it is not.
func (v *View) permissionUnseen() *evidence.Finding {
	if i, l, line := v.looked(evidence.EROFS); l != nil && l.ReadOnly {
		return &evidence.Finding{Confidence: evidence.Likely, Title: "a read-only file system", Evidence: append(v.deathAt(), i),
			Summary: sentences(itSays(line), fmt.Sprintf("The file system%s is read-only.", onMount(l)), notWatched),
			Advice:  "Write to a volume that is made for it (an emptyDir, a persistent volume), or let the container's root be written to (readOnlyRootFilesystem)."}
	}
	i, l, line := v.looked(evidence.EACCES)
	if l == nil || l.Forbids == "" {
		return nil
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: "a missing permission", Evidence: append(v.deathAt(), i),
		Summary: sentences(itSays(line), fmt.Sprintf("It ran as user %d, and %s has mode %04o, owner %d and group %d.", l.UID, plain(l.Forbids, 120), l.Mode, l.Owner, l.Group), notWatched)}
}

// missingUnseen is a program that says that a file is not there, where there is none.
func (v *View) missingUnseen() *evidence.Finding {
	i, l, line := v.looked(evidence.ENOENT)
	if l == nil || !l.Missing {
		return nil
	}
	return &evidence.Finding{Confidence: evidence.Likely, Title: "a missing file", Evidence: append(v.deathAt(), i),
		Summary: sentences(itSays(line), fmt.Sprintf("Right after its end there was no %s.", plain(l.Path, 120)), notWatched)}
}
