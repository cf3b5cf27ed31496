package diagnose

import "github.com/descry-dev/descry/internal/evidence"

// Culprit is the pid of the process whose end a judgement of c explains: the main process, unless it
// only passed on how a child of its ended.
func Culprit(c *evidence.Case) int32 { return newView(c).PID }
