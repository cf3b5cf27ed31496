//go:build linux

package probe

import (
	"os"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/descry-dev/descry/internal/evidence"
)

var processObject = &object{name: "process", spec: loadProcess, setup: setupProcess}

func setupProcess(e *env, spec *ebpf.CollectionSpec) error {
	params, err := e.parameters("sched_process_exit")
	if err != nil {
		return err
	}
	if len(params) >= 2 { // 6.16
		if err := set(spec, "exit_has_group_dead", uint32(1)); err != nil {
			return err
		}
	}
	return setupWalks(e, spec)
}

var forkProbe = &Probe{
	Name: "probe/fork",
	Cost: "children of the program are not watched",
	Ways: []Made{{
		By: "tp_btf/sched_process_fork", Since: "5.17", Needs: []string{"tp_btf"},
		Object: processObject, Programs: []string{"on_fork"},
	}},
	Events: []Event{{Type: evFork, Decode: decodeFork, Total: totalForks}},
}

var execProbe = &Probe{
	Name: "probe/exec",
	Cost: "the programs that the command starts are not listed",
	Ways: []Made{{
		By: "tp_btf/sched_process_exec", Since: "5.17", Needs: []string{"tp_btf"},
		Object: processObject, Programs: []string{"on_exec"},
	}},
	Events: []Event{{Type: evExec, Decode: decodeExec}},
}

var exitProbe = &Probe{
	Name: "probe/exit",
	Cost: "how children end and what descriptors a process held at its death are not seen; the last sweep stands in",
	Ways: []Made{{
		By: "tp_btf/sched_process_exit", Since: "5.17", Needs: []string{"tp_btf"},
		Object: processObject, Programs: []string{"on_exit"},
	}},
	Events: []Event{
		{Type: evFDGroups, Decode: decodeGroups},
		{Type: evFDPaths, Decode: decodePaths},
		{Type: evExit, Decode: decodeExit},
	},
}

func decodeFork(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < headerSize+4 {
		return nil
	}
	return &evidence.Fork{Child: int32(le.Uint32(raw[headerSize:]))}
}

func totalForks(_ *countKey, v *countValue, add func(string, int64)) {
	add(evidence.CountForks, int64(v.N))
}

// pathsHeader is the size of struct paths_event without its bytes.
const pathsHeader = headerSize + 16

func decodeExec(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < pathsHeader {
		return nil
	}
	n, extra := int(le.Uint32(raw[headerSize+8:])), int(le.Uint32(raw[headerSize+12:]))
	b := raw[pathsHeader:]
	if n+extra > len(b) || n < 0 || extra < 0 {
		return nil
	}
	from := le.Uint64(raw[headerSize:])
	d := &evidence.Exec{Path: readPath(b[:n]), Parent: int32(uint32(from)), Outside: from>>32 != 0}
	if args := string(b[n : n+extra]); args != "" {
		// A last one that is cut has no NUL behind it.
		d.Args = strings.Split(strings.TrimSuffix(args, "\x00"), "\x00")
	}
	return d
}

// Offsets in struct exit_event.
const (
	exitID      = headerSize
	exitStart   = exitID + 8
	exitNumbers = exitStart + 8
	exitCode    = exitNumbers + 8*10
	exitByKind  = exitCode + 4*10
	exitStd     = exitByKind + 4*walkKinds
	exitKnown   = exitStd + 2*3*stdSize
	exitUser    = exitKnown + 4
	exitLimits  = exitUser + 3*4
	exitSize    = exitLimits + 7*8

	stdSize = 16
)

