//go:build linux

package probe

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["stdio"] = childStdio
	children["nothing"] = func([]string) {}
}

// childStdio loses its standard descriptors in many ways.
func childStdio([]string) {
	runtime.LockOSThread()
	// What a child prepares for another program between fork and exec is no news.
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childMode+"=nothing")
	cmd.Stdout, cmd.Stderr = nil, nil
	must(cmd.Run())

	must(unix.Close(0))
	fd, err := unix.Open("/proc/self/status", unix.O_RDONLY, 0)
	must(err)
	equal(fd, 0)
	must(unix.Close(2))
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	must(err)
	equal(fd, 2)
	null, err := unix.Open("/dev/null", unix.O_RDWR, 0)
	must(err)
	must(unix.Dup3(null, 1, 0))
	must(unix.CloseRange(0, 0, 0))
	var p [2]int
	must(unix.Pipe2(p[:], 0))
	equal(p[0], 0)
	for range 10 { // as a shell does with each redirection of a builtin
		must(unix.Dup3(null, 2, 0))
	}
	must(unix.Close(null)) // not one of the three
	must(unix.Dup3(0, 0+1, unix.O_CLOEXEC))
}

func equal(a, b int) {
	if a != b {
		panic(fmt.Sprint("got descriptor ", a, ", want ", b))
	}
}

func TestStdio(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		k := w.program("stdio")
		w.done(k)
		var got []string
		for _, s := range ofKind[*evidence.Stdio](w, k.pid) {
			path := strings.Replace(s.Path, fmt.Sprint(k.pid), "self", 1)
			if strings.HasPrefix(path, "pipe:[") {
				path = "pipe"
			}
			got = append(got, fmt.Sprintf("%s %d by %s: %s to %s %s from %d", s.Action, s.FD, s.Call, s.Was, s.Is, path, s.From))
			if s.Context == nil {
				t.Errorf("%+v has no stack", s)
			} else {
				checkCallContext(t, s.Context, false, 4096)
			}
		}
		want := []string{
			"closed 0 by close: device to   from 0", // the launcher left /dev/null
			"allocated 0 by openat:  to file /proc/self/status from 0",
			"closed 2 by close: file to   from 0",
			"allocated 2 by socket:  to tcp  from 0",
			"replaced 1 by dup3: pipe to device /dev/null from 4",
			"closed 0 by close_range: file to   from 0",
			"allocated 0 by pipe2:  to pipe pipe from 0",
			"replaced 2 by dup3: tcp to device /dev/null from 4",
			"replaced 2 by dup3: device to device /dev/null from 4",
			"replaced 2 by dup3: device to device /dev/null from 4",
			"replaced 1 by dup3: device to pipe pipe from 0",
		}
		// What the test's own standard error is differs; which number a free descriptor has, too.
		for i := range got {
			if strings.HasPrefix(got[i], "closed 2") {
				got[i] = want[2]
			}
			if n := strings.LastIndex(got[i], " from "); strings.HasPrefix(got[i], "replaced") && !strings.HasSuffix(got[i], " from 0") {
				got[i] = got[i][:n] + " from 4"
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		for _, o := range w.all(func(o *evidence.Observation) bool { return o.Kind() == evidence.KindStdio && int(o.PID) != k.pid }) {
			t.Errorf("of a child that runs another program: %+v", o.Detail)
		}
		w.bystander("stdio")
	})
}
