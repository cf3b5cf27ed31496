// Command runtimes makes internal/diagnose/testdata/runtimes anew: what the runtimes of some languages
// really write when the kernel or the resolver refuses something to a program that does not expect it.
//
//	sudo go run ./test/runtimes [-lang LANG] [-case NAME]
//
// Each program in testdata is brought into the same refusals: in a mount and a network namespace of
// their own, under limits, as a user without privileges. It needs root, the compilers and interpreters,
// and iproute2; a language that is not installed is left out by name.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

var (
	only     = flag.String("lang", "", "only this language")
	onlyCase = flag.String("case", "", "only this case")
	inside   = flag.Bool("inside", false, "run already in namespaces of its own")
	out      = flag.String("out", "internal/diagnose/testdata/runtimes", "where to write")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	if !*inside {
		cmd := exec.Command("/proc/self/exe", append([]string{"-inside"}, os.Args[1:]...)...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
		if err := cmd.Run(); err != nil {
			log.Fatalf("run in namespaces (it needs root): %v", err)
		}
		return
	}
	where, err := filepath.Abs(*out)
	if err != nil {
		log.Fatal(err)
	}
	programs, err := filepath.Abs("test/runtimes/testdata")
	if err != nil {
		log.Fatal(err)
	}
	if err := surroundings(); err != nil {
		log.Fatal(err)
	}
	for i := range languages {
		l := &languages[i]
		if *only != "" && *only != l.name {
			continue
		}
		if err := l.prepare(programs); err != nil {
			log.Printf("%s is left out: %v", l.name, err)
			continue
		}
		for _, c := range cases {
			if *onlyCase != "" && *onlyCase != c.name || slices.Contains(l.without, c.name) || slices.Contains(l.without, c.op) {
				continue
			}
			if err := l.record(&c, where); err != nil {
				log.Printf("%s %s: %v", l.name, c.name, err)
			}
		}
	}
}

// language is one runtime.
type language struct {
	name    string // the folder's
	file    string // in testdata
	build   []string
	run     []string
	version []string
	env     []string
	without []string          // cases and operations that it does not have
	says    map[string]string // what it makes of a case where that is another error
	as      uint64            // RLIMIT_AS in MiB of the cases of memory, 0: 700
	nofile  uint64
	nproc   uint64
}

const bin = "/srv/bin/"

var languages = []language{
	{name: "go", file: "x.go", build: []string{"go", "build", "-trimpath", "-o", bin + "x-go", "x.go"}, run: []string{bin + "x-go"}, version: []string{"go", "version"}, as: 3000, without: []string{"EAGAIN"}},
	{name: "go-log", file: "x.go", build: []string{"go", "build", "-trimpath", "-o", bin + "x-go", "x.go"}, run: []string{bin + "x-go"}, version: []string{"go", "version"}, env: []string{"SAY=log"}, without: []string{"spawn", "EAGAIN", "ENOMEM"}},
	{name: "python", file: "x.py", run: []string{"/usr/bin/python3", bin + "x.py"}, version: []string{"/usr/bin/python3", "--version"}},
	{name: "node", file: "x.js", run: []string{"/usr/bin/node", bin + "x.js"}, version: []string{"node", "--version"}, as: 48 << 10, nofile: 48, nproc: 24, without: []string{"memory", "spawn"}},
	{name: "java", file: "X.java", build: []string{"javac", "-d", bin, "X.java"}, version: []string{"java", "-version"}, as: 12 << 10, nofile: 64, nproc: 40,
		run: []string{"java", "-Xmx64m", "-Xshare:auto", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:ErrorFile=/dev/null", "-cp", bin, "X"}},
	{name: "java-nio", file: "X.java", build: []string{"javac", "-d", bin, "X.java"}, version: []string{"java", "-version"}, as: 12 << 10, nofile: 64, nproc: 40,
		run: []string{"java", "-Xmx64m", "-Xshare:auto", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-cp", bin, "X"}, without: []string{"fill", "many", "mkdir", "chmod", "talk", "listen", "exec", "big", "spawn", "fork", "memory", "pipe"}},
	{name: "ruby", file: "x.rb", run: []string{"ruby", bin + "x.rb"}, version: []string{"ruby", "--version"}, without: []string{"EAGAIN", "fork", "ENOEXEC"}},
	{name: "php", file: "x.php", run: []string{"php", "-n", "-d", "display_errors=stderr", "-d", "html_errors=0", bin + "x.php"}, version: []string{"php", "-v"}, without: []string{"spawn", "exec", "big", "ENFILE", "EAGAIN", "memory"},
		says: map[string]string{"ENOTDIR": "ENOENT", "ELOOP": "ENOENT"}},
	{name: "rust", file: "x.rs", build: []string{"rustc", "-O", "-o", bin + "x-rust", "x.rs"}, run: []string{bin + "x-rust"}, version: []string{"rustc", "--version"}},
	{name: "rust-main", file: "x.rs", build: []string{"rustc", "-O", "-o", bin + "x-rust", "x.rs"}, run: []string{bin + "x-rust"}, version: []string{"rustc", "--version"}, env: []string{"SAY=1"}, without: []string{"memory"}},
	{name: "cpp", file: "x.cpp", build: []string{"g++", "-std=c++17", "-pthread", "-o", bin + "x-cpp", "x.cpp"}, run: []string{bin + "x-cpp"}, version: []string{"g++", "--version"}},
	{name: "c", file: "x.c", build: []string{"gcc", "-pthread", "-o", bin + "x-c", "x.c"}, run: []string{bin + "x-c"}, version: []string{"gcc", "--version"}},
	{name: "c-musl", file: "x.c", build: []string{"musl-gcc", "-static", "-o", bin + "x-musl", "x.c"}, run: []string{bin + "x-musl"}, version: []string{"dpkg-query", "-W", "musl"}},
	{name: "perl", file: "x.pl", run: []string{"perl", bin + "x.pl"}, version: []string{"perl", "-e", "print $^V"}, without: []string{"memory", "ENOEXEC"}},
	{name: "lua", file: "x.lua", run: []string{"lua5.4", bin + "x.lua"}, version: []string{"lua5.4", "-v"}, without: []string{"connect", "dial", "talk", "listen", "exec", "big", "spawn", "EPERM", "mkdir", "memory", "fork"}},
	{name: "dash", file: "x.sh", run: []string{"dash", bin + "x.sh"}, version: []string{"dpkg-query", "-W", "dash"}, says: map[string]string{"ENOTDIR": "ENOENT", "ENOSPC": "nothing", "EAGAIN": "nothing", "EPIPE": "nothing"}, without: []string{"EMFILE", "connect", "dial", "talk", "listen", "spawn", "mkdir", "chmod", "memory"}},
	{name: "bash", file: "x.sh", run: []string{"bash", bin + "x.sh"}, version: []string{"bash", "--version"}, without: []string{"dial", "talk", "listen", "spawn", "mkdir", "chmod", "memory"}},
}

// prepare builds the program, or puts it where the user without privileges reads it.
func (l *language) prepare(programs string) error {
	tool := l.run[0]
	if l.build != nil {
		tool = l.build[0]
	}
	if _, err := exec.LookPath(tool); err != nil {
		return err
	}
	if l.build == nil {
		b, err := os.ReadFile(filepath.Join(programs, l.file))
		if err != nil {
			return err
		}
		return os.WriteFile(bin+l.file, b, 0o644)
	}
	cmd := exec.Command(l.build[0], l.build[1:]...)
	cmd.Dir = programs
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(l.build, " "), err, b)
	}
	return nil
}

func (l *language) versionLine() string {
	b, _ := exec.Command(l.version[0], l.version[1:]...).CombinedOutput()
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}
