package output

import (
	"flag"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var modelSeeds = flag.Int("model", 60, "how many random histories of files TestFollowModel tries")

// model is what a log was, and what a follower must have seen of it.
type model struct {
	*lab
	r       *rand.Rand
	n       int      // lines written
	files   []string // rotated away, the oldest first
	ends    []int    // of each, where in want it ends
	want    strings.Builder
	serial  int
	inDir   bool // the directory is followed, not the log by its name
	hard    bool // kills come while something is handed on, before the position is kept
	history []string
}

func (m *model) did(format string, args ...any) {
	m.history = append(m.history, fmt.Sprintf(format, args...))
}

func (m *model) line() string {
	m.n++
	return fmt.Sprintf("line %06d %s\n", m.n, strings.Repeat("x", m.r.Intn(200)))
}

// step does one thing to the log, as something does in the world, and notes what must be handed on of it.
func (m *model) step() {
	switch k := m.r.Intn(15); k {
	case 0, 1, 2, 3, 4: // write
		var text string
		for range 1 + m.r.Intn(20) {
			text += m.line()
		}
		if m.r.Intn(4) == 0 { // not to the end of a line
			n := m.r.Intn(len(text))
			m.write(m.log, text[:n])
			m.did("write %d", n)
			m.want.WriteString(text[:n])
			m.maybeLook()
			text = text[n:]
		}
		m.write(m.log, text)
		m.did("write %d", len(text))
		m.want.WriteString(text)
	case 5, 6, 7: // rotate, as kubelet does: a stamp in the name, packed soon
		if !m.exists(m.log) {
			return
		}
		m.serial++
		old := fmt.Sprintf("%s.20261122-%06d", m.log, m.serial)
		m.must(os.Rename(m.log, old))
		m.files, m.ends = append(m.files, old), append(m.ends, m.want.Len())
		m.did("rotate to %s", filepath.Base(old))
		if m.r.Intn(2) == 0 {
			m.maybeLook()
		}
		if m.r.Intn(2) == 0 {
			m.write(m.log, "")
		}
		if m.r.Intn(3) == 0 {
			m.run("gzip", old)
			m.files[len(m.files)-1] += ".gz"
			m.did("gzip")
		}
	case 8: // the last but one is packed
		if i := len(m.files) - 2; i >= 0 && !strings.HasSuffix(m.files[i], ".gz") {
			m.run("gzip", m.files[i])
			m.files[i] += ".gz"
			m.did("gzip %s", filepath.Base(m.files[i]))
		}
	case 9: // copy and cut
		if st, err := os.Stat(m.log); err != nil || st.Size() == 0 {
			return
		}
		m.serial++
		old := fmt.Sprintf("%s.20261122-%06d", m.log, m.serial)
		m.run("cp", m.log, old)
		m.must(os.Truncate(m.log, 0))
		m.files, m.ends = append(m.files, old), append(m.ends, m.want.Len())
		m.did("copy to %s, cut", filepath.Base(old))
	case 10: // cut; what was written since the last look is lost, so there is a look before
		if !m.up || !m.exists(m.log) {
			return
		}
		if m.look(); !m.up { // killed
			return
		}
		m.must(os.Truncate(m.log, 0))
		m.did("cut")
		m.look() // what is written next to where it was would be a file that was never cut
	case 11, 12: // kill, or end, and begin anew
		if m.up {
			if m.r.Intn(2) == 0 {
				m.Close()
				m.did("end")
			} else {
				if !m.hard {
					m.save(true)
				} else if c := m.all[m.log]; c != nil && m.r.Intn(2) == 0 {
					c.kill = 1 + int64(m.r.Intn(3000))
					m.did("kill after %d bytes", c.kill)
					return
				}
				m.crash()
				m.did("kill")
			}
			m.up = false
		} else {
			m.begin()
		}
	case 13: // too few descriptors
		if m.up {
			m.maxOpen = 1 + m.r.Intn(3)
			for _, l := range m.logs {
				m.closeAll(l)
			}
			m.did("closed")
		}
	case 14: // what was rotated away first is deleted, once something behind it was handed on
		if c := m.all[m.log]; len(m.files) > 0 && c != nil && len(c.streams[0]) > m.ends[0] {
			m.must(os.Remove(m.files[0]))
			m.did("delete %s", filepath.Base(m.files[0]))
			m.files, m.ends = m.files[1:], m.ends[1:]
		}
	}
	m.maybeLook()
}

func (m *model) exists(path string) bool { _, err := os.Stat(path); return err == nil }

func (m *model) begin() {
	m.start(func(o *FollowOptions) {
		o.Position = filepath.Join(m.dir, ".position")
		if m.inDir {
			o.Paths = []string{m.dir}
		}
	})
	m.did("begin")
	m.look()
}

func (m *model) maybeLook() {
	if m.up && m.r.Intn(3) > 0 {
		m.look()
	}
}

func (m *model) look() {
	for range 1 + m.r.Intn(5) {
		m.clock = m.clock.Add(time.Duration(m.r.Intn(900)) * time.Millisecond)
		for m.pollOnce() {
		}
	}
	m.poll()
	if m.all[m.log] != nil {
		m.did("look: %d of %d bytes%s", len(m.all[m.log].streams[0]), m.want.Len(), m.state())
	}
}

func (m *model) state() (s string) {
	if len(m.logs) == 0 {
		return "; no logs"
	}
	for _, f := range m.logs[0].files {
		s += fmt.Sprintf("; %s %d: %d of %d", filepath.Base(f.path), f.id.Ino, f.offset, f.size)
	}
	return s
}

// Whatever happens to a log in whatever order, each byte comes once.
func TestFollowModel(t *testing.T) { testModel(t, false, false) }

// The same, where the log is found in its directory.
func TestFollowModelDirectory(t *testing.T) { testModel(t, true, false) }

// The same, and the follower is killed at any moment. What was handed on since the position was kept comes again,
// with the same offsets.
func TestFollowModelKilled(t *testing.T) { testModel(t, false, true) }

// The same.
func TestFollowModelDirectoryKilled(t *testing.T) { testModel(t, true, true) }

func testModel(t *testing.T, inDir, hard bool) {
	for seed := range int64(*modelSeeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := &model{lab: newLab(t, func(o *FollowOptions) { o.Paths = nil }), r: rand.New(rand.NewSource(seed)), inDir: inDir, hard: hard}
			m.story = func() string { return strings.Join(m.history, "\n") }
			m.Close()
			m.write(m.log, "")
			m.begin()
			for range 60 {
				m.step()
			}
			if c := m.all[m.log]; c != nil {
				c.kill = 0
			}
			if !m.up {
				m.begin()
			}
			m.write(m.log, "the end\n")
			m.look()
			for path := range m.all {
				if path != m.log {
					t.Errorf("%s is followed as a log of its own\n%s", path, strings.Join(m.history, "\n"))
				}
			}
			want := m.want.String() + "the end\n"
			if got := string(m.all[m.log].streams[0]); got != want {
				t.Errorf("%s\n%s", differ(got, want), strings.Join(m.history, "\n"))
			}
			for _, x := range m.all[m.log].losses {
				if x.Bytes > 0 {
					t.Errorf("%s\n%s", x.String(), strings.Join(m.history, "\n"))
				}
			}
		})
	}
}
