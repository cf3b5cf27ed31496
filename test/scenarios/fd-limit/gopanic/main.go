// Command gopanic ignores the error of os.Open, as many do, and falls over what it got instead.
package main

import (
	"fmt"
	"os"
)

type shard struct{ f *os.File }

var all []*shard

func openShard(n int) *shard {
	f, err := os.OpenFile(fmt.Sprintf("shard-%03d", n%7), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil
	}
	return &shard{f}
}

func main() {
	for n := 0; ; n++ {
		s := openShard(n)
		all = append(all, s)
		if _, err := s.f.WriteString("x"); err != nil {
			panic(err)
		}
	}
}
