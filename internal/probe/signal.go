//go:build linux

package probe

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/internal/evidence"
)

var signalObject = &object{name: "signal", spec: loadSignal, setup: setupSignal}

func setupSignal(e *env, spec *ebpf.CollectionSpec) error {
	if m := spec.Maps["faults"]; m != nil {
		m.MaxEntries = e.walkSlots()
	}
	return setupWalks(e, spec)
}

var signalProbe = &Probe{
	Name: "probe/signal",
	Cost: "who sent a signal, and where the program stood when it died of one, are not seen",
	Ways: []Made{{
		By: "tp_btf/signal_generate, tp_btf/signal_deliver", Since: "5.17", Needs: []string{"tp_btf"},
		Object: signalObject, Programs: []string{"on_signal_generate", "on_signal_deliver"},
	}},
	Events: []Event{
		{Type: evSignalSent, Decode: decodeSent, Counted: countedSent, Total: totalSent},
		{Type: evMappings, Decode: decodeMappings},
		{Type: evSignalFatal, Decode: decodeFatal},
		{Type: evSignalCaught, Decode: decodeCaught, Counted: countedCaught},
	},
}

const sentSize = headerSize + 4*6 + 8 + 16 + 8 + 128

func decodeSent(s *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < sentSize {
		return nil
	}
	i32 := func(i int) int32 { return int32(le.Uint32(raw[headerSize+4*i:])) }
	d := &evidence.SignalSent{
		Signal: evidence.Signal(i32(0)), Code: i32(1), Sender: i32(2), SenderParent: i32(3),
		SenderInTree: i32(4) != 0, Ignored: i32(5) != 0,
		Count:      int64(le.Uint64(raw[headerSize+24:])),
		SenderComm: s.intern([16]byte(raw[headerSize+32 : headerSize+48])),
	}
	args := raw[headerSize+56:]
	if n := min(int(le.Uint32(raw[headerSize+48:])), 128); n > 0 {
		d.SenderCommand = commandLine(args[:n])
	}
	if d.SenderCommand == "" && d.Sender > 0 {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", d.Sender))
		d.SenderCommand = commandLine(b)
	}
	return d
}

// commandLine shows arguments that NULs separate.
func commandLine(b []byte) string {
	return strings.TrimSpace(strings.ReplaceAll(strings.TrimRight(string(b), "\x00"), "\x00", " "))
}

func countedSent(_ *Set, k *countKey, v *countValue) evidence.Detail {
	if v.N <= 8 { // each was seen whole
		return nil
	}
	return &evidence.SignalSent{Signal: evidence.Signal(k.Nr), Count: int64(v.N), Sender: -1}
}

func totalSent(_ *countKey, v *countValue, add func(string, int64)) {
	add(evidence.CountSignals, int64(v.N))
}

func countedCaught(_ *Set, k *countKey, v *countValue) evidence.Detail {
	if v.N <= 4 {
		return nil
	}
	return &evidence.SignalCaught{SignalFatal: evidence.SignalFatal{Signal: evidence.Signal(k.Nr)}, Count: int64(v.N)}
}

const (
	areaSize = 8*5 + 4*2

	sigID      = headerSize
	sigSigno   = sigID + 8*10
	sigRegs    = sigSigno + 4*6
	sigAreas   = sigRegs + 8*34
	sigFile    = sigAreas + 5*areaSize
	signalSize = sigFile + 8*2 + 4*2
)

// area mirrors struct area.
type area struct {
	lo, hi, flags uint64 // hi is the last byte
	offset, inode uint64 // offset in pages
	dev, path     uint32
}

const (
	vmRead      = 1
	vmWrite     = 2
	vmExec      = 4
	vmShared    = 8
	vmGrowsDown = 0x100
	vmHugeTLB   = 0x400000
	areaMapped  = 1 << 63
)

func readArea(b []byte) area {
	return area{
		lo: le.Uint64(b), hi: le.Uint64(b[8:]), flags: le.Uint64(b[16:]), offset: le.Uint64(b[24:]),
		inode: le.Uint64(b[32:]), dev: le.Uint32(b[40:]), path: le.Uint32(b[44:]),
	}
}

func (a *area) mapped() bool { return a.flags&areaMapped != 0 }

func (a *area) may(what uint64) bool { return a.flags&what != 0 }

