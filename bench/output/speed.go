package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/descry-dev/descry/internal/output"
)

const (
	speedSize = 64 << 20 // bytes of each input
	speedRuns = 9
	chunk     = 256 << 10
)

// way is one way of looking at a text; it is measured in turn with the others.
type way struct {
	name string
	run  func(b []byte, path string) error
	text bool      // only texts tell something
	mbs  []float64 // MB a second of CPU time
	news uint64    // allocations of the last run
}

func judged(b []byte) {
	var j output.Judge
	var spans []output.Span
	for i := 0; i < len(b); i += chunk {
		spans = j.Write(spans[:0], b[i:min(len(b), i+chunk)])
	}
	j.Flush(spans[:0])
}

// every looks with every detector.
func every(b []byte) {
	var s output.Stream
	for i := 0; i < len(b); i += chunk {
		s.Write(b[i:min(len(b), i+chunk)])
	}
	s.Flush()
}

func ways() []*way {
	return []*way{
		{name: "judge", run: func(b []byte, _ string) error { judged(b); return nil }},
		{name: "judge, again", run: func(b []byte, _ string) error { judged(b); return nil }},
		{name: "judge and torn lines", run: func(b []byte, _ string) error {
			every(b)
			return nil
		}},
		{name: "output.Check", run: func(b []byte, _ string) error {
			_, err := output.Check(bytes.NewReader(b), func(output.Found) error { return nil })
			return err
		}},
		{name: "utf8.Valid", text: true, run: func(b []byte, _ string) error { utf8.Valid(b); return nil }},
		{name: "`grep -acP`", run: func(_ []byte, path string) error {
			return lines(exec.Command("grep", "-a", "-cP", `[\x00-\x08\x0e-\x1a\x1c-\x1f]`, path))
		}},
		{name: "`file -P bytes=67108864`", run: func(_ []byte, path string) error {
			return exec.Command("file", "-P", "bytes=67108864", path).Run()
		}},
	}
}

// cpuTime is what this process and those that it waited for have used.
func cpuTime() time.Duration {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}

// lines runs grep, which fails where it finds nothing.
func lines(cmd *exec.Cmd) error {
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.Stdout = new(bytes.Buffer) // to /dev/null it would stop at the first line
	err := cmd.Run()
	if e, ok := err.(*exec.ExitError); ok && e.ExitCode() == 1 {
		return nil
	}
	return err
}

// speed measures everything in turn, several times.
func (e *eval) speed() error {
	fmt.Fprintf(e.out, "\n## Speed\n\n%d MiB of each text, from memory (grep and file: from the page cache), %d times in turn: MB a second of CPU time (so that what else runs on the machine counts little), medians with the least and the most. grep looks for `[\\x00-\\x08\\x0e-\\x1a\\x1c-\\x1f]` in C.UTF-8.\n", speedSize>>20, speedRuns)
	for i, in := range []struct {
		name string
		make func() ([]byte, error)
	}{{"ASCII logs", e.asciiLogs}, {"mixed UTF-8: a log in Russian, Chinese, Japanese, German", e.mixedLogs}, {"random bytes", e.randomBytes}, {"programs", e.programs}} {
		b, err := in.make()
		if err != nil {
			return fmt.Errorf("make %s: %w", in.name, err)
		}
		path := filepath.Join(e.dir, "speed")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return err
		}
		all, text := ways(), i < 2
		for range speedRuns {
			for _, w := range all {
				if w.text && !text {
					continue
				}
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				from := cpuTime()
				if err := w.run(b, path); err != nil {
					return fmt.Errorf("%s of %s: %w", w.name, in.name, err)
				}
				took := cpuTime() - from
				runtime.ReadMemStats(&after)
				w.mbs = append(w.mbs, float64(len(b))/1e6/took.Seconds())
				w.news = after.Mallocs - before.Mallocs
			}
		}
		fmt.Fprintf(e.out, "\n| %s | MB/s | least–most | allocations |\n| --- | ---: | ---: | ---: |\n", in.name)
		for _, w := range all {
			if len(w.mbs) == 0 {
				continue
			}
			slices.Sort(w.mbs)
			news := fmt.Sprint(w.news)
			if strings.HasPrefix(w.name, "`") {
				news = "–"
			}
			fmt.Fprintf(e.out, "| %s | %.0f | %.0f–%.0f | %s |\n", w.name, w.mbs[len(w.mbs)/2], w.mbs[0], w.mbs[len(w.mbs)-1], news)
		}
		if i == 0 {
			if err := e.eachLog(); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachLog measures every detector on each log by itself, in turn, each twice: what the second differs by is chance.
func (e *eval) eachLog() error {
	type log struct {
		name string
		b    []byte
		mbs  [2][]float64
	}
	var logs []*log
	for _, path := range e.logs {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		logs = append(logs, &log{name: filepath.Base(path), b: b})
	}
	for range speedRuns {
		for k := range 2 {
			for _, l := range logs {
				from := cpuTime()
				var s output.Stream
				n := 0
				for ; n < speedSize; n += len(l.b) {
					s.Write(l.b)
				}
				s.Flush()
				l.mbs[k] = append(l.mbs[k], float64(n)/1e6/(cpuTime()-from).Seconds())
			}
		}
	}
	fmt.Fprint(e.out, "\nEach log by itself, again and again from the cache, as what was just read is; judge and torn lines:\n\n| log | MB/s | least–most | again | least–most |\n| --- | ---: | ---: | ---: | ---: |\n")
	for _, l := range logs {
		fmt.Fprintf(e.out, "| %s |", l.name)
		for _, m := range l.mbs {
			slices.Sort(m)
			fmt.Fprintf(e.out, " %.0f | %.0f–%.0f |", m[len(m)/2], m[0], m[len(m)-1])
		}
		fmt.Fprintln(e.out)
	}
	return nil
}

func repeated(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return bytes.Repeat(b, speedSize/len(b)+1)[:speedSize], nil
}

// asciiLogs are the real logs.
func (e *eval) asciiLogs() ([]byte, error) {
	var all []byte
	for _, path := range e.logs {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(b) {
			if bytes.IndexFunc(line, func(r rune) bool { return r >= 0x80 }) < 0 {
				all = append(all, line...)
			}
		}
	}
	return repeated(all)
}

// mixedLogs are translations as messages of a log.
func (e *eval) mixedLogs() ([]byte, error) {
	var all [][]string
	for _, lang := range []string{"ru", "zh_CN", "ja", "de"} {
		var lines []string
		files, _ := filepath.Glob("/usr/share/locale/" + lang + "/LC_MESSAGES/*.mo")
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err == nil {
				lines = append(lines, strings.Split(string(catalogue(b)), "\n")...)
			}
		}
		if len(lines) == 0 {
			continue
		}
		all = append(all, lines)
	}
	var out []byte
	for i := 0; len(all) > 0 && len(out) < 8<<20; i++ {
		lines := all[i%len(all)]
		if s := lines[i*7%len(lines)]; utf8.ValidString(s) {
			out = fmt.Appendf(out, "2026-11-22T07:%02d:%02d.%03d INFO %s\n", i/60%60, i%60, i%1000, s)
		}
	}
	return repeated(out)
}

func (e *eval) randomBytes() ([]byte, error) {
	b := make([]byte, speedSize)
	_, err := rand.New(rand.NewSource(1)).Read(b)
	return b, err
}

func (e *eval) programs() ([]byte, error) {
	return repeated(bytes.Join(e.found(100, func(string) bool { return true }, "/usr/bin", "/usr/lib/x86_64-linux-gnu"), nil))
}
