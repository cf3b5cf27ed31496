package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// markdownEscaper takes the meaning from what Markdown and HTML would act on.
var markdownEscaper = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "|", `\|`, "#", `\#`, "~", `\~`, "&", "&amp;", "!", `\!`, "$", `\$`, "@", "&#64;")

func md(s string) string { return markdownEscaper.Replace(clean(s)) }

// Markdown writes c for an issue, a chat or a page. Nothing that the program wrote takes effect as
// Markdown or HTML.
func Markdown(w io.Writer, c *evidence.Case) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "## %s\n\n", md(Headline(c)))
	if len(c.Findings) > 0 {
		fmt.Fprintf(b, "%s\n\n", md(c.Findings[0].Summary))
	}
	for _, f := range rest(c.Findings) {
		fmt.Fprintf(b, "With it: **%s** (%s). %s\n\n", md(f.Title), md(string(f.Confidence)), md(f.Summary))
	}
	if l := aboutSubject(c); l != "" {
		fmt.Fprintf(b, "%s\n\n", md(strings.ToUpper(l[:1])+l[1:]+"."))
	}
	if l := sinceOpened(c); l != "" {
		fmt.Fprintf(b, "%s\n\n", md(l))
	}
	for _, s := range c.Symptoms {
		fmt.Fprintf(b, "- %s\n", md(s.Summary))
	}
	if len(c.Symptoms) > 0 {
		b.WriteByte('\n')
	}
	if rows := story(c); len(rows) > 0 {
		b.WriteString("| when | what | seen by |\n| ---: | --- | --- |\n")
		for _, r := range rows {
			fmt.Fprintf(b, "| %s | %s | %s |\n", md(r.when), md(r.what), md(r.source))
		}
		b.WriteByte('\n')
	}
	if title, t := tableOf(c); t != nil {
		fmt.Fprintf(b, "**%s**: %s\n\n", md(strings.ToUpper(title[:1])+title[1:]), md(tableHead(t)))
		if gs := groups(t); len(gs) > 0 {
			b.WriteString("| kind | state | what | count | opened by |\n| --- | --- | --- | ---: | --- |\n")
			for i := range gs {
				fmt.Fprintf(b, "| %s | %s | %s | %d | %s |\n", md(string(gs[i].Kind)), md(gs[i].State), md(groupWhere(&gs[i])), gs[i].Count, md(gs[i].OpenedBy))
			}
			b.WriteByte('\n')
		}
	}
	if fs, more := frames(c); len(fs) > 0 {
		if more > 0 {
			fs = append(fs, fmt.Sprintf("… %d more", more))
		}
		fence(b, "Backtrace", fs)
	}
	if name, ls, _ := lastWords(c); len(ls) > 0 {
		fence(b, strings.ToUpper(name[:1])+name[1:], ls)
		if stream, before := beforeGarbage(c, ls); len(before) > 0 {
			fence(b, "Where "+stream+" first turned to garbage", before)
		}
	}
	for _, x := range []struct{ label, text string }{{"Ruled out", ruledOut(c)}, {"Not seen", unseen(c)}} {
		if x.text != "" {
			fmt.Fprintf(b, "**%s**: %s\n\n", x.label, md(x.text))
		}
	}
	if len(c.Findings) > 0 && c.Findings[0].Advice != "" {
		fmt.Fprintf(b, "**Do**: %s\n\n", md(c.Findings[0].Advice))
	}
	if c.Core != nil && c.Core.Saved {
		fmt.Fprintf(b, "**Core**: %s\n\n", md(coreLine(c.Core)))
	}
	fmt.Fprintf(b, "Case %s", md(c.ID))
	if !c.OpenedAt.IsZero() {
		fmt.Fprintf(b, ", %s", c.OpenedAt.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if c.Host.Kernel != "" {
		fmt.Fprintf(b, ", Linux %s", md(c.Host.Kernel))
	}
	b.WriteByte('\n')
	return b.Flush()
}

// fence writes a code block that its content cannot end.
func fence(b *bufio.Writer, title string, ls []string) {
	longest := 2
	for _, l := range ls {
		n := 0
		for _, r := range l {
			if r == '`' {
				n++
				longest = max(longest, n)
			} else {
				n = 0
			}
		}
	}
	f := strings.Repeat("`", longest+1)
	fmt.Fprintf(b, "**%s**\n\n%stext\n", title, f)
	for _, l := range ls {
		b.WriteString(l)
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "%s\n\n", f)
}
