package report

import (
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// container says what happened to the subject's container.
func container(pid int32, d *evidence.Container) string {
	switch d.Action {
	case evidence.ContainerStarted:
		return "the container started"
	case evidence.ContainerFound:
		return "the container ran already when descry began to watch it"
	case evidence.ContainerJoined:
		return fmt.Sprintf("pid %d came into the container from outside", pid)
	case evidence.ContainerMain:
		return fmt.Sprintf("pid %d is the container's main process", pid)
	case evidence.ContainerLeft:
		return fmt.Sprintf("pid %d left the container", pid)
	case evidence.ContainerEmpty:
		return "the container's last process had ended"
	case evidence.ContainerRemoved:
		return "the container was removed"
	}
	return ""
}

// containerTells is how much that tells where nothing cites it: what is everyday tells nothing.
func containerTells(d *evidence.Container) int {
	switch d.Action {
	case evidence.ContainerFound: // what was before was not seen
		return 10
	case evidence.ContainerLeft:
		return 20
	}
	return 0
}
