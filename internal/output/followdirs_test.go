package output

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A directory is first looked at while its log has no name: what was just turned over is what the log is.
func TestFollowDirectoryBetweenNames(t *testing.T) {
	for _, name := range []string{"x.log.20261122-072416", "x.log.1", "x.log-20261122"} {
		l := newLab(t, func(o *FollowOptions) { o.Paths[0] = filepath.Dir(o.Paths[0]) })
		l.write(filepath.Join(l.dir, name), lines(0, 10))
		l.poll()
		l.write(filepath.Join(l.dir, name), lines(10, 20)) // its writer has it open still
		l.poll()
		l.write(l.log, lines(20, 30))
		l.poll()
		l.want(lines(0, 30))
		if len(l.all) != 1 {
			t.Errorf("%d logs are followed", len(l.all))
		}
	}
}

// A file that only may be a log's past is followed when the log does not come.
func TestFollowDirectoryDated(t *testing.T) {
	l := newLab(t, func(o *FollowOptions) { o.Paths[0] = filepath.Dir(o.Paths[0]) })
	name := filepath.Join(l.dir, "catalina.2026-11-22.log")
	l.write(name, lines(0, 10))
	for range 4 {
		l.poll()
	}
	if c := l.all[name]; c == nil || string(c.streams[0]) != lines(0, 10) {
		t.Fatal("it is not followed")
	}
}

// Links to logs, as in /var/log/containers, and the logs themselves: each is followed once, also when one of its names
// goes.
func TestFollowLinks(t *testing.T) {
	for _, pause := range []bool{false, true} { // the link comes later
		for _, position := range []bool{false, true} {
			set := func(o *FollowOptions) {
				o.Paths = []string{filepath.Join(filepath.Dir(o.Paths[0]), "containers"), filepath.Join(filepath.Dir(o.Paths[0]), "pods")}
				if position {
					o.Position = filepath.Join(filepath.Dir(o.Paths[0]), ".position")
				}
			}
			l := newLab(t, set)
			pods, containers := filepath.Join(l.dir, "pods", "uid", "c"), filepath.Join(l.dir, "containers")
			l.must(os.MkdirAll(pods, 0o700))
			l.must(os.Mkdir(containers, 0o700))
			log, link := filepath.Join(pods, "0.log"), filepath.Join(containers, "c.log")
			l.write(log, lines(0, 10))
			if pause {
				l.poll()
			}
			l.must(os.Symlink(log, link))
			l.poll()
			l.must(os.Rename(log, log+".20261122-072416"))
			l.write(log, lines(10, 20))
			l.poll()
			if position {
				l.crash()
				l.start(set)
				l.poll()
			}
			l.must(os.Remove(link)) // kubelet takes it away before the log itself
			for range 60 {
				l.poll()
			}
			l.write(log, lines(20, 30))
			l.poll()
			if c := l.all[log]; len(l.all) != 1 || c == nil {
				t.Fatalf("%d logs are followed", len(l.all))
			} else if string(c.streams[0]) != lines(0, 30) || len(c.losses) > 0 {
				t.Error(differ(string(c.streams[0]), lines(0, 30)))
			}
		}
	}
}

// A log that is named twice, by itself and by a link, is followed once.
func TestFollowNamedTwice(t *testing.T) {
	l := newLab(t, func(o *FollowOptions) { o.Paths = append(o.Paths, filepath.Join(filepath.Dir(o.Paths[0]), "link.log")) })
	l.must(os.Symlink("x.log", filepath.Join(l.dir, "link.log")))
	l.write(l.log, lines(0, 10))
	l.poll()
	l.write(l.log, lines(10, 20))
	l.poll()
	if len(l.all) != 1 {
		t.Fatalf("%d logs are followed", len(l.all))
	}
	l.want(lines(0, 20))
}

// A link that leads from one log to the next, both of which are followed by their own names, is no third.
func TestFollowCurrentLink(t *testing.T) {
	l := newLab(t, func(o *FollowOptions) { o.Paths[0] = filepath.Dir(o.Paths[0]) })
	a, b, link := filepath.Join(l.dir, "a.log"), filepath.Join(l.dir, "b.log"), filepath.Join(l.dir, "current.log")
	l.write(a, lines(0, 10))
	l.must(os.Symlink("a.log", link))
	l.poll()
	l.write(b, lines(10, 20))
	l.must(os.Symlink("b.log", link+".new"))
	l.must(os.Rename(link+".new", link))
	for range 10 {
		l.poll()
	}
	if len(l.all) != 2 || l.all[a] == nil || l.all[b] == nil || string(l.all[a].streams[0]) != lines(0, 10) || string(l.all[b].streams[0]) != lines(10, 20) {
		t.Errorf("%d logs are followed", len(l.all))
	}
}

// AtEnd leaves out what is there at the first look, and nothing of what comes.
func TestFollowAtEnd(t *testing.T) {
	l := newLab(t, func(o *FollowOptions) { o.AtEnd, o.Paths[0] = true, filepath.Dir(o.Paths[0]) })
	l.write(l.log, lines(0, 10))
	l.poll()
	l.write(l.log, lines(10, 20))
	l.poll()
	other := filepath.Join(l.dir, "later.log")
	l.write(other, lines(0, 5))
	l.poll()
	if got := string(l.all[other].streams[0]); got != lines(0, 5) {
		t.Error(differ(got, lines(0, 5)))
	}
	l.want(lines(10, 20))
}

// A hole of terabytes is one piece.
func TestFollowHole(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "x.log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const hole = 1 << 40
	if err := os.Truncate(log, hole); err != nil {
		t.Skip("the file system has no files of 1 TiB: ", err)
	}
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("the end\n"); err != nil {
		t.Fatal(err)
	}
	var found []Found
	watch := NewWatch(func(x Found, _ bool) { found = append(found, x) }, nil)
	w, err := NewFollower(FollowOptions{Paths: []string{log}, New: func(string) Consumer { return watch }})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for clock, n := time.Now(), 0; n < 1000; n++ {
		clock = clock.Add(time.Second)
		if !w.Poll(clock) && n > 10 {
			break
		}
	}
	watch.Flush()
	if len(found) == 0 || found[0].Offset != 0 || found[len(found)-1].Length < hole || found[0].LooksLike != "NUL bytes" {
		t.Fatalf("%+v", found)
	}
}
