package output

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// again runs this test binary as another program: the named test, which does something only there.
func again(t *testing.T, test, dir string, before ...string) *exec.Cmd {
	t.Helper()
	args := append(before, os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DESCRY_FOLLOW_DIR="+dir)
	return cmd
}

// placed writes each stream to a file, each byte at its offset: what comes twice is written over.
type placed struct {
	out  [2]*os.File
	done [2]int64
}

func (p *placed) Take(x *Part) {
	if _, err := p.out[x.Stream].WriteAt(x.Text, x.At); err != nil {
		panic(err)
	}
	p.done[x.Stream] = x.At + int64(len(x.Text))
}
func (p *placed) Look()            {}
func (p *placed) Lost(l Loss)      { fmt.Println("LOST", l.String()) }
func (p *placed) End()             {}
func (p *placed) Done(s int) int64 { return p.done[s] }

// The follower of TestFollowKilled.
func TestFollowerProcess(t *testing.T) {
	dir := os.Getenv("DESCRY_FOLLOW_DIR")
	if dir == "" {
		return // it is started by TestFollowKilled
	}
	p := &placed{}
	for s := range p.out {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprint("out", s)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		p.out[s] = f
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := filepath.Join(dir, "logs", "0.log")
	paths := []string{log}
	if os.Getenv("DESCRY_FOLLOW_ALL") != "" {
		paths[0] = filepath.Dir(log)
	}
	w, err := NewFollower(FollowOptions{Paths: paths, Position: filepath.Join(dir, "position"), New: func(path string) Consumer {
		if path != log {
			fmt.Println("LOST: another log is followed:", path)
		}
		return p
	},
		Trouble: func(x Trouble) { fmt.Println("TROUBLE", x.Path, x.Err) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// The writer of TestFollowKilled: a runtime that rotates its log while it writes.
func TestWriterProcess(t *testing.T) {
	dir := os.Getenv("DESCRY_FOLLOW_DIR")
	if dir == "" {
		return // it is started by TestFollowKilled
	}
	log := filepath.Join(dir, "logs", "0.log")
	r := rand.New(rand.NewSource(1))
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	serial := 0
	last := ""
	streams := inForm(CRI, r, 8_000, func(line []byte) {
		if _, err := f.Write(line); err != nil {
			t.Fatal(err)
		}
		if r.Intn(10) == 0 {
			time.Sleep(time.Millisecond)
		}
		if r.Intn(400) > 0 {
			return
		}
		serial++
		old := fmt.Sprintf("%s.20261122-%06d", log, serial)
		f.Close()
		if err := os.Rename(log, old); err != nil {
			t.Fatal(err)
		}
		if r.Intn(2) == 0 {
			time.Sleep(time.Duration(r.Intn(500)) * time.Millisecond)
		}
		if f, err = os.Create(log); err != nil {
			t.Fatal(err)
		}
		if last != "" { // the last but one is packed, as kubelet does
			if out, err := exec.Command("gzip", last).CombinedOutput(); err != nil {
				t.Fatalf("gzip: %v: %s", err, out)
			}
		}
		last = old
	})
	for s, b := range streams {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("want", s)), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A log is written and rotated by one process, and followed by another that is killed again and again: each byte gets where
// it belongs, and none is missing.
func TestFollowKilled(t *testing.T) { testKilled(t) }

// The same, where the log is found in its directory.
func TestFollowKilledDirectory(t *testing.T) {
	t.Setenv("DESCRY_FOLLOW_ALL", "1")
	testKilled(t)
}

func testKilled(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "logs", "0.log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var wrote, said bytes.Buffer
	r := rand.New(rand.NewSource(2))
	kills := 0
	follow := func() *exec.Cmd {
		cmd := again(t, "TestFollowerProcess", dir)
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	// What is turned over before it was ever looked at is not followed.
	cmd := follow()
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if b, _ := os.ReadFile(filepath.Join(dir, "position")); bytes.Contains(b, []byte("0.log")) {
			break
		}
		if time.Now().After(until) {
			t.Fatal("the position does not name the log: ", said.String())
		}
	}
	writer := again(t, "TestWriterProcess", dir)
	writer.Stdout, writer.Stderr = &wrote, &wrote
	if err := writer.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- writer.Wait() }()
	for running := true; running; {
		select {
		case <-time.After(time.Duration(100+r.Intn(1500)) * time.Millisecond):
		case err := <-ended:
			if err != nil {
				t.Fatalf("the writer: %v: %s", err, wrote.String())
			}
			running = false
		}
		cmd.Process.Kill()
		cmd.Wait()
		kills++
		cmd = follow()
	}
	var problem string
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		problem = ""
		for s := range 2 {
			want, err1 := os.ReadFile(filepath.Join(dir, fmt.Sprint("want", s)))
			got, err2 := os.ReadFile(filepath.Join(dir, fmt.Sprint("out", s)))
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			if !bytes.Equal(got, want) {
				problem = fmt.Sprintf("stream %d: %s", s, differ(string(got), string(want)))
			}
		}
		if problem == "" || time.Now().After(until) {
			break
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the follower: %v", err)
	}
	if problem != "" || strings.Contains(said.String(), "LOST") || strings.Contains(said.String(), "TROUBLE") {
		t.Fatalf("%s\n%s", problem, said.String())
	}
	t.Logf("killed %d times", kills)
}

// Debian's logrotate, in the ways that it is configured.
func TestFollowLogrotate(t *testing.T) {
	program, err := exec.LookPath("logrotate")
	if err != nil {
		t.Skip("needs logrotate from Debian")
	}
	for _, conf := range []string{
		"rotate 3\ncreate",
		"rotate 5\ncreate\ncompress",
		"rotate 5\ncreate\ncompress\ndelaycompress",
		"rotate 3\ncopytruncate",
		"rotate 5\ncopytruncate\ncompress",
		"rotate 5\ncopytruncate\ncompress\ndelaycompress",
		"rotate 5\ncreate\ncompress\ncompresscmd /usr/bin/xz\ncompressext .xz",
		"rotate 5\ncreate\ncompress\ncompresscmd /usr/bin/zstd\ncompressoptions --rm\ncompressext .zst",
		"rotate 9\ncreate\ndateext\ndateformat -%Y%m%d-%s\ncompress\ndelaycompress",
		"rotate 9\ncopytruncate\ndateext\ndateformat .%Y%m%d%s",
		"rotate 4\nnocreate\nextension .log",
		"rotate 4\ncreate\nstart 0",
		"rotate 4\ncreate\nolddir old\ncreateolddir", // the follower keeps the descriptor
	} {
		for _, kill := range []bool{false, true} {
			if kill && strings.Contains(conf, "olddir") {
				continue
			}
			t.Run(strings.ReplaceAll(conf, "\n", ", ")+fmt.Sprint(", restart ", kill), func(t *testing.T) {
				t.Parallel()
				position := ""
				set := func(o *FollowOptions) { o.Position = position }
				l := newLab(t, func(o *FollowOptions) { position = filepath.Join(filepath.Dir(o.Paths[0]), ".position"); set(o) })
				l.must(os.Chmod(l.dir, 0o700))
				file := filepath.Join(l.dir, ".conf")
				l.must(os.WriteFile(file, []byte(l.log+" {\n"+conf+"\nmissingok\n}\n"), 0o600))
				want := ""
				for i := range 6 {
					text := lines(100*i, 100*i+10+17*i)
					l.write(l.log, text[:len(text)/2])
					l.poll()
					if kill && i%2 == 0 {
						l.save(true)
						l.crash()
					}
					l.write(l.log, text[len(text)/2:])
					want += text
					if strings.Contains(conf, "date") {
						time.Sleep(1100 * time.Millisecond) // names with seconds in them
					}
					l.run(program, "-f", "-s", filepath.Join(l.dir, ".state"), file)
					if kill && i%2 == 0 {
						l.start(set)
					}
					if i%3 > 0 {
						l.poll()
					}
				}
				l.write(l.log, "the end\n")
				l.poll()
				l.poll()
				lost := []int64{}
				for range l.all[l.log].losses {
					lost = append(lost, 0) // cut after it was copied: nothing that was seen
				}
				l.want(want+"the end\n", lost...)
			})
		}
	}
}

// Inside of a mount namespace of its own: the file system that the position is kept on is full.
func TestFullDiskProcess(t *testing.T) {
	dir := os.Getenv("DESCRY_FOLLOW_DIR")
	if dir == "" {
		return // it is started by TestFollowFullDisk
	}
	disk := filepath.Join(dir, "disk")
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	position := filepath.Join(disk, "position")
	set := func(o *FollowOptions) { o.Position = position }
	l := newLab(t, set)
	l.write(l.log, lines(0, 100))
	l.poll()
	fill := func() {
		f, err := os.Create(filepath.Join(disk, "fill"))
		l.must(err)
		defer f.Close()
		for {
			if _, err := f.Write(make([]byte, 512)); err != nil {
				return
			}
		}
	}
	fill()
	for i := 100; i < 300; i++ {
		l.write(l.log, lines(i, i+1))
		l.poll()
	}
	if len(l.trouble) != 1 || l.trouble[0].Err == nil || !strings.Contains(l.trouble[0].Err.Error(), "goes on in memory") || !strings.Contains(l.trouble[0].Err.Error(), "no space left") {
		t.Fatalf("said while it is full: %+v", l.trouble)
	}
	l.want(lines(0, 300))
	l.must(os.Remove(filepath.Join(disk, "fill")))
	l.poll()
	l.poll()
	if len(l.trouble) != 2 || l.trouble[1].Err != nil {
		t.Fatalf("said when it is over: %+v", l.trouble)
	}
	l.crash()
	l.write(l.log, lines(300, 310))
	l.start(set)
	l.poll()
	l.want(lines(0, 310))
}

func TestFollowFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it mounts a small file system in a namespace of its own")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "disk"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := again(t, "TestFullDiskProcess", dir, "unshare", "-m", "--propagation", "private").CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestFullDiskProcess")) {
		t.Fatalf("%v: %s", err, out)
	}
}

// Inside: no more than 40 descriptors.
func TestFewDescriptorsProcess(t *testing.T) {
	dir := os.Getenv("DESCRY_FOLLOW_DIR")
	if dir == "" {
		return // it is started by TestFollowFewDescriptors
	}
	all := map[string]*catcher{}
	w, err := NewFollower(FollowOptions{Paths: []string{dir}, MaxOpen: 1000, New: func(path string) Consumer {
		all[path] = &catcher{}
		return all[path]
	}, Trouble: func(x Trouble) { t.Errorf("%+v", x) }})
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Now()
	for round := range 5 {
		for i := range 200 {
			f, err := os.OpenFile(filepath.Join(dir, fmt.Sprint(i, ".log")), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				t.Fatal(err) // descriptors are left for others
			}
			fmt.Fprintf(f, "line %d of %d\n", round, i)
			f.Close()
		}
		for range 4 {
			clock = clock.Add(3 * time.Second)
			for w.Poll(clock) {
			}
		}
		if logs, open := w.Files(); logs != 200 || open > 40 {
			t.Errorf("%d logs, %d descriptors", logs, open)
		}
	}
	for path, c := range all {
		if n := bytes.Count(c.streams[0], []byte("\n")); n != 5 || len(c.losses) > 0 {
			t.Errorf("%s: %d lines, %v", path, n, c.losses)
		}
	}
}

func TestFollowFewDescriptors(t *testing.T) {
	if out, err := again(t, "TestFewDescriptorsProcess", t.TempDir(), "prlimit", "--nofile=40:40").CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestFewDescriptorsProcess")) {
		t.Fatalf("%v: %s", err, out)
	}
}

// A file that may not be read for a while is said once, and read when it may.
func TestFollowPermission(t *testing.T) {
	if os.Geteuid() == 0 { // root may read anything: as nobody, for this thread's files
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer unix.Setfsuid(0)
	}
	dir, err := os.MkdirTemp("", "descry-follow-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	log := filepath.Join(dir, "x.log")
	l := newLab(t, func(o *FollowOptions) { o.Paths = []string{log} })
	l.log = log
	l.must(os.Chmod(dir, 0o755))
	l.write(l.log, lines(0, 10))
	l.must(os.Chmod(l.log, 0o200))
	become := func(uid int) {
		if os.Geteuid() == 0 {
			unix.Setfsuid(uid)
		}
	}
	become(65534)
	for range 3 {
		l.poll()
	}
	become(0)
	if len(l.trouble) != 1 || l.trouble[0].Err == nil || !strings.Contains(l.trouble[0].Err.Error(), "permission denied") {
		t.Fatalf("%+v", l.trouble)
	}
	l.must(os.Chmod(l.log, 0o644))
	become(65534)
	l.poll()
	become(0)
	l.want(lines(0, 10))
	if len(l.trouble) != 2 || l.trouble[1].Err != nil {
		t.Fatalf("%+v", l.trouble)
	}
}
