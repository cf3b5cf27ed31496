package coredump

import (
	"slices"
	"strings"
	"testing"
)

func words(m map[byte]string) specifiers {
	return func(b byte) (string, bool, bool) {
		v, ok := m[b]
		return v, b == 'e' || b == 'h' || b == 'E', ok
	}
}

func TestExpand(t *testing.T) {
	of := words(map[byte]string{'p': "12", 'P': "3412", 'e': "a/b", 'h': "..", 'E': "", 's': "11"})
	for _, c := range []struct {
		pattern string
		uses    bool
		want    string
	}{
		{"core", false, "core"},
		{"core", true, "core.12"},
		{"core.%p", true, "core.12"},
		{"core.%%p", true, "core.%p.12"},
		{"%e-%h-%E", false, "a!b-!.-!"},
		{"/x/%P/%s%", false, "/x/3412/11"},
		{"%q%z", false, ""},
	} {
		if got := coreFile(c.pattern, c.uses, 12, of); got != c.want {
			t.Errorf("%q (core_uses_pid %v) becomes %q, want %q", c.pattern, c.uses, got, c.want)
		}
	}
	got := helperArguments("/bin/h  %p  -x=%e %E end ", words(map[byte]string{'p': "12", 'e': "a b", 'E': ""}))
	if want := []string{"/bin/h", "12", "-x=a b", "!", "end"}; !slices.Equal(got, want) {
		t.Errorf("arguments %q, want %q", got, want)
	}
}

func TestOurPattern(t *testing.T) {
	for _, w := range []Way{WayRequest, WaySocket, WayPipe} {
		p, err := ourPattern("/run/descry", w)
		if err != nil {
			t.Fatal(err)
		}
		if dirOf(p) != "/run/descry" {
			t.Errorf("%q is not known for what it is", p)
		}
		if way, _ := wayOf(p, kernelVersion{6, 17}); way != w {
			t.Errorf("%q is of %q", p, way)
		}
		for _, bad := range []string{"run", "/run/a b", "/run/%p", "/" + strings.Repeat("x", 120)} {
			if p, err := ourPattern(bad, w); err == nil {
				t.Errorf("it makes %q", p)
			}
		}
	}
	for _, p := range []string{"core", "", "|/usr/lib/systemd/systemd-coredump %P", "@/run/x.sock", "@@/a/core.socket"} {
		if dir := dirOf(p); dir != "" {
			t.Errorf("%q is taken for a descry's in %s", p, dir)
		}
	}
	// An older kernel takes it for a file.
	if w, _ := wayOf("@/run/descry/core.sock", kernelVersion{6, 12}); w != wayFile {
		t.Errorf("on 6.12 it is %q", w)
	}
}

func TestParseVersion(t *testing.T) {
	for release, want := range map[string]kernelVersion{
		"6.18.44-fc": {6, 18}, "6.1.0-32-cloud-amd64": {6, 1}, "5.15": {5, 15}, "7.0-rc1": {7, 0}, "": {}, "x": {}, "6": {6, 0},
	} {
		if got := parseVersion(release); got != want {
			t.Errorf("%q is %v", release, got)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("|/bin/h %p %e", "a/b")
	f.Add("core.%", "..")
	f.Add("%%%E%h ", "")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		of := func(b byte) (string, bool, bool) { return value, true, b == 'e' || b == 'h' }
		for _, word := range helperArguments(pattern, of) {
			_ = word
		}
		for _, part := range strings.Split(expand("/x/%e/%h", of), "/")[2:] {
			if part == "" || part == "." || part == ".." {
				t.Errorf("%q names another directory: %q", value, part)
			}
		}
		coreFile(pattern, true, 1, of)
		dirOf(pattern)
	})
}

func FuzzParseIdentity(f *testing.F) {
	f.Add([]byte("Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10\nNStgid:\t100\t1\nNSpid:\t101\t2\nCapEff:\t00ff\n"))
	f.Add([]byte("Uid:\nGid:\nGroups:\nCapEff:\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := parseIdentity(b); err == nil && len(id.Groups) > len(b) {
			t.Error(id)
		}
		parseLimit(b, coreLimit)
	})
}

func TestParseIdentity(t *testing.T) {
	id, err := parseIdentity([]byte("Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nNStgid:\t100\t1\nNSpid:\t101\t2\nCapEff:\t000001ff00000001\n"))
	if err != nil || id.UID[3] != 4 || id.GID[3] != 8 || !slices.Equal(id.Groups, []int{9, 10}) || id.NSPID != 1 || id.NSTID != 2 || id.Capabilities != 0x1ff00000001 {
		t.Errorf("%+v: %v", id, err)
	}
	if _, err := parseIdentity([]byte("Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n")); err == nil {
		t.Error("half a status is taken")
	}
	limits := []byte("Limit                     Soft Limit           Hard Limit           Units\nMax core file size        0                    unlimited            bytes\nMax file size             unlimited            unlimited            bytes\n")
	if n, err := parseLimit(limits, coreLimit); err != nil || n != 0 {
		t.Error(n, err)
	}
	if n, err := parseLimit(limits, fileLimit); err != nil || n != unlimited {
		t.Error(n, err)
	}
}

func FuzzParseHandled(f *testing.F) {
	f.Add("12 13 11 1700000000 1")
	f.Add("-1 x")
	f.Fuzz(func(t *testing.T, line string) {
		if d, err := parseHandled(strings.Fields(line)); err == nil && (d.PID <= 0 || d.TID < 0) {
			t.Error(d)
		}
	})
}
