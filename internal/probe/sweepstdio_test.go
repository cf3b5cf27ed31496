//go:build linux

package probe

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// Of a node's processes descriptors 0 to 2 are looked at when they are first seen, and now and then: what replaces
// one later is told all the same.
func TestSweepOfANodeSeesReplacedOutput(t *testing.T) {
	g := newGrounds(t, "")
	w := openNode(t, g, Node{})
	w.need("probe/sweep")
	file := filepath.Join(t.TempDir(), "instead")
	k := g.sh(g.mkdir("docker/"+newID()), "read more; exec >"+file+"; read more")
	k.run()
	until := time.Now().Add(patience)
	wait := func(what string, is func(*evidence.StdioIs) bool) {
		t.Helper()
		for told := false; !told; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("not told of %s", what)
			}
			must(w.Sweep(func(o *evidence.Observation) {
				if int(o.PID) != k.pid {
					return
				}
				for _, d := range o.Detail.(*evidence.Process).Stdio {
					told = told || d.FD == 1 && is(&d)
				}
			}))
		}
	}
	wait("its standard output", func(d *evidence.StdioIs) bool { return d.Path != file })
	k.run()
	wait("what replaced it", func(d *evidence.StdioIs) bool { return d.Path == file && d.FDKind == evidence.FDFile })
}
