package metrics

// Families are all metrics, in the order in which they are written.
var Families = append(containerFamilies, agentFamilies...)

var containerFamilies = []Family{
	{
		Name: "descry_container_open_fds", Type: Gauge,
		Help:      "Open file descriptors of all processes of the container.",
		Note:      "No limit holds for this sum: see descry_container_fd_used_ratio.",
		container: living(func(c *Container) (float64, bool) { return float64(c.OpenFDs), true }),
	},
	{
		Name: "descry_container_fd_limit", Type: Gauge,
		Help:      "Soft limit of open file descriptors (RLIMIT_NOFILE) of the process that is nearest to its own.",
		container: living(func(c *Container) (float64, bool) { return float64(c.WorstLimit), c.WorstLimit > 0 }),
	},
	{
		Name: "descry_container_fd_worst_open", Type: Gauge,
		Help:      "Open file descriptors of the process that is nearest to its own soft limit.",
		container: living(func(c *Container) (float64, bool) { return float64(c.WorstOpen), c.WorstLimit > 0 }),
	},
	{
		Name: "descry_container_fd_used_ratio", Type: Gauge, Unit: "ratio",
		Help: "Share of its own soft limit of file descriptors that the process nearest to it uses, 0 to 1.",
		Note: "The limit holds for each process. The sum of a pod's descriptors divided by its first process's limit, which other exporters give, can be over 1 where nobody is near a limit, and under 0.1 where a child is at its own.",
		container: living(func(c *Container) (float64, bool) {
			return float64(c.WorstOpen) / float64(max(c.WorstLimit, 1)), c.WorstLimit > 0
		}),
	},
	{
		Name: "descry_container_highest_fd", Type: Gauge,
		Help:      "Highest file descriptor number of any process of the container.",
		Note:      "From 1024 on, select() overwrites memory. Absent where it is not known.",
		container: living(func(c *Container) (float64, bool) { return float64(c.HighestFD), c.HighestFD > 0 }),
	},
	{
		Name: "descry_container_exhaustion_seconds", Type: Gauge, Unit: "seconds", Labels: []string{"limit"},
		Help:      "Seconds until the container, or the first process of it, reaches a limit at the present rate: nofile (file descriptors), fd_setsize (what select() can hold), pids.max (processes and threads), memory.max (memory without page cache), vm.max_map_count (mappings).",
		Note:      "Absent without a forecast: what does not grow, or not steadily, has none.",
		container: forecasts(func(f *Forecast) (float64, bool) { return f.Seconds, true }),
	},
	{
		Name: "descry_container_exhaustion_warning", Type: Gauge, Labels: []string{"limit"},
		Help:      "1 where a warning of exhaustion was raised and holds, 0 where a forecast is too far or too weak for one.",
		Note:      "The alert rules use it in place of a bound on the seconds.",
		container: forecasts(func(f *Forecast) (float64, bool) { return truth(f.Warned), true }),
	},
	{
		Name: "descry_container_processes", Type: Gauge,
		Help:      "Processes of the container.",
		container: living(func(c *Container) (float64, bool) { return float64(c.Processes), true }),
	},
	{
		Name: "descry_container_ladder_step", Type: Gauge,
		Help:      "How closely the container is looked at: 0 always, 1 with its system calls.",
		container: living(func(c *Container) (float64, bool) { return float64(c.Step), true }),
	},
	{
		Name: "descry_container_closer_seconds_total", Type: Counter, Unit: "seconds",
		Help:      "Seconds for which the container was looked at closer (step 1).",
		Note:      "What only system calls tell is counted in that time alone.",
		container: func(p *page, s *series, _ *life) { p.put(s.closerFor().Seconds(), s.labels) },
	},
	{
		Name: refusals, Type: Counter, Labels: []string{"limit"},
		Help:      "System calls refused for a limit: nofile (EMFILE), file_max (ENFILE), inotify, processes, memory, local_ports.",
		Note:      "Seen on step 1 of the ladder alone, which a container climbs when it nears a limit.",
		container: counted(refusals),
	},
	{
		Name: failures, Type: Counter, Labels: []string{"kind"},
		Help:      "Other calls that went wrong: exec, write (to its output), short_write, address_in_use, select_beyond (select() beyond what its sets hold).",
		Note:      "Seen on step 1, but for exec.",
		container: counted(failures),
	},
	{
		Name: drops, Type: Counter, Labels: []string{"kind"},
		Help:      "Packets that sockets of the container had no room for (receive_buffer), and buffers refused because the memory for sockets was used up (socket_memory).",
		container: counted(drops),
	},
	{
		Name: connections, Type: Counter, Labels: []string{"result"},
		Help:      "TCP connections by how they went: made, accepted, failed (with an error), given_up, reset (by the peer), timed_out.",
		container: counted(connections),
	},
	{
		Name: questions, Type: Counter, Labels: []string{"result"},
		Help:      "Questions to name servers on port 53: answered, failed, unanswered.",
		Note:      "Absent where names are not watched.",
		container: counted(questions),
	},
	{
		Name: garbled, Type: Counter, Unit: "bytes",
		Help:      "Bytes of the container's output that are no text in any plausible encoding.",
		container: counted(garbled),
	},
	{
		Name: output, Type: Counter, Unit: "bytes",
		Help:      "Bytes of output that were judged.",
		container: counted(output),
	},
	{
		Name: oomKills, Type: Counter,
		Help:      "Processes of the container that the kernel killed for want of memory.",
		container: counted(oomKills),
	},
	{
		Name: "descry_container_restarts_total", Type: Counter,
		Help:      "Lives of the container that began after the first one, as far as they were seen.",
		container: func(p *page, s *series, _ *life) { p.put(float64(max(s.starts-1, 0)), s.labels) },
	},
	{
		Name: "descry_container_deaths_total", Type: Counter,
		Help:      "Deaths of the container that a case was opened for.",
		Note:      "By cause they are counted for each namespace, in descry_deaths_total.",
		container: func(p *page, s *series, _ *life) { p.put(float64(s.deaths), s.labels) },
	},
	{
		Name: "descry_container_last_death_timestamp_seconds", Type: Gauge, Unit: "seconds", Labels: []string{"cause", "confidence"},
		Help: "Unix time of the container's last death, with its cause (unexplained: none was found) and how sure that is.",
		Note: "One series for each container that died: the last death only.",
		container: func(p *page, s *series, _ *life) {
			if s.deaths > 0 {
				p.put(float64(s.death.At.UnixMilli())/1e3, s.labels, label("cause", s.death.Cause), label("confidence", s.death.Confidence))
			}
		},
	},
}

