package symbol

import (
	"cmp"
	"path"
	"sort"
	"strings"
)

// Mapping is an executable mapping of a process.
type Mapping struct {
	Start, End, Offset uint64 // bytes; Offset into the file
	Path               string // as the process saw it; "[vdso]"; empty where there is no file
	Device             uint64 // as in stat(2), 0 where unknown
	Inode              uint64 // 0 where unknown: the file at Path is then taken unchecked
	Deleted            bool   // the path was gone while the mapping lived (" (deleted)" in maps)

	// What a core knows of the file, empty where it is not known: the GNU build id in hex, and the first bytes as they
	// were mapped, with the program headers. A file at Path that differs is not used.
	BuildID string
	Head    string
}

// Context is what a stack is unwound from.
type Context struct {
	Arch  string   // runtime.GOARCH: "amd64" or "arm64"; decides the order of Regs
	Regs  []uint64 // amd64: struct pt_regs, r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss; arm64: x0 to x30 sp pc pstate
	PC    uint64
	SP    uint64
	Stack []byte    // memory from SP upward; where a stack overflowed and the page at SP cannot be read, zeros up to the next page
	Maps  []Mapping // executable mappings, in any order; the first that holds an address counts
	// Sorted says that Maps are in the order of Start and do not overlap; they are searched faster then.
	Sorted bool

	// Root stands before every path: "/proc/PID/root", the root file system of a container. Empty
	// and "/" are this one's. Symbolic links are resolved within it.
	Root string
	// PID and NSPID (as the process itself sees it, 0: the same) name the map of a JIT, /tmp/perf-PID.map.
	PID, NSPID int
	// Memory reads other memory than Stack where it can be had (a live process, a core) and says
	// how many bytes it read. It may be nil.
	Memory func(addr uint64, p []byte) int
	// Called says that PC is a return address, as of a goroutine that left its stack for the
	// scheduler's, and not an instruction that is to run.
	Called bool
}

// Frame is one function of a backtrace.
type Frame struct {
	PC       uint64 // virtual address in the process; of callers the return address
	Function string // demangled, without parameters; empty where unknown
	Offset   uint64 // bytes from the function's start; where Function is empty, the address in Module as addr2line takes it
	Module   string // path of the binary or library as the process saw it, empty where unmapped
	File     string
	Line     int
	Guess    bool // found by scanning the stack, or by unwinding from such a frame
	Inlined  bool // has no frame of its own: its code is part of the next frame's function
	Tail     bool // has no frame any more: it ended with a jump to the function before
	Signal   bool // the kernel's signal frame: the frames after it were interrupted by the signal
	runtime  bool // of a runtime, as its own tables say
}

// How a frame was found, for Trace.By.
const (
	byEHFrame    = "eh_frame"
	byDebugFrame = "debug_frame"
	byFP         = "frame pointers"
	byGo         = "go"
	bySP         = "stack pointer" // the return address at the stack pointer, or in the link register
	bySignal     = "signal frame"
	byScan       = "scan"
)

// Trace is a stack, the innermost frame first.
type Trace struct {
	Frames    []Frame
	By        string   // how it was unwound: eh_frame, debug_frame, frame pointers, go, stack pointer, signal frame, scan; several in the order of their first use, with " + " between
	Truncated string   // why it ends before the thread's first function; empty where it is whole
	Notes     []string // binaries that could not be used, and why
}

// Own is the innermost frame of the program's own code, nil if there is none: the first that is
// not in libc, ld.so, the C++ library, the vdso or another library of a language's runtime (by the
// module's name), and not in the runtime or standard library of Go, C++ or Rust, or libc's part of a
// static program (by the function's name). The machine code of a Node.js, Java or Python program is
// its runtime's; its own functions are those that a JIT has named. A frame without a name counts as
// own if its module does. Frames that are guesses count only where nothing else is left.
func (t Trace) Own() *Frame { return own(t.Frames) }

// Interrupted is the innermost own frame that a signal handler interrupted, nil where the trace
// has no signal frame. Of a program that catches SIGSEGV and calls abort() it is the culprit.
func (t Trace) Interrupted() *Frame {
	for i := range t.Frames {
		if t.Frames[i].Signal {
			return own(t.Frames[i+1:])
		}
	}
	return nil
}

func own(frames []Frame) *Frame {
	for _, guess := range []bool{false, true} {
		for i := range frames {
			f := &frames[i]
			if f.Guess == guess && !f.Signal && f.isOwn() {
				return f
			}
		}
	}
	return nil
}

// runtimeLibraries are the stems of libraries that belong to a language, not to a program.
var runtimeLibraries = map[string]bool{
	"libc": true, "libm": true, "libpthread": true, "libdl": true, "librt": true, "libresolv": true,
	"libutil": true, "libanl": true, "ld": true, "ld-linux-x86-64": true, "ld-linux-aarch64": true,
	"ld-musl-x86_64": true, "ld-musl-aarch64": true, "libc.musl-x86_64": true, "libc.musl-aarch64": true,
	"libstdc++": true, "libc++": true, "libc++abi": true, "libgcc_s": true, "libunwind": true, "libasan": true,
	"libubsan": true, "libtsan": true, "libjemalloc": true, "libtcmalloc": true, "libjvm": true, "libjli": true,
	"libjava": true, "libnode": true, "libruby": true, "libperl": true, "libnss_files": true, "libnss_dns": true,
}

// runtimePrograms are interpreters: their machine code is never the program's own.
var runtimePrograms = []string{"node", "nodejs", "java", "python", "ruby", "perl", "php", "dotnet", "deno", "bun"}

