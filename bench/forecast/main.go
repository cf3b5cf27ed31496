// Forecast records what real programs hold over time, and compares descry's forecasts over it with
// Prometheus' predict_linear.
//
//	go run ./bench/forecast record -out DIR            (root; nginx, redis, postgres, java, node, …; over an hour)
//	go run ./bench/forecast table >docs/forecast.md    (of what is kept in testdata)
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "record":
			if err := record(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, "forecast:", err)
				os.Exit(1)
			}
			return
		case "table":
			rs, err := results("bench/forecast/testdata")
			if err == nil {
				err = table(os.Stdout, rs)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "forecast:", err)
				os.Exit(1)
			}
			return
		case "show":
			rs, err := results(os.Args[2])
			if err != nil {
				fmt.Fprintln(os.Stderr, "forecast:", err)
				os.Exit(1)
			}
			for _, r := range rs {
				if !r.heldOut || len(os.Args) > 3 {
					show(r)
				}
			}
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: forecast record | table")
	os.Exit(2)
}

func show(r *result) {
	held := " "
	if r.heldOut {
		held = "H"
	}
	line := fmt.Sprintf("%s %-7s %-22s", held, r.Kind, r.Name)
	if r.truth != nil {
		line += fmt.Sprintf(" %s ends %d, ", r.truth.Quantity, r.end)
	}
	line += fmt.Sprintf(" descry lead %d alarms %d gone %d", r.descry.lead, r.descry.alarms, r.descry.gone)
	if r.said != nil {
		line += fmt.Sprintf(" [%.0f: %.0f-%.0f at %.0f%%]", r.said.seconds, r.said.low, r.said.high, 100*r.said.usage)
	}
	line += fmt.Sprintf(" covered %d/%d |", r.covered, r.forecast)
	for _, v := range r.rules[:4] {
		line += fmt.Sprintf(" %d/%d/%d", v.lead, v.alarms, v.gone)
	}
	fmt.Println(line)
	for _, n := range r.notes {
		fmt.Println("      ", n)
	}
}
