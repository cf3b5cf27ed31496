package coredump

import (
	"strconv"
	"strings"
)

// goLayout says where Go's runtime keeps things, in bytes, and the words of its wait reasons. Go has no
// table of this in a program without DWARF, so the figures are those of each version's runtime/runtime2.go
// on amd64 and arm64, which are alike, and what is read by them is checked (goroutine.plausible).
// The first members of runtime.g and runtime.m have not moved since Go 1.18.
type goLayout struct {
	minor                           int // first version: 18 is Go 1.18
	schedBP                         uint64
	syscallSP, syscallPC, syscallBP uint64 // syscallBP 0: none, sched's is the one
	status, goid, waitSince, reason uint64
	lockedM, parent, goPC, startPC  uint64 // parent 0: none
	panicArg, panicLink             uint64
	procID, curG                    uint64 // in runtime.m
	moduleTypes                     uint64 // in runtime.moduledata
	reasons                         []string
}

// In runtime.g.
const (
	gStackLo = 0
	gStackHi = 8
	gPanic   = 32
	gM       = 48
	gSchedSP = 56
	gSchedPC = 64
	gSchedG  = 72
	gSize    = 320 // as much of it as is read
)

// Reasons that stand at the begin of each version's list.
var reasons18 = strings.Split(",GC assist marking,IO wait,chan receive (nil chan),chan send (nil chan),dumping heap,garbage collection,"+
	"garbage collection scan,panicwait,select,select (no cases),GC assist wait,GC sweep wait,GC scavenge wait,chan receive,chan send,"+
	"finalizer wait,force gc (idle)", ",")

func reasons(more string) []string {
	return append(append([]string(nil), reasons18...), strings.Split(more, ",")...)
}

const (
	reasonsWait = "semacquire,sleep,sync.Cond.Wait,"
	reasonsLock = "sync.Mutex.Lock,sync.RWMutex.RLock,sync.RWMutex.Lock,"
	reasonsGC   = "trace reader (blocked),wait for GC cycle,GC worker (idle),GC worker (active),preempted,debug call,GC mark termination,stopping the world"
	reasonsMore = ",flushing proc caches,trace goroutine status,trace proc status,page trace flush,coroutine,GC weak to strong wait"
)

// goLayouts has the newest version first.
var goLayouts = []goLayout{
	{minor: 26, schedBP: 96, syscallSP: 104, syscallPC: 112, syscallBP: 120, status: 144, goid: 152, waitSince: 168, reason: 176, lockedM: 208,
		parent: 280, goPC: 288, startPC: 304, panicArg: 0, panicLink: 16, procID: 64, curG: 184, moduleTypes: 37 * 8,
		reasons: strings.Split(",GC assist marking,IO wait,dumping heap,garbage collection,garbage collection scan,panicwait,GC assist wait,"+
			"GC sweep wait,GC scavenge wait,finalizer wait,force gc (idle),GOMAXPROCS updater (idle),semacquire,sleep,chan receive (nil chan),"+
			"chan send (nil chan),select (no cases),select,chan receive,chan send,sync.Cond.Wait,"+reasonsLock+"sync.WaitGroup.Wait,"+reasonsGC+reasonsMore+
			",synctest.Run,synctest.Wait,chan receive (durable),chan send (durable),select (durable),sync.WaitGroup.Wait (durable),cleanup wait", ",")},
	{minor: 25, schedBP: 96, syscallSP: 104, syscallPC: 112, syscallBP: 120, status: 144, goid: 152, waitSince: 168, reason: 176, lockedM: 208,
		parent: 272, goPC: 280, startPC: 296, panicArg: 8, panicLink: 24, procID: 64, curG: 184, moduleTypes: 37 * 8,
		reasons: reasons("GOMAXPROCS updater (idle)," + reasonsWait + reasonsLock + "sync.WaitGroup.Wait," + reasonsGC + reasonsMore +
			",synctest.Run,synctest.Wait,chan receive (durable),chan send (durable),select (durable),sync.WaitGroup.Wait (durable),cleanup wait")},
	{minor: 24, schedBP: 104, syscallSP: 112, syscallPC: 120, syscallBP: 128, status: 152, goid: 160, waitSince: 176, reason: 184, lockedM: 216,
		parent: 280, goPC: 288, startPC: 304, panicArg: 8, panicLink: 24, procID: 72, curG: 192, moduleTypes: 37 * 8,
		reasons: reasons(reasonsWait + reasonsLock + "sync.WaitGroup.Wait," + reasonsGC + reasonsMore +
			",synctest.Run,synctest.Wait,chan receive (synctest),chan send (synctest),select (synctest)")},
	{minor: 23, schedBP: 104, syscallSP: 112, syscallPC: 120, syscallBP: 128, status: 152, goid: 160, waitSince: 176, reason: 184, lockedM: 216,
		parent: 280, goPC: 288, startPC: 304, panicArg: 8, panicLink: 24, procID: 72, curG: 192, moduleTypes: 37 * 8,
		reasons: reasons(reasonsWait + reasonsLock + reasonsGC + reasonsMore)},
	{minor: 21, schedBP: 104, syscallSP: 112, syscallPC: 120, status: 144, goid: 152, waitSince: 168, reason: 176, lockedM: 208,
		parent: 272, goPC: 280, startPC: 296, panicArg: 8, panicLink: 24, procID: 72, curG: 192, moduleTypes: 37 * 8,
		reasons: reasons(reasonsWait + reasonsLock + reasonsGC + reasonsMore)},
	{minor: 20, schedBP: 104, syscallSP: 112, syscallPC: 120, status: 144, goid: 152, waitSince: 168, reason: 176, lockedM: 232,
		goPC: 296, startPC: 312, panicArg: 8, panicLink: 24, procID: 72, curG: 192, moduleTypes: 37 * 8,
		reasons: reasons(reasonsWait + reasonsLock + reasonsGC)},
	{minor: 18, schedBP: 104, syscallSP: 112, syscallPC: 120, status: 144, goid: 152, waitSince: 168, reason: 176, lockedM: 232,
		goPC: 296, startPC: 312, panicArg: 8, panicLink: 24, procID: 72, curG: 192, moduleTypes: 35 * 8,
		reasons: reasons(reasonsWait + "timer goroutine (idle),trace reader (blocked),wait for GC cycle,GC worker (idle),preempted,debug call")},
}

// layoutsOf are the layouts to try for a version, the one of that version first. known is false for a
// version that is newer than all, or not told.
func layoutsOf(version string) (list []goLayout, known bool) {
	minor := goMinor(version)
	for i := range goLayouts {
		if minor != 0 && minor >= goLayouts[i].minor {
			return goLayouts[i : i+1], i > 0 || minor == goLayouts[0].minor
		}
	}
	if minor != 0 {
		return nil, true // too old
	}
	return goLayouts, false
}

// goMinor is 26 of "go1.26.1", "go1.26rc1" and "devel go1.26-abc", 0 where it cannot be told.
func goMinor(version string) int {
	_, s, ok := strings.Cut(version, "go1.")
	if !ok {
		return 0
	}
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(s[:end])
	if err != nil {
		return 0
	}
	return n
}

// The states of a goroutine, and their words in Go's tracebacks.
const (
	goIdle    = 0
	goRunning = 2
	goSyscall = 3
	goWaiting = 4
	goDead    = 6
	goLeaked  = 10
	goExtra   = 11
	goScan    = 0x1000
)

var goStates = [...]string{"idle", "runnable", "running", "syscall", "waiting", "", "dead", "", "copystack", "preempted", "leaked", "waiting for cgo callback"}
