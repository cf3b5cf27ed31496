package recorder

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
	"golang.org/x/sys/unix"
)

// The test binary is also the child that records: to be killed, and to fill a file system.
func TestMain(m *testing.M) {
	switch os.Getenv("DESCRY_RECORDER_CHILD") {
	case "record":
		childRecord(os.Getenv("DESCRY_RECORDER_DIR"))
	case "fill":
		childFill(os.Getenv("DESCRY_RECORDER_DIR"), os.Getenv("DESCRY_RECORDER_SPARSE") != "")
	default:
		os.Exit(m.Run())
	}
}

// kept makes a recording of n refusals, n forks and some stacks, and gives its directory.
func kept(t testing.TB, n int) string {
	dir := t.TempDir()
	r := mustNew(t, Options{Dir: dir, Memory: MinMemory})
	for i := 1; i <= n; i++ {
		r.Record(numbered(evidence.KindFDRefused, 2*i))
		r.Record(numbered(evidence.KindFork, 2*i+1))
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWhatIsRecordedIsRead(t *testing.T) {
	dir := t.TempDir()
	r := mustNew(t, Options{Dir: dir, Memory: MinMemory})
	for i := range 2000 {
		r.Record(numbered(evidence.KindFDRefused, 10*i))
		r.Record(numbered(evidence.KindFork, 10*i+1))
		if i%50 == 0 {
			r.Record(withStack(10*i + 2))
		}
	}
	memory := r.Observations()
	for _, state := range []string{"while it is written", "after Close"} {
		got, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got.Recovered.Reason != "" || got.Recovered.Records != len(got.Observations) {
			t.Errorf("%s: recovered %+v", state, got.Recovered)
		}
		onDisk := map[string]bool{}
		for _, o := range got.Observations {
			onDisk[fmt.Sprint(o.Kind(), o.PID)] = true
		}
		for _, o := range memory {
			if !onDisk[fmt.Sprint(o.Kind(), o.PID)] {
				t.Fatalf("%s: %s of pid %d is in memory and not on disk", state, o.Kind(), o.PID)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var total int64
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, _ error) error {
		if i, err := d.Info(); err == nil && !d.IsDir() {
			total += i.Size()
		}
		return nil
	})
	if total > 5*MinMemory/2+16<<10 {
		t.Errorf("the directory takes %d bytes for a bound of %d", total, MinMemory)
	}
}

// segmentOf reads a segment and where its records start and end.
func segmentOf(t testing.TB, path string) (b []byte, h *header, ends []int) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h, why := decodeHeader(b)
	if h == nil {
		t.Fatal(why)
	}
	work := 1 << 30
	for off := segmentHeader; ; {
		p, _, next, ok := recordAt(b, off, h.seed(), &work)
		if !ok {
			return b, h, ends
		}
		ends = append(ends, off+recordHeader+len(p)) // without the padding
		off = next
	}
}

// Cut at every byte, a segment gives exactly the records that are whole, and says what it left out.
func TestCutAtEveryByte(t *testing.T) {
	dir := kept(t, 60)
	for _, name := range []string{segmentName(ringDecisive, 0), segmentName(ringCommon, 0), segmentName(ringFirst, 0)} {
		path := filepath.Join(dir, name)
		whole, _, ends := segmentOf(t, path)
		if len(ends) < firstCount {
			t.Fatalf("%s has %d records", name, len(ends))
		}
		all, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		others := all.Recovered.Records - len(ends)
		for cut := 0; cut <= len(whole); cut++ {
			if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			want, end := 0, segmentHeader
			for _, e := range ends {
				if e <= cut {
					want++
					end = recordEnd(e)
				}
			}
			if got.Recovered.Records != others+want {
				t.Fatalf("%s cut at %d: %d records, want %d", name, cut, got.Recovered.Records-others, want)
			}
			torn := int64(max(0, cut-end))
			if cut < segmentHeader {
				torn = int64(cut)
			}
			// A tail of zeros is nothing that could be told from no tail.
			zeros := int64(cut - lastNonZero(whole[:cut]))
			if d := torn - got.Recovered.TornBytes; d < 0 || d > zeros {
				t.Fatalf("%s cut at %d: %d bytes torn, want %d", name, cut, got.Recovered.TornBytes, torn)
			}
			if said := got.Recovered.Reason != ""; said != (got.Recovered.TornBytes > 0) {
				t.Fatalf("%s cut at %d: %d bytes torn, and the reason is %q", name, cut, got.Recovered.TornBytes, got.Recovered.Reason)
			}
			if got.Recovered.SkippedBytes != 0 {
				t.Fatalf("%s cut at %d: %d bytes skipped", name, cut, got.Recovered.SkippedBytes)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func prevEnd(ends []int, n int) int {
	if n == 0 {
		return segmentHeader
	}
	return recordEnd(ends[n-1])
}

func recordEnd(e int) int { return (e + 7) &^ 7 }

// A loss of power leaves the segment's size, and zeros or old bytes where pages did not reach the disk.
func TestPagesThatNeverReachedTheDisk(t *testing.T) {
	dir := kept(t, 400)
	path := filepath.Join(dir, segmentName(ringDecisive, 0))
	whole, h, ends := segmentOf(t, path)
	want := readSegment(whole, h)
	r := rand.New(rand.NewSource(1))
	for range 2000 {
		b := bytes.Clone(whole)
		// From some sector on a few sectors are missing.
		lo := 512 * (1 + r.Intn(len(b)/512))
		hi := min(len(b), lo+512*(1+r.Intn(8)))
		if r.Intn(2) == 0 {
			clear(b[lo:hi])
		} else {
			r.Read(b[lo:hi])
		}
		got := readSegment(b, h)
		before, after := 0, 0
		start := segmentHeader
		for _, e := range ends {
			if recordEnd(e) <= lo {
				before++
			} else if start >= hi {
				after++
			}
			start = recordEnd(e)
		}
		if len(got.seqs) < before || len(got.seqs) > before+after+1 {
			t.Fatalf("sectors %d to %d lost: %d records, want %d before and %d after", lo, hi, len(got.seqs), before, after)
		}
		if len(got.seqs) < before+after {
			t.Fatalf("sectors %d to %d lost: %d whole records behind the damage were not found", lo, hi, before+after-len(got.seqs))
		}
		// Zeros from the end of a record to the end of the file look as if nothing had been there.
		if unseen := before+after == len(got.seqs) && after == 0 && lastNonZero(b) <= max(segmentHeader, prevEnd(ends, before)); !unseen &&
			bytes.Equal(b, whole) == (got.torn+got.skipped > 0) {
			t.Fatalf("sectors %d to %d lost: torn %d, skipped %d", lo, hi, got.torn, got.skipped)
		}
		isSubsequence(t, got, want)
	}
}

func TestFlippedBytes(t *testing.T) {
	dir := kept(t, 60)
	path := filepath.Join(dir, segmentName(ringDecisive, 0))
	whole, h, ends := segmentOf(t, path)
	want := readSegment(whole, h)
	for at := segmentHeader; at < len(whole); at++ {
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		got := readSegment(b, h)
		isSubsequence(t, got, want)
		padding := false
		for _, e := range ends {
			padding = padding || at >= e && at < recordEnd(e)
		}
		if missing := len(want.seqs) - len(got.seqs); missing != 1 && !padding {
			t.Fatalf("byte %d flipped: %d records are missing", at, missing)
		}
	}
	// The whole file through Open: also with its header damaged.
	for at := 0; at < len(whole); at += 3 {
		b := bytes.Clone(whole)
		b[at] ^= 0x40
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got.Recovered.Reason == "" && len(got.Observations) < 120 {
			t.Fatalf("byte %d flipped: %d observations and nothing said", at, len(got.Observations))
		}
	}
}

// isSubsequence fails where got has a record that want has not, or in another order.
func isSubsequence(t *testing.T, got, want segmentRead) {
	t.Helper()
	j := 0
	for i := range got.seqs {
		for j < len(want.seqs) && want.seqs[j] != got.seqs[i] {
			j++
		}
		if j == len(want.seqs) || !bytes.Equal(want.payloads[j], got.payloads[i]) {
			t.Fatalf("record %d was never written", got.seqs[i])
		}
	}
}

func TestOpenOfWhatIsNoRecording(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a directory that does not exist was read")
	}
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "no recording there") {
		t.Errorf("empty directory: %v", err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, segmentName(ringFirst, 0)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a FIFO was read")
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(ringCommon, 1)), []byte("INFO hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Open(dir)
	if err != nil || !strings.Contains(got.Recovered.Reason, "shorter than its header") {
		t.Errorf("%+v, %v", got, err)
	}
}

// childRecord records until it is killed, and says each number after it is recorded.
func childRecord(dir string) {
	r, err := New(Options{Dir: dir, Memory: MinMemory})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	out := bufio.NewWriter(os.Stdout)
	for i := 1; ; i++ {
		r.Record(numbered(evidence.KindFDRefused, i))
		if i%7 == 0 {
			r.Record(withStack(i))
		}
		fmt.Fprintln(out, i)
		out.Flush()
	}
}

func child(mode, dir string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), append(env, "DESCRY_RECORDER_CHILD="+mode, "DESCRY_RECORDER_DIR="+dir)...)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestKill9(t *testing.T) {
	for round := range 12 {
		dir := t.TempDir()
		cmd := child("record", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The reading goes on after the kill: the pipe still holds what was said before it.
		last, enough := 0, 200+round*900
		for s := bufio.NewScanner(out); s.Scan(); {
			n, err := strconv.Atoi(s.Text())
			if err != nil {
				break // cut by the kill
			}
			last = n
			if n == enough {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		cmd.Wait()
		got, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		refused := pids(got.Observations, evidence.KindFDRefused)
		if len(refused) == 0 || refused[len(refused)-1] < last {
			t.Fatalf("round %d: %d was recorded, the recording ends at %v", round, last, refused[max(0, len(refused)-1):])
		}
		for i := firstCount + 1; i < len(refused); i++ {
			if refused[i] != refused[i-1]+1 {
				t.Fatalf("round %d: %d follows %d", round, refused[i], refused[i-1])
			}
		}
		if got.Recovered.SkippedBytes != 0 {
			t.Errorf("round %d: recovered %+v", round, got.Recovered)
		}
		if _, err := New(Options{Dir: dir}); err != nil {
			t.Errorf("round %d: the lock outlived the kill: %v", round, err)
		}
	}
}

// childFill runs in a mount namespace of its own.
func childFill(dir string, sparse bool) {
	fail := func(format string, a ...any) {
		fmt.Printf("error: "+format+"\n", a...)
		os.Exit(1)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		fmt.Println("skip:", err)
		os.Exit(0)
	}
	ballast := filepath.Join(dir, "ballast")
	if !sparse { // the disk is full from the start
		if err := os.WriteFile(ballast, make([]byte, 900<<10), 0o600); err != nil {
			fail("%v", err)
		}
	}
	losses := make(chan evidence.Lost, 100)
	r, err := New(Options{Dir: dir, Memory: MinMemory, OnLoss: func(l evidence.Lost) { losses <- l }, sparse: sparse})
	if err != nil {
		fail("a full disk at the start: %v", err)
	}
	if sparse { // the disk fills behind the back of a mapping without space
		f, _ := os.Create(ballast)
		for {
			if _, err := f.Write(make([]byte, 4096)); err != nil {
				break
			}
		}
		f.Close()
	}
	record := func(from int) {
		for i := from; i < from+5000; i++ {
			r.Record(numbered(evidence.KindFork, i))
			r.Record(numbered(evidence.KindFDRefused, i))
		}
	}
	record(0)
	l := <-losses
	if l.By != "recorder" || !strings.Contains(l.Why, "no space left") {
		fail("loss %+v", l)
	}
	if got := pids(r.Observations(), evidence.KindFDRefused); got[len(got)-1] != 4999 {
		fail("memory ends at %d", got[len(got)-1])
	}
	lost := r.FileLost()
	if sparse && lost == 0 {
		fail("nothing was counted as lost")
	}
	if err := os.Remove(ballast); err != nil {
		fail("%v", err)
	}
	// When there is space again, it goes on by itself.
	for deadline := time.Now().Add(20 * time.Second); ; {
		r.mu.Lock()
		broken := 0
		for i := range r.files.rings {
			for _, s := range r.files.rings[i].segs {
				if !s.usable() {
					broken++
				}
			}
		}
		r.mu.Unlock()
		if broken == 0 && r.FileLost() == lost {
			break
		}
		if time.Now().After(deadline) {
			fail("%d segments still have no space", broken)
		}
		time.Sleep(10 * time.Millisecond)
	}
	record(10000)
	if r.FileLost() != lost {
		fail("%d more were lost with space there", r.FileLost()-lost)
	}
	if err := r.Close(); err != nil {
		fail("close: %v", err)
	}
	got, err := Open(dir)
	if err != nil {
		fail("%v", err)
	}
	for _, kind := range []evidence.Kind{evidence.KindFork, evidence.KindFDRefused} {
		p := pids(got.Observations, kind)
		if len(p) == 0 || p[len(p)-1] != 14999 {
			fail("%s on disk: %d, recovered %+v", kind, len(p), got.Recovered)
		}
	}
	var told int64
	for _, o := range got.Observations {
		if d, ok := o.Detail.(*evidence.Lost); ok {
			told += d.Count
		}
	}
	if told != lost {
		fail("the recording says %d are missing, %d are", told, lost)
	}
	if len(losses) != 0 {
		fail("the loss was reported again: %+v", <-losses)
	}
	fmt.Println("fine, lost", lost)
	os.Exit(0)
}

func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: a file system of its own is mounted")
	}
	for name, env := range map[string]string{"from the start": "X=", "while recording": "DESCRY_RECORDER_SPARSE=1"} {
		t.Run(name, func(t *testing.T) {
			cmd := child("fill", t.TempDir(), env)
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			out, err := cmd.Output()
			switch {
			case strings.HasPrefix(string(out), "skip:"):
				t.Skipf("needs to mount a tmpfs: %s", out)
			case err != nil && len(out) == 0:
				t.Skipf("needs a mount namespace: %v", err)
			case err != nil || !strings.HasPrefix(string(out), "fine"):
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// A file that somebody cuts while it is mapped must not take the program down.
func TestFileCutWhileRecording(t *testing.T) {
	dir := t.TempDir()
	r := mustNew(t, Options{Dir: dir, Memory: MinMemory})
	r.Record(numbered(evidence.KindFork, 1))
	for ring := range rings {
		for i := range 2 {
			os.Truncate(filepath.Join(dir, segmentName(ring, i)), 0)
		}
	}
	for i := range 100 {
		r.Record(numbered(evidence.KindFork, 2+i))
	}
	if r.FileLost() == 0 {
		t.Error("nothing was counted as lost")
	}
	if got := len(r.Observations()); got != 101 {
		t.Errorf("memory has %d of 101", got)
	}
}

func FuzzReadSegment(f *testing.F) {
	dir := kept(f, 20)
	b, h, _ := segmentOf(f, filepath.Join(dir, segmentName(ringDecisive, 0)))
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add(append(bytes.Clone(b[:200]), make([]byte, 4096)...))
	f.Add([]byte(magic))
	want := readSegment(b, h)
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Recording
		r.add(data) // must not fail, whatever stands there
		if len(data) >= segmentHeader && bytes.Equal(data[:segmentHeader], b[:segmentHeader]) {
			got := readSegment(data, h)
			isSubsequence(t, got, want)
		}
	})
}
