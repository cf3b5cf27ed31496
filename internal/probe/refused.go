//go:build linux

package probe

import (
	"os"
	"strconv"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// wholeEvents is how many alike events go out whole before they are only counted; mirrors FIRST_WHOLE.
const wholeEvents = 3

// refusedBare is the size of struct refused_event without a stack.
var refusedBare = 336 + contextSize

func decodeRefused(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < refusedBare {
		return nil
	}
	return &evidence.FDRefused{
		Call: callOrNone(le.Uint32(raw[40:])), Errno: evidence.Errno(le.Uint32(raw[44:])), Count: int64(le.Uint64(raw[48:])),
		Open: int64(le.Uint64(raw[56:])), SoftLimit: limit(le.Uint64(raw[64:])), InMessage: le.Uint32(raw[72:]) != 0,
		Path: cString(raw[80:336]), Context: readContext(raw[336:]),
	}
}

// callOrNone leaves out the calls of 32-bit tasks, whose numbers mean others.
func callOrNone(nr uint32) string {
	const notDecoded = 0xffff
	if nr == notDecoded {
		return "32-bit call"
	}
	return callName(nr)
}

func countedRefused(_ *Set, k *countKey, v *countValue) evidence.Detail {
	if v.N <= wholeEvents {
		return nil
	}
	return &evidence.FDRefused{Call: callOrNone(uint32(k.Nr)), Errno: evidence.Errno(k.Err), Count: int64(v.N)}
}

func totalRefused(k *countKey, v *countValue, add func(string, int64)) {
	add(evidence.CountFDRefused, int64(v.N))
	if evidence.Errno(k.Err) == evidence.ENFILE {
		add(evidence.CountFDRefusedTable, int64(v.N))
	}
}

// grownContext is where the registers stand in struct grown_event.
const grownContext = 48 + fdDescSize

func decodeGrown(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < grownContext+contextSize {
		return nil
	}
	d := &evidence.FDGrown{
		Call: callName(le.Uint32(raw[40:])), FD: int32(le.Uint32(raw[44:])), Context: readContext(raw[grownContext:]),
	}
	is := readFDDesc(raw[48:])
	d.FDKind, d.State, d.Peer, d.Path = is.describe()
	return d
}

func decodeInotify(_ *Set, _ *evidence.Observation, raw []byte) evidence.Detail {
	if len(raw) < refusedBare {
		return nil
	}
	return &evidence.InotifyRefused{
		Call: callName(le.Uint32(raw[40:])), Errno: evidence.Errno(le.Uint32(raw[44:])), Count: int64(le.Uint64(raw[48:])),
		Open: int64(le.Uint64(raw[56:])), SoftLimit: limit(le.Uint64(raw[64:])), Path: cString(raw[80:336]),
		MaxInstances: sysctl("fs/inotify/max_user_instances"), MaxWatches: sysctl("fs/inotify/max_user_watches"),
	}
}

func countedInotify(_ *Set, k *countKey, v *countValue) evidence.Detail {
	if v.N <= wholeEvents {
		return nil
	}
	return &evidence.InotifyRefused{Call: callName(uint32(k.Nr)), Errno: evidence.Errno(k.Err), Count: int64(v.N)}
}

func totalInotify(_ *countKey, v *countValue, add func(string, int64)) {
	add(evidence.CountInotifyRefused, int64(v.N))
}

// sysctl reads a number, 0 where that cannot be.
func sysctl(name string) int64 {
	b, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
