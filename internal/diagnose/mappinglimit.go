package diagnose

import (
	"fmt"
	"slices"

	"github.com/descry-dev/descry/internal/evidence"
)

var mappingLimit = Cause{
	ID:    "mapping-limit",
	Title: "Memory refused, with memory to spare",
	Why: "mmap(), which malloc() and thread stacks are made of, was refused with ENOMEM though the machine had memory: the address space of the process is limited (RLIMIT_AS, ulimit -v; RLIMIT_DATA), " +
		"it has as many mappings as it may have (vm.max_map_count, 65,530), it may not lock so much (RLIMIT_MEMLOCK), or the machine promises no more (vm.overcommit_memory). " +
		"Programs then say that they are out of memory: MemoryError, std::bad_alloc, OutOfMemoryError, \"cannot allocate memory\".",
	Seen: "The refused call with the limit and what was in use at that moment. Certain: the program's last words name it, or it is the last call that failed in the thread that ended the process, at once before its end and without another word. " +
		"Likely: a null pointer was used right after it, the words are of something else, or another thread met it; or system calls were not watched, the last words are of memory, and it had nine tenths of its limit of address space (known from Linux 6.16 on). Runtimes try reservations in health that are refused, and live on: that alone is nothing. " +
		"A limit of the runtime's own (-Xmx, V8's heap, PHP's memory_limit) is not the kernel's. " +
		"Likely, as a warning while it lives: its mappings grow, and a forecast says when it has as many as vm.max_map_count allows.",
	Advice:   "Raise the limit that is named, or bound what the program takes (-Xmx, GOMEMLIMIT, --max-old-space-size, the size of thread stacks and pools).",
	Rule:     ruleMappingLimit,
	Absent:   absentMappingLimit,
	Explains: []string{"uncaught-error", "assertion", "invalid-access", "stack-overflow"},
	Swallows: []string{"invalid-access"},
}

// memoryWords are those with which programs say that they did not get memory.
var memoryWords = slices.Concat(errnoWords[evidence.ENOMEM], []string{
	"out of memory", "Could not reserve enough space", "ould not allocate", "ailed to allocate", "nable to allocate", "annot allocate", "llocation failed", "ailed to reserve", "nable to reserve",
	"nsufficient memory", "ailed to mmap", "mmap()", "Map failed", "ailed to mlock", "ould not lock", "annot lock", "can't allocate", "an't allocate", "llocation of", "alloc failed", "alloc() failed", "alloc: ",
})

// asksMemory says whether a call asks for memory, or for a process that needs some.
func asksMemory(call string) bool {
	switch call {
	case "mmap", "mremap", "mprotect", "mlock", "mlock2", "mlockall", "munmap", "shmget", "shmat", "brk":
		return true
	}
	return false
}

func memoryRefused(call string, e evidence.Errno) bool {
	switch {
	case evidence.Spawns(call):
		return e == evidence.ENOMEM
	case hasAnyPrefix(call, "mlock"):
		return e == evidence.ENOMEM || e == evidence.EAGAIN || e == evidence.EPERM
	case asksMemory(call):
		return e == evidence.ENOMEM || e == evidence.EAGAIN
	}
	return false
}

