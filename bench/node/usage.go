package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/descry-dev/descry/bench/measure"
)

// usage is what a tool has taken so far.
type usage struct {
	cpu  time.Duration // of its own threads, by the scheduler's clock
	bpf  time.Duration // of its programs in the kernel, where they run in others' time; only while ebpf's statistics are on
	runs uint64        // of these programs
}

// used is what the processes have taken.
func used(pids ...int) (u usage) {
	for _, pid := range pids {
		u.cpu += scheduled(pid)
		for _, id := range programs(pid) {
			p, err := ebpf.NewProgramFromID(id)
			if err != nil {
				continue
			}
			if st, err := p.Stats(); err == nil {
				u.bpf += st.Runtime
				u.runs += st.RunCount
			}
			p.Close()
		}
	}
	return u
}

func (u usage) less(v usage) usage { return usage{u.cpu - v.cpu, u.bpf - v.bpf, u.runs - v.runs} }

// scheduled is the time that the threads of a process ran.
func scheduled(pid int) time.Duration {
	var sum int64
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, f := range files {
		first, _, _ := strings.Cut(read(f), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		sum += n
	}
	return time.Duration(sum)
}

// programs are those that a process has attached, without iterators, which run in its own time.
func programs(pid int) []ebpf.ProgramID {
	var ids []ebpf.ProgramID
	eachInfo(pid, func(info map[string]string) {
		n, err := strconv.ParseUint(info["prog_id"], 10, 32)
		if kind := info["link_type"]; err == nil && kind != "iter" && info["link_id"]+info["prog_type"] != "" {
			ids = append(ids, ebpf.ProgramID(n))
		}
	})
	if iters := iterators(pid); len(iters) > 0 {
		ids = slices.DeleteFunc(ids, func(id ebpf.ProgramID) bool { return slices.Contains(iters, id) })
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func iterators(pid int) (ids []ebpf.ProgramID) {
	eachInfo(pid, func(info map[string]string) {
		if n, err := strconv.ParseUint(info["prog_id"], 10, 32); err == nil && info["link_type"] == "iter" {
			ids = append(ids, ebpf.ProgramID(n))
		}
	})
	return ids
}

// maps are those that a process has open.
func maps(pid int) []ebpf.MapID {
	var ids []ebpf.MapID
	eachInfo(pid, func(info map[string]string) {
		if n, err := strconv.ParseUint(info["map_id"], 10, 32); err == nil {
			ids = append(ids, ebpf.MapID(n))
		}
	})
	slices.Sort(ids)
	return slices.Compact(ids)
}

// mapsMemory is what the kernel holds for the maps of a process, MiB.
func mapsMemory(pid int) float64 {
	seen, sum := map[string]bool{}, 0.0
	eachInfo(pid, func(info map[string]string) {
		if id := info["map_id"]; id != "" && !seen[id] {
			seen[id] = true
			n, _ := strconv.ParseFloat(info["memlock"], 64)
			sum += n / (1 << 20)
		}
	})
	return sum
}

// mapEntries counts what is in the maps that grow and shrink, by name.
func mapEntries(pid int) map[string]int {
	out := map[string]int{}
	for _, id := range maps(pid) {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			continue
		}
		switch m.Type() {
		case ebpf.Hash, ebpf.LRUHash, ebpf.PerCPUHash, ebpf.LRUCPUHash:
			info, err := m.Info()
			if err != nil {
				break
			}
			n := 0
			for key, err := m.NextKeyBytes(nil); err == nil && key != nil && n <= int(m.MaxEntries()); key, err = m.NextKeyBytes(key) {
				n++
			}
			out[info.Name] += n
		}
		m.Close()
	}
	return out
}

// eachInfo gives what the kernel says of each descriptor of a process.
func eachInfo(pid int, take func(map[string]string)) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	for _, f := range files {
		info := map[string]string{}
		for line := range strings.Lines(read(f)) {
			if k, v, ok := strings.Cut(line, ":"); ok {
				info[k] = strings.TrimSpace(v)
			}
		}
		take(info)
	}
}

// memory of a process by a field of its status, MiB.
func memory(pid int, field string) float64 {
	for _, file := range []string{"status", "smaps_rollup"} {
		for line := range strings.Lines(read(fmt.Sprintf("/proc/%d/%s", pid, file))) {
			if w := strings.Fields(line); len(w) == 3 && w[0] == field+":" {
				n, _ := strconv.ParseFloat(w[1], 64)
				return n / 1024
			}
		}
	}
	return 0
}

// openFDs is the number of descriptors of a process.
func openFDs(pid int) int {
	d, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(d)
}

// spread is the median of v, its least and its most.
func spread(v []float64, format string) string {
	if len(v) == 0 {
		return "–"
	}
	return fmt.Sprintf(format+" ("+format+"–"+format+")", measure.Quantile(v, 0.5), v[0], v[len(v)-1])
}
