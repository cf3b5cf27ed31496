//go:build linux

package probe

func nsLevelByKernel() (uint32, error) { return 0, nil }
