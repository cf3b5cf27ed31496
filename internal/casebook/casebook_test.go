package casebook

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("DESCRY_CASEBOOK_FILL"); dir != "" {
		childFill(dir)
		return
	}
	if dir := os.Getenv("DESCRY_CASEBOOK_SEND"); dir != "" {
		childSend(dir)
		return
	}
	os.Exit(m.Run())
}

var day = time.Date(2026, 11, 22, 7, 24, 17, 0, time.UTC)

// numbered is a case opened n seconds into the day.
func numbered(n int) *evidence.Case {
	at := day.Add(time.Duration(n) * time.Second)
	return &evidence.Case{
		ID: ulid.MustNew(ulid.Timestamp(at), ulid.DefaultEntropy()).String(), Kind: evidence.CaseDeath, OpenedAt: at,
		Subject:  evidence.Subject{Command: []string{"/cart", "-n", fmt.Sprint(n)}},
		Death:    &evidence.Death{ExitCode: 139, Signal: evidence.SIGSEGV},
		Findings: []evidence.Finding{{Cause: "select-overflow", Confidence: evidence.Certain, Summary: "It overflowed."}},
		Timeline: []evidence.Observation{{Source: evidence.SourceKernel, Detail: &evidence.Fork{Child: 1}}},
	}
}

func put(t *testing.T, b *Book, c *evidence.Case) int {
	t.Helper()
	n, err := b.Put(c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func ids(t *testing.T, b *Book) (out []string) {
	t.Helper()
	entries, problems, err := b.List()
	if err != nil || len(problems) != 0 {
		t.Fatal(problems, err)
	}
	for _, e := range entries {
		out = append(out, e.ID)
	}
	return out
}

func TestKeptAndRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "cases")
	b := New(dir, Bounds{})
	if e, p, err := b.List(); len(e)+len(p) != 0 || err != nil {
		t.Errorf("before the first case: %v %v %v", e, p, err)
	}
	if _, err := b.Get(""); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), dir) {
		t.Errorf("before the first case: %v", err)
	}
	first, second := numbered(1), numbered(2)
	put(t, b, second)
	put(t, b, first)
	warning := &evidence.Case{ID: ulid.MustNew(ulid.Timestamp(day), ulid.DefaultEntropy()).String(), Kind: evidence.CaseWarning, OpenedAt: day}
	put(t, b, warning)

	entries, problems, err := b.List()
	if err != nil || len(problems) != 0 {
		t.Fatal(problems, err)
	}
	want := []Entry{
		{ID: second.ID, OpenedAt: second.OpenedAt, Kind: evidence.CaseDeath, Command: []string{"/cart", "-n", "2"}, Cause: "select-overflow", Confidence: evidence.Certain, Summary: "It overflowed.", ExitCode: 139, Signal: evidence.SIGSEGV, DiedAt: second.Death.At},
		{ID: first.ID, OpenedAt: first.OpenedAt, Kind: evidence.CaseDeath, Command: []string{"/cart", "-n", "1"}, Cause: "select-overflow", Confidence: evidence.Certain, Summary: "It overflowed.", ExitCode: 139, Signal: evidence.SIGSEGV, DiedAt: first.Death.At},
		{ID: warning.ID, OpenedAt: day, Kind: evidence.CaseWarning},
	}
	if d := cmp.Diff(want, entries); d != "" {
		t.Error(d)
	}
	for id, want := range map[string]string{"": second.ID, first.ID: first.ID, strings.ToLower(first.ID): first.ID, first.ID[:20]: first.ID} {
		if c, err := b.Get(id); err != nil || c.ID != want {
			t.Errorf("get %q: %v, want %s", id, err, want)
		}
	}
	for path, mode := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, first.ID+".json"): 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", path, st.Mode().Perm(), mode)
		}
	}
	first.Findings = nil
	put(t, b, first)
	if c, err := b.Get(first.ID); err != nil || len(c.Findings) != 0 {
		t.Errorf("a case put again: %v, %v", c, err)
	}
	if n := len(ids(t, b)); n != 3 {
		t.Errorf("%d cases", n)
	}
}

