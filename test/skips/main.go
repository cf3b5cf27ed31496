// Command skips reads `go test -json` and says in the end what passed, failed and skipped. A skip is
// not a pass: it exits with 1 when a test skipped that could have run on this machine, that is, for
// another reason than those listed in allowed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
)

// allowed maps a piece of a skip's message to why it cannot run where CI runs. Those tests run in the
// emulated machines of test/kernel instead, or need what no package of Debian gives.
var allowed = map[string]string{
	"needs BPF trampolines": "this kernel has no trampolines; test/kernel runs these on 6.1 and 6.12",
	"needs the VM":          "changes machine-wide state; test/kernel runs these in an emulated machine",
}

type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

type key struct{ pkg, test string }

func main() {
	output := map[key][]string{}
	var passed, failed, skipped int
	var bad, fine []string
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
			failed++
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
	fmt.Printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped)
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
