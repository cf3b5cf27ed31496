package agent

import (
	"os"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/coredump"
)

// A dump that was offered and never came is not waited for; one that came is.
func TestCoresWaitForWhatCame(t *testing.T) {
	c := &cores{done: make(chan struct{}, 1)}
	c.follow(int32(os.Getpid()), "")
	if !c.mine(os.Getpid(), nil) {
		t.Fatal("the command itself is not one of its processes")
	}
	if err := c.wait(0); err != nil {
		t.Errorf("offered only: %v", err)
	}
	c.begin(7)
	if err := c.wait(time.Nanosecond); err == nil {
		t.Error("a dump that came is not waited for")
	}
	c.keep(&coredump.Kept{PID: 7})
	if err := c.wait(time.Hour); err != nil || c.of(7) == nil {
		t.Errorf("kept: %v", err)
	}
}
