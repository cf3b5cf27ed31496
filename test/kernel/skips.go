package main

import (
	"path"
	"regexp"
	"strings"
)

// allowedSkip is a test that cannot run on some kernel. A test that skips and is not here fails
// the run, and so does a line here whose test did not skip.
type allowedSkip struct {
	on   string // pattern of series and architecture: "6.1/*", "*/arm64"
	test string // regular expression: package, blank, test with subtest, "internal/probe TestX/y"
	says string // part of the reason that the test gives
	why  string // why it cannot be had there
	used bool
}

// covers says whether the skip of a test, for the reason it gives, is this one.
func (a *allowedSkip) covers(test, reason string) bool {
	return regexp.MustCompile("^("+a.test+")$").MatchString(test) && strings.Contains(reason, a.says)
}

var allowedSkips = []allowedSkip{
	{on: "6.1/arm64", test: "(test/kernel/guest|internal/probe) (TestTrampolineSeesRefusal|.*/functions)", says: "needs BPF trampolines",
		why: "arm64 has no direct calls from ftrace to trampolines before 6.4"},
	{on: "*/arm64", test: "internal/probe TestCompat", says: "no 32-bit calls from a 64-bit task on arm64",
		why: "it makes 32-bit system calls from a 64-bit program, which only amd64 can"},
	{on: "6.1/*", test: "internal/probe TestMapMemory", says: "needs a kernel that tells what a map takes",
		why: "a ring says what memory it takes since 6.4"},
	{on: "*/*", test: "internal/probe (TestContainers|TestAdopt)/(v1|hybrid)", says: "needs the hierarchy",
		why: "these machines have cgroup v2 alone, as their distribution has"},
}

// allowedOn returns a copy of the lines that speak of a kernel.
func allowedOn(k kernel) []*allowedSkip {
	var on []*allowedSkip
	for _, a := range allowedSkips {
		if ok, err := path.Match(a.on, k.series+"/"+k.arch); err != nil {
			panic("skips.go: pattern " + a.on)
		} else if ok {
			on = append(on, &a)
		}
	}
	return on
}
