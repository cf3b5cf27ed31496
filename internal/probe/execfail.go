//go:build linux

package probe

import "github.com/descry-dev/descry/internal/evidence"

const execFailedSize = 312 // struct exec_failed_event

func decodeExecFailed(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < execFailedSize {
		return nil
	}
	return &evidence.ExecFailed{
		Errno: evidence.Errno(le.Uint32(raw[44:])), Count: int64(le.Uint64(raw[48:])), Path: cString(raw[56:execFailedSize]),
	}
}

func countedExecFailed(_ *Set, k *countKey, v *countValue) evidence.Detail {
	if v.N <= 8 {
		return nil
	}
	return &evidence.ExecFailed{Errno: evidence.Errno(k.Err), Count: int64(v.N)}
}

func totalExecFailed(_ *countKey, v *countValue, add func(string, int64)) {
	add(evidence.CountExecFailed, int64(v.N))
}
