// Command skips reads `go test -json` and says in the end what passed, failed and skipped. A skip is
// not a pass: it exits with 1 when a test skipped that could have run on this machine, that is, for
// another reason than those listed in allowed.
//
// Hundreds of tests run real programs on a machine that others use too. Where a few fail they are run
// once more, alone, and only who fails twice fails the run; who passed at the second try is named.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sort"
	"strings"
)

// allowed maps a piece of a skip's message to why it cannot run where CI runs. Those tests run in the
// emulated machines of test/kernel instead, or need what no package of Debian gives.
var allowed = map[string]string{
	"needs BPF trampolines":  "this kernel has no trampolines; test/kernel runs these on 6.1 and 6.12",
	"needs the program crio": "no package of Debian has CRI-O",
	"needs the VM":           "changes machine-wide state; test/kernel runs these in an emulated machine",
}

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

type key struct{ pkg, test string }

// maxAgain is how many failed tests get a second try; more are no accident.
const maxAgain = 6

func main() {
	status := flag.Int("status", 0, "what go test itself ended with")
	flag.Parse()
	output := map[key][]string{}
	var passed, failed, skipped int
	var bad, fine []string
	var broken []key
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(make([]byte, 1<<20), 1<<26)
	for in.Scan() {
		var e event
		if json.Unmarshal(in.Bytes(), &e) != nil || e.Action == "" {
			fmt.Println(in.Text()) // what the build or make said
			continue
		}
		k := key{e.Package, e.Test}
		switch e.Action {
		case "output", "build-output":
			output[k] = append(output[k], e.Output)
			if e.Action == "build-output" {
				fmt.Print(e.Output)
			}
		case "pass":
			if e.Test == "" {
				fmt.Printf("ok   %s  %.1fs\n", e.Package, e.Elapsed)
			} else {
				passed++
			}
			delete(output, k)
		case "fail":
			fmt.Printf("FAIL %s %s  %.1fs\n%s", e.Package, e.Test, e.Elapsed, strings.Join(output[k], ""))
			broken = append(broken, k)
			delete(output, k)
			if e.Test != "" {
				failed++
				continue
			}
			for o, text := range output { // a package that broke off: its tests that ran then never ended
				if o.pkg == k.pkg {
					fmt.Printf("UNFINISHED %s %s\n%s", o.pkg, o.test, strings.Join(text, ""))
				}
			}
		case "skip":
			if e.Test == "" {
				continue // a package without tests
			}
			skipped++
			why := reason(output[k])
			line := fmt.Sprintf("%s %s: %s", e.Package, e.Test, why)
			if ok := allowedFor(why); ok != "" {
				fine = append(fine, line+"\n      allowed: "+ok)
			} else {
				bad = append(bad, line)
			}
		}
	}
	sort.Strings(fine)
	sort.Strings(bad)
	for _, l := range fine {
		fmt.Println("skip", l)
	}
	for _, l := range bad {
		fmt.Println("SKIPPED, AND COULD HAVE RUN:", l)
	}
	if len(broken) > 0 && again(leaves(broken)) {
		failed = 0
	} else if len(broken) > 0 {
		failed = max(failed, 1) // a package that was not built has no test that failed
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
	if *status != 0 && len(broken) == 0 {
		fmt.Printf("go test ended with %d, and no test says why\n", *status)
		failed++
	}
	if failed > 0 || len(bad) > 0 || passed == 0 {
		os.Exit(1)
	}
}

func allowedFor(why string) string {
	for piece, ok := range allowed {
		if strings.Contains(why, piece) {
			return ok
		}
	}
	return ""
}

// reason is what the test logged before it skipped.
func reason(output []string) string {
	for i := len(output) - 1; i >= 0; i-- {
		l := strings.TrimSpace(output[i])
		if l != "" && !strings.HasPrefix(l, "---") && !strings.HasPrefix(l, "===") {
			return l
		}
	}
	return "no reason given"
}

// leaves are the tests that failed without a failed subtest, and packages that failed without a test.
func leaves(broken []key) []key {
	var out []key
	for _, k := range broken {
		inner := false
		for _, o := range broken {
			inner = inner || o.pkg == k.pkg && o != k && (k.test == "" || strings.HasPrefix(o.test, k.test+"/"))
		}
		if !inner {
			out = append(out, k)
		}
	}
	return out
}

// again runs each failed test once more and says whether all pass.
func again(tests []key) bool {
	if len(tests) > maxAgain {
		fmt.Printf("%d tests failed: too many for an accident\n", len(tests))
		return false
	}
	ok := true
	for _, k := range tests {
		if k.test == "" {
			fmt.Printf("FAILED: %s, which names no test\n", k.pkg)
			return false
		}
		parts := strings.Split(k.test, "/")
		for i := range parts {
			parts[i] = "^" + regexp.QuoteMeta(parts[i]) + "$"
		}
		out, err := exec.Command("go", "test", "-count=1", "-run", strings.Join(parts, "/"), k.pkg).CombinedOutput()
		if err != nil || bytes.Contains(out, []byte("no tests to run")) {
			fmt.Printf("FAILED TWICE: %s %s\n%s", k.pkg, k.test, out)
			ok = false
			continue
		}
		fmt.Printf("FAILED ONCE, passed at the second try: %s %s\n", k.pkg, k.test)
	}
	return ok
}
