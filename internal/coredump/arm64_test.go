package coredump

import (
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/descry-dev/descry/internal/symbol"
)

// TestARM64 reads cores that Linux 6.12 wrote on arm64, of testdata/arm64/deaths_arm64.c, and compares them with what
// gdb-multiarch says of them (the .gdb files, printed as gdbBacktraces has it).
func TestARM64(t *testing.T) {
	const dir = "testdata/arm64"
	root := t.TempDir()
	write(t, filepath.Join(root, "bin", "deaths_arm64"), read(t, dir+"/deaths_arm64"))
	for _, x := range []struct {
		how, fault, text string
		threads          int
	}{
		{"n", evidence.CoreNull, "read of what lies 8 bytes (0x8) from a null pointer (ldr x0, [x0,#8])", 1},
		{"r", evidence.CoreStack, "recurse calls itself over and over", 1},
		{"j", evidence.CoreNull, "a call through a null function pointer: to address 0x0, called from jump", 1},
		{"t", evidence.CoreIllegal, "(brk #1000)", 1},
		{"h", evidence.CoreAborted, "the process aborted itself, from on_segv", 1},
		{"c", evidence.CoreNull, "read of what lies 8 bytes (0x8) from a null pointer", 2},
		{"w", evidence.CoreUnmapped, "read of address 0xdead00000008 through register x0 (0xdead00000000), where nothing is mapped", 1},
		{"o", evidence.CoreReadOnly, "write to program code: address 0x4003", 1},
	} {
		t.Run(x.how, func(t *testing.T) {
			z, err := zstd.NewReader(bytes.NewReader(read(t, filepath.Join(dir, x.how+".core.zst"))))
			if err != nil {
				t.Fatal(err)
			}
			defer z.Close()
			b, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			c, err := use(t, b)
			if err != nil || len(c.Damage) > 0 {
				t.Fatalf("%v, %+v", err, c)
			}
			threads, signal, addr := parseGDB(read(t, filepath.Join(dir, x.how+".gdb")))
			if c.Arch != "arm64" || len(c.Threads) != x.threads || len(threads) != x.threads || c.Comm != "deaths_arm64" {
				t.Fatalf("%s, %d threads, gdb has %d, comm %q", c.Arch, len(c.Threads), len(threads), c.Comm)
			}
			if signal != int(c.Signal) || c.Code > 0 && addr != c.FaultAddress {
				t.Errorf("signal %v at %#x, gdb has %d at %#x", c.Signal, c.FaultAddress, signal, addr)
			}
			res := symbol.New(symbol.Options{MaxFrames: 60, LineTime: 5 * time.Second, AllLines: true})
			defer res.Close()
			stacks, err := c.Backtraces(res, root, BacktraceOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range threads {
				k := slices.IndexFunc(stacks, func(s Stack) bool { return int(s.TID) == g.tid })
				if k < 0 {
					t.Fatalf("no thread %d", g.tid)
				}
				equal, named, _, _, diffs := compareFrames(g.frames, ourFrames(stacks[k].Frames))
				if equal != named || len(diffs) > 0 {
					t.Errorf("thread %d: %d of %d frames as gdb has them: %+v\n%+v", g.tid, equal, named, diffs, stacks[k])
				}
			}
			m := c.Meaning(res, root, &stacks[0])
			if m.Fault != x.fault || !strings.Contains(m.Text, x.text) {
				t.Errorf("%q: %s", m.Fault, m.Text)
			}
		})
	}
}
