package output

// assemblies are the ways to make marks that this machine has.
func assemblies() []bool {
	if hasAVX2 {
		return []bool{false, true}
	}
	return []bool{false}
}

func hadAVX2(has bool, do func()) {
	was := hasAVX2
	hasAVX2 = has
	defer func() { hasAVX2 = was }()
	do()
}
