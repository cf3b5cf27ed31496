package output

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestFollowRotation(t *testing.T) {
	a, b, c, d := lines(0, 100), lines(100, 300), lines(300, 350), lines(350, 400)
	next := func(l *lab, to string) { // as everybody does
		l.must(os.Rename(l.log, to))
	}
	for name, run := range map[string]func(l *lab){
		"renamed": func(l *lab) {
			l.write(l.log, b)
			next(l, l.log+".20261122-072416")
			l.write(l.log, c)
		},
		"renamed, and the writer has it open still": func(l *lab) {
			next(l, l.log+".1")
			l.write(l.log, "")
			l.poll()
			l.write(l.log+".1", b)
			l.poll()
			l.write(l.log, c)
		},
		"twice between two looks": func(l *lab) {
			next(l, l.log+".1")
			l.write(l.log, b)
			next(l, l.log+".2") // stands in for x.log.1 → .2 → and so on
			l.must(os.Rename(l.log+".1", l.log+".3"))
			l.must(os.Rename(l.log+".2", l.log+".1"))
			l.must(os.Rename(l.log+".3", l.log+".2"))
			l.write(l.log, c)
		},
		"compressed between two looks": func(l *lab) {
			l.write(l.log, b[:1000])
			next(l, l.log+"-20261121")
			l.run("gzip", l.log+"-20261121")
			l.write(l.log, b[1000:])
			next(l, l.log+"-20261122")
			l.run("gzip", l.log+"-20261122")
			l.write(l.log, c)
		},
		"copied and cut": func(l *lab) {
			l.write(l.log, b)
			l.run("cp", l.log, l.log+".1")
			l.must(os.Truncate(l.log, 0))
			l.write(l.log, c)
			l.poll()
			l.all[l.log].losses = l.all[l.log].losses[:0]
		},
		"copied, cut, compressed and filled beyond what it was": func(l *lab) {
			l.write(l.log, b[:2000])
			l.run("cp", l.log, l.log+".1")
			l.must(os.Truncate(l.log, 0))
			l.run("gzip", l.log+".1")
			l.write(l.log, b[2000:]+c)
		},
		"deleted, and written on": func(l *lab) {
			f, err := os.OpenFile(l.log, os.O_APPEND|os.O_WRONLY, 0)
			l.must(err)
			defer f.Close()
			l.must(os.Remove(l.log))
			f.WriteString(b)
			l.poll()
			f.WriteString(c[:100])
			l.poll()
			f.WriteString(c[100:])
		},
		"renamed, and not made anew for long": func(l *lab) {
			next(l, l.log+".1")
			l.poll()
			l.write(l.log+".1", b)
			l.poll()
			l.write(l.log, c)
		},
		"a longer copy in its place": func(l *lab) {
			l.run("cp", l.log, l.log+"~")
			l.write(l.log+"~", b)
			l.must(os.Rename(l.log+"~", l.log))
			l.poll()
			l.write(l.log, c)
		},
		"moved away and back": func(l *lab) {
			next(l, l.log+".1")
			l.poll()
			l.write(l.log+".1", b)
			l.must(os.Rename(l.log+".1", l.log))
			l.poll()
			l.write(l.log, c)
		},
		"moved away, and back over a new one": func(l *lab) {
			next(l, l.log+".1")
			l.write(l.log, b)
			l.poll()
			l.must(os.Rename(l.log+".1", l.log))
			l.poll()
			l.write(l.log, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, how := range []string{"", "few descriptors", "killed"} {
				if how != "" && strings.HasPrefix(name, "deleted") || how == "killed" && strings.Contains(name, "over a new one") {
					continue // what is deleted and not open cannot be read, TestFollowLoss
				}
				t.Run(how, func(t *testing.T) {
					l := newLab(t, func(o *FollowOptions) {
						if how == "killed" {
							o.Position = filepath.Join(filepath.Dir(o.Paths[0]), ".position")
						}
					})
					l.write(l.log, a)
					l.poll()
					switch how {
					case "few descriptors": // none stays open
						l.closeAll(l.logs[0])
					case "killed":
						l.crash()
					}
					run(l)
					if how == "killed" {
						l.start(func(o *FollowOptions) { o.Position = filepath.Join(l.dir, ".position") })
					}
					l.poll()
					l.write(l.log, d)
					l.poll()
					l.want(a + b + c + d)
				})
			}
		})
	}
}

// crash ends the follower as kill -9 does: nothing is put away.
func (l *lab) crash() {
	l.Helper()
	for _, x := range l.logs {
		l.closeAll(x)
	}
	l.logs = nil
	if l.journal != nil {
		unix.Flock(int(l.journal.f.Fd()), unix.LOCK_UN) // which the end of the process does
		l.journal.f.Close()
		l.journal = nil
	}
}

