package report

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// fileRefused is "write(/var/log/x) refused: ENOSPC, 37 times".
func fileRefused(d *evidence.FileRefused) string {
	s := clean(d.Call)
	if d.Path != "" {
		s += "(" + middle(clean(d.Path), 50) + ")"
	}
	s += " refused: " + d.Errno.String()
	if d.Count > 1 {
		s += ", " + times(d.Count)
	}
	switch {
	case d.Forbids != "" && d.Attribute != "":
		s += fmt.Sprintf(" (%s is %s)", middle(clean(d.Forbids), 40), clean(d.Attribute))
	case d.Forbids != "":
		s += fmt.Sprintf(" (%s has mode %04o, owner %d)", middle(clean(d.Forbids), 40), d.Mode, d.Owner)
	case d.Space != nil && d.Space.FreeInodes == 0 && d.Space.TotalInodes > 0:
		s += fmt.Sprintf(" (0 of %d inodes free)", d.Space.TotalInodes)
	case d.Space != nil:
		s += fmt.Sprintf(" (%s of %s free)", bytesOf(d.Space.FreeBytes), bytesOf(d.Space.TotalBytes))
	}
	return s
}

// fileScore: programs look for what they may not read in health, but write where there is room.
func fileScore(e evidence.Errno) int {
	switch e {
	case evidence.ENOSPC, evidence.EDQUOT, evidence.EIO:
		return 45
	}
	return 0
}

// fileLooked is "looked at /data/x: 0 bytes of 1.0 MiB free".
func fileLooked(d *evidence.FileLooked) string {
	s := "looked at " + middle(clean(d.Path), 50)
	switch {
	case d.Missing && d.Errno == evidence.ENOENT:
		s += ": there is no such file"
	case d.ReadOnly && d.Errno == evidence.EROFS:
		s += ": its file system is read-only"
	case d.Forbids != "":
		s += fmt.Sprintf(": %s has mode %04o, owner %d", middle(clean(d.Forbids), 40), d.Mode, d.Owner)
	case d.Space != nil:
		s += fmt.Sprintf(": %s of %s free", bytesOf(d.Space.FreeBytes), bytesOf(d.Space.TotalBytes))
	}
	return s
}
