// Command godeep follows a list that leads back to itself.
package main

import "runtime/debug"

type node struct{ next *node }

func (n *node) length() int {
	if n == nil {
		return 0
	}
	return 1 + n.next.length()
}

func main() {
	debug.SetMaxStack(16 << 20)
	n := new(node)
	n.next = n
	println(n.length())
}
