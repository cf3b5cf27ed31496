package run

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// Holders finds the processes that have the command's output open for writing, as far as this
// process may see.
func (c *Command) Holders() []evidence.Holder {
	var links []string
	for s := range streams {
		if inode := c.tap.inode[s]; inode != 0 && !c.tap.Totals(s).Ended {
			links = append(links, fmt.Sprintf("pipe:[%d]", inode))
		}
	}
	if links == nil {
		return nil
	}
	var found []evidence.Holder
	procs, _ := os.ReadDir("/proc")
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == c.relay || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join("/proc", p.Name(), "fd")
		d, err := os.Open(dir)
		if err != nil {
			continue
		}
		fds, _ := d.Readdirnames(-1)
		d.Close()
		for _, fd := range fds {
			link, err := os.Readlink(filepath.Join(dir, fd))
			if err == nil && slices.Contains(links, link) {
				found = append(found, evidence.Holder{PID: int32(pid), Command: commandOf(pid)})
				break
			}
		}
	}
	return found
}

// commandOf is the command line of a process, its name in brackets where there is none.
func commandOf(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if b = bytes.TrimRight(b, "\x00"); len(b) > 0 {
		return strings.ReplaceAll(string(b), "\x00", " ")
	}
	b, _ = os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return "[" + string(bytes.TrimSpace(b)) + "]"
}
