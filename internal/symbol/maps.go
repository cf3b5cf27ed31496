package symbol

import (
	"bytes"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxMaps bounds what ParseMaps returns; vm.max_map_count is 65,530 by default.
const maxMaps = 1 << 16

// ParseMaps reads the executable mappings from the text of /proc/PID/maps. Lines that it cannot
// read are left out; a torn last line is.
func ParseMaps(text []byte) []Mapping {
	var out []Mapping
	for line := range bytes.Lines(text) {
		if m, ok := parseMapsLine(line); ok {
			if out = append(out, m); len(out) == maxMaps {
				break
			}
		}
	}
	return out
}

// parseMapsLine reads "start-end perms offset major:minor inode   path\n".
func parseMapsLine(line []byte) (Mapping, bool) {
	var m Mapping
	if len(line) == 0 || line[len(line)-1] != '\n' {
		return m, false
	}
	line = line[:len(line)-1]
	var field [5][]byte
	for i := range field {
		var ok bool
		if field[i], line, ok = bytes.Cut(line, []byte(" ")); !ok && i < 4 {
			return m, false
		}
	}
	if len(field[1]) < 4 || field[1][2] != 'x' {
		return m, false
	}
	start, end, ok := bytes.Cut(field[0], []byte("-"))
	major, minor, ok2 := bytes.Cut(field[3], []byte(":"))
	if !ok || !ok2 {
		return m, false
	}
	var dev [2]uint64
	for _, n := range []struct {
		text []byte
		base int
		to   *uint64
	}{{start, 16, &m.Start}, {end, 16, &m.End}, {field[2], 16, &m.Offset}, {major, 16, &dev[0]}, {minor, 16, &dev[1]}, {field[4], 10, &m.Inode}} {
		v, err := strconv.ParseUint(string(n.text), n.base, 64)
		if err != nil {
			return m, false
		}
		*n.to = v
	}
	if m.End <= m.Start || dev[0] > 1<<20 || dev[1] > 1<<20 {
		return m, false
	}
	if m.Inode != 0 {
		m.Device = unix.Mkdev(uint32(dev[0]), uint32(dev[1]))
	}
	p := string(bytes.TrimLeft(line, " "))
	p, m.Deleted = strings.CutSuffix(p, " (deleted)")
	m.Path = unescapeMaps(p)
	return m, true
}

// unescapeMaps undoes the kernel's escape of a newline, the only byte that it escapes in maps.
func unescapeMaps(p string) string { return strings.ReplaceAll(p, `\012`, "\n") }
