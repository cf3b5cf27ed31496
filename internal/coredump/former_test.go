package coredump

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const nobody = 65534

// openDir is a directory that every user may look into; uid owns it.
func openDir(t testing.TB, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "descry-core-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sharedExe is this test as a file that every user may execute.
func sharedExe(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(openDir(t, 0), "victim")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// as starts a victim as a user, in a directory, with a limit of its core.
func as(exe string, uid int, dir string, limit uint64) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.Path, c.Args, c.Dir = exe, []string{exe}, dir
		limitCore(limit)(c)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
}

func nobodys(int) bool { return false }

// A process that is not recorded leaves the file that it would have left.
func TestFormerFile(t *testing.T) {
	exe := sharedExe(t)
	eachWay(t, func(t *testing.T, w Way) {
		asBefore(t)
		r := receive(t, InstallOptions{Way: w}, nil, nobodys)
		for _, c := range []struct {
			name     string
			uid, own int // the user, and the directory's
			limit    uint64
			want     bool
		}{
			{"root", 0, 0, unlimited, true},
			{"user", nobody, nobody, unlimited, true},
			{"limit 0", nobody, nobody, 0, false},
			{"limited", nobody, nobody, 64 << 10, true},
			{"not its directory", nobody, 0, unlimited, false},
		} {
			t.Run(c.name, func(t *testing.T) {
				dir := openDir(t, c.own)
				// What stands there is replaced, and a link is not followed.
				target := filepath.Join(openDir(t, nobody), "target")
				if err := os.WriteFile(target, []byte("precious"), 0o666); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(target, filepath.Join(dir, "core")); err != nil {
					t.Fatal(err)
				}
				v := newVictim(t, unix.SIGSEGV, 1, as(exe, c.uid, dir, c.limit))
				ws := v.dies(t)
				if b, err := os.ReadFile(target); err != nil || string(b) != "precious" {
					t.Errorf("the link's target holds %q: %v", b[:min(len(b), 20)], err)
				}
				path := filepath.Join(dir, "core")
				var st unix.Stat_t
				// The file is written when the process is gone; with a pipe or a socket that waits.
				if err := unix.Lstat(path, &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFLNK {
					if c.want {
						t.Fatalf("no core (%v), it ended with %v core %v", err, ws.Signal(), ws.CoreDump())
					}
					return
				}
				if !c.want {
					t.Fatalf("there is a core of mode %o of uid %d", st.Mode, st.Uid)
				}
				if st.Mode != unix.S_IFREG|0o600 || int(st.Uid) != c.uid || int(st.Gid) != c.uid {
					t.Errorf("the core has mode %o, uid %d, gid %d", st.Mode, st.Uid, st.Gid)
				}
				if c.limit != unlimited {
					if st.Blocks*512 > int64(c.limit)+8192 {
						t.Errorf("%d bytes on the disk with a limit of %d", st.Blocks*512, c.limit)
					}
					return
				}
				f, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				core, err := Open(f, st.Size)
				if err != nil {
					t.Fatal(err)
				}
				if int(core.PID) != v.pid || len(core.Damage) > 0 {
					t.Errorf("the core is of %d, want %d; damaged: %v", core.PID, v.pid, core.Damage)
				}
			})
		}
		if len(r.k.seen) > 0 {
			t.Errorf("%d dumps were taken that are not ours", len(r.k.seen))
		}
	})
}

// What the process may reach is what counts: its root, its namespaces, its pid there.
func TestFormerFileInside(t *testing.T) {
	exe := sharedExe(t)
	eachWay(t, func(t *testing.T, w Way) {
		if err := writeSysctl("core_pattern", "/cores/%e.%p"); err != nil {
			t.Fatal(err)
		}
		asBefore(t)
		r := receive(t, InstallOptions{Way: w}, nil, nobodys)
		root := openDir(t, 0)
		for _, d := range []string{"cores", "proc", "dev"} {
			if err := os.Mkdir(filepath.Join(root, d), 0o777); err != nil {
				t.Fatal(err)
			}
		}
		os.Chmod(filepath.Join(root, "cores"), 0o777)
		b, err := os.ReadFile(exe)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "victim"), b, 0o755); err != nil {
			t.Fatal(err)
		}
		libraries(t, exe, root)
		v := newVictim(t, unix.SIGSEGV, 0, func(c *exec.Cmd) {
			c.Path, c.Args, c.Dir = "/victim", []string{"/victim"}, "/"
			c.SysProcAttr = &syscall.SysProcAttr{
				Credential: &syscall.Credential{NoSetGroups: true}, // root inside
				Chroot:     root, Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUSER,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: nobody, Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: nobody, Size: 1}},
			}
			var old unix.Rlimit
			unix.Prlimit(0, unix.RLIMIT_CORE, nil, &old)
			unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: old.Max})
			t.Cleanup(func() { unix.Setrlimit(unix.RLIMIT_CORE, &old) })
		})
		v.dies(t)
		path := filepath.Join(root, "cores", "victim.1")
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			list, _ := os.ReadDir(filepath.Join(root, "cores"))
			t.Fatalf("%v; there are %v", err, list)
		}
		if st.Uid != nobody || st.Size < 4096 {
			t.Errorf("the core has uid %d, %d bytes", st.Uid, st.Size)
		}
		r.end()
	})
}

