package evidence

// CallName is the name of a system call of an architecture ("amd64", "arm64"), empty where it has none here.
func CallName(arch string, nr uint32) string {
	if names := CallNames(arch); nr < uint32(len(names)) {
		return names[nr]
	}
	return ""
}

// CallNames are the system calls of an architecture by number, with gaps; nobody may change them.
func CallNames(arch string) []string {
	switch arch {
	case "amd64":
		return callsX86[:]
	case "arm64":
		return callsARM[:]
	}
	return nil
}
