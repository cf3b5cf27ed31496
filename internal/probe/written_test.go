//go:build linux

package probe

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

func init() {
	children["written"] = childWritten
	children["look"] = childLook
}

// childWritten writes to its output in every way that there is.
func childWritten([]string) {
	runtime.LockOSThread()
	say := func(fd int, s string) {
		n, err := unix.Write(fd, []byte(s))
		must(err)
		equal(n, len(s))
	}
	say(1, "one line\n")
	say(1, "and another\n")
	dup, err := unix.Dup(1)
	must(err)
	must(unix.Dup3(dup, 20, 0))
	say(20, "by a copy\n")
	again, err := unix.Open("/proc/self/fd/1", unix.O_WRONLY, 0)
	must(err)
	must(unix.Dup3(again, 21, 0))
	_, err = unix.Writev(21, [][]byte{{}, []byte("by its "), []byte("name\n")})
	must(err)
	var p [2]int
	must(unix.Pipe2(p[:], 0))
	say(p[1], "spliced\nteed\nnot of the output\n")
	n, err := unix.Tee(p[0], 1, 8, 0)
	must(err)
	equal(int(n), 8)
	n, err = unix.Splice(p[0], nil, 20, nil, 8, 0)
	must(err)
	equal(int(n), 8)
	f, err := os.CreateTemp("", "written")
	must(err)
	must(os.Remove(f.Name()))
	_, err = f.WriteString("from a file\n")
	must(err)
	var at int64
	moved, err := unix.Sendfile(1, int(f.Fd()), &at, 100)
	must(err)
	equal(moved, 12)
	b := []byte("vmspliced\n")
	iov := unix.Iovec{Base: &b[0], Len: uint64(len(b))}
	r, errno := raw(unix.SYS_VMSPLICE, 1, uintptr(unsafe.Pointer(&iov)), 1, 0)
	if errno != 0 {
		panic(errno)
	}
	equal(int(r), len(b))
	say(20, "\x16\x03\x03\x00\x40garbage\n")

	// Strangers on its number.
	must(unix.Close(1))
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	equal(pair[0], 1)
	say(1, "INFO lost\n")
	must(unix.Dup3(20, 1, 0)) // and back
	say(1, "restored\n")
}

