package diagnose

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first used. descry's relay and launcher
// are the same binary and judge nothing: compiled at their start, the patterns of all causes would be
// two megabytes beside every program, and most of the time that they need to start.
type pattern func() *regexp.Regexp

// newPattern panics for what is no regular expression, like MustCompile, but at its first use.
func newPattern(expr string) pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

func (p pattern) MatchString(s string) bool { return p().MatchString(s) }

func (p pattern) FindStringSubmatch(s string) []string { return p().FindStringSubmatch(s) }

func (p pattern) ReplaceAllString(s, by string) string { return p().ReplaceAllString(s, by) }
