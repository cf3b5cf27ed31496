//go:build linux

package probe

import (
	"fmt"
	"os"
	"syscall"

	"github.com/cilium/ebpf"
)

// initialPIDNamespace is the inode of the machine's own (include/linux/proc_ns.h).
const initialPIDNamespace = 0xEFFFFFFC

// findLevel finds the level of descry's pid namespace: 0 is the machine's own. Only the kernel knows
// how deep another is.
func (e *env) findLevel() (uint32, error) {
	if st, err := os.Stat("/proc/self/ns/pid"); err == nil {
		if s, ok := st.Sys().(*syscall.Stat_t); ok && s.Ino == initialPIDNamespace {
			return 0, nil
		}
	}
	p, err := e.load(sweepObject, "on_level")
	if err != nil {
		return 0, fmt.Errorf("find the level of the pid namespace: %w", err)
	}
	defer p.Close()
	clear(e.objs) // it was adapted to level 0
	level, err := p.Run(&ebpf.RunOptions{})
	if err != nil {
		return 0, fmt.Errorf("find the level of the pid namespace: %w", err)
	}
	return level, nil
}
