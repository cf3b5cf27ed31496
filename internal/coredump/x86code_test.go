package coredump

import "testing"

func TestDisplacementsAreSigned(t *testing.T) {
	regs := make([]uint64, 27)
	regs[x86Regs[5]] = 0x7ffc00001000 // rbp
	a := decodeAMD64([]byte{0x89, 0xbd, 0xfc, 0xfd, 0xff, 0xff}, regs, 0x401000)
	if a.Address != 0x7ffc00000dfc || a.Text != "mov %edi,-0x204(%rbp)" || a.Kind != "write" {
		t.Errorf("%#x %q %s", a.Address, a.Text, a.Kind)
	}
}