func decodeExit(s *Set, o *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < exitSize {
		return nil
	}
	u64 := func(i int) int64 { return int64(le.Uint64(raw[exitNumbers+8*i:])) }
	u32 := func(i int) int32 { return int32(le.Uint32(raw[exitCode+4*i:])) }
	s.died(process{o.Subject, uint32(o.PID)})
	d := &evidence.Exit{
		StartNanos:  int64(le.Uint64(raw[exitStart:])),
		MaxRSSBytes: u64(3) * int64(os.Getpagesize()),
		MinorFaults: u64(4), MajorFaults: u64(5),
		SelectCalls: u64(8), RefusedFDs: u64(9),
		Parent: u32(1), EnderTID: u32(2), HighestEver: u32(3), GroupExiting: u32(4) != 0,
	}
	d.UserNanos, d.SystemNanos = splitRuntime(u64(0), u64(1), u64(2))
	code := u32(0)
	d.CoreDumped = code&0x80 != 0
	if sig := code & 0x7f; sig != 0 {
		d.Signal, d.ExitCode = evidence.Signal(sig), 128+sig
	} else {
		d.ExitCode = code >> 8 & 0xff
	}
	s.addTotal(o.Subject, evidence.CountSelectCalls, d.SelectCalls)
	d.AtEnd = atEnd(raw)
	id := le.Uint64(raw[exitID:])
	if id == 0 {
		return d
	}
	parts := s.parts.take(id)
	parts.lost = parts.groups == nil && u32(8) > 0
	d.FDs = parts.table(int64(u32(6)), int64(u32(7)), raw[exitByKind:], uint32(u32(9)))
	d.FDs.At, d.FDs.PID = o.Time(), o.PID
	d.FDs.SoftLimit, d.FDs.HardLimit = limit(uint64(u64(6))), limit(uint64(u64(7)))
	if le.Uint32(raw[exitKnown:]) != 0 {
		d.Stdio = stdioTurned(raw[exitStd:], d.FDs)
	}
	return d
}

// atEnd reads who it ran as, and what it had of its limits.
func atEnd(raw []byte) *evidence.AtEnd {
	n := func(i int) uint64 { return le.Uint64(raw[exitLimits+8*i:]) }
	e := &evidence.AtEnd{
		UID: int32(le.Uint32(raw[exitUser:])), GID: int32(le.Uint32(raw[exitUser+4:])), Caps: n(0),
		AddressLimit: limit(n(1)), DataLimit: limit(n(2)), AddressPeak: int64(n(3)) * int64(os.Getpagesize()),
	}
	e.Written = int64(n(4))
	if used := int64(n(5)); used >= 0 {
		e.Inotify, e.InotifyMax = used, limit(n(6))
	}
	return e
}

// stdioTurned says which of descriptors 0 to 2 are something else than they were when the program began.
func stdioTurned(b []byte, t *evidence.FDTable) (out []evidence.StdioTurned) {
	kind := func(i int) evidence.FDKind { return kindAt(le.Uint16(b[i*stdSize+12:])) }
	for fd := range 3 {
		was, is := b[fd*stdSize:][:stdSize], b[(3+fd)*stdSize:][:stdSize]
		if string(was[:14]) == string(is[:14]) { // inode, device and kind; sockets change their state
			continue
		}
		d := evidence.StdioTurned{FD: int32(fd), Was: kind(fd), Is: kind(3 + fd)}
		for i := range t.Groups {
			if g := &t.Groups[i]; g.Lowest == int32(fd) && g.Kind == d.Is {
				d.State, d.Peer, d.Path = g.State, g.Peer, g.Path
			}
		}
		out = append(out, d)
	}
	return out
}

// splitRuntime gives user and system time as wait4 does: the exact run time, split in the
// proportion that the ticks of the clock have found.
func splitRuntime(user, system, exact int64) (int64, int64) {
	if exact <= 0 {
		return user, system
	}
	switch {
	case system == 0:
		return exact, 0
	case user == 0:
		return 0, exact
	}
	s := int64(float64(exact) * (float64(system) / (float64(user) + float64(system))))
	return exact - s, s
}

// limit makes a resource limit of the kernel's: -1 is unlimited.
func limit(v uint64) int64 {
	if int64(v) < 0 {
		return -1
	}
	return int64(v)
}

func decodeGroups(s *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) >= headerSize+16 {
		s.parts.of(le.Uint64(raw[headerSize:])).groups = append([]byte(nil), raw[headerSize+16:]...)
	}
	return nil
}

func decodePaths(s *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < pathsHeader {
		return nil
	}
	n := min(int(le.Uint32(raw[headerSize+8:])), len(raw)-pathsHeader)
	s.parts.of(le.Uint64(raw[headerSize:])).paths = append([]byte(nil), raw[pathsHeader:pathsHeader+n]...)
	return nil
}
