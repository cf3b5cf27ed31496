//go:build linux

package probe

import "github.com/descry-dev/descry/internal/evidence"

const writeSize = 112 // struct write_event

func decodeWrite(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < writeSize {
		return nil
	}
	k := readFDKind(raw[88:])
	errno, fd, asked := evidence.Errno(le.Uint32(raw[44:])), int32(le.Uint32(raw[48:])), int64(le.Uint64(raw[56:]))
	count, lost := int64(le.Uint64(raw[72:])), int64(le.Uint64(raw[80:]))
	if errno == 0 {
		return &evidence.WriteShort{FD: fd, FDKind: k.kind("", ""), Asked: asked, Written: int64(le.Uint64(raw[64:])), Count: count, Lost: lost}
	}
	return &evidence.WriteRefused{FD: fd, FDKind: k.kind("", ""), Errno: errno, Asked: asked, Count: count, Lost: lost}
}

func countedWrite(_ *Set, k *countKey, v *countValue) evidence.Detail {
	switch {
	case v.N <= wholeEvents:
		return nil
	case k.Err == 0:
		return &evidence.WriteShort{FD: k.Arg, Count: int64(v.N), Lost: int64(v.Sum)}
	}
	return &evidence.WriteRefused{FD: k.Arg, Errno: evidence.Errno(k.Err), Count: int64(v.N), Lost: int64(v.Sum)}
}

func totalWrite(k *countKey, v *countValue, add func(string, int64)) {
	if k.Err == 0 {
		add(evidence.CountWriteShort, int64(v.N))
	} else {
		add(evidence.CountWriteRefused, int64(v.N))
	}
}
