package diagnose

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/descry-dev/descry/internal/evidence"
)

// sound fails where a judgement breaks what every judgement must keep.
func sound(t *testing.T, c *evidence.Case) {
	t.Helper()
	Judge(c)
	once := text2(t, c)
	Judge(c)
	if d := cmp.Diff(once, text2(t, c)); d != "" {
		t.Errorf("judged twice: %s", d)
	}
	for i, f := range c.Findings {
		if f.Cause == "" || f.Summary == "" || f.Confidence.Rank() == 0 {
			t.Errorf("finding %d is incomplete: %+v", i, f)
		}
		for _, at := range f.Evidence {
			if at < 0 || at >= len(c.Timeline) {
				t.Errorf("%s cites %d of %d", f.Cause, at, len(c.Timeline))
			}
		}
		for _, r := range f.Summary + f.Title + f.Advice {
			if r < ' ' {
				t.Errorf("%s has a control character: %q", f.Cause, f.Summary)
			}
		}
	}
}

// TestDamaged judges every case with observations lost, doubled, moved and foreign.
func TestDamaged(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for file := range stored(t) {
		for range 12 {
			c := load(t, file)
			for i := range c.Timeline {
				o := &c.Timeline[i]
				switch r.IntN(8) {
				case 0:
					o.PID = r.Int32()
				case 1:
					o.BootNanos = r.Int64()
				case 2:
					o.TID = r.Int32()
				case 3:
					o.BootNanos = 0
				}
			}
			if len(c.Timeline) > 0 && r.IntN(2) == 0 {
				k := r.IntN(len(c.Timeline))
				c.Timeline = slices.Delete(c.Timeline, k, k+1)
			}
			if r.IntN(2) == 0 {
				r.Shuffle(len(c.Timeline), func(i, j int) { c.Timeline[i], c.Timeline[j] = c.Timeline[j], c.Timeline[i] })
			}
			if r.IntN(3) == 0 {
				c.Death = nil
			}
			if r.IntN(4) == 0 {
				c.Subject = evidence.Subject{}
			}
			sound(t, c)
		}
	}
}

func FuzzJudge(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.json")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := evidence.ReadCase(bytes.NewReader(b))
		if err != nil {
			t.Skip()
		}
		sound(t, c)
	})
}

func FuzzText(f *testing.F) {
	for _, s := range []string{pyEMFILE, pyValueError, goAddrInUse, goFDSet, "Exception in thread \"main\" a.B: c\n\tat x.y(Z.java:1)\nCaused by: a.C\n",
		"/x.js:1\n  ^\n\nError: boom\n    at g (/x.js:1:2) {\n  code: 'EMFILE'\n}\n\nNode.js v20\n", "t.rb:1:in `a': b (C)\n\tfrom t.rb:2\n",
		"PHP Fatal error:  Uncaught Exception: o in /t.php:1\nStack trace:\n#0 {main}\n", "thread 'main' panicked at src/main.rs:2:5:\nx\n",
		"Unhandled exception. A.B: c\n   at D.E() in f.cs:line 1\n", "terminate called after throwing an instance of 'x'\n  what():  y\n", "lua: a\nstack traceback:\n\tb\n", "\x1b[31mpanic: x\x1b[0m\n\ngoroutine 1 [running]:\n"} {
		f.Add([]byte(s), int32(1))
		f.Add([]byte(s), int32(2))
	}
	f.Fuzz(func(t *testing.T, b []byte, code int32) {
		sound(t, mk("/usr/bin/perl", "x").stderr(string(b)).exits(code&0xff))
		sound(t, mk("/srv/cart").stderr(string(b)).dies(abrt()))
	})
}
