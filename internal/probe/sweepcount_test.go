//go:build linux

package probe

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() { children["numbers"] = childNumbers }

// childNumbers has descriptors of certain numbers, and of every number below the first one.
func childNumbers(args []string) {
	dup := func(n int) {
		if n > 3 {
			must(unix.Dup3(0, n, 0))
		}
	}
	for i, a := range args {
		n, err := strconv.Atoi(a)
		must(err)
		for below := 3; i == 0 && below < n; below++ {
			_, _ = unix.FcntlInt(0, unix.F_DUPFD, below)
		}
		dup(n)
	}
	fmt.Println(os.Getpid())
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// What a sweep counts is what /proc shows, however large the table, of one tree and of a node.
func TestSweepCounts(t *testing.T) {
	var lim unix.Rlimit // Go's programs raise the soft one
	must(unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &lim))
	tables := [][]string{{"3"}, {"62"}, {"63"}, {"64"}, {"90"}, {"127"}, {"128"}, {"255"}, {"256"}, {"700"}, {"3", "63"}, {"3", "127", "191"},
		{"3", "1023"}, {"100", "1024"}, {"3", "5000"}, {"3", "130", strconv.FormatUint(min(lim.Max, 60000)-1, 10)}}
	check := func(t *testing.T, w *watch, start func(k *kid)) {
		w.need("probe/sweep")
		var kids []*kid
		for _, numbers := range tables {
			k := command(t, "numbers", numbers...)
			k.Cmd.Path, k.Cmd.Args = "/bin/sh", []string{"sh", "-c", `read gate <&3; "$0"; exit`, k.Cmd.Path} // who forks it passes on a small table
			start(k)
			kids = append(kids, k)
		}
		swept := map[int]*evidence.Process{}
		pids := make([]int, len(kids))
		for i, k := range kids {
			var err error
			if pids[i], err = strconv.Atoi(k.line()); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Sweep(func(o *evidence.Observation) { swept[int(o.PID)] = o.Detail.(*evidence.Process) }); err != nil {
			t.Fatal(err)
		}
		for i, pid := range pids {
			all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
			if err != nil {
				t.Fatal(err)
			}
			highest := 0
			for _, e := range all {
				n, _ := strconv.Atoi(e.Name())
				highest = max(highest, n)
			}
			if d := swept[pid]; d == nil {
				t.Errorf("%v: not swept", tables[i])
			} else if d.Open != int64(len(all)) || d.Highest != int64(highest) {
				t.Errorf("%v: %d open, highest %d; /proc has %d and %d", tables[i], d.Open, d.Highest, len(all), highest)
			}
		}
	}
	t.Run("tree", func(t *testing.T) {
		w := open(t, Config{})
		check(t, w, w.run)
	})
	t.Run("node", func(t *testing.T) {
		g := newGrounds(t, "")
		w := openNode(t, g, Node{})
		path := g.mkdir(podUID + "/" + newID())
		check(t, w, func(k *kid) {
			k.untracked, k.before = true, func(pid int) { g.put(path, pid) }
			w.run(k)
		})
	})
}
