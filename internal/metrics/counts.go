package metrics

import "github.com/descry-dev/descry/internal/evidence"

// count is one counter of containers: which series of which metric, and what of evidence's counters it is.
type count struct {
	family   string
	label    string // `limit="nofile"`, or nothing
	plus     string // a counter of evidence
	minus    string // what of it is counted elsewhere
	optional bool   // not shown unless it was given: zero would say that somebody had looked
}

const (
	refusals    = "descry_container_refusals_total"
	failures    = "descry_container_failures_total"
	drops       = "descry_container_drops_total"
	connections = "descry_container_connections_total"
	questions   = "descry_container_dns_questions_total"
	garbled     = "descry_container_garbled_bytes_total"
	output      = "descry_container_output_bytes_total"
	oomKills    = "descry_container_oom_kills_total"
)

// counts is what is counted of a container. One line adds one series for each container.
var counts = [numCounts]count{
	{family: refusals, label: `limit="nofile"`, plus: evidence.CountFDRefused, minus: evidence.CountFDRefusedTable},
	{family: refusals, label: `limit="file_max"`, plus: evidence.CountFDRefusedTable},
	{family: refusals, label: `limit="inotify"`, plus: evidence.CountInotifyRefused},
	{family: refusals, label: `limit="processes"`, plus: evidence.CountForksRefused},
	{family: refusals, label: `limit="memory"`, plus: evidence.CountMemoryRefused},
	{family: refusals, label: `limit="local_ports"`, plus: evidence.CountAddrNotAvail},
	{family: failures, label: `kind="exec"`, plus: evidence.CountExecFailed},
	{family: failures, label: `kind="write"`, plus: evidence.CountWriteRefused},
	{family: failures, label: `kind="short_write"`, plus: evidence.CountWriteShort},
	{family: failures, label: `kind="address_in_use"`, plus: evidence.CountAddrInUse},
	{family: failures, label: `kind="select_beyond"`, plus: evidence.CountSelectBeyond},
	{family: drops, label: `kind="receive_buffer"`, plus: evidence.CountSocketDrops},
	{family: drops, label: `kind="socket_memory"`, plus: evidence.CountSocketMemory},
	{family: connections, label: `result="made"`, plus: evidence.CountConnected},
	{family: connections, label: `result="accepted"`, plus: evidence.CountAccepted},
	{family: connections, label: `result="failed"`, plus: evidence.CountConnectFailed},
	{family: connections, label: `result="given_up"`, plus: evidence.CountConnectGivenUp},
	{family: connections, label: `result="reset"`, plus: evidence.CountReset},
	{family: connections, label: `result="timed_out"`, plus: evidence.CountTimedOut},
	{family: questions, label: `result="answered"`, plus: evidence.CountDNSAnswered, minus: evidence.CountDNSFailed, optional: true},
	{family: questions, label: `result="failed"`, plus: evidence.CountDNSFailed, optional: true},
	{family: questions, label: `result="unanswered"`, plus: evidence.CountDNSUnanswered, optional: true},
	{family: garbled, plus: evidence.CountGarbled},
	{family: output, plus: evidence.CountOutput},
	{family: oomKills, plus: evidence.CountOOM},
}

const numCounts = 25

// of takes it out of the counters of a container.
func (c *count) of(n map[string]int64) (int64, bool) {
	v, ok := n[c.plus]
	if c.minus != "" {
		v -= n[c.minus]
	}
	return max(v, 0), ok
}
