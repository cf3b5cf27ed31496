package symbol

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Bounds of a JIT's map. Node.js appends to it for as long as it runs.
const (
	maxPerfMap  = 64 << 20 // bytes
	maxPerfName = 512
)

type jitQuery struct {
	pc    uint64
	spot  int
	name  string
	start uint64
}

// readPerfMap answers qs from /tmp/perf-PID.map, as node --perf-basic-prof, python -X perf and
// Java agents write it, in the container's root.
func (r *Resolver) readPerfMap(ctx *Context, qs []jitQuery) {
	pid := ctx.NSPID
	if pid == 0 {
		pid = ctx.PID
	}
	f, err := openBelow(ctx.Root, fmt.Sprintf("/tmp/perf-%d.map", pid))
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // read only
	searchPerfMap(io.LimitReader(f, maxPerfMap), qs)
}

// searchPerfMap reads lines of "start size name", numbers in hex. Of several that hold an address
// the last counts: code moves and its place is used again. A torn or foreign line is left out.
func searchPerfMap(in io.Reader, qs []jitQuery) {
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := r.ReadSlice('\n')
		long := err == bufio.ErrBufferFull
		if len(line) > 0 && (err == nil || long) {
			perfMapLine(line, qs)
		}
		for err == bufio.ErrBufferFull { // the rest of a line that is too long
			_, err = r.ReadSlice('\n')
		}
		if err != nil {
			return
		}
	}
}

func perfMapLine(line []byte, qs []jitQuery) {
	a, rest, ok := bytes.Cut(line, []byte(" "))
	b, name, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 || len(a) > 18 || len(b) > 18 {
		return
	}
	start, err := strconv.ParseUint(strings.TrimPrefix(string(a), "0x"), 16, 64)
	size, err2 := strconv.ParseUint(strings.TrimPrefix(string(b), "0x"), 16, 64)
	if err != nil || err2 != nil {
		return
	}
	for i := range qs {
		if q := &qs[i]; q.pc >= start && q.pc-start < size {
			name = bytes.TrimRight(name, "\r\n")
			q.name, q.start = string(name[:min(len(name), maxPerfName)]), start
		}
	}
}
