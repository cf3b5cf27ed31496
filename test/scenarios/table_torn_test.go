package scenarios

// torn are programs whose lines run into each other, and some whose lines only look so.
var torn = []Scenario{
	{Name: "torn-c-pieces", Why: "four processes print to one pipe without a buffer", Cmd: []string{"c:torn-output/pieces.c", "pieces"}, Exit: 3, Varies: true,
		Cause: "exit-error", Or: []string{"uncaught-error"}, Words: []string{"lines of its output are torn", "lines of several writers stand in one", "┆", "written by two processes, pieces ("}},
	{Name: "torn-node-pipe", Why: "three processes write lines longer than a pipe takes at once", Cmd: []string{"js:torn-output/pipe.js"}, Exit: 3, Varies: true,
		Cause: "exit-error", Or: []string{"uncaught-error"}, Words: []string{"of its output", " torn: ", "┆"}},
	{Name: "torn-c-full", Why: "two processes print to one pipe, each through a buffer that is handed on when it is full", Cmd: []string{"c:torn-output/full.c", "47"}, Exit: 3, Varies: true,
		Cause: "exit-error", Or: []string{"uncaught-error"}, Words: []string{"lines of its output are torn", "lines of several writers stand in one", "┆", "written by two processes, full (", "in pieces of 4 KiB and 4 KiB", "handed on when they were full"}},
	{Name: "torn-c-full-whole", Why: "the same, and the buffers end where lines do", Kind: NearMiss, Cmd: []string{"c:torn-output/full.c", "64"}, Exit: 3, Varies: true,
		Cause: "exit-error", Or: []string{"uncaught-error"}, NoWords: []string{"torn"}},
	{Name: "torn-c-whole", Why: "four processes print to one pipe, each line in one write", Kind: NearMiss, Cmd: []string{"c:torn-output/pieces.c", "whole"}, Exit: 3, Varies: true,
		Cause: "exit-error", Or: []string{"uncaught-error"}, NoWords: []string{"torn"}},
	{Name: "torn-quoting", Why: "lines quote others of the same form", Kind: NearMiss, Cmd: []string{"py:torn-output/quoting.py"}, Exit: 3, Varies: true,
		Cause: "exit-error", Or: []string{"uncaught-error"}, NoWords: []string{"torn-output", "are torn", "is torn"}},
}
