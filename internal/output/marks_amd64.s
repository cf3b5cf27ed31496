#include "textflag.h"

#define MARKWORDS 100 // markWords

#define FILL(value, x, y) \
	MOVL $value, AX \
	VMOVD AX, x \
	VPBROADCASTB x, y

// PLAIN sets the bits of o that are bytes at off which are no plain text.
#define PLAIN(off, v, w, o) \
	VMOVDQU off(SI), v \
	VPCMPGTB Y0, v, w \ // 0x20 to 0x7f
	VPCMPEQB Y1, v, Y8 \ // DEL
	VPANDN w, Y8, w \
	VPAND Y2, v, Y9 \
	VPCMPEQB Y3, Y9, Y9 \ // BS to SI
	VPOR Y9, w, w \
	VPCMPEQB Y4, v, Y8 \ // BEL
	VPCMPEQB Y5, v, Y9 \ // ESC
	VPOR Y8, w, w \
	VPOR Y9, w, w \
	VPMOVMSKB w, o \
	NOTL o

// func plainAVX2(p *byte, n int) int
TEXT ·plainAVX2(SB), NOSPLIT, $0-24
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ SI, DI
	FILL(0x1f, X0, Y0)
	FILL(0x7f, X1, Y1)
	FILL(0xf8, X2, Y2)
	FILL(0x08, X3, Y3)
	FILL(0x07, X4, Y4)
	FILL(0x1b, X5, Y5)

loop:
	PLAIN(0, Y6, Y7, AX)
	PLAIN(32, Y10, Y11, BX)
	SHLQ $32, BX
	ORQ  BX, AX
	JNE  odd
	ADDQ $64, SI
	SUBQ $64, CX
	JNE  loop
	XORQ AX, AX
	JMP  done

odd:
	BSFQ AX, AX

done:
	SUBQ DI, SI
	ADDQ SI, AX
	VZEROUPPER
	MOVQ AX, ret+16(FP)
	RET

// SET puts the bits of 64 bytes that are equal to y into the set of that number.
#define SET(y, a, b, to) \
	VPCMPEQB y, a, Y6 \
	VPCMPEQB y, b, Y7 \
	VPMOVMSKB Y6, AX \
	VPMOVMSKB Y7, BX \
	SHLQ $32, BX \
	ORQ BX, AX \
	MOVQ AX, (to*MARKWORDS*8)(DI)

// func markAVX2(p *byte, out *marks, n int)
TEXT ·markAVX2(SB), NOSPLIT, $0-24
	MOVQ p+0(FP), SI
	MOVQ out+8(FP), DI
	MOVQ n+16(FP), CX
	FILL(0x0a, X0, Y0)
	FILL(0xe0, X1, Y1)
	FILL(0x20, X2, Y2)
	FILL(0x7b, X3, Y3)
	FILL(0x30, X8, Y8)
	FILL(0x09, X9, Y9)

next:
	VMOVDQU (SI), Y4
	VMOVDQU 32(SI), Y5
	SET(Y0, Y4, Y5, 0)
	SET(Y3, Y4, Y5, 2)
	VPSUBB Y8, Y4, Y10
	VPSUBB Y8, Y5, Y11
	VPMINUB Y9, Y10, Y12 // what is 9 at most is its own minimum
	VPMINUB Y9, Y11, Y13
	VPCMPEQB Y10, Y12, Y10
	VPCMPEQB Y11, Y13, Y11
	VPMOVMSKB Y10, AX
	VPMOVMSKB Y11, BX
	SHLQ $32, BX
	ORQ BX, AX
	MOVQ AX, (3*MARKWORDS*8)(DI)
	VPAND Y1, Y4, Y4
	VPAND Y1, Y5, Y5
	SET(Y2, Y4, Y5, 1)
	ADDQ $64, SI
	ADDQ $8, DI
	DECQ CX
	JNE  next
	VZEROUPPER
	RET

// func andAVX2(dst, src *bitset, by uint64, flip uint64, n int)
TEXT ·andAVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ by+16(FP), AX
	MOVQ n+32(FP), CX
	VMOVQ AX, X0
	NEGQ AX
	ADDQ $64, AX // by 64 nothing is left, as it should
	VMOVQ AX, X1
	VPBROADCASTQ flip+24(FP), Y2

more:
	VMOVDQU (SI), Y3
	VMOVDQU 8(SI), Y4
	VPSRLQ X0, Y3, Y3
	VPSLLQ X1, Y4, Y4
	VPOR Y3, Y4, Y3
	VPXOR Y2, Y3, Y3
	VPAND (DI), Y3, Y3
	VMOVDQU Y3, (DI)
	ADDQ $32, SI
	ADDQ $32, DI
	SUBQ $4, CX
	JG   more
	VZEROUPPER
	RET