func TestNewestWithinAMillisecond(t *testing.T) {
	b := New(t.TempDir(), Bounds{})
	low, high := numbered(1), numbered(1)
	low.ID, high.ID = low.ID[:10]+"0000000000000000", low.ID[:10]+"ZZZZZZZZZZZZZZZZ"
	low.OpenedAt = high.OpenedAt.Add(1)
	put(t, b, low)
	put(t, b, high)
	if c, err := b.Get(""); err != nil || c.ID != low.ID {
		t.Errorf("newest is %v, %v, want the one opened a nanosecond later", c, err)
	}
	if got := ids(t, b); got[0] != low.ID {
		t.Errorf("list begins with %s", got[0])
	}
}

func TestOldestGo(t *testing.T) {
	b := New(t.TempDir(), Bounds{Cases: 5})
	var all []string
	dropped := 0
	for i := range 12 {
		c := numbered(i)
		all = append([]string{c.ID}, all...)
		dropped += put(t, b, c)
	}
	if d := cmp.Diff(all[:5], ids(t, b)); d != "" || dropped != 7 {
		t.Errorf("dropped %d: %s", dropped, d)
	}
	// A case older than all others was asked for too: it stays, at the cost of one of them.
	old := numbered(-100)
	put(t, b, old)
	if got := ids(t, b); got[len(got)-1] != old.ID || len(got) != 5 {
		t.Errorf("the case just put is not the oldest of five: %v", got)
	}
}

func TestBytesAreBounded(t *testing.T) {
	dir := t.TempDir()
	big := func(n int) *evidence.Case {
		c := numbered(n)
		c.LastOutput = &evidence.LastOutput{Stdout: make([]byte, 30000)}
		return c
	}
	b := New(dir, Bounds{Bytes: 100_000})
	for i := range 6 {
		put(t, b, big(i))
	}
	if got := len(ids(t, b)); got != 2 {
		t.Errorf("%d cases of 40 kB in 100 kB", got)
	}
	huge := big(10)
	huge.LastOutput.Stdout = make([]byte, 200_000)
	if n := put(t, b, huge); n != 2 { // it alone is beyond the bound
		t.Errorf("dropped %d of 2 for one larger than the bound", n)
	}
	if got := ids(t, b); len(got) != 1 || got[0] != huge.ID {
		t.Errorf("a case larger than the bound must still be kept, alone: %v", got)
	}
}

func TestWhatStandsAmongTheCases(t *testing.T) {
	dir := t.TempDir()
	b := New(dir, Bounds{Cases: 2})
	good := numbered(1)
	put(t, b, good)
	text, err := os.ReadFile(filepath.Join(dir, good.ID+".json"))
	if err != nil {
		t.Fatal(err)
	}
	half, empty, other, misnamed := numbered(2).ID+".json", numbered(3).ID+".json", "notes.txt", numbered(4).ID+".json"
	small := strings.ToLower(numbered(5).ID) + ".json"
	for name, b := range map[string][]byte{half: text[:len(text)/2], empty: nil, other: []byte("hello"), misnamed: text, small: text} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fifo := numbered(6).ID + ".json"
	if err := unix.Mkfifo(filepath.Join(dir, fifo), 0o600); err != nil {
		t.Fatal(err)
	}
	entries, problems, err := b.List()
	if err != nil || len(entries) != 1 || entries[0].ID != good.ID {
		t.Errorf("list: %v, %v", entries, err)
	}
	said := map[string]string{}
	for _, p := range problems {
		said[p.Name] = p.Err.Error()
	}
	for name, part := range map[string]string{half: "not a case", empty: "empty", other: "not named", misnamed: "not its name", small: "not named", fifo: "no ordinary file"} {
		if !strings.Contains(said[name], part) {
			t.Errorf("%s: said %q, want %q", name, said[name], part)
		}
	}
	if len(problems) != 6 {
		t.Errorf("problems: %v", problems)
	}
	if c, err := b.Get(""); err != nil || c.ID != good.ID {
		t.Errorf("newest that can be read: %v", err)
	}
	if _, err := b.Get(strings.TrimSuffix(half, ".json")); err == nil || !strings.Contains(err.Error(), "not a case") {
		t.Errorf("a half-written case: %v", err)
	}
	put(t, b, numbered(20))
	if _, err := os.Stat(filepath.Join(dir, other)); err != nil {
		t.Errorf("a foreign file was touched: %v", err)
	}
}

