package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/probe"
	"github.com/descry-dev/descry/internal/run"
)

func TestMain(m *testing.M) {
	run.Reexec() // the launcher and the relay of the command under test are this binary too
	coredump.Reexec()
	testscript.Main(m, map[string]func(){"descry": main})
}

// probes says why there is no view of the kernel here, nil where there is one.
var probes = sync.OnceValue(func() error {
	set, err := probe.Open(probe.Config{})
	if err != nil {
		return err
	}
	set.Close()
	return nil
})

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("DESCRY_CASES", filepath.Join(env.WorkDir, "cases"))
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Geteuid() == 0, nil
			case "probes":
				return probes() == nil, nil
			case "mounts":
				return os.Geteuid() == 0 && exec.Command("unshare", "-m", "true").Run() == nil, nil
			}
			return false, errors.New("unknown condition " + name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code},
	})
}

// code runs a command that must end with the exit code that is its first argument.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
