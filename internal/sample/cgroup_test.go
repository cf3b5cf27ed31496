package sample

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestStoredCgroups(t *testing.T) {
	for name, want := range map[string]evidence.Cgroup{
		"cgroup-v2.txtar": {
			Version: 2, Path: "/kubepods.slice/pod_1/app", LimitPath: "/kubepods.slice/pod_1", Current: 490000000, Peak: 499999744, Max: 500000000,
			Swap: 4096, Hits: 812, Kills: 1, PidsPath: "/kubepods.slice/pod_1", Pids: 97, PidsMax: 100, PidsHits: 5, Pressure: 12.5, NodeKills: 3,
		},
		"cgroup-hybrid.txtar": {
			Version: 1, Path: "/worker", LimitPath: "/worker", Current: 67104768, Peak: 67108864, Max: 67108864, Hits: 991, Kills: 1,
			PidsPath: "/worker", Pids: 12, PidsMax: -1,
		},
		"cgroup-hostile.txtar": {Version: 2, Path: "/b", Max: -1, PidsPath: "/b", PidsMax: -1},
	} {
		t.Run(name, func(t *testing.T) {
			root := stored(t, name)
			c := &Cgroups{Root: filepath.Join(root, "proc"), Base: root}
			p, err := c.Place(7)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&want, p.Read()); diff != "" {
				t.Error(diff)
			}
			if again, err := c.Place(7); err != nil || again != p {
				t.Errorf("another place the second time: %v, %v", again, err)
			}
			if _, err := c.Place(77); err == nil {
				t.Error("a process that is not there has a place")
			}
		})
	}
	root := stored(t, "cgroup-v2.txtar")
	c := &Cgroups{Root: filepath.Join(root, "proc"), Base: root}
	for _, pid := range []int{8, 9} {
		p, err := c.Place(pid)
		if err != nil {
			t.Fatal(err)
		}
		if d := p.Read(); d.Max > 0 || d.NodeKills != 3 { // the root, and one that is gone below one without a limit
			t.Errorf("process %d: %+v", pid, d)
		}
	}
}

// The machine's own: a limit that this process is put under is found, where that can be made.
func TestLiveCgroup(t *testing.T) {
	c := new(Cgroups)
	p, err := c.Place(os.Getpid())
	if err != nil || p == nil {
		t.Skipf("needs cgroups: %v", err)
	}
	if d := p.Read(); d.Version != 0 && d.Current == 0 {
		t.Errorf("its cgroup holds nothing: %+v", d)
	}
	if p.pids == nil {
		t.Skip("needs the pids controller of cgroups")
	}
	dir := filepath.Join(p.pids.at, p.inPids, "descry-sample-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip("needs a cgroup of its own: ", err)
	}
	defer os.Remove(dir)
	if os.WriteFile(filepath.Join(dir, "pids.max"), []byte("77"), 0o644) != nil {
		t.Skip("needs the pids controller of cgroups in ", dir)
	}
	q := &CgroupPlace{pids: p.pids, inPids: filepath.Join(p.inPids, filepath.Base(dir))}
	if d := q.Read(); d.PidsMax != 77 || d.Pids != 0 || !strings.HasSuffix(d.PidsPath, filepath.Base(dir)) {
		t.Errorf("%+v", d)
	}
}

func FuzzCgroups(f *testing.F) {
	for _, name := range []string{"cgroup-v2.txtar", "cgroup-hybrid.txtar", "cgroup-hostile.txtar"} {
		root := stored(f, name)
		mounts, _ := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
		groups, _ := os.ReadFile(filepath.Join(root, "proc/7/cgroup"))
		f.Add(mounts, groups)
	}
	f.Add([]byte("1 2 3 \\777 \\ - cgroup2 x y"), []byte("0::/\xff\n"))
	f.Add([]byte("0 0 0 0 0 - cgroup 0 memory"), []byte(":memory:/"))
	f.Fuzz(func(t *testing.T, mounts, groups []byte) {
		c := new(Cgroups)
		c.memory, c.pids = parseCgroupMounts(mounts)
		parseKeyed(groups)
		if v := parsePressure(groups); v < 0 || v > 100 {
			t.Error(v)
		}
		p := c.place(groups)
		if p == nil {
			return
		}
		for _, path := range []string{p.inMemory, p.inPids} {
			for _, l := range levels(path) {
				if strings.Contains("/"+l+"/", "/../") || !strings.HasPrefix(l, "/") {
					t.Errorf("%q leads out of the hierarchy", l)
				}
			}
		}
	})
}
