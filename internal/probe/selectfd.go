//go:build linux

package probe

import "github.com/descry-dev/descry/internal/evidence"

var (
	selectWhere = [...]string{"", "stack", "heap", "data", "other"}
	selectProof = [...]string{"", "sets overlap", "heap block too small", "bit beyond the set"}
)

const (
	selectContext = 136 // where the registers stand in struct select_event
	selectWhole   = 8   // mirrors SELECT_WHOLE
)

func decodeSelect(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < selectContext+contextSize {
		return nil
	}
	d := &evidence.SelectBeyond{
		Call: callName(le.Uint32(raw[40:])), NFDs: int32(le.Uint32(raw[44:])), Distance: int64(le.Uint64(raw[72:])),
		Highest: int64(int32(le.Uint32(raw[116:]))), BitFD: int32(le.Uint32(raw[120:])), Count: int64(le.Uint64(raw[128:])),
		Context: readContext(raw[selectContext:]),
	}
	for i := range 3 {
		d.Sets[i] = le.Uint64(raw[48+8*i:])
		d.ChunkSize[i] = int64(le.Uint64(raw[80+8*i:]))
		d.Where[i] = word(selectWhere[:], le.Uint32(raw[104+4*i:]))
	}
	d.Proof = word(selectProof[:], le.Uint32(raw[124:]))
	return d
}

func word(words []string, n uint32) string {
	if n < uint32(len(words)) {
		return words[n]
	}
	return ""
}

func countedSelect(_ *Set, k *countKey, v *countValue) evidence.Detail {
	if v.N <= selectWhole {
		return nil
	}
	return &evidence.SelectBeyond{Call: callName(uint32(k.Nr)), Count: int64(v.N)}
}

func totalSelect(_ *countKey, v *countValue, add func(string, int64)) {
	add(evidence.CountSelectBeyond, int64(v.N))
}
