package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/coredump"
	"github.com/descry-dev/descry/internal/probe"
	"github.com/descry-dev/descry/internal/run"
	"github.com/descry-dev/descry/internal/version"
)

// checkup is what doctor found, one line of its table.
type checkup struct {
	Name    string `json:"name"`
	Active  bool   `json:"active"`
	By      string `json:"by,omitzero"`      // what it is made of
	Missing string `json:"missing,omitzero"` // why it is not active
	Cost    string `json:"cost,omitzero"`    // what that costs the user
	Since   string `json:"since,omitzero"`   // least Linux version
}

func doctorCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say what descry can see on this machine, and what is missing", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if s.format != "text" && s.format != "json" {
				return fmt.Errorf("doctor: unknown form %q: -o takes text or json", s.format)
			}
			found, err := examine()
			if s.format == "json" {
				return s.writeJSON("what was found", found)
			}
			return s.showDoctor(found, err)
		},
	}
	cmd.Flags().StringVarP(&s.format, "output", "o", "text", "form of the table: text or json")
	return cmd
}

// examine loads all probes once. The error says why there are none at all.
func examine() ([]checkup, error) {
	var found []checkup
	set, err := probe.Open(probe.Config{})
	if err == nil {
		for _, st := range set.Status() {
			found = append(found, checkup{Name: st.Name, Active: st.Missing == "", By: st.By, Missing: st.Missing, Cost: st.Cost, Since: st.Since})
		}
		set.Close()
	} else {
		found = append(found, checkup{Name: "probe", Missing: err.Error(), Cost: "only /proc and the output are seen: no failed system calls, no senders of signals, no stacks, no descriptors at death"})
	}
	found = append(found, examineCloser(found))
	leaf, noLeaf := run.NewLeaf()
	c := checkup{Name: "cgroup leaf", Active: leaf != nil, By: "cgroup2", Cost: "what happens in no process's context cannot be told from the neighbours'"}
	if leaf != nil {
		leaf.Close()
	} else {
		c.By, c.Missing = "", noLeaf
	}
	return append(found, c, examineCores(coredump.Inspect(""))), err
}

// examineCloser says how descry agent looks closer at a container, and what that costs.
func examineCloser(found []checkup) checkup {
	c := checkup{Name: "closer look", Cost: "descry agent sees no failed system calls", Missing: "there are no probes"}
	for _, f := range found {
		if f.Name != "probe/syscall" {
			continue
		}
		c.Active, c.Missing = f.Active, f.Missing
		switch {
		case !f.Active:
		case strings.Contains(f.By, "sys_exit"):
			c.By = f.By + ": while descry agent looks closer at a container every system call of the machine takes some 30 ns longer (agent --no-syscalls forbids it)"
		default:
			c.By = f.By + ": no tracepoint at system calls, nothing for those that are not looked at"
		}
	}
	return c
}

// examineCores says how cores come, with --cores.
func examineCores(in coredump.Inspection) checkup {
	c := checkup{Name: "core dumps", Cost: "run --cores keeps none"}
	switch {
	case in.LeftOver:
		c.Missing = fmt.Sprintf("core_pattern is %q, which a descry has left that was killed: `descry core uninstall`, or the next run --cores, puts back what was there", in.Pattern)
		c.Cost = "the cores of all programs of this machine are lost"
	case in.CanNot != nil:
		c.Missing = in.CanNot.Error()
	case in.Living:
		c.Active, c.By = true, fmt.Sprintf("%s; descry receives them now, before it core_pattern was %q", in.Way.By(), in.Former)
	default:
		c.Active, c.By = true, fmt.Sprintf("%s, with --cores; core_pattern is %q", in.Way.By(), in.Pattern)
	}
	return c
}

func (s *settings) showDoctor(found []checkup, none error) error {
	var u unix.Utsname
	release := "unknown"
	if unix.Uname(&u) == nil {
		release = unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
	}
	fmt.Fprintf(s.stdout, "descry %s on Linux %s\n\n", version.String(), release)
	w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tACTIVE\tMADE OF")
	for _, c := range found {
		active := "yes"
		if !c.Active {
			active = "no"
		}
		by := c.By
		if by == "" {
			by = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Name, active, by)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	for _, c := range found {
		if c.Active {
			continue
		}
		fmt.Fprintf(s.stdout, "\n%s is missing: %s\n", c.Name, c.Missing)
		if c.Cost != "" {
			fmt.Fprintf(s.stdout, "  what that costs: %s\n", c.Cost)
		}
		if c.Since != "" && !strings.Contains(c.Missing, c.Since) {
			fmt.Fprintf(s.stdout, "  least version: Linux %s\n", c.Since)
		}
	}
	if none != nil && os.Geteuid() != 0 {
		fmt.Fprintf(s.stdout, "\nRun `sudo descry doctor`, or give the binary its capabilities:\n  sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_sys_resource,cap_dac_read_search+ep $(command -v descry)\n")
	}
	return nil
}
