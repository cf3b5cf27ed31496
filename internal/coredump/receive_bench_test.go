package coredump

import (
	"context"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// counter is a Keeper that reads all and keeps nothing.
type counter struct{}

func (counter) Take(_ context.Context, d *Dump) (*Entry, error) {
	defer d.Core.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{d.Core}, make([]byte, 256<<10))
	return &Entry{CoreBytes: n}, err
}

// How fast the core of a process of 512 MiB comes, by each way.
func BenchmarkReceive(b *testing.B) {
	machineWide(b)
	for _, w := range ways() {
		b.Run(string(w), func(b *testing.B) {
			i, err := Install(InstallOptions{Dir: testDir(b), Way: w})
			if err != nil {
				b.Fatal(err)
			}
			defer i.Close()
			root := os.Getpid()
			kept := make(chan *Kept, 1)
			go i.Serve(context.Background(), ServeOptions{
				Keeper: counter{}, Mine: func(pid int, _ *os.File) bool { return Within(pid, root) }, Kept: func(k *Kept) { kept <- k },
			})
			for range b.N {
				b.StopTimer()
				v := newVictim(b, unix.SIGABRT, 512, nil)
				b.StartTimer()
				v.dies(b)
				k := <-kept
				if k.Err != nil {
					b.Fatal(k.Err)
				}
				b.SetBytes(k.Entry.CoreBytes)
			}
		})
	}
}
