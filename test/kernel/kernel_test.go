package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestNewest(t *testing.T) {
	names := []string{
		"linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64-dbg",
		"linux-image-6.1.0-57-amd64", "linux-image-6.1.0-58-cloud-amd64-unsigned", "linux-image-6.12-cloud-amd64",
		"linux-image-6.12.100+deb12-cloud-amd64", "linux-image-6.12.99+deb12-cloud-amd64", "linux-image-6.12.101+deb12-cloud-arm64",
	}
	for _, c := range []struct{ series, arch, want string }{
		{"6.1", "amd64", "6.1.0-56-cloud-amd64"},
		{"6.12", "amd64", "6.12.100+deb12-cloud-amd64"},
		{"6.12", "arm64", "6.12.101+deb12-cloud-arm64"},
		{"6.13", "amd64", ""},
		{"6", "amd64", "6.12.100+deb12-cloud-amd64"},
	} {
		if got := newest(names, "linux-image-", c.series, c.arch); got != c.want {
			t.Errorf("newest %s of %s: %q, want %q", c.series, c.arch, got, c.want)
		}
	}
}

// readArchive reads a newc archive as the kernel does.
func readArchive(t *testing.T, b []byte) map[string]string {
	t.Helper()
	all := map[string]string{}
	for at := 0; ; {
		if string(b[at:at+6]) != "070701" {
			t.Fatalf("no header at %d: %q", at, b[at:at+6])
		}
		field := func(i int) int {
			n, err := strconv.ParseUint(string(b[at+6+8*i:at+14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		mode, size, nameSize := field(1), field(6), field(11)
		name := string(b[at+110 : at+110+nameSize-1])
		begin := (at + 110 + nameSize + 3) &^ 3
		if name == "TRAILER!!!" {
			return all
		}
		if _, twice := all[name]; twice {
			t.Errorf("%s twice", name)
		}
		all[name] = fmt.Sprintf("%o %s", mode, b[begin:begin+size])
		at = (begin + size + 3) &^ 3
	}
}

func TestArchive(t *testing.T) {
	var b bytes.Buffer
	a := archive{w: &b}
	a.dir("tmp")
	a.add("/init", 0o755, []byte("12345"))
	a.add("/a/b/c", 0o644, []byte("1234"))
	a.add("a/b/d", 0o600, nil)
	a.link("/bin/l", "busybox")
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"tmp": "40755 ", "init": "100755 12345", "a": "40755 ", "a/b": "40755 ", "a/b/c": "100644 1234", "a/b/d": "100600 ", "bin": "40755 ", "bin/l": "120777 busybox"}
	if got := readArchive(t, b.Bytes()); !maps.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// What a test binary prints with -test.v=test2json: one test of each kind.
const said = "" +
	"\x16=== RUN   TestGood\n\x16--- PASS: TestGood (0.01s)\n" +
	"\x16=== RUN   TestOld\n    a_test.go:3: needs Linux 6.18: no mm at exit\n\x16--- SKIP: TestOld (0.00s)\n" +
	"\x16=== RUN   TestLazy\n    a_test.go:9: needs gcc: not found\n\x16--- SKIP: TestLazy (0.00s)\n" +
	"\x16=== RUN   TestBad\n    a_test.go:7: 1 is not 2\n\x16--- FAIL: TestBad (0.01s)\n\x16=== NAME  \n\x16FAIL\n"

func TestJudge(t *testing.T) {
	old := allowedSkip{test: "internal/probe TestOld", says: "needs Linux 6.18", why: "it is older"}
	stale := allowedSkip{test: "internal/probe TestGood", says: "needs"}
	elsewhere := allowedSkip{test: "internal/other TestGood", says: "needs"}
	j := judge{out: t.Output(), suites: []string{"internal/probe", "test/crash", "test/hung", "test/half"}, allowed: []*allowedSkip{&old, &stale, &elsewhere}}
	for part := range slices.Chunk([]byte(said), 7) { // as a serial line brings it
		j.output(0, part)
	}
	j.exit(0, 1)
	j.output(1, []byte("panic: before any test\n"))
	j.exit(1, 2)
	j.output(2, []byte("\x16=== RUN   TestHung\n"))
	j.exit(2, 2)
	j.output(3, []byte("\x16=== RUN   TestWorse\n\x16--- FAIL: TestWorse (1.00s)\n\x16=== NAME  \npanic: it is bad\n"))
	j.exit(3, 2)
	j.unused()

	check := func(what string, got []string, want ...string) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%s: %q, want %d", what, got, len(want))
			return
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("%s: %q, want %q in it", what, got[i], want[i])
			}
		}
	}
	check("passed", j.passed, "internal/probe TestGood")
	check("failed", j.failed, "internal/probe TestBad", "test/crash: exit code 2", "test/hung: exit code 2", "test/half TestWorse")
	check("skipped", j.skipped, "TestLazy: a_test.go:9: needs gcc: not found")
	check("wrong", j.wrong, "test/hung TestHung did not end", "test/half broke off with exit code 2", "internal/probe TestGood did not skip")
	if j.mustSkip != 1 {
		t.Errorf("%d skipped as they must, want 1", j.mustSkip)
	}
}

func TestConsole(t *testing.T) {
	var c console
	c.Write([]byte("[ 0.1] all is well\r\n"))
	if err := c.oops(); err != nil {
		t.Error(err)
	}
	c.Write([]byte("[ 0.2] BUG: kernel NULL pointer dereference\r\n[ 0.3] RIP: somewhere\r\n"))
	if err := c.oops(); err == nil || !strings.Contains(err.Error(), "RIP: somewhere") || strings.Contains(err.Error(), "all is well") {
		t.Errorf("complaint: %v", err)
	}
}

func TestAllowedOn(t *testing.T) {
	for _, k := range []kernel{{series: "6.1", arch: "amd64"}, {series: "6.12", arch: "arm64"}} {
		for _, a := range allowedOn(k) {
			if a.test == "" || a.says == "" || a.why == "" {
				t.Errorf("skips.go: a line says too little: %+v", *a)
			}
		}
	}
}

func TestAgain(t *testing.T) {
	for _, c := range []struct {
		j    judge
		want []string
	}{
		{judge{failed: []string{"internal/probe TestA/x", "internal/probe TestA", "test/kernel/guest TestB"}}, []string{"TestA", "TestB"}},
		{judge{}, nil},
		{judge{failed: []string{"internal/probe TestA"}, wrong: []string{"the machine hung"}}, nil},
		{judge{failed: []string{"internal/probe TestA"}, skipped: []string{"internal/probe TestB: why"}}, nil},
		{judge{failed: []string{"internal/probe: exit code 2"}}, nil},
		{judge{failed: []string{"p TestA", "p TestB", "p TestC", "p TestD", "p TestE"}}, nil},
	} {
		if got := c.j.again(); !slices.Equal(got, c.want) {
			t.Errorf("of %q: %q, want %q", c.j.failed, got, c.want)
		}
	}
}
