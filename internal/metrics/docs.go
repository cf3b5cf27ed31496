package metrics

import (
	"fmt"
	"strings"
)

//go:generate go run ./docgen

// Docs is docs/metrics.md.
func Docs() string {
	var b strings.Builder
	b.WriteString(`# Metrics

Generated from the code (internal/metrics): ` + "`go generate ./internal/metrics`" + `.

` + "`descry agent`" + ` serves them on port 9477 (` + "`--metrics ADDR`" + `), as Prometheus' text and as OpenMetrics 1.0: ` + "`/metrics`" + `. Beside it
` + "`/healthz`" + ` answers 200 while the agent's loop turns (503 after a minute without a turn, or ten minutes without the first one), and
` + "`/readyz`" + ` when the probes are attached.

A scrape reads what the last sweep left, so it costs the agent nothing but writing the page, and a slow reader holds nobody up. Eight scrapes at once
are served, each within ten seconds.

## Labels

Metrics of a container have the labels ` + "`namespace`, `pod` and `container`" + `, those of a unit of a plain host (` + "`--standalone`" + `) the label ` + "`unit`" + `. A
container that its runtime has not named within ten seconds has the first twelve digits of its id as ` + "`container`" + `, until the name comes.
Prometheus has labels of the same names for the pod that it scrapes: set ` + "`honor_labels: true`" + ` (the chart's PodMonitor does).

- A container that is restarted keeps its series. Its counters never go back; a restart of the agent sets them to zero, as Prometheus expects of counters.
- Gauges end with the container. Counters, and its last death, stay for five minutes, so that what came at the very end is scraped.
- No label grows without bound. Names of pods come and go with pods; causes are those of the [catalogue](causes/README.md) and ` + "`unexplained`" + `; over the
  life of a node only namespaces and causes are kept, 1,000 pairs of them.
- All containers together have `)
	fmt.Fprintf(&b, "24,000 series at the most, %d each: 500 containers. What comes beyond has none, and is counted\n  (`descry_agent_containers_hidden`); the agent watches it all the same.\n", perContainer)
	section := func(title string, all []Family) {
		fmt.Fprintf(&b, "\n## %s\n\n| metric | type | labels | what it is |\n| --- | --- | --- | --- |\n", title)
		for i := range all {
			f := &all[i]
			help := f.Help
			if f.Note != "" {
				help += " " + f.Note
			}
			labels := ""
			if len(f.Labels) > 0 {
				labels = "`" + strings.Join(f.Labels, "`, `") + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Type, labels, help)
		}
	}
	section("Of each container", containerFamilies)
	section("Of the node and the agent itself", agentFamilies)
	all := make([]Family, 0, len(selfFamilies))
	for i := range selfFamilies {
		all = append(all, selfFamilies[i].Family)
	}
	section("Of the agent's process", all)
	return b.String()
}