// libraries puts what a program is linked to into a root.
func libraries(t testing.TB, exe, root string) {
	t.Helper()
	out, err := exec.Command("ldd", exe).CombinedOutput()
	if err != nil {
		return // it is static
	}
	for _, f := range strings.Fields(string(out)) {
		b, err := os.ReadFile(f)
		if !strings.HasPrefix(f, "/") || err != nil {
			continue
		}
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(f)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, f), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// The former handler is started as the kernel starts it.
func TestFormerPipe(t *testing.T) {
	eachWay(t, func(t *testing.T, w Way) {
		dir := openDir(t, 0)
		out := filepath.Join(dir, "out")
		script := filepath.Join(dir, "handler")
		// Others on this machine may die meanwhile: each process has a file of its own.
		text := fmt.Sprintf("#!/bin/sh\nexport PATH=/usr/bin:/bin\nout=%s.${1%%%%=*}\necho \"$@\" >>$out\nhead -c 4 | tr -d '\\177' >>$out\nwc -c >>$out\necho >>$out end\n", out)
		if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := writeSysctl("core_pattern", "|"+script+" %p=%P %i=%I %u %g %s %d %c %h %e %E %f %% x%"); err != nil {
			t.Fatal(err)
		}
		asBefore(t)
		one := func() []string {
			v := newVictim(t, unix.SIGABRT, 0, nil)
			v.dies(t)
			var said string
			until(t, "the handler ends", func() bool {
				b, _ := os.ReadFile(fmt.Sprint(out, ".", v.pid))
				said = string(b)
				return strings.HasSuffix(said, "end\n")
			})
			said = strings.ReplaceAll(said, strconv.Itoa(v.pid), "PID")
			return strings.Fields(strings.ReplaceAll(said, strconv.Itoa(v.tid), "TID"))
		}
		want := one()
		r := receive(t, InstallOptions{Way: w}, nil, nobodys)
		got := one()
		r.end()
		if len(want) < 12 || len(got) != len(want) {
			t.Fatalf("got  %q\nwant %q", got, want)
		}
		n := len(want) - 2 // how many bytes the core has
		a, _ := strconv.Atoi(got[n])
		b, _ := strconv.Atoi(want[n])
		if a < b/2 || a > 2*b {
			t.Errorf("the former handler got %d bytes, and %d from the kernel", a, b)
		}
		got[n], want[n] = "", ""
		if !slices.Equal(got, want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

// A former socket gets the core as well.
func TestFormerSocket(t *testing.T) {
	if BestWay() == WayPipe {
		t.Skip("core dumps: this kernel has no socket for them, which came with 6.16")
	}
	for _, former := range []Way{WaySocket, WayRequest} {
		for _, w := range []Way{WayRequest, WaySocket} {
			t.Run(fmt.Sprintf("%s by %s", former, w), func(t *testing.T) {
				machineWide(t)
				path := filepath.Join(openDir(t, 0), "former")
				l, err := net.Listen("unix", path)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				if err := writeSysctl("core_pattern", string(former)+path); err != nil {
					t.Fatal(err)
				}
				asBefore(t)
				got := make(chan []byte, 10)
				go func() {
					for {
						c, err := l.Accept()
						if err != nil {
							return
						}
						go func() {
							s := &stream{c.(*net.UnixConn)}
							defer s.Close()
							if former == WayRequest {
								io.ReadFull(s, make([]byte, requestSize))
								if err := ackRequest(s, coreByKernel|coreWait); err != nil {
									t.Error(err)
								}
							}
							b, _ := io.ReadAll(s)
							got <- b
						}()
					}
				}()
				r := receive(t, InstallOptions{Way: w}, nil, nobodys)
				v := newVictim(t, unix.SIGABRT, 0, nil)
				v.dies(t)
				late := time.After(10 * time.Second)
				for has := false; !has; {
					select {
					case b := <-got: // or another's that died meanwhile
						c, err := Open(bytes.NewReader(b), int64(len(b)))
						has = err == nil && int(c.PID) == v.pid
						if !has {
							t.Logf("the former server got %d bytes of another: %v", len(b), err)
						}
					case <-late:
						t.Fatal("the former server did not get it")
					}
				}
				r.end()
			})
		}
	}
}
