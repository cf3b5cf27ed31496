package main

import (
	"fmt"

	"github.com/descry-dev/descry/bench/measure"
)

// median of v; v is sorted in place.
func median(v []float64) float64 { return measure.Quantile(v, 0.5) }

// row is one way of running the same thing, measured several times.
type row struct {
	name string
	cpu  []float64 // microseconds of the server's CPU for each request
	rate []float64 // requests a second
}

// compare prints the rows against the first, and what the first differs from itself (its second row).
func compare(rows []*row) {
	base, again := rows[0], rows[1]
	fmt.Println("| way | CPU a request, µs (median, min–max) | against bare | requests/s (median) | against bare |")
	fmt.Println("| --- | --- | --- | --- | --- |")
	for _, r := range rows {
		cpu, rate := median(r.cpu), median(r.rate)
		fmt.Printf("| %s | %.2f (%.2f–%.2f) | %+.1f%% | %.0f | %.1f%% |\n", r.name, cpu, r.cpu[0], r.cpu[len(r.cpu)-1],
			100*(cpu/median(base.cpu)-1), rate, 100*rate/median(base.rate))
	}
	fmt.Printf("\nBare against itself: CPU %+.1f%%, throughput %+.1f%%; %d runs each way, alternating.\n",
		100*(median(again.cpu)/median(base.cpu)-1), 100*(median(again.rate)/median(base.rate)-1), len(base.cpu))
	// What else runs on the machine only ever takes away: the best of each is nearest to the thing itself.
	best := func(v []float64) float64 { return v[len(v)-1] }
	least, most := min(base.cpu[0], again.cpu[0]), max(best(base.rate), best(again.rate))
	fmt.Print("The best run of each against the best bare run:")
	for _, r := range rows[2:] {
		fmt.Printf(" %s CPU %+.1f%%, throughput %.1f%%;", r.name, 100*(r.cpu[0]/least-1), 100*best(r.rate)/most)
	}
	fmt.Println()
}
