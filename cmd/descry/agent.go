package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/agent"
	"github.com/descry-dev/descry/internal/report"
)

// defaultState is where the agent keeps what must outlive it, unless --state says otherwise.
const defaultState = "/var/lib/descry/agent"

// maxCloser is beyond what a node has of containers that die or grow at once.
const maxCloser = 1024

func agentCommand(s *settings) *cobra.Command {
	cfg := agent.NodeConfig{}
	level := ""
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Watch every container of this machine, and keep a case of each that dies",
		Long: `Watch every container of this machine, and keep a case of each that dies. It needs root.

It runs in the foreground, until SIGTERM or SIGINT, and logs to stderr. descry cases lists what it
kept, descry why NAME explains the newest death of a pod, container or unit, and descry top shows
what runs.

Each flag has a variable in the environment: --state is DESCRY_STATE, --scope DESCRY_SCOPE, and so on.`,
		Example: `  sudo descry agent
  sudo descry agent --standalone --scope /system.slice`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := s.logger(level)
			if err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return errors.New("agent needs root, since it watches other users' programs: run it with sudo")
			}
			if s.cases == "" {
				return errors.New("agent: no place for cases is known: --cases DIR or DESCRY_CASES=DIR names one")
			}
			if err := checkNode(&cfg); err != nil {
				return err
			}
			cfg.Cases, cfg.CoreDir, cfg.Log = s.cases, s.cores, log
			ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
			defer stop()
			return agent.RunNode(ctx, cfg)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&cfg.Standalone, "standalone", env("STANDALONE", "") != "", "watch systemd units and other cgroups too, without any container runtime")
	f.StringVar(&cfg.Scope, "scope", env("SCOPE", ""), "watch only what is below this `CGROUP`, a path as in /proc/PID/cgroup")
	f.StringVar(&cfg.RuntimeEndpoint, "runtime-endpoint", env("RUNTIME_ENDPOINT", ""), "`SOCKET` of the container runtime, which knows the names (default: the usual places)")
	f.StringVar(&cfg.Node, "node", env("NODE", ""), "`NAME` of this machine in cases, where its host name is not it, as in a container")
	f.StringVar(&cfg.HostRoot, "host-root", env("HOST_ROOT", ""), "`DIR` where the machine's files are seen, in a container")
	f.StringVar(&cfg.State, "state", env("STATE", defaultState), "`DIR` of what must outlive the agent")
	f.StringVar(&cfg.Metrics, "metrics", env("METRICS", ":9477"), "`ADDRESS` to serve metrics for Prometheus at; empty: none")
	f.BoolVar(&cfg.NoSyscalls, "no-syscalls", env("NO_SYSCALLS", "") != "", "never look at system calls, which may slow down the whole machine (descry doctor says whether)")
	f.BoolVar(&cfg.NoDNS, "no-dns", env("NO_DNS", "") != "", "never look at packets for the names that containers ask for, which takes each packet of theirs some 90 ns")
	f.IntVar(&cfg.Closer, "closer", envNumber("CLOSER", 8), "look closer, at system calls too, at no more than this `NUMBER` of containers at once")
	f.StringVar(&cfg.Pins, "pins", env("PINS", ""), "`DIR` in a bpffs where the probes go on while no agent runs; empty: they end with it")
	f.DurationVar(&cfg.Sweep, "sweep", envDuration("SWEEP", time.Second), "`TIME` from one look at all processes to the next")
	f.StringVar(&cfg.Cores, "cores", env("CORES_KEPT", ""), "receive the cores of containers' processes, and keep stacks, full or none of them (changes kernel.core_pattern meanwhile)")
	f.StringVar(&level, "log-level", env("LOG_LEVEL", "info"), "debug, info, warn or error")
	cmd.AddCommand(agentUninstallCommand(s))
	return cmd
}

func agentUninstallCommand(s *settings) *cobra.Command {
	var state, pins, root string
	cmd := &cobra.Command{
		Use: "uninstall", Short: "Remove what an agent leaves behind: pinned probes and its state", Args: cobra.NoArgs,
		Long: `Remove what an agent leaves behind for the next one: the probes that are pinned in a bpffs, and its state.
The cases stay. Where an agent with --cores was killed, core_pattern is put back. It is an error while an agent runs.`,
		RunE: func(*cobra.Command, []string) error {
			said, err := agent.UninstallNode(state, pins, s.cases, root)
			for _, words := range said {
				fmt.Fprintf(s.stderr, "descry: %s\n", report.Safe(words))
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&state, "state", env("STATE", defaultState), "`DIR` of the agent's state")
	f.StringVar(&pins, "pins", env("PINS", ""), "`DIR` in a bpffs where its probes are pinned")
	f.StringVar(&root, "host-root", env("HOST_ROOT", ""), "`DIR` where the machine's files are seen, in a container")
	return cmd
}

// env is a flag's variable in the environment, or its default.
func env(name, or string) string { return cmp.Or(os.Getenv("DESCRY_"+name), or) }

// envDuration is likewise; what cannot be read is no duration, and is refused as such.
func envDuration(name string, or time.Duration) time.Duration {
	v := env(name, "")
	if v == "" {
		return or
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return -1
	}
	return d
}

// envNumber is likewise.
func envNumber(name string, or int) int {
	v := env(name, "")
	if v == "" {
		return or
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return -1
	}
	return n
}

// checkNode says what is wrong with what the agent was asked to do.
func checkNode(cfg *agent.NodeConfig) error {
	switch {
	case cfg.Sweep < 100*time.Millisecond || cfg.Sweep > time.Minute:
		return errors.New("agent --sweep: it takes a time from 100ms to 1m")
	case cfg.Closer < 1 || cfg.Closer > maxCloser:
		return fmt.Errorf("agent --closer: it takes a number from 1 to %d (--no-syscalls looks at none)", maxCloser)
	case cfg.Scope != "" && !strings.HasPrefix(cfg.Scope, "/"):
		return fmt.Errorf("agent --scope %s: it takes the path of a cgroup, as in /proc/PID/cgroup, which begins with /", cfg.Scope)
	case cfg.Scope == "/":
		cfg.Scope = ""
	}
	for name, dir := range map[string]*string{"state": &cfg.State, "pins": &cfg.Pins} {
		if *dir == "" {
			if name == "state" {
				return errors.New("agent --state: it takes a directory")
			}
			continue
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return fmt.Errorf("agent --%s %s: %w", name, *dir, err)
		}
		*dir = abs
	}
	return checkCores(cfg.Cores)
}

// logger writes to stderr what is of a level or above.
func (s *settings) logger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("agent --log-level %s: it takes debug, info, warn or error", level)
	}
	return slog.New(slog.NewTextHandler(s.stderr, &slog.HandlerOptions{Level: l})), nil
}
