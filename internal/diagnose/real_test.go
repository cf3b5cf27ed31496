package diagnose

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRealReports lets real runtimes die and reads what they wrote.
func TestRealReports(t *testing.T) {
	for _, x := range []struct {
		name, file, text string
		run              []string
		typ, msg, frame  string
		deep             bool
	}{
		{"python", "a.py", "def f():\n    try:\n        open('/nope/x')\n    except OSError as e:\n        raise RuntimeError('no stock') from e\nf()\n", []string{"python3", "a.py"}, "RuntimeError", "no stock", "a.py:5 in f", false},
		{"python-syntax", "a.py", "def f(:\n", []string{"python3", "a.py"}, "SyntaxError", "", "a.py:1", false},
		{"node", "a.js", "function f() { null.x }\nf()\n", []string{"node", "a.js"}, "TypeError", "Cannot read properties of null", "a.js:1 in f", false},
		{"node-event", "a.js", "require('fs').createReadStream('/nope/x')\n", []string{"node", "a.js"}, "Error", "ENOENT", "", false},
		{"node-deep", "a.js", "function f() { f() }\nf()\n", []string{"node", "a.js"}, "RangeError", "Maximum call stack", "a.js:1 in f", true},
		{"ruby", "a.rb", "def f = raise(ArgumentError, 'no stock')\nf\n", []string{"ruby", "a.rb"}, "ArgumentError", "no stock", "a.rb:1", false},
		{"ruby-key", "a.rb", "def f(h) = h.fetch('net')\nf({'gross' => 1, 'nat' => 2})\n", []string{"ruby", "a.rb"}, "KeyError", "key not found", "a.rb:1", false},
		{"ruby-deep", "a.rb", "def f = f()\nf\n", []string{"ruby", "a.rb"}, "SystemStackError", "stack level too deep", "a.rb:1", true},
		{"php", "a.php", "<?php function f() { throw new DomainException('no stock'); } f();\n", []string{"php", "a.php"}, "DomainException", "no stock", "a.php:1", false},
		{"perl", "a.pl", "sub f { die 'no stock' } f();\n", []string{"perl", "a.pl"}, "", "no stock", "a.pl:1", false},
		{"java", "A.java", "public class A { static void f() { Integer.parseInt(\"x\"); } public static void main(String[] a) { f(); } }\n", []string{"java", "A.java"}, "NumberFormatException", "For input string", "A.java:1 in A.f", false},
	} {
		t.Run(x.name, func(t *testing.T) {
			if _, err := exec.LookPath(x.run[0]); err != nil {
				t.Skipf("needs %s: %v", x.run[0], err)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, x.file), []byte(x.text), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(x.run[0], x.run[1:]...)
			cmd.Dir = dir
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) {
				t.Fatalf("it did not fail: %v", err)
			}
			c := mk("/usr/bin/"+x.run[0], x.file).stderr(stderr.String()).stdout(stdout.String()).exits(int32(exit.ExitCode()))
			v := newView(c)
			tr := v.text.final
			if tr == nil {
				t.Fatalf("no report found in %q", stderr.String())
			}
			if tr.typ != x.typ || !strings.Contains(tr.msg, x.msg) || !strings.Contains(tr.frame, x.frame) || tr.deep != x.deep {
				t.Errorf("type %q, message %q, frame %q, deep %t of\n%s", tr.typ, tr.msg, tr.frame, tr.deep, stderr.String())
			}
			if !tr.fits(v) {
				t.Errorf("exit code %d does not fit", exit.ExitCode())
			}
			Judge(c)
			want := "uncaught-error certain"
			if x.deep {
				want = "stack-overflow certain"
			}
			if got := first(c); got != want {
				t.Errorf("found %s, want %s", got, want)
			}
		})
	}
}

// TestRealGo does the same with Go, whose runtime has several ways to end a program.
func TestRealGo(t *testing.T) {
	if testing.Short() {
		t.Skip("needs to build a program: not with -short")
	}
	dir := t.TempDir()
	src := `package main

import (
	"fmt"
	"os"
	"sync"
)

type order struct{ n *int }

func (o *order) total() int { return *o.n }

func deep(n int) int { return deep(n+1) + 1 }

func main() {
	switch os.Args[1] {
	case "nil":
		fmt.Println((&order{}).total())
	case "custom":
		panic(fmt.Errorf("journal is not sorted"))
	case "again":
		defer func() { panic(fmt.Sprint("second, after ", recover())) }()
		panic("first")
	case "deadlock":
		var m sync.Mutex
		m.Lock()
		m.Lock()
	case "deep":
		deep(0)
	case "logged":
		func() {
			defer func() { fmt.Fprintln(os.Stderr, "recovered:", recover()) }()
			panic("handled")
		}()
		os.Exit(2)
	}
}
`
	for name, text := range map[string]string{"main.go": src, "go.mod": "module x\n\ngo 1.26\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", "x", ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Skipf("needs the go command: %v %s", err, out)
	}
	for how, want := range map[string][3]string{
		"nil":      {"uncaught-error certain", "nil pointer dereference", "main.(*order).total"},
		"custom":   {"uncaught-error certain", "journal is not sorted", "main.main"},
		"again":    {"uncaught-error certain", "first", "main.main"},
		"deadlock": {"uncaught-error certain", "deadlock", "main.main"},
		"deep":     {"stack-overflow certain", "stack overflow", "main.deep"},
		"logged":   {"exit-error certain", "handled", ""},
	} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.Command(filepath.Join(dir, "x"), how)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) {
				t.Fatalf("it did not fail: %v", err)
			}
			c := mk("/srv/x").stderr(stderr.String()).exits(int32(exit.ExitCode()))
			Judge(c)
			if got := first(c); got != want[0] || !strings.Contains(c.Findings[0].Summary, want[1]) || !strings.Contains(c.Findings[0].Summary, want[2]) {
				t.Errorf("found %s: %s\n%s", got, c.Findings[0].Summary, stderr.String()[:min(600, stderr.Len())])
			}
		})
	}
}
