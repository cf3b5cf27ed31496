package output

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestGenerations(t *testing.T) {
	for _, c := range []struct {
		log  string
		want []string // oldest first
		not  []string
	}{
		{"0.log", []string{"0.log.20261121-010101.gz", "0.log.20261122-072416"}, []string{"1.log", "0.log.20261122-072416.tmp", "10.log"}},
		{"x-json.log", []string{"x-json.log.10.gz", "x-json.log.2.gz", "x-json.log.1"}, []string{"x-json.log.1.gz", "y-json.log.1"}},
		{"x.log", []string{"x.log-20261120.gz", "x.log-20261121"}, []string{"x.log-2", "x.login.1", "xx.log.1"}},
		{"y.log", []string{"y.2.log.gz", "y.1.log"}, []string{"y.a.log"}},
		{"m.log", []string{"m.log.2026-11-21T07-24-16", "m.log.2026-11-22T07-24-16"}, nil},
		{"syslog", []string{"syslog.2.gz", "syslog.1"}, []string{"syslog.1.xz", "syslog.3.lz4"}},
		{"w.log", []string{"w.log.4.xz", "w.log.3.zst", "w.log.2.gz", "w.log.1"}, nil},
		{"z.log", []string{"z.log.old"}, nil},
	} {
		dir := t.TempDir()
		for _, name := range slices.Concat(c.want, c.not, []string{c.log}) {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		all, err := generations(filepath.Join(dir, c.log))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, g := range all {
			got = append(got, filepath.Base(g.path))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.log, got, c.want)
		}
	}
}

func TestPastOf(t *testing.T) {
	for name, want := range map[string]string{
		"0.log.20261122-072416":    "0.log",
		"0.log.20261122-072416.gz": "0.log",
		"x.log.1":                  "x.log",
		"x.log.12.zst":             "x.log",
		"x.log-20261122.xz":        "x.log",
		"x.log-20261122":           "x.log",
		"0.log":                    "",
		"x-20261122.log":           "", // a program that begins a log each day
		"catalina.2026-11-22.log":  "",
		"prog.host.log.INFO.20261122-072416.4711": "",
		"worker.1": "",
	} {
		log, sure := pastOf(name)
		if sure != (want != "") || sure && log != want {
			t.Errorf("%s: %q, %v", name, log, sure)
		}
	}
}

// A file that was rotated away is packed, or gets its next name, between being listed and being opened.
func TestFollowOlderMoved(t *testing.T) {
	for name, move := range map[string]func(l *lab, old string){
		"packed":        func(l *lab, old string) { l.run("gzip", old) },
		"another name":  func(l *lab, old string) { l.must(os.Rename(old, l.log+".2")) },
		"both":          func(l *lab, old string) { l.must(os.Rename(old, l.log+".2")); l.run("gzip", l.log+".2") },
		"still there":   func(*lab, string) {},
		"another there": func(l *lab, old string) { l.must(os.Rename(old, l.log+".2")); l.write(old, "another\n") },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			old := l.log + ".1"
			l.write(old, "first\nlast\n")
			l.write(l.log, "next\n")
			all, err := generations(l.log)
			if err != nil || len(all) != 1 {
				t.Fatalf("%v, %v", all, err)
			}
			move(l, old)
			f := l.older(&followed{path: l.log, real: l.log}, all[0])
			defer l.close(f)
			if f.head != printOf([]byte("first\nlast\n")) {
				t.Errorf("%s is not what was rotated away", f.path)
			}
		})
	}
}

// A log is turned over several times between two looks, with one old file kept, as Docker's max-file=2 has it: what came in between
// is gone, and that is said. Where just the file that was read gave way to the next one nothing is.
func TestTurnedOverOften(t *testing.T) {
	for _, c := range []struct {
		before      string // when it was seen first
		turns, lost int
	}{{"line 0\n", 2, 0}, {"line 0\n", 4, 1}, {"", 1, 0}, {"", 4, 1}} {
		t.Run(fmt.Sprintf("%d after %q", c.turns, c.before), func(t *testing.T) {
			l := newLab(t, nil)
			write := func(text string) {
				if err := os.WriteFile(l.log, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(c.before)
			l.poll()
			want := c.before
			if write("line 0\n"); c.before != "" || c.turns == 1 {
				want = "line 0\n"
			}
			for i := range c.turns {
				time.Sleep(2 * overwritten)
				if err := os.Rename(l.log, l.log+".1"); err != nil {
					t.Fatal(err)
				}
				text := fmt.Sprintf("line %d\n", i+1)
				write(text)
				if i >= c.turns-2 {
					want += text
				}
			}
			took := l.poll()
			if got := string(took.streams[0]); got != want || len(took.losses) != c.lost {
				t.Errorf("read %q, want %q; told of %v", got, want, took.losses)
			}
		})
	}
}
