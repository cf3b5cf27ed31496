// Command output measures how well internal/output tells garbage from text, on what is not in the
// project: programs, archives, images, memory of processes and captured protocols, mixed into real
// logs, and honest text of every sort and language. It writes the tables of docs/output.md.
//
//	go run ./bench/output -download /var/tmp/descry-text -write docs/output.md
//	go run ./bench/output -half tune -show 5      what is missed on the half that is for tuning
//	go run ./bench/output -only speed             against utf8.Valid, grep and file
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// eval is one run.
type eval struct {
	test bool     // the half for judging, else the one for tuning
	logs []string // logs that garbage is mixed into, and which are judged as they are
	text []string // more folders of honest text
	each int      // pieces of each kind and length
	show int      // examples of each failure
	dir  string   // scratch
	out  io.Writer
}

func main() {
	half := flag.String("half", "test", "`half` of the files: test or tune; a hash of their content parts them")
	logs := flag.String("logs", "", "comma-separated `folders` of real logs; else /var/log")
	text := flag.String("text", "", "comma-separated `folders` of more honest text")
	download := flag.String("download", "", "unpack Debian's packages of text into this `folder`, and use them (about 1 GB)")
	each := flag.Int("n", 2000, "pieces of each kind and length")
	show := flag.Int("show", 0, "examples of each failure to show; on the half for tuning only")
	only := flag.String("only", "", "comma-separated `parts`: garbage, honest, speed")
	write := flag.String("write", "", "put the tables into this `file`, between its marks")
	flag.Parse()
	if *half != "test" && *half != "tune" {
		fail("unknown half %q", *half)
	}
	if *half == "test" && *show > 0 {
		fail("-show looks at failures, which the test half is not for: -half tune")
	}
	dir, err := os.MkdirTemp("", "descry-output-")
	if err != nil {
		fail("%v", err)
	}
	var table bytes.Buffer
	e := &eval{test: *half == "test", each: *each, show: *show, dir: dir, out: io.MultiWriter(os.Stdout, &table)}
	e.logs = logFiles(*logs)
	for _, d := range strings.Split(*text, ",") {
		if d != "" {
			e.text = append(e.text, d)
		}
	}
	if *download != "" {
		if err := downloadText(*download); err != nil {
			fail("%v", err)
		}
		e.text = append(e.text, *download)
	}
	fmt.Fprintf(e.out, "%s, %s, %d cores, %s; the half of the files for %s.\n", time.Now().UTC().Format("2006-01-02"), kernel(), runtime.NumCPU(), runtime.Version(),
		map[bool]string{true: "testing", false: "tuning"}[e.test])
	bad := false
	for _, part := range []struct {
		name string
		run  func() error
	}{{"garbage", e.garbage}, {"honest", e.honest}, {"speed", e.speed}} {
		if *only != "" && !strings.Contains(","+*only+",", ","+part.name+",") {
			continue
		}
		if err := part.run(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", part.name, err)
			bad = true
		}
	}
	os.RemoveAll(dir)
	if bad {
		os.Exit(1)
	}
	if *write != "" {
		if err := insert(*write, table.Bytes()); err != nil {
			fail("%v", err)
		}
	}
}

const (
	beginMark = "<!-- figures: go run ./bench/output writes them -->\n"
	endMark   = "<!-- end of the figures -->\n"
)

// insert puts the tables between the marks of a document.
func insert(path string, table []byte) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(b, []byte(beginMark))
	_, tail, ok2 := bytes.Cut(rest, []byte(endMark))
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks to put figures between", path)
	}
	return os.WriteFile(path, bytes.Join([][]byte{head, []byte(beginMark), table, []byte(endMark), tail}, nil), 0o644)
}

func logFiles(dirs string) (out []string) {
	if dirs == "" {
		dirs = "/var/log"
	}
	for _, d := range strings.Split(dirs, ",") {
		files, _ := filepath.Glob(filepath.Join(d, "*.log"))
		for _, f := range files {
			if st, err := os.Stat(f); err == nil && st.Size() > 16<<10 {
				out = append(out, f)
			}
		}
	}
	if len(out) == 0 {
		fail("no *.log of 16 KiB and more in %s", dirs)
	}
	return out
}

func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return "Linux " + strings.TrimSpace(string(b))
}

// ran is the output of a command; what it says on stderr stands in the error.
func ran(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("run %s: %w: %.200s", name, err, stderr.String())
	}
	return out, err
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "output: "+format+"\n", args...)
	os.Exit(1)
}