func isRuntimeModule(module string) bool {
	if module == "" || module[0] == '[' {
		return true
	}
	base := path.Base(module)
	stem, _, _ := strings.Cut(base, ".so")
	if runtimeLibraries[stem] || runtimeLibraries[strings.TrimRight(stem, "0123456789.-")] {
		return true
	}
	if strings.HasPrefix(stem, "libpython") || strings.HasPrefix(stem, "libruby") || strings.HasPrefix(stem, "libphp") {
		return true
	}
	program := strings.TrimRight(base, "0123456789.")
	for _, p := range runtimePrograms {
		if program == p {
			return true
		}
	}
	return false
}

// libcFunctions are those that stand between the program and its death in a static program.
var libcFunctions = map[string]bool{
	"abort": true, "raise": true, "gsignal": true, "kill": true, "tgkill": true, "pthread_kill": true,
	"malloc": true, "free": true, "calloc": true, "realloc": true, "malloc_printerr": true, "malloc_consolidate": true,
	"_int_free": true, "_int_malloc": true, "_int_realloc": true, "sysmalloc": true, "unlink_chunk": true,
	"qsort": true, "qsort_r": true, "msort_with_tmp": true, "bsearch": true,
	"strlen": true, "strcpy": true, "strcat": true, "strcmp": true, "memcpy": true, "memset": true, "memmove": true,
	"printf": true, "vprintf": true, "fprintf": true, "vfprintf": true, "puts": true, "fputs": true,
	"start_thread": true, "clone": true, "clone3": true, "_start": true, "select": true, "pselect": true, "poll": true,
	"read": true, "write": true, "open": true, "open64": true, "close": true, "accept": true, "socket": true,
}

// OwnCode says whether the frame is of the program's own code, in the sense of Trace.Own.
func (f *Frame) OwnCode() bool { return !f.Signal && f.isOwn() }

func (f *Frame) isOwn() bool {
	if f.runtime {
		return false
	}
	if f.Module == jitModule {
		// Names of a JIT: V8 marks its own stubs, HotSpot and Python theirs.
		for _, p := range []string{"Builtin:", "Stub:", "BytecodeHandler:", "RegExp:", "Interpreter", "StubRoutines"} {
			if strings.HasPrefix(f.Function, p) {
				return false
			}
		}
		return f.Function != "" && !strings.Contains(f.Function, " node:") // Node.js' own modules
	}
	if isRuntimeModule(f.Module) {
		return false
	}
	// What a compiler put into the program from its standard library has that one's files.
	if strings.HasPrefix(f.File, "/rustc/") || strings.Contains(f.File, "/rustlib/src/rust/library/") || strings.HasPrefix(f.File, "/usr/include/c++/") {
		return false
	}
	n := f.Function
	for _, p := range []string{"std::", "__gnu_cxx::", "__cxxabiv1::", "core::", "alloc::", "<core::", "<alloc::", "<std::",
		"__rust", "rust_", "__cxa_", "_Unwind_", "__libc_", "__GI_", "_IO_", "__pthread_", "__assert", "__fortify_fail",
		"__stack_chk_fail", "__chk_fail", "__fdelt_", "__mem", "__str", "__restore_rt", "__kernel_", "__abort"} {
		if strings.HasPrefix(n, p) {
			return false
		}
	}
	return !libcFunctions[n]
}

// goStandard has the first element of every import path of Go's standard library that runs code.
var goStandard = map[string]bool{
	"archive": true, "bufio": true, "bytes": true, "cmp": true, "compress": true, "container": true, "context": true,
	"crypto": true, "database": true, "debug": true, "embed": true, "encoding": true, "errors": true, "expvar": true,
	"flag": true, "fmt": true, "go": true, "hash": true, "html": true, "image": true, "index": true, "internal": true,
	"io": true, "iter": true, "log": true, "maps": true, "math": true, "mime": true, "net": true, "os": true, "path": true,
	"plugin": true, "reflect": true, "regexp": true, "runtime": true, "slices": true, "sort": true, "strconv": true,
	"strings": true, "structs": true, "sync": true, "syscall": true, "testing": true, "text": true, "time": true,
	"unicode": true, "unique": true, "unsafe": true, "vendor": true, "weak": true, "type:": true, "go:": true,
}

// isGoRuntime tells whether a Go function is of the standard library or of x/sys, which wraps system
// calls as syscall does, or glue that the linker made.
func isGoRuntime(name string) bool {
	if strings.HasPrefix(name, "golang.org/x/sys/") {
		return true
	}
	first := name[:strings.IndexAny(name+".", "./")]
	if first == "_cgoexp" || strings.HasPrefix(name, "_cgo") || strings.HasPrefix(name, "x_cgo") || strings.HasPrefix(name, "crosscall") {
		return true
	}
	return goStandard[first] || !strings.Contains(name, ".")
}

// mappingAt is the mapping that holds addr.
func (ctx *Context) mappingAt(addr uint64) *Mapping {
	maps := ctx.Maps
	if ctx.Sorted {
		i := sort.Search(len(maps), func(i int) bool { return maps[i].End > addr })
		maps = maps[i:min(i+1, len(maps))]
	}
	for i := range maps {
		if m := &maps[i]; addr >= m.Start && addr < m.End {
			return m
		}
	}
	return nil
}

// better orders two symbols of the same place: public names before local ones, "raise" before "__GI_raise".
func betterName(a, b string) bool {
	ua, ub := len(a)-len(strings.TrimLeft(a, "_")), len(b)-len(strings.TrimLeft(b, "_"))
	return cmp.Or(cmp.Compare(ua, ub), cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) < 0
}