func TestFollowLoss(t *testing.T) {
	a, b, c := lines(0, 100), lines(100, 300), lines(300, 350)
	for name, x := range map[string]struct {
		run  func(l *lab)
		want string
		lost []int64
	}{
		"cut": {func(l *lab) {
			l.must(os.Truncate(l.log, 0))
			l.poll()
			l.write(l.log, c)
		}, a + c, []int64{0}},
		"cut, and filled beyond what it was": {func(l *lab) {
			l.must(os.Truncate(l.log, 0))
			l.write(l.log, b+c)
		}, a + b + c, []int64{0}},
		"cut, what was seen was not read": {func(l *lab) {
			// A line that is not complete is not read, but seen.
			l.must(os.Truncate(l.log, 0))
			l.poll()
			l.write(l.log, "2026-11-22T07:24:16Z")
			l.poll()
			l.must(os.Truncate(l.log, 0))
			l.poll()
			l.write(l.log, c)
		}, a + c, []int64{0, 20}},
		"cut in its middle": {func(l *lab) {
			l.must(os.Truncate(l.log, int64(len(lines(0, 40)))))
			l.poll()
			l.write(l.log, b)
			l.poll()
			l.must(os.Truncate(l.log, int64(len(lines(0, 30)))))
			l.poll()
			l.write(l.log, c)
			l.poll()
			if p := l.all[l.log].parts; p[len(p)-1].Line != 31 {
				l.Errorf("it goes on in line %d, want 31", p[len(p)-1].Line)
			}
		}, a + b + c, []int64{0, 0}},
		"cut in its middle, not open": {func(l *lab) {
			l.closeAll(l.logs[0])
			l.must(os.Truncate(l.log, int64(len(lines(0, 40)))))
			l.poll()
			l.write(l.log, b)
		}, a + b, []int64{0}},
		"cut, and filled with what begins alike": {func(l *lab) {
			l.must(os.Truncate(l.log, 0))
			l.write(l.log, lines(0, 2)+lines(400, 420))
		}, a + lines(0, 2) + lines(400, 420), []int64{0}},
		"cut, and what is left begins alike and is short": {func(l *lab) {
			l.must(os.Truncate(l.log, 0))
			l.write(l.log, lines(0, 2))
		}, a + lines(0, 2), []int64{0}},
		"replaced by a shorter one": {func(l *lab) {
			l.write(l.log+"~", c)
			l.must(os.Rename(l.log+"~", l.log))
		}, a + c, nil},
		"deleted, not open, and another has its number": {func(l *lab) {
			l.closeAll(l.logs[0])
			l.must(os.Remove(l.log))
			l.write(l.log, c)
		}, a + c, []int64{0}},
		"deleted, and an older one is left": {func(l *lab) {
			l.write(l.log+".1", "old\n")
			l.must(os.Chtimes(l.log+".1", time.Unix(1e9, 0), time.Unix(1e9, 0)))
			l.closeAll(l.logs[0])
			l.must(os.Remove(l.log))
			l.write(l.log, c)
		}, a + c, []int64{0}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			l.write(l.log, a)
			l.poll()
			x.run(l)
			l.poll()
			l.want(x.want, x.lost...)
		})
	}
}

// The follower is killed when it has read a file to its end and handed on some of the next; before it begins anew, the first
// is deleted. What was handed on keeps its offsets, and what comes then follows on it.
func TestFollowKilledDeleted(t *testing.T) {
	a, b, c, d := lines(0, 100), lines(100, 150), lines(150, 250), lines(250, 300)
	set := func(o *FollowOptions) { o.Position = filepath.Join(filepath.Dir(o.Paths[0]), ".position") }
	l := newLab(t, set)
	l.write(l.log, a)
	l.poll()
	l.write(l.log, b)
	l.must(os.Rename(l.log, l.log+".1"))
	l.write(l.log, c)
	l.all[l.log].kill = int64(len(b)) + 100
	l.poll()
	if l.up || len(l.all[l.log].streams[0]) <= len(a+b) {
		t.Fatal("it was not killed where it should be")
	}
	l.must(os.Remove(l.log + ".1"))
	l.write(l.log, d)
	l.start(set)
	l.poll()
	l.want(a + b + c + d)
}

// Of a log little was read when it was copied and cut, and what lies in its place begins alike.
func TestFollowCopiedEarly(t *testing.T) {
	set := func(o *FollowOptions) { o.Position = filepath.Join(filepath.Dir(o.Paths[0]), ".position") }
	l := newLab(t, set)
	l.write(l.log, "line 000")
	l.poll()
	l.Close()
	l.write(l.log, "000\n")
	l.run("cp", l.log, l.log+".20261122-000001")
	l.must(os.Truncate(l.log, 0))
	l.write(l.log, lines(1, 100))
	l.start(set)
	l.poll()
	l.want("line 000000\n" + lines(1, 100))
}
