//go:build !amd64

package symbol

import "errors"

// readRegisters is written for amd64 alone; needAMD64 skips what would come here.
func readRegisters(int, *Context) error { return errors.New("not on this architecture") }
