package output

// lead is what stands before something: its last bytes, as far as there are any.
type lead struct {
	b [leadMost]byte // the last stands last
	n int
}

const leadMost = 16

func (l *lead) add(p []byte) {
	if len(p) >= leadMost {
		copy(l.b[:], p[len(p)-leadMost:])
	} else {
		copy(l.b[:], l.b[len(p):])
		copy(l.b[leadMost-len(p):], p)
	}
	l.n = min(l.n+len(p), leadMost)
}

func (l *lead) addByte(c byte) {
	copy(l.b[:], l.b[1:])
	l.b[leadMost-1] = c
	l.n = min(l.n+1, leadMost)
}

func (l *lead) bytes() []byte { return l.b[leadMost-l.n:] }

func (l *lead) last() byte { return l.b[leadMost-1] }
