package scenarios

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// report prints the confusion table at the end, and writes it where -matrix says.
func report() {
	results.Lock()
	defer results.Unlock()
	if len(results.all) == 0 {
		return
	}
	slices.SortFunc(results.all, func(a, b *found) int {
		return cmp.Or(cmp.Compare(a.s.Cause, b.s.Cause), cmp.Compare(a.s.Name, b.s.Name))
	})
	fmt.Println("\nexpected against found:")
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "expected\tscenarios\tright\tmissed\twrong\twrong, certain\tfound in place of it")
	for _, row := range append(rows(), total()) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", row.cause, row.n, row.right, row.missed, row.wrong, row.certain, strings.Join(row.other, ", "))
	}
	w.Flush()
	if *matrixFile != "" {
		if err := os.WriteFile(*matrixFile, []byte(markdown()), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

type row struct {
	cause                            string
	n, right, missed, wrong, certain int
	other                            []string
}

func (r *row) add(f *found) {
	r.n++
	switch f.verdict() {
	case "right":
		r.right++
	case "missed":
		r.missed++
	case "wrong":
		r.wrong++
	default:
		r.certain++
	}
	if f.cause != f.s.Cause && r.cause != "all" {
		r.other = append(r.other, f.cause+" ("+f.s.Name+")")
	}
}

func rows() []row {
	var out []row
	for _, f := range results.all {
		if f.unprivileged {
			continue
		}
		if len(out) == 0 || out[len(out)-1].cause != f.s.Cause {
			out = append(out, row{cause: f.s.Cause})
		}
		out[len(out)-1].add(f)
	}
	return out
}

func total() row {
	r := row{cause: "all"}
	for _, f := range results.all {
		if !f.unprivileged {
			r.add(f)
		}
	}
	return r
}

func markdown() string {
	var b strings.Builder
	all := total()
	fmt.Fprintf(&b, `# How well descry judges

Written by `+"`go test ./test/scenarios -matrix docs/judgement.md`"+`: real programs die under the built command, each of a cause that is
known beforehand. A **near miss** looks like a cause and is not; in a **pair** something else happened beside the cause.
*Right*: the first finding is the cause. *Missed*: descry said only how the program ended, or nothing. *Wrong, certain* must be 0:
a wrong answer is worse than none.

%d scenarios: %d right, %d missed, %d wrong, %d wrong and certain.

| expected | scenarios | right | missed | wrong | wrong, certain |
| --- | --- | --- | --- | --- | --- |
`, all.n, all.right, all.missed, all.wrong, all.certain)
	for _, r := range append(rows(), all) {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d |\n", r.cause, r.n, r.right, r.missed, r.wrong, r.certain)
	}
	b.WriteString("\n## The confusion matrix\n\nWhat was found first, by what was expected: the cells that are not empty. Off the diagonal stand misses, wrong ones, and\n" +
		"those where another cause is as right (a child's, or the form in which the same thing shows).\n\n| expected | found first |\n| --- | --- |\n")
	for _, r := range rows() {
		fmt.Fprintf(&b, "| %s | %s |\n", r.cause, strings.Join(foundFor(r.cause), ", "))
	}
	b.WriteString(notProvoked)
	b.WriteString("\n## Each one\n\n| scenario | kind | what happens | expected | found | |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, f := range results.all {
		if f.unprivileged {
			continue
		}
		got := f.cause
		if f.confidence != "" {
			got += ", " + string(f.confidence)
		}
		note := f.verdict()
		if f.s.Known != "" && note == "missed" {
			note += ": " + f.s.Known
		}
		want := strings.Join(append([]string{f.s.Cause}, f.s.Or...), " or ")
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", f.s.Name, cmp.Or(string(f.s.Kind), string(Positive)), strings.ReplaceAll(f.s.Why, "|", `\|`), want, got, note)
	}
	return b.String()
}

// foundFor counts what was found first where a cause was expected, the most frequent first.
func foundFor(cause string) []string {
	n := map[string]int{}
	for _, f := range results.all {
		if !f.unprivileged && f.s.Cause == cause {
			n[cmp.Or(f.cause, "unexplained")]++
		}
	}
	causes := slices.SortedFunc(maps.Keys(n), func(a, b string) int { return cmp.Or(n[b]-n[a], cmp.Compare(a, b)) })
	out := make([]string, len(causes))
	for i, c := range causes {
		out[i] = fmt.Sprintf("%s %d", c, n[c])
	}
	return out
}

const notProvoked = `
## What changes the machine, and what could not be provoked

system-fd-limit, node-memory and socket-memory change the whole machine: they are provoked with real programs in the emulated machines of
test/kernel, on Linux 6.1 and 6.12 (TestMachineExplains); their recorded cases are in internal/diagnose/testdata.

Not provoked: a quota (EDQUOT; the kernels at hand have none for tmpfs and ext4), an input or output error of a failing disk under a
program, packets lost by chance (no netem; they are dropped by firewall rules), a TCP receive queue that is pruned until a program dies
of it, threads-max, pid_max and CommitLimit used up, huge pages used up, .NET (its reports follow its public sources), musl's programs
(their wording is recorded, no scenario runs them), arm64 hardware (its kernels run emulated).
`
