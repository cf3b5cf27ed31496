// Command torn measures how many torn lines output.Lines misses, and how often it calls a whole line torn.
//
//	go run ./bench/torn LOG...                  tears each log at random places, and prints a table
//	go run ./bench/torn -whole FILE or DIR...   counts false alarms in files whose lines are whole
//	go run ./bench/torn -show FILE...           shows what is found
//
// A log is one file: its first 200 lines stay whole, and of the rest every 40th line or so is torn in one of three ways.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"

	"github.com/descry-dev/descry/internal/output"
)

const (
	untouched = 200
	every     = 40
	largest   = 64 << 20 // bytes of a file
)

var ways = []string{"a newline lost", "a middle lost", "one line inside another"}

func main() {
	whole := flag.Bool("whole", false, "count false alarms")
	show := flag.Bool("show", false, "show what is found")
	flag.Parse()
	if *whole || *show {
		wholeLines(flag.Args(), *show)
		return
	}
	fmt.Printf("| Log | Lines | False alarms |")
	for _, w := range ways {
		fmt.Printf(" Found: %s |", w)
	}
	fmt.Printf("\n|---|---|---|---|---|---|\n")
	var lines, alarms int64
	var sum [3][2]int
	for _, name := range flag.Args() {
		b, err := os.ReadFile(name)
		if err != nil {
			fmt.Fprintf(os.Stderr, "torn: %v\n", err)
			os.Exit(1)
		}
		n, found := check(b)
		lines, alarms = lines+n, alarms+int64(len(found))
		fmt.Printf("| %s | %d | %d |", filepath.Base(name), n, len(found))
		for w := range ways {
			hit, all := tear(b, w)
			sum[w][0], sum[w][1] = sum[w][0]+hit, sum[w][1]+all
			fmt.Printf(" %d of %d |", hit, all)
		}
		fmt.Println()
	}
	fmt.Printf("| all | %d | %d |", lines, alarms)
	for _, s := range sum {
		fmt.Printf(" %d of %d |", s[0], s[1])
	}
	fmt.Println()
}

func check(b []byte) (int64, []output.Torn) {
	var l output.Lines
	found := l.Flush(l.Write(nil, b))
	n, _ := l.Count()
	return n, found
}

// tear tears lines of a log in one way and says how many of them were found.
func tear(b []byte, way int) (hit, all int) {
	r := rand.New(rand.NewSource(int64(way)))
	lines := bytes.SplitAfter(bytes.TrimRight(b, "\n"), []byte("\n"))
	var out []byte
	places := map[int64]bool{} // offsets of torn lines
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if i < untouched || i+2 >= len(lines) || r.Intn(every) != 0 {
			out = append(out, line...)
			continue
		}
		text := bytes.TrimRight(line, "\r\n")
		next := lines[i+1]
		if len(text) < 2 {
			out = append(out, line...)
			continue
		}
		places[int64(len(out))] = true
		all++
		switch cut := 1 + r.Intn(len(text)-1); way {
		case 0:
			out = append(append(out, text...), next...)
			i++
		case 1: // up to somewhere in the line behind the next
			out = append(append(out, text[:cut]...), lines[i+2]...)
			i += 2
		case 2:
			out = append(append(append(out, text[:cut]...), next...), line[cut:]...)
			i++
		}
	}
	_, found := check(out)
	for _, t := range found {
		if places[t.Offset] {
			hit++
		}
	}
	return hit, all
}

// wholeLines counts what is found in files whose lines are whole.
func wholeLines(names []string, show bool) {
	var files, lines, alarms int64
	for _, name := range names {
		filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			if st, err := d.Info(); err != nil || st.Size() == 0 || st.Size() > largest {
				return nil
			}
			b, err := os.ReadFile(path)
			if err != nil || bytes.IndexByte(b[:min(len(b), 8<<10)], 0) >= 0 {
				return nil // no text
			}
			n, found := check(b)
			files, lines, alarms = files+1, lines+n, alarms+int64(len(found))
			for _, t := range found {
				fmt.Printf("%s:%d: %s: %s\n", path, t.Line, t.Kind, t.Preview)
			}
			return nil
		})
	}
	if !show {
		fmt.Printf("%d files, %d lines, %d called torn\n", files, lines, alarms)
		if alarms == 0 && lines > 0 {
			fmt.Printf("with 95%% confidence fewer than %.2g in a million lines\n", 3/float64(lines)*1e6)
		}
	}
}
