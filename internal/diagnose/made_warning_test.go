package diagnose

import e "github.com/descry-dev/descry/internal/evidence"

// madeWarnings are cases with forecasts of limits that are not of descriptors.
func madeWarnings() []madeCase {
	var out []madeCase
	add := func(name, want string, c *e.Case) { out = append(out, madeCase{name, want, c}) }
	alive := func(b *builder, limit string) *e.Case {
		b.c.Kind, b.c.Death, b.c.OpenedAt, b.c.Limit = e.CaseWarning, nil, b.c.Coverage[0].From, limit
		return b.c
	}
	memory := func() *e.Headroom {
		return &e.Headroom{Limit: e.LimitMemory, Open: 460 << 20, Max: 512 << 20, PerSecond: 100 << 10, Seconds: 532, SecondsLow: 400, SecondsHigh: 900,
			Most: []e.Share{{Name: "cart", PID: mainPID, Processes: 1, Value: 60 << 20}}}
	}
	tasks := &e.Headroom{Limit: e.LimitPids, Open: 255, Max: 300, PerSecond: 0.1, Seconds: 450, SecondsLow: 300, SecondsHigh: 800,
		Most: []e.Share{{Name: "sh", Processes: 240, Value: 240}, {Name: "cart", PID: mainPID, Processes: 1, Value: 14}, {Name: "cron", PID: 7, Processes: 1, Value: 1}}}
	group := &e.Cgroup{Version: 2, Path: "/pod/cart", LimitPath: "/pod", Current: 470 << 20, Max: 512 << 20, Held: 460 << 20, PidsPath: "/pod", Pids: 255, PidsMax: 300}
	files := func() *e.Headroom {
		return &e.Headroom{Limit: e.LimitFileMax, Open: 900_000, Max: 1_000_000, PerSecond: 200, Seconds: 500, SecondsLow: 400, SecondsHigh: 700,
			Most: []e.Share{{Name: "shop/cart/app", Processes: 12, Value: 700_000}, {Name: "shop/web/nginx", Processes: 4, Value: 90_000}}}
	}

	add("memory-limit/positive-warning-of-a-tmpfs", "memory-limit likely", alive(mk("/srv/cart").at(50, never, group).at(60, never, memory()), e.LimitMemory))
	add("memory-limit/near-miss-warning-of-tasks", "pid-limit likely", alive(mk("/srv/cart").at(50, never, group).at(55, never, memory()).at(60, never, tasks), e.LimitPids))
	add("memory-limit/bystander-warned-before", "exit-error certain", mk("/srv/cart").at(50, never, group).at(55, never, memory()).stderr("cart: no stock\n").exits(6))
	// A recording that was broken off, and goes on for an hour after its forecast.
	add("memory-limit/near-miss-forecast-of-old", "unexplained", alive(mk("/srv/cart").at(5, never, memory()).at(3600, never, group), ""))
	add("pid-limit/positive-warning-of-children", "pid-limit likely", alive(mk("/srv/cart").at(50, never, group).at(60, never, tasks), e.LimitPids))
	add("pid-limit/bystander-warned-before", "killed certain", mk("/srv/cart").at(50, never, tasks).at(59.99, never, sent(e.SIGKILL, 900, "bash", "bash")).dies(outside(e.SIGKILL, 900)))
	add("mapping-limit/near-miss-warning-of-descriptors", "fd-leak likely", alive(mk("/srv/cart").
		at(55, never, &e.Headroom{Limit: e.LimitMappings, Open: 60000, Max: 65530, PerSecond: 10, Seconds: 553}).
		at(50, never, &e.Headroom{Limit: e.LimitNoFile, Open: 900, Max: 1024, PerSecond: 1, Seconds: 124}), e.LimitNoFile))
	add("system-fd-limit/positive-warning", "system-fd-limit likely", alive(mk("/srv/cart").at(60, never, files()), e.LimitFileMax))
	nobody := files()
	nobody.Most = nil
	add("system-fd-limit/near-miss-warning-of-nobody", "unexplained", alive(mk("/srv/cart").at(60, never, nobody), e.LimitFileMax))
	return out
}