func ruleMappingLimit(v *View) *evidence.Finding {
	if h, at := v.forecast(evidence.LimitMappings); h != nil {
		return v.mappingsWarning(h, at)
	}
	s, last := v.refusedLimit(func(r *evidence.LimitRefused) bool { return memoryRefused(r.Call, r.Errno) })
	if last == nil {
		return v.mappingUnseen()
	}
	if last.Limit == "" || v.ownLimit() {
		return nil // by no limit that is known: a size that no machine has, a piece that is not mapped
	}
	words := memoryWords
	if hasAnyPrefix(last.Call, "mlock") || last.Limit == evidence.LimitLocked {
		words = slices.Concat(words, errnoWords[evidence.EAGAIN], errnoWords[evidence.EPERM], []string{"mlock", "lock memory", "locked memory", "memlock"})
	}
	if v.saysThread() {
		if r, _ := v.refusedLimit(func(r *evidence.LimitRefused) bool { return r.Spawn() && r.Errno == evidence.EAGAIN }); r.last > 0 {
			return nil // pid-limit's
		}
		words = slices.Concat(words, threadWords) // its stack was not had
	}
	l := v.link(mappings, func(c *evidence.FailedCall) bool { return memoryRefused(c.Call, c.Errno) }, words, s)
	if l.conf == "" {
		return nil
	}
	call := last
	sum := "The kernel refused it memory"
	if s.count > 1 {
		sum += " " + times(s.count)
	}
	sum += ": " + limitWords(call) + "."
	sum += fmt.Sprintf(" %s()", plain(call.Call, 20))
	if call.Asked > 0 {
		sum += " of " + bytesOf(call.Asked)
	}
	sum += fmt.Sprintf(" failed with %s %s before it %s.", call.Errno, span(l.gap), v.endWords())
	if v.How == endFault && v.Fault != nil && nullPage(v.Fault) {
		sum += " It then used the null pointer that it got instead"
		if fr := ownFrame(v.Fault.Trace); fr != nil {
			sum += ", in " + frameText(fr)
		}
		sum += "."
	}
	if call.Available > 0 && call.Limit != evidence.LimitCommit && call.Limit != evidence.LimitOvercommit {
		sum += fmt.Sprintf(" The machine had %s to spare.", bytesOf(call.Available))
	}
	title := map[string]string{
		evidence.LimitAddress: "its limit of address space", evidence.LimitData: "its limit of data", evidence.LimitLocked: "its limit of locked memory",
		evidence.LimitMappings: "too many mappings", evidence.LimitCommit: "the machine's limit of promised memory", evidence.LimitOvercommit: "asking for more memory than there is",
	}[call.Limit]
	if title == "" {
		title = "refused memory"
	}
	return &evidence.Finding{Confidence: l.conf, Title: title, Summary: sum, Evidence: append(l.evidence, v.deathAt()...), Advice: mappingAdvice(call)}
}

// saysThread says whether the last words are of a thread or process that could not be made.
func (v *View) saysThread() bool { return mentions(v.text.said(), wordsOf(noThread)...) }

func mappingAdvice(r *evidence.LimitRefused) string {
	switch r.Limit {
	case evidence.LimitAddress:
		return "Raise or drop the limit of address space (ulimit -v, LimitAS=): runtimes reserve far more than they use (Go, Java, Node.js), so that it bounds memory badly; a cgroup's memory limit does it well."
	case evidence.LimitData:
		return "Raise or drop the limit of data (ulimit -d, LimitDATA=), or bound what the program takes."
	case evidence.LimitLocked:
		return "Raise the limit of locked memory (ulimit -l, LimitMEMLOCK=), or give the program CAP_IPC_LOCK."
	case evidence.LimitMappings:
		return "Raise vm.max_map_count (sysctl -w vm.max_map_count=262144), or find what makes so many mappings: mapped files, thread stacks, guard pages of an allocator."
	case evidence.LimitCommit:
		return "The machine is set to promise no more than it has: give it swap, raise vm.overcommit_ratio, or set vm.overcommit_memory to 0."
	case evidence.LimitOvercommit:
		return "It asked for more in one piece than the machine has: find where the size comes from; if it needs so much, it needs a larger machine."
	}
	return ""
}

func absentMappingLimit(v *View) string {
	if !v.dead() || !v.Case.Covered("probe/syscall") {
		return ""
	}
	if n := v.Case.Counters[evidence.CountMemoryRefused]; n != 0 {
		return "" // met, and perhaps lived on with
	}
	for _, r := range ofPID[*evidence.LimitRefused](v, 0) {
		if !r.Spawn() {
			return ""
		}
	}
	return "no mapping refused"
}
