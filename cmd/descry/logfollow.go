package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/descry-dev/descry/internal/output"
	"github.com/descry-dev/descry/internal/report"
)

// followLogs judges logs as they grow, until it is interrupted, and gives logcheck's exit code.
func (s *settings) followLogs(ctx context.Context, paths []string, format, position string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if len(paths) == 0 || slices.Contains(paths, "-") {
		fmt.Fprintln(s.stderr, "descry: logcheck: --follow needs files or directories; standard input is read to its end without it")
		return checkFailed
	}
	found, failed := false, map[string]bool{}
	say := func(format string, args ...any) {
		fmt.Fprintf(s.stderr, "descry: %s\n", report.Safe(fmt.Sprintf(format, args...)))
	}
	watches := map[string]*followedLog{}
	w, err := output.NewFollower(output.FollowOptions{
		Paths: paths, Position: position,
		New: func(path string) output.Consumer {
			unwritten := func(err error) {
				if err != nil {
					say("write what was found: %v", err)
					failed[""] = true
					stop()
				}
			}
			tears := &tornLines{s: s, shown: path, format: format, clear: func() {}, failed: errors.New("a torn line")}
			watch := output.NewWatch(func(f output.Found, growing bool) {
				found = true
				unwritten(s.writeFound(path, f, format, growing))
			}, func(f output.FoundTorn) {
				found = found || s.torn
				unwritten(tears.tell(f))
			})
			watches[path] = &followedLog{watch, say, func() { delete(watches, path) }, tears}
			return watches[path]
		},
		Trouble: func(t output.Trouble) {
			if failed[t.Path] = t.Err != nil; t.Err == nil {
				say("%s: it goes on", t.Path)
			} else if text := t.Err.Error(); strings.Contains(text, t.Path) {
				say("%s", text)
			} else {
				say("%s: %s", t.Path, text)
			}
		},
	})
	if err != nil {
		say("%v", err)
		return checkFailed
	}
	for _, path := range paths {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			say("%s does not exist yet; it is waited for", path)
		}
	}
	if err := w.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		say("%v", err)
		failed[""] = true
	}
	for path, watch := range watches {
		if position == "" { // else it is read again next time
			watch.Flush()
		}
		if watch.torn.end(watch.torn.n) != nil {
			failed[""] = true
		}
		if format == "text" {
			for _, f := range watch.Foreign() {
				fmt.Fprintf(s.stdout, "%s: text in %s, not UTF-8, from byte %d on\n", report.Safe(path), f.Encoding, f.Offset)
			}
		}
	}
	for _, is := range failed {
		if is {
			return checkFailed
		}
	}
	if found {
		return checkFound
	}
	return 0
}

// followedLog says also what was lost.
type followedLog struct {
	*output.Watch
	say  func(format string, args ...any)
	gone func()
	torn *tornLines
}

// Lost says it.
func (l *followedLog) Lost(x output.Loss) {
	l.Watch.Lost(x)
	l.say("%s", x.String())
}

// End forgets the log.
func (l *followedLog) End() {
	l.Watch.End()
	l.torn.end(l.torn.n) // what cannot be written will not be later either
	l.gone()
}
