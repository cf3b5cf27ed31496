package scenarios

import (
	"cmp"
	"fmt"
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
