// Package version holds the version that is stamped into the binaries.
package version

import "runtime/debug"

// Version is set by the linker (see Makefile). Of a plain `go build` or `go install` it is what the
// Go tool recorded: the module's version or the commit.
var Version = ""

// String is the version, never empty.
func String() string {
	if Version != "" {
		return Version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value[:12]
		}
	}
	return "devel"
}
