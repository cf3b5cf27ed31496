package main

import (
	"fmt"
	"os"

	"github.com/descry-dev/descry/internal/output"
)

func main() {
	for _, f := range os.Args[1:] {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		var l output.Lines
		got := l.Flush(l.Write(nil, b))
		n, _ := l.Count()
		fmt.Printf("%s: %d lines, %d torn\n", f, n, len(got))
		for i, t := range got {
			if i < 5 {
				fmt.Printf("   %+v\n", t)
			}
		}
	}
}
