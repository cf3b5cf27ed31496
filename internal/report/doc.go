// Package report shows a case to people: on a terminal, as Markdown, as a line of a list. The JSON
// form is evidence.WriteCase.
//
// Everything in a case may come from the program that died. Nothing of it reaches the reader's
// terminal as a control sequence, and no line is wider than asked for.
package report
