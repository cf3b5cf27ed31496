//go:build !amd64

package output

// assemblies are the ways to make marks that this machine has.
func assemblies() []bool { return []bool{false} }

func hadAVX2(_ bool, do func()) { do() }