func outputOf(t *testing.T, w *watch, pid int) (o Output) {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/fd/1", pid), &st); err != nil {
		t.Fatal(err)
	}
	o = Output{Inode: st.Ino}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR {
		o.Rdev = st.Rdev
	}
	if err := w.WatchOutput(o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestWritten(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		k := command(t, "exec", "written")
		var o Output
		k.before = func(pid int) { o = outputOf(t, w, pid) }
		w.run(k)
		w.done(k)
		all, err := w.Writes(nil, o.Inode)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range all {
			if int(r.PID) != k.pid || r.TID == 0 || r.Comm == "" || r.BootNanos == 0 || r.Until < r.BootNanos {
				t.Errorf("%+v, want it of process %d", r, k.pid)
			}
			got = append(got, fmt.Sprintf("%d+%d %s %d x%d odd=%v %q %q@%d", r.Offset, r.Length, r.Call, r.FD, r.Writes, r.Odd, r.First, r.Last, r.LastOffset))
		}
		want := []string{
			`0+21 write 1 x2 odd=false "one line\n" "and another\n"@9`,
			`21+10 write 20 x1 odd=false "by a copy\n" ""@21`,
			`31+12 writev 21 x1 odd=false "by its " ""@31`,
			`43+8 tee 1 x1 odd=false "" ""@43`,
			`51+8 splice 20 x1 odd=false "" ""@51`,
			`59+12 sendfile 1 x1 odd=false "" ""@59`,
			`71+10 vmsplice 1 x1 odd=false "vmspliced\n" ""@71`,
			`81+13 write 20 x1 odd=true "\x16\x03\x03\x00@garbage\n" ""@81`,
			`94+9 write 1 x1 odd=false "restored\n" ""@94`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		got = nil
		for _, d := range ofKind[*evidence.Written](w, k.pid) {
			got = append(got, fmt.Sprintf("%s %d %s output=%v odd=%v %d+%d %q", d.Call, d.FD, d.FDKind, d.Output, d.Odd, d.Offset, d.Bytes, d.Data))
			if d.Context == nil {
				t.Errorf("%+v has no stack", d)
			} else {
				checkCallContext(t, d.Context, false, 4096)
			}
		}
		want = []string{
			`write 20 pipe output=true odd=true 81+13 "\x16\x03\x03\x00@garbage\n"`,
			`write 1 unix output=false odd=false 0+10 "INFO lost\n"`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if c := w.Counters(); c[evidence.CountOddWrites] != 1 || c[evidence.CountStrayWrites] != 1 {
			t.Errorf("counters %v", c)
		}
	})
}

// childLook writes each piece by a thread of its own, so that none is only counted.
func childLook([]string) {
	for _, p := range looked {
		done := make(chan bool)
		go func() {
			runtime.LockOSThread() // and ends with it
			_, err := unix.Write(1, p.data)
			must(err)
			close(done)
		}()
		<-done
	}
}

var looked = []struct {
	what string
	data []byte
	odd  bool
}{
	{"ASCII", []byte("plain text\r\n"), false},
	{"colours", []byte("\x1b[31mred\x1b[0m\a\b\f\v\t\n"), false},
	{"UTF-8", []byte("Grüße, 日本語, emoji 🎉 ┌──┐\n"), false},
	{"UTF-8 over several words", []byte(strings.Repeat("日本語🎉é", 12)), false},
	{"long UTF-8", []byte(strings.Repeat("日本語のログ行です\n", 1000)), false},
	{"NUL", []byte("a\x00b"), true},
	{"TLS", []byte("\x16\x03\x01\x02\x00\x01"), true},
	{"UTF-16", []byte("H\x00e\x00l\x00l\x00o\x00"), true},
	{"Latin-1", []byte("Gr\xfc\xdfe an alle\n"), true},
	{"nothing but second bytes", bytes.Repeat([]byte{0xaa}, 40), true},
	{"a second byte alone", []byte("abc\x85def"), true},
	{"in the middle of 4096", append(append(bytes.Repeat([]byte("text and text. \n"), 125), bytes.Repeat([]byte{0x8f, 0x02, 'x'}, 104)...), bytes.Repeat([]byte("more text here.\n"), 112)...), true},
	{"one byte", []byte("."), false},
	{"a control in the last byte of the first look", append(bytes.Repeat([]byte("x"), 63), 1), true},
	{"64 bytes", bytes.Repeat([]byte("y"), 64), false},
}

func TestLook(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		k := command(t, "exec", "look")
		var o Output
		k.before = func(pid int) { o = outputOf(t, w, pid) }
		w.run(k)
		w.done(k)
		all, err := w.Writes(nil, o.Inode)
		if err != nil {
			t.Fatal(err)
		}
		at := int64(0)
		for _, p := range looked {
			i := slices.IndexFunc(all, func(r Written) bool { return r.Offset <= at && at < r.Offset+r.Length })
			if i < 0 {
				t.Fatalf("%s is not in the ledger", p.what)
			}
			if all[i].Odd != p.odd {
				t.Errorf("%s: odd %v, want %v", p.what, all[i].Odd, p.odd)
			}
			at += int64(len(p.data))
		}
		for _, d := range ofKind[*evidence.Written](w, k.pid) {
			if !d.Odd || len(d.Data) == 0 {
				t.Errorf("%+v, want what is odd alone", d)
			}
		}
	})
}

// Closer takes stacks of writes that hold nothing odd, as many as asked for.
func TestCloser(t *testing.T) {
	eachWay(t, func(t *testing.T, w *watch) {
		k := command(t, "exec", "look")
		k.before = func(pid int) {
			o := outputOf(t, w, pid)
			if err := w.Closer(o, 5, 1<<62); err != nil {
				t.Fatal(err)
			}
		}
		w.run(k)
		w.done(k)
		plain := 0
		for _, d := range ofKind[*evidence.Written](w, k.pid) {
			if !d.Odd {
				plain++
			}
		}
		if plain != 5 {
			t.Errorf("%d stacks of writes of text, want 5", plain)
		}
	})
}
