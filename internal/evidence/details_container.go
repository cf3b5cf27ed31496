package evidence

import "github.com/go-json-experiment/json/jsontext"

// What happened to a container.
const (
	ContainerStarted = "started" // its first process came there
	ContainerFound   = "found"   // it ran already when descry began to watch, or runs still after a gap
	ContainerJoined  = "joined"  // one more process came there from outside: kubectl exec, a runtime's own
	ContainerMain    = "main"    // what the runtime started there runs the command: its end is the container's
	ContainerLeft    = "left"    // a process went from there to another cgroup, outside
	ContainerEmpty   = "empty"   // its last process has ended or left
	ContainerRemoved = "removed" // its cgroup is gone
)

// Container is what happened to a container, or without a runtime to a unit or another cgroup, as the
// kernel saw it. The observation's PID is the process that came or went.
type Container struct {
	Action    string         `json:"action"`
	Cgroup    string         `json:"cgroup,omitzero"`    // path in its hierarchy, from the root, as in /proc/PID/cgroup of the machine
	CgroupID  uint64         `json:"cgroupID,omitzero"`  // the inode of its directory
	Hierarchy int32          `json:"hierarchy,omitzero"` // of version 1: its number, as in /proc/PID/cgroup; 0: version 2
	Unknown   jsontext.Value `json:",embed"`

	UnifiedID uint64 `json:"unifiedID,omitzero"` // the inode of its cgroup of version 2, without which its packets are not known
}

// Kind is KindContainer.
func (*Container) Kind() Kind { return KindContainer }

func (d *Container) walk(c *codec) {
	c.str(&d.Action)
	c.str(&d.Cgroup)
	c.u64(&d.CgroupID)
	c.i32(&d.Hierarchy)
	c.bytes((*[]byte)(&d.Unknown))
	c.u64(&d.UnifiedID)
}
