package coredump

import (
	"math/bits"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

const (
	fdSetBytes  = 128 // sizeof(fd_set): descriptors 0 to 1023
	fdSetSize   = 1024
	nearSet     = 1024     // bytes: how far behind its end an overwritten word is looked at
	frameSearch = 16 << 10 // bytes of a stack frame that are searched
)

// selected finds an fd_set on the stack that was written past its end: the compiler's guard value of a smashed
// frame, or the return address that was just taken, has bits that it had not, and these are of open
// descriptors of 1024 and more, counted from a set before it. What select() wrote back is not known by that.
func (s *summary) selected(m *Meaning) *evidence.CoreSelect {
	if s.o.Entry == nil || s.o.Entry.Process == nil || len(s.c.Threads) == 0 || len(s.stacks) == 0 {
		return nil // which descriptors were open is not known
	}
	f := &setFinder{c: s.c, m: &meaning{c: s.c, res: s.o.Resolver, root: s.o.Root, stack: &s.stacks[0], t: s.c.Threads[0], Meaning: *m}, open: openTable(s.o.Entry.Process)}
	if f.open == nil {
		return nil
	}
	switch {
	case s.c.Signal == sigABRT && m.Smashed != "":
		return f.guard()
	case s.c.Signal == sigSEGV && s.c.Code > 0:
		return f.returned()
	}
	return nil
}

// setFinder looks for the set that a word was overwritten from.
type setFinder struct {
	c    *Core
	m    *meaning
	open func(fd int64) bool
}

// openTable says which descriptors were open; nil where none of 1024 or more is known to have been.
func openTable(p *Process) func(fd int64) bool {
	set := map[int64]bool{}
	high := int64(-1)
	for _, d := range p.Descriptors {
		set[int64(d.FD)] = true
		high = max(high, int64(d.FD))
	}
	if high < fdSetSize {
		return nil
	}
	var from, to int64 // what lies between the first and the last that were looked at
	if t := p.FDTable; t != nil && t.Open > int64(len(p.Descriptors)) && len(p.Descriptors) == maxDescriptors {
		from, to = int64(p.Descriptors[maxDescriptors/2-1].FD), int64(p.Descriptors[maxDescriptors/2].FD)
		if to-from-1 != t.Open-int64(len(p.Descriptors)) { // not all of it is open
			from, to = 0, 0
		}
	}
	return func(fd int64) bool { return set[fd] || fd > from && fd < to }
}

// guardValue is what the compiler's stack protector puts into each frame.
func (f *setFinder) guardValue() (uint64, bool) {
	t := &f.m.t
	if f.c.Arch == "amd64" && t.TLS != 0 {
		if v, ok := f.c.Word(t.TLS + 0x28); ok && v != 0 {
			return v, true
		}
	}
	if f.c.Arch != "arm64" || f.m.res == nil {
		return 0, false
	}
	for _, at := range f.m.libraries("ld-linux", "libc.so") {
		if addr, ok := f.m.res.Address(f.m.root, symbolMapping(at), "__stack_chk_guard"); ok {
			if v, ok := f.c.Word(addr); ok && v != 0 {
				return v, true
			}
		}
	}
	// glibc makes it of the kernel's random bytes.
	if addr, ok := f.c.Aux(atRandom); ok {
		if v, ok := f.c.Word(addr); ok && v&^0xff != 0 {
			return v &^ 0xff, true
		}
	}
	return 0, false
}

// guard finds the guard value that __stack_chk_fail found changed.
func (f *setFinder) guard() *evidence.CoreSelect {
	value, ok := f.guardValue()
	frames := f.m.stack.Frames
	at := -1
	for i := range min(len(frames), 16) {
		if strings.HasPrefix(frames[i].Function, "__stack_chk_fail") {
			at = i
		}
	}
	if !ok || at < 0 {
		return nil
	}
	stack := f.m.t.SP
	b := make([]byte, maxStackSearch)
	b = b[:f.c.Memory(stack, b)]
	begin := 0
	slot, slotKnown := uint64(0), false
	for i := at + 1; i < len(frames) && begin == 0; i++ {
		if frames[i].Inlined || frames[i].Tail {
			continue
		}
		for k := 0; k+8 <= len(b); k += 8 { // where the call of the check put its return address
			if le.Uint64(b[k:]) == frames[i].PC {
				begin = k + 8
				if f.c.Arch == "amd64" && frames[i].Function != "" {
					slot, slotKnown = f.m.guardSlot(frames[i].PC-frames[i].Offset, frames[i].PC, stack+uint64(begin))
				}
				break
			}
		}
		break
	}
	if slotKnown {
		v, ok := f.c.Word(slot)
		if !ok || v == value || v == 0 {
			return nil
		}
		s := &evidence.CoreSelect{Over: "stack protector", Address: slot, Value: v, Was: value, Function: said(f.m.Smashed)}
		if v&value == value && f.from(s, v&^value, stack+uint64(begin)) {
			s.Sure = !likeText(v, value)
			return s
		}
		// A compiler that knows that the set is empty stores the bit, and select() writes back what is ready: all
		// bits are descriptors'. Other values are like that as well.
		if bits.OnesCount64(v) <= 16 && !likeText(v, value) && v > 0xff && f.from(s, v, stack+uint64(begin)) {
			return s
		}
		return nil
	}
	for k := begin; k+8 <= len(b) && k < begin+frameSearch; k += 8 {
		v := le.Uint64(b[k:])
		// Some 28 bits of the guard value are set: no other word has them all.
		if v == value || v&value != value || bits.OnesCount64(value) < 16 || v == ^uint64(0) {
			continue
		}
		s := &evidence.CoreSelect{Over: "stack protector", Address: stack + uint64(k), Value: v, Was: value, Function: said(f.m.Smashed)}
		if f.from(s, v&^value, stack+uint64(begin)) {
			s.Sure = !likeText(v, value)
			return s
		}
	}
	return nil
}

// likeText says whether a word may have been overwritten by a string or one byte that ran over: from its first byte on.
func likeText(v, was uint64) bool {
	changed := (bits.Len64(v^was) + 7) / 8
	for i := range changed {
		if b := byte(v >> (8 * i)); byte(was>>(8*i)) == b && i > 0 || !printable(b) && i > 0 {
			return false
		}
	}
	return true
}

// returned finds the return address that the thread jumped to.
func (f *setFinder) returned() *evidence.CoreSelect {
	t := &f.m.t
	if f.c.Arch != "amd64" { // elsewhere it lies before the locals
		return nil
	}
	slot := t.SP - 8
	switch {
	case f.m.Fault == evidence.CoreJump && t.PC == f.c.FaultAddress:
	case f.m.Fault == evidence.CoreNoAddress && f.m.Access.Kind == "return":
		slot = t.SP
	default:
		return nil
	}
	v, ok := f.c.Word(slot)
	if !ok || slot != t.SP && v != t.PC {
		return nil
	}
	var found *evidence.CoreSelect
	for bit := range 64 {
		was := v &^ (1 << bit)
		if was == v || !f.afterCall(was) {
			continue
		}
		s := &evidence.CoreSelect{Over: "return address", Address: slot, Value: v, Was: was}
		if !f.from(s, v&^was, slot-min(slot, keepBelow)) {
			continue
		}
		if found != nil {
			return nil // two places that it may have been called from
		}
		found = s
	}
	if found == nil && bits.OnesCount64(v) <= 2 && v > 1<<32 {
		s := &evidence.CoreSelect{Over: "return address", Address: slot, Value: v}
		if f.from(s, v, slot-min(slot, keepBelow)) {
			return s
		}
	}
	if found != nil {
		found.Sure = true
		if at := f.c.MappingAt(found.Was); at != nil && f.m.res != nil {
			found.Sure = at.Path != ""
		}
	}
	return found
}

// afterCall says whether a call instruction ends at addr.
func (f *setFinder) afterCall(addr uint64) bool {
	at := f.c.MappingAt(addr)
	if at == nil || !at.Executable {
		return false
	}
	var b [7]byte
	if f.m.read(addr-7, b[:]) < len(b) {
		return false
	}
	if b[2] == 0xe8 {
		return true
	}
	for _, n := range []int{2, 3, 4, 6, 7} { // FF /2
		if i := 7 - n; b[i] == 0xff && b[i+1]>>3&7 == 2 {
			return true
		}
	}
	return false
}

// from finds the set whose end was run over, the nearest whose bits are all of open descriptors, as are the
// added ones of the word. It fills s.
func (f *setFinder) from(s *evidence.CoreSelect, added, lowest uint64) bool {
	var set [fdSetBytes]byte
	best := -1
	for dist := uint64(fdSetBytes); dist <= fdSetBytes+nearSet && s.Address-dist >= lowest && dist <= s.Address; dist += 8 {
		if (s.Address-dist)%16 != 0 || // as both ABIs have an array of that size
			!f.all(int64(dist)*8, added) || f.c.Memory(s.Address-dist, set[:]) < len(set) {
			continue
		}
		count, fits := 0, true
		for i := 0; i < len(set) && fits; i += 8 {
			w := le.Uint64(set[i:])
			count += bits.OnesCount64(w)
			fits = f.all(int64(i)*8, w)
		}
		if !fits {
			continue
		}
		s.Candidate++
		if count > best && (best < 0 || best == 0) { // an empty set may be anything that is zero
			best = count
			s.SetAt, s.FD, s.Bits = s.Address-dist, int32(int(dist)*8+63-bits.LeadingZeros64(added)), bits.OnesCount64(added)
		}
	}
	return best >= 0
}

// all says whether each bit of a word is of an open descriptor.
func (f *setFinder) all(first int64, word uint64) bool {
	for ; word != 0; word &= word - 1 {
		if !f.open(first + int64(bits.TrailingZeros64(word))) {
			return false
		}
	}
	return true
}
