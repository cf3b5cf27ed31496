package diagnose

import (
	"encoding/hex"
	"fmt"

	"github.com/descry-dev/descry/internal/evidence"
)

// printedBeyond finds what of the program's output is no text, and came from memory behind the 128 bytes of a
// set which select() wrote before: the index of the garbage, and of the set.
func (v *View) printedBeyond() (garbled, call, set int) {
	for g, d := range of[*evidence.Garbled](v) {
		w := d.Writer
		if w == nil || w.PID != v.PID || d.From == 0 || v.boot(g) > v.End {
			continue
		}
		for i, s := range of[*evidence.SelectBeyond](v) {
			if v.boot(i) > v.boot(g) || v.boot(g)-v.boot(i) > late || s.NFDs <= fdSetSize {
				continue
			}
			for k, at := range s.Sets {
				need := setBytes(s.NFDs)
				if at == 0 || s.ChunkSize[k] >= need || d.From < at+fdSetSize/8 || d.From >= at+uint64(need) || d.From+uint64(min(max(d.Length, 1), 16)) > at+uint64(need) {
					continue
				}
				if s.Where[k] == "stack" && !stillIn(d, s) {
					continue // the place may have had another use by then
				}
				if bitsOfOpen(d, s, at) {
					return g, i, k
				}
			}
		}
	}
	return -1, -1, 0
}

// stillIn says whether the function that called select() had not returned when the garbage was written.
func stillIn(d *evidence.Garbled, s *evidence.SelectBeyond) bool {
	f := ownFrame(s.Trace)
	if f == nil || !f.Own || f.Function == "" {
		return false
	}
	for _, w := range d.Writer.Trace {
		if !w.Guess && w.Function != "" && w.PC-w.Offset == f.PC-f.Offset { // what is inlined into one function begins alike
			return true
		}
	}
	return false
}

// bitsOfOpen says whether the garbage's first bytes, as a part of that set, name no descriptor above the highest.
func bitsOfOpen(d *evidence.Garbled, s *evidence.SelectBeyond, set uint64) bool {
	b, err := hex.DecodeString(d.Preview)
	if err != nil {
		return false
	}
	for i, x := range b[:min(int64(len(b)), max(0, d.Length))] {
		for k := range 8 {
			if x>>k&1 == 1 && int64(d.From-set)*8+int64(i*8+k) > max(s.Highest, int64(s.NFDs)-1) {
				return false
			}
		}
	}
	return len(b) > 0
}

// selectPrinted is a program that printed what select() had overwritten, and then ended itself.
func (v *View) selectPrinted() *evidence.Finding {
	g, i, k := v.printedBeyond()
	if g < 0 || v.text.final != nil {
		return nil
	}
	d, s := v.Case.Timeline[g].Detail.(*evidence.Garbled), v.Case.Timeline[i].Detail.(*evidence.SelectBeyond)
	conf := evidence.Possible
	if (s.Where[k] == "data" || s.Where[k] == "stack") && v.End-v.boot(g) < window { // a place in the heap may have had another use by then
		conf = evidence.Likely
	}
	sum := fmt.Sprintf("It called %s() for descriptors up to %d with a set in its %s, where an fd_set holds 0 to 1023; %d bytes of its %s are no text, and the first of them stood %d bytes behind the set's start, where that call wrote. %s later it %s.",
		plain(s.Call, 20), s.NFDs-1, placeWords(s.Where[k]), d.Length, plain(d.Stream, 10), d.From-s.Sets[k], span(v.End-v.boot(g)), v.endWords())
	return v.selectFinding(conf, sum, append(v.deathAt(), i, g))
}

func placeWords(where string) string {
	switch where {
	case "data":
		return "data"
	case "stack", "heap":
		return where
	}
	return "memory"
}