var agentFamilies = []Family{
	{Name: "descry_deaths_total", Type: Counter, Labels: []string{"namespace", "cause"}, agent: deaths(kindDeath),
		Help: "Deaths of containers by namespace and cause; unexplained: none was found.",
		Note: "Counted for each namespace and not for each pod, so that the number of series stays bounded over the life of a node (1,000 pairs; the rest is counted in the namespace _other)."},
	{Name: "descry_child_deaths_total", Type: Counter, Labels: []string{"namespace", "cause"}, agent: deaths("child-death"),
		Help: "Children that died of a signal while their container lived on, by namespace and cause."},
	{Name: "descry_warnings_total", Type: Counter, Labels: []string{"namespace", "cause"}, agent: deaths("warning"),
		Help: "Warnings that a case was opened for, by namespace and cause."},

	{Name: "descry_machine_exhaustion_seconds", Type: Gauge, Unit: "seconds", Labels: []string{"limit"}, agent: machine(func(f *Forecast) float64 { return f.Seconds }),
		Help: "Seconds until the machine reaches a limit at the present rate: fs.file-max (open files of all processes).",
		Note: "Absent without a forecast."},
	{Name: "descry_machine_exhaustion_warning", Type: Gauge, Labels: []string{"limit"}, agent: machine(func(f *Forecast) float64 { return truth(f.Warned) }),
		Help: "1 where a warning of that was raised and holds."},
	{Name: "descry_build_info", Type: Gauge, Labels: []string{"version", "goversion"}, agent: buildInfo,
		Help: "1, with the version of the agent."},
	{Name: "descry_agent_ready", Type: Gauge, agent: func(p *page, m *Metrics) { p.put(truth(m.ready)) },
		Help: "1 when the probes are attached, as /readyz has it."},
	{Name: "descry_agent_subjects", Type: Gauge, agent: own(func(a *Agent) int64 { return a.Subjects }),
		Help: "Containers and units that are watched."},
	{Name: "descry_agent_subjects_dead", Type: Gauge, agent: own(func(a *Agent) int64 { return a.Dead }),
		Help: "Containers and units that have ended and are remembered until their last observation was read."},
	{Name: "descry_agent_subjects_unnamed", Type: Gauge, agent: own(func(a *Agent) int64 { return a.Unnamed }),
		Help: "Containers that no runtime has named yet."},
	{Name: "descry_agent_processes", Type: Gauge, agent: own(func(a *Agent) int64 { return a.Processes }),
		Help: "Processes that are watched."},
	{Name: "descry_agent_probe_up", Type: Gauge, Labels: []string{"probe", "by"}, agent: probes,
		Help: "1 where a kernel probe is attached, and what it is made of; 0 where it cannot be had."},
	{Name: "descry_agent_events_total", Type: Counter, Labels: []string{"probe"}, agent: each("probe", func(a *Agent) map[string]int64 { return a.Events }),
		Help: "Events that the kernel handed over, by probe."},
	{Name: "descry_agent_lost_events_total", Type: Counter, Labels: []string{"probe"}, agent: each("probe", func(a *Agent) map[string]int64 { return a.Lost }),
		Help: "Events that found no room, counted by the kernel, by probe."},
	{Name: "descry_agent_dropped_observations_total", Type: Counter, agent: own(func(a *Agent) int64 { return a.Forgotten }),
		Help: "Observations that made room for newer ones in the recordings."},
	{Name: "descry_agent_recordings_bytes", Type: Gauge, Unit: "bytes", agent: own(func(a *Agent) int64 { return a.Recording }),
		Help: "Memory of the recordings of all containers."},
	{Name: "descry_agent_sweep_seconds", Type: Histogram, Unit: "seconds", agent: func(p *page, m *Metrics) { m.sweep.write(p) },
		Help: "How long a sweep of all processes took."},
	{Name: "descry_agent_last_sweep_timestamp_seconds", Type: Gauge, Unit: "seconds", agent: func(p *page, m *Metrics) {
		if !m.turned.IsZero() {
			p.put(float64(m.turned.UnixMilli()) / 1e3)
		}
	}, Help: "Unix time of the last sweep."},
	{Name: "descry_agent_case_seconds", Type: Histogram, Unit: "seconds", agent: func(p *page, m *Metrics) { m.judge.write(p) },
		Help: "How long it took from a death to its case."},
	{Name: "descry_agent_ladder_closer", Type: Gauge, agent: own(func(a *Agent) int64 { return a.Closer }),
		Help: "Containers that are looked at closer now."},
	{Name: "descry_agent_ladder_climbs_total", Type: Counter, Labels: []string{"sign"}, agent: each("sign", func(a *Agent) map[string]int64 { return a.Climbs }),
		Help: "Climbs of the ladder, by the sign that asked for them."},
	{Name: "descry_agent_ladder_descents_total", Type: Counter, agent: own(func(a *Agent) int64 { return a.Descents }),
		Help: "Descents from the ladder."},
	{Name: "descry_agent_ladder_refused_total", Type: Counter, agent: own(func(a *Agent) int64 { return a.NoRoom }),
		Help: "Signs that found no room on the ladder, or came while the container rests."},
	{Name: "descry_agent_cases_kept_total", Type: Counter, Labels: []string{"kind"}, agent: each("kind", func(a *Agent) map[string]int64 { return a.Kept }),
		Help: "Cases that were kept, by kind."},
	{Name: "descry_agent_cases_dropped_total", Type: Counter, agent: own(func(a *Agent) int64 { return a.Dropped }),
		Help: "Old cases that made room for new ones."},
	{Name: "descry_agent_cases_failed_total", Type: Counter, agent: own(func(a *Agent) int64 { return a.Failed }),
		Help: "Cases that could not be kept, as on a full disk."},
	{Name: "descry_agent_cases", Type: Gauge, agent: own(func(a *Agent) int64 { return a.Cases }),
		Help: "Cases in the casebook."},
	{Name: "descry_agent_outbox_pending", Type: Gauge, agent: box(func(o *Outbox) int64 { return o.Pending }),
		Help: "Cases that the server does not have yet.", Note: "This and the following are absent where there is no server."},
	{Name: "descry_agent_outbox_sent_total", Type: Counter, agent: box(func(o *Outbox) int64 { return o.Sent }),
		Help: "Cases that the server took."},
	{Name: "descry_agent_outbox_refused_total", Type: Counter, agent: box(func(o *Outbox) int64 { return o.Refused }),
		Help: "Cases that the server refused, put aside."},
	{Name: "descry_agent_outbox_retries_total", Type: Counter, agent: box(func(o *Outbox) int64 { return o.Retries }),
		Help: "Sendings that failed and were tried again."},
	{Name: "descry_agent_runtime_up", Type: Gauge, Labels: []string{"runtime"}, agent: runtimes,
		Help: "1 where the container runtime answered when it was asked last."},
	{Name: "descry_agent_containers_hidden", Type: Gauge, agent: func(p *page, m *Metrics) { p.put(float64(m.hidden())) },
		Help: "Containers that have no series now, because there are too many."},
	{Name: "descry_agent_containers_left_out_total", Type: Counter, agent: func(p *page, m *Metrics) { p.put(float64(m.leftOut)) },
		Help: "Containers that found no room among the series when they were first seen."},
}
