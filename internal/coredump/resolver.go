package coredump

import (
	"time"

	"github.com/descry-dev/descry/internal/symbol"
)

// NewResolver makes the resolver that cores are read with: a core is read once, and at leisure, so that
// lines and inlined functions are looked up everywhere and large sections are unpacked. Without debugDirs
// debug files are looked for in /usr/lib/debug. Close it.
func NewResolver(debugDirs []string) *symbol.Resolver {
	return symbol.New(symbol.Options{DebugDirs: debugDirs, MaxFrames: 1024, LineTime: 2 * time.Second, MaxInflate: 64 << 20, AllLines: true, TailCalls: true})
}
