// Command gogrow takes memory until there is none.
package main

import "fmt"

func main() {
	var all [][]byte
	for i := 0; ; i++ {
		all = append(all, make([]byte, 4<<20))
		if i == 0 {
			fmt.Println("filling", len(all))
		}
	}
}
