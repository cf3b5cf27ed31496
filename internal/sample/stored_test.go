package sample

import (
	"errors"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// stored unpacks a stored /proc. A file whose name ends in @ is a symbolic link to its content.
func stored(t testing.TB, name string) string {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for _, f := range a.Files {
		path := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if link, ok := strings.CutSuffix(path, "@"); ok {
			err = os.Symlink(strings.TrimSuffix(string(f.Data), "\n"), link)
		} else {
			err = os.WriteFile(path, f.Data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestStoredProcess(t *testing.T) {
	s := &Sampler{Root: stored(t, "proc.txtar")}
	if got := s.Tree(4242); !slices.Equal(got, []int{4242, 4250, 4251}) {
		t.Errorf("tree %v", got)
	}
	p, err := s.Process(4242)
	if err != nil {
		t.Fatal(err)
	}
	want := evidence.Process{
		Open: 17, Highest: 1090, SoftLimit: 4096, HardLimit: -1, RSSBytes: 2345 * int64(os.Getpagesize()), Threads: 3,
		Stdio: []evidence.StdioIs{
			{FD: 0, FDKind: evidence.FDDevice, Path: "/dev/null"},
			{FD: 1, FDKind: evidence.FDPipe, Path: "pipe:[501]"},
			{FD: 2, FDKind: evidence.FDPipe, Path: "pipe:[502]"},
		},
	}
	blocked := p.Blocked
	p.Blocked = nil
	if d := cmp.Diff(want, p); d != "" {
		t.Error(d)
	}
	if _, known := writes["amd64"]; known && len(blocked) != 0 && (len(blocked) != 1 || blocked[0].TID != 4243 || blocked[0].FD != 2) {
		t.Errorf("blocked: %+v", blocked)
	}
	if p, err = s.Process(4242); err != nil || p.Stdio != nil {
		t.Errorf("a second sample without a change: %+v, %v", p.Stdio, err)
	}
	if err := os.Remove(filepath.Join(s.Root, "4242/fd/2")); err != nil {
		t.Fatal(err)
	}
	if p, err = s.Process(4242); err != nil || len(p.Stdio) != 3 || p.Stdio[2].FDKind != "" {
		t.Errorf("after 2 was closed: %+v, %v", p.Stdio, err)
	}
	if o, err := s.Observe(4242); err != nil || o.Comm != "ca) (rt" || o.PID != 4242 {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestStoredTable(t *testing.T) {
	s := &Sampler{Root: stored(t, "proc.txtar")}
	table, err := s.Table(4242)
	if err != nil {
		t.Fatal(err)
	}
	if table.Open != 17 || table.Highest != 1090 || table.SoftLimit != 4096 || table.HardLimit != -1 || table.Partial != "" {
		t.Errorf("%+v", table)
	}
	want := []evidence.FDGroup{
		{Kind: evidence.FDFile, Path: "/var/lib/cart/idx/*", Count: 4, Lowest: 20, Highest: 23},
		{Kind: evidence.FDTCP, State: "CLOSE_WAIT", Peer: "10.0.3.7:5432", Count: 2, Lowest: 9, Highest: 1090},
		{Kind: evidence.FDTCP, State: "ESTABLISHED", Local: "10.0.0.4:8080", Peer: "10.9.9.9:*", Count: 2, Lowest: 11, Highest: 12},
		{Kind: evidence.FDDevice, Path: "/dev/null", Count: 1},
		{Kind: evidence.FDEvent, Count: 1, Lowest: 4, Highest: 4},
		{Kind: evidence.FDMemfd, Path: "memfd:cache (deleted)", Count: 1, Lowest: 5, Highest: 5},
		{Kind: evidence.FDPipe, Count: 2, Lowest: 1, Highest: 2},
		{Kind: evidence.FDTCP, State: "LISTEN", Local: "*:8080", Count: 1, Lowest: 8, Highest: 8},
		{Kind: evidence.FDUDP, Peer: "[2001:db8::1]:53", Count: 1, Lowest: 13, Highest: 13},
		{Kind: evidence.FDUnix, State: "LISTEN", Local: "/run/my cart.sock", Count: 1, Lowest: 10, Highest: 10},
		{Kind: evidence.FDOther, Path: "net:[4026531840]", Count: 1, Lowest: 6, Highest: 6},
	}
	byWhat := func(g []evidence.FDGroup) {
		slices.SortFunc(g, func(a, b evidence.FDGroup) int { return strings.Compare(a.What(), b.What()) })
	}
	got := slices.Clone(table.Groups)
	byWhat(got)
	byWhat(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	var sum int64
	for _, n := range table.ByKind {
		sum += n
	}
	if sum != table.Open {
		t.Errorf("kinds sum to %d of %d", sum, table.Open)
	}
}

func TestProcessesThatAreGone(t *testing.T) {
	root := stored(t, "proc.txtar")
	s := &Sampler{Root: root}
	for _, pid := range []int{1, 4260} { // none, and a zombie
		for name, err := range map[string]error{
			"Process": second(s.Process(pid)), "Table": second(s.Table(pid)), "Observe": second(s.Observe(pid)),
			"Maps": func() error { _, _, err := s.Maps(pid); return err }(),
		} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s of process %d: %v", name, pid, err)
			}
		}
	}
	if got := s.Tree(1); len(got) != 0 {
		t.Errorf("tree of none: %v", got)
	}
}

func second[T any](_ T, err error) error { return err }

// A child whose parent ends belongs to the tree still; a pid that is given again does not.
func TestTreeRemembers(t *testing.T) {
	root := stored(t, "proc.txtar")
	s := &Sampler{Root: root}
	s.Tree(4242)
	if err := os.RemoveAll(filepath.Join(root, "4250")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "4242/task/4242/children"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.Tree(4242); !slices.Equal(got, []int{4242, 4251}) {
		t.Errorf("after its parent ended: %v", got)
	}
	stat := filepath.Join(root, "4251/stat")
	b, err := os.ReadFile(stat)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stat, []byte(strings.Replace(string(b), " 7777 ", " 9999 ", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := s.Tree(4242); !slices.Equal(got, []int{4242}) {
		t.Errorf("after its pid was given again: %v", got)
	}
}

func TestTreeWithoutChildrenFiles(t *testing.T) {
	root := stored(t, "proc.txtar")
	files, err := filepath.Glob(filepath.Join(root, "*/task/*/children"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	s := &Sampler{Root: root}
	if got := s.Tree(4242); !slices.Equal(got, []int{4242, 4250, 4251}) {
		t.Errorf("tree %v", got)
	}
}

func TestManyGroups(t *testing.T) {
	var g grouper
	for i := range int32(20000) {
		g.add(&fdIs{fd: i, kind: evidence.FDFile, path: filepath.Join("/d", string(rune('a'+i%26)), string(rune('A'+i%7000)))}, socket{})
	}
	groups := g.groups()
	var sum int64
	for _, e := range groups {
		sum += e.Count
	}
	if sum != 20000 || len(groups) > 2*fineUpTo {
		t.Errorf("%d groups of %d files", len(groups), sum)
	}
	table := evidence.FDTable{Groups: groups}
	table.SortGroups()
	sum = 0
	b := bound(table.Groups)
	for _, e := range b {
		sum += e.Count
	}
	if sum != 20000 || len(b) > maxGroups {
		t.Errorf("%d groups of %d files after bounding", len(b), sum)
	}
}

func TestLeakedFileStaysByItself(t *testing.T) {
	var g grouper
	for i := range int32(30) {
		g.add(&fdIs{fd: i, kind: evidence.FDFile, path: "/d/leaked"}, socket{})
		if i < 5 {
			g.add(&fdIs{fd: 100 + i, kind: evidence.FDFile, path: "/d/" + string(rune('a'+i))}, socket{})
		}
	}
	table := evidence.FDTable{Open: 35, Groups: g.groups()}
	table.SortGroups()
	want := []evidence.FDGroup{
		{Kind: evidence.FDFile, Path: "/d/leaked", Count: 30, Lowest: 0, Highest: 29},
		{Kind: evidence.FDFile, Path: "/d/*", Count: 5, Lowest: 100, Highest: 104},
	}
	if d := cmp.Diff(want, table.Groups); d != "" {
		t.Error(d)
	}
}

func TestMapsOfMany(t *testing.T) {
	line := "7f00%08x-7f00%08x r%s 00000000 08:01 17 /usr/lib/x.so\n"
	var b strings.Builder
	for i := range 40000 {
		perm := "w-p"
		if i%10 == 9 {
			perm = "-xp"
		}
		b.WriteString(strings.NewReplacer("%08x", "0000a000", "%s", perm).Replace(line))
	}
	b.WriteString("7f00 cut")
	got := executable(strings.NewReader(b.String()))
	if n := strings.Count(string(got), "\n"); n != 4000 || strings.Contains(string(got), "rw-p") {
		t.Errorf("%d lines", n)
	}
}

func FuzzParsers(f *testing.F) {
	root := stored(f, "proc.txtar")
	for _, name := range []string{"4242/stat", "4242/statm", "4242/limits", "4242/net/tcp", "4242/net/tcp6", "4242/net/unix", "4242/net/udp6", "4242/task/4243/syscall"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		for line := range strings.Lines(string(b)) {
			f.Add([]byte(line))
		}
	}
	f.Add([]byte("socket:[1]"))
	f.Add([]byte("anon_inode:[eventfd]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		parseStat(b)
		parseStatm(b, 4096)
		parseLimits(b)
		parseInet(b, evidence.FDTCP)
		parseUnix(b, evidence.FDUnix)
		parseAddress(b)
		parseLink(string(b))
		parseSyscall(b, writes["amd64"])
		executable(strings.NewReader(string(b)))
		if c := classify(3, "/nonexistent", string(b)); c.kind == "" {
			t.Errorf("%q has no kind", b)
		}
		var g grouper
		r := rand.New(rand.NewSource(int64(len(b))))
		for i := range int32(8) {
			s, _, _ := parseInet(b, evidence.FDTCP)
			g.add(&fdIs{fd: i, kind: []evidence.FDKind{evidence.FDTCP, evidence.FDFile, evidence.FDUnix}[r.Intn(3)], path: string(b)}, s)
		}
		var sum int64
		for _, e := range g.groups() {
			sum += e.Count
		}
		if sum != 8 {
			t.Errorf("%d of 8 are in groups", sum)
		}
	})
}