func TestHints(t *testing.T) {
	b := New(t.TempDir(), Bounds{})
	var all []*evidence.Case
	for i := range 5 {
		c := numbered(i)
		if i > 0 {
			c.ID = all[0].ID[:9] + fmt.Sprint(i) + c.ID[10:]
		}
		all = append(all, c)
		put(t, b, c)
	}
	_, err := b.Get(all[0].ID[:9])
	if !errors.Is(err, ErrAmbiguous) || !strings.Contains(err.Error(), all[4].ID) || !strings.Contains(err.Error(), "and 2 more") {
		t.Errorf("ambiguous: %v", err)
	}
	wrong := all[3].ID[:25] + "!"
	if _, err = b.Get(wrong); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), all[3].ID) {
		t.Errorf("not found: %v", err)
	}
	for _, id := range []string{"../../etc/passwd", "/etc/passwd", "*", "\x00", "zzzz"} {
		if _, err = b.Get(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("get %q: %v", id, err)
		}
	}
}

func TestIdThatIsNone(t *testing.T) {
	dir := t.TempDir()
	for _, id := range []string{"", "x", "../../x", "01JD…"} {
		c := numbered(1)
		c.ID = id
		if _, err := New(dir, Bounds{}).Put(c); err == nil {
			t.Errorf("id %q was taken", id)
		}
	}
}

func TestFolderThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b := New(file, Bounds{})
	if _, err := b.Put(numbered(1)); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("put: %v", err)
	}
	if _, _, err := b.List(); err == nil {
		t.Error("a file was listed")
	}
	if _, err := b.Get(""); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("get: %v", err)
	}
}

func TestLeftOfDescrysThatDied(t *testing.T) {
	dir := t.TempDir()
	fresh, stale := filepath.Join(dir, tempPrefix+"1"), filepath.Join(dir, tempPrefix+"2")
	for _, p := range []string{fresh, stale} {
		if err := os.WriteFile(p, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * staleAfter)
	if err := os.Chtimes(stale, old, old); err != nil {
		t.Fatal(err)
	}
	b := New(dir, Bounds{})
	put(t, b, numbered(1))
	if _, err := os.Stat(fresh); err != nil {
		t.Error("what another descry writes just now was removed")
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("what is left of a dead descry stayed")
	}
	ids(t, b) // fails on problems
}

func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	var mu sync.Mutex
	dropped := 0
	for g := range 6 {
		wg.Go(func() {
			b := New(dir, Bounds{Cases: 10})
			for i := range 15 {
				n, err := b.Put(numbered(g*100 + i))
				if err != nil {
					t.Error(err)
				}
				if _, problems, err := b.List(); err != nil || len(problems) != 0 {
					t.Error(problems, err)
				}
				mu.Lock()
				dropped += n
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	b := New(dir, Bounds{Cases: 10})
	dropped += put(t, b, numbered(1000))
	got := len(ids(t, b))
	if got != 10 {
		t.Errorf("%d cases are left, the bound is 10", got)
	}
	if total := got + dropped; total < 89 || total > 91 {
		t.Errorf("%d left and %d dropped of 91", got, dropped)
	}
}

func TestDefaultDir(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		uid  int
		want string
	}{
		{nil, 0, "/var/lib/descry/cases"},
		{map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "/home/u/x"}, 0, "/var/lib/descry/cases"},
		{map[string]string{"HOME": "/home/u"}, 1000, "/home/u/.local/state/descry/cases"},
		{map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "/s"}, 1000, "/s/descry/cases"},
		{map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "rel"}, 1000, "/home/u/.local/state/descry/cases"},
		{nil, 1000, ""},
	} {
		got, err := DefaultDir(func(k string) string { return c.env[k] }, c.uid)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%v, uid %d: %q, %v; want %q", c.env, c.uid, got, err, c.want)
		}
	}
}