func (p *parts) mapping(a *area) evidence.Mapping {
	m := evidence.Mapping{
		Start: a.lo, End: a.hi + 1, Offset: a.offset * uint64(os.Getpagesize()),
		Path: p.path(a.path), Inode: a.inode,
	}
	if a.dev != 0 { // the kernel's own form is 12 bits of major and 20 of minor number
		m.Device = unix.Mkdev(a.dev>>20, a.dev&0xfffff)
	}
	return m
}

func decodeMappings(s *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) >= headerSize+16 {
		s.parts.of(le.Uint64(raw[headerSize:])).mappings = append([]byte(nil), raw[headerSize+16:]...)
	}
	return nil
}

func decodeFatal(s *Set, o *evidence.Observation, raw []byte) evidence.Detail {
	d := new(evidence.SignalFatal)
	if !s.signal(d, o, raw) {
		return nil
	}
	return d
}

func decodeCaught(s *Set, o *evidence.Observation, raw []byte) evidence.Detail {
	d := new(evidence.SignalCaught)
	if !s.signal(&d.SignalFatal, o, raw) {
		return nil
	}
	d.Count = int64(le.Uint64(raw[sigID+8*6:]))
	return d
}

// signal reads struct signal_event.
func (s *Set) signal(d *evidence.SignalFatal, o *evidence.Observation, raw []byte) bool {
	if len(raw) < signalSize {
		return false
	}
	u64 := func(i int) uint64 { return le.Uint64(raw[sigID+8*i:]) }
	i32 := func(i int) int32 { return int32(le.Uint32(raw[sigSigno+4*i:])) }
	d.Signal, d.Code = evidence.Signal(i32(0)), i32(1)
	d.Address = u64(1)
	d.Sender, d.Self = i32(2), i32(3) != 0
	if d.Signal == evidence.SIGSYS && d.Code > 0 {
		d.Syscall = callName(uint32(i32(4)))
	}
	id := u64(0)
	if id == 0 { // no context
		return true
	}
	p := s.parts.take(id)
	d.SP, d.PC, d.StackRL = u64(2), u64(3), limit(u64(4))
	x := &evidence.Context{Arch: runtime.GOARCH, PC: d.PC, SP: d.SP}
	regs := 21
	if runtime.GOARCH == "arm64" {
		regs = 34
	}
	x.Regs = make([]uint64, regs)
	for i := range x.Regs {
		x.Regs[i] = le.Uint64(raw[sigRegs+8*i:])
	}
	stack := raw[signalSize:]
	stack = stack[:min(len(stack), int(uint32(i32(5))))]
	x.Stack = stackFrom(d.SP, u64(9), stack)
	for b := p.mappings; len(b) >= areaSize; b = b[areaSize:] {
		a := readArea(b)
		x.Maps = append(x.Maps, p.mapping(&a))
	}
	d.Context = x
	f := faulted{sig: d, parts: p, heapLo: u64(7), heapHi: u64(8), err: u64(5)}
	for i, a := range []*area{&f.at, &f.below, &f.above, &f.stack, &f.stackAbove} {
		*a = readArea(raw[sigAreas+i*areaSize:])
	}
	f.judge()
	if d.Signal == evidence.SIGBUS && le.Uint32(raw[sigFile+16:])&unix.S_IFMT == unix.S_IFREG {
		d.Mapped = f.mappedFile(o, int64(le.Uint64(raw[sigFile:])), le.Uint64(raw[sigFile+8:]), le.Uint32(raw[sigFile+20:]))
	}
	return true
}

// stackFrom cuts or fills what was copied from address at upward so that it begins at sp: the pieces
// begin at a page, and where the stack pointer has run out of the stack, at the stack's lowest one.
func stackFrom(sp, at uint64, copied []byte) []byte {
	const most, gap = 32 << 10, 16 << 10
	switch {
	case len(copied) == 0 || sp >= at+uint64(len(copied)) || at > sp && at-sp > gap:
		return nil
	case sp >= at:
		copied = copied[sp-at:]
		return append([]byte(nil), copied[:min(len(copied), most)]...)
	}
	out := make([]byte, at-sp, at-sp+uint64(len(copied)))
	out = append(out, copied...)
	return out[:min(len(out), most)]
}
