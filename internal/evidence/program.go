package evidence

import (
	"path"
	"slices"
	"strings"
)

// Program is the name of what the main process was last: of its command, or of a program that it
// executed in its own place, as shells and launchers do. A script keeps its name, whoever reads it. Empty
// where no command is known.
func (c *Case) Program() string {
	s := &c.Subject
	if len(s.Command) == 0 || s.Command[0] == "" {
		return ""
	}
	command := path.Base(s.Command[0])
	name := command
	if c.Death == nil {
		return name
	}
	for i := range c.Timeline {
		e, ok := c.Timeline[i].Detail.(*Exec)
		if !ok || c.Timeline[i].PID != s.PID || len(e.Args) == 0 {
			continue
		}
		// The path is resolved: python3.11 where python3 was asked for.
		first := strings.TrimPrefix(path.Base(e.Args[0]), "-")
		switch {
		case first == command || first == "exe" || first == "":
			name = command
		case !interprets(name) && slices.ContainsFunc(e.Args[1:], func(a string) bool { return path.Base(a) == name }):
			if name == command {
				return name // a script, which decides by what it goes on
			}
		case first == "env" && len(e.Args) > 2 && strings.Contains(e.Args[2], "/") && interprets(path.Base(e.Args[1])):
			name = path.Base(e.Args[2])
		case len(e.Args) > 1 && path.IsAbs(e.Args[0]) && strings.Contains(e.Args[1], "/") && interprets(first):
			name = path.Base(e.Args[1])
		default:
			name = first
		}
	}
	return name
}

// interprets says whether a program of that name reads scripts.
func interprets(name string) bool {
	switch strings.TrimRight(name, ".0123456789") {
	case "sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "python", "perl", "ruby", "node", "php", "lua", "tclsh", "Rscript", "guile":
		return true
	}
	return false
}
