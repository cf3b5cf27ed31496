package run

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary also plays the watcher, the launcher and the relay.
func TestMain(m *testing.M) {
	Reexec()
	if len(os.Args) > 1 && os.Args[1] == "watch" {
		os.Exit(watch(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// watch [-tty] [-leaf] [-result FILE] COMMAND... runs a command as descry does.
func watch(args []string) int {
	cfg := Config{Release: true}
	result := ""
	for ; len(args) > 0 && strings.HasPrefix(args[0], "-"); args = args[1:] {
		switch args[0] {
		case "-tty":
			cfg.TTY = true
		case "-leaf":
			cfg.Leaf, _ = NewLeaf()
			defer cfg.Leaf.Close()
		case "-result":
			result, args = args[1], args[1:]
		case "-hold":
			d, err := time.ParseDuration(args[1])
			if err != nil {
				return 125
			}
			cfg.HoldTime, args = d, args[1:]
		}
	}
	cfg.Args = args
	begin := time.Now()
	c, err := Prepare(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		return 125
	}
	defer c.Close()
	if os.Getenv("RUN_TEST_TIMES") != "" {
		defer func() {
			d := c.Death()
			fmt.Fprintf(os.Stderr, "prepare+go %v, verdict %v\n", d.StartedAt.Sub(begin), time.Since(d.EndedAt))
		}()
	}
	c.Go()
	r := c.Wait()
	if result != "" {
		tail, _ := c.Tap().Tail(nil, Stdout, 1000)
		b, _ := json.Marshal(watched{
			Result: r, Watcher: os.Getpid(), PID: c.PID(), Relay: c.RelayPID(), Reasons: c.Reasons(),
			Out: c.Tap().Totals(Stdout), Err: c.Tap().Totals(Stderr), Merged: c.Tap().Merged(), Tail: string(tail),
		})
		os.WriteFile(result+".tmp", b, 0o600)
		os.Rename(result+".tmp", result)
	}
	return r.ExitCode
}

// watched is what watch leaves in its result file.
type watched struct {
	Result
	Watcher, PID, Relay int
	Reasons             []string
	Out, Err            Totals
	Merged              bool
	Tail                string
}

var _ = syscall.SIGTERM
