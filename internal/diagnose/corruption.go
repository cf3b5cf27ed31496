package diagnose

import (
	"fmt"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var memoryCorruption = Cause{
	ID:    "memory-corruption",
	Title: "Heap or stack found corrupt",
	Why: "Something wrote where it must not: past the end of a block or an array, into a block that was freed, or it freed one twice. " +
		"The C library or the compiler's checks found the damage later and aborted the program; the code that did it may be elsewhere.",
	Seen: "SIGABRT that the process sent to itself, and the C library's message in the last output (\"malloc(): …\", \"free(): …\", \"corrupted …\", \"stack smashing detected\", \"buffer overflow detected\") " +
		"or its checking function in the backtrace. Certain: the backtrace shows that the C library called abort(), or the core has the message in the C library's own memory. With the message alone: likely, and nothing where the program's own code called abort(). " +
		"A sanitizer's report with a fitting exit: likely. Not where select-overflow explains it.",
	Advice: "Run it under valgrind, or build it with -fsanitize=address: both name the code that did the damage, where the backtrace only names the code that noticed.",
	Rule:   ruleMemoryCorruption,
}

// corruptionWords begin the messages of glibc and of the compiler's checks, as they stand in a line.
var corruptionWords = []string{
	"malloc(): ", "free(): ", "realloc(): ", "calloc(): ", "malloc_consolidate(): ", "munmap_chunk(): ", "mremap_chunk(): ",
	"corrupted size vs. prev_size", "corrupted double-linked list", "double free or corruption", "tcache_thread_shutdown(): ",
	"*** stack smashing detected ***", "*** buffer overflow detected ***", "*** longjmp causes uninitialized stack frame ***",
	"*** %n in writable segment detected ***", "*** invalid %N$ use detected ***", "sysmalloc: Assertion", "malloc.c:", "chunk_main_arena",
	"Fatal glibc error: malloc", "invalid fastbin entry",
}

// allocatorWords are those of other allocators, which may be linked into the program.
var allocatorWords = []string{"<jemalloc>: ", "Attempt to free invalid pointer", "mimalloc: error: ", "pointer being freed was not allocated"}

// corruption is the message of a check that found memory corrupt, or its function, "" for none. The
// words alone may be the program's own: proven says whether the C library called abort().
func corruption(v *View) (said string, proven bool) {
	if v.How != endAbort {
		return "", false
	}
	by := v.aborter()
	if s := v.coreSaid(corruptionWords); s != "" {
		return s, true
	}
	proven = by == abortLibrary
	if by == abortOwn {
		if s := v.text.find(30, allocatorWords...); s != "" { // an allocator that is part of the program
			return plain(s, 100), false
		}
		return "", false
	}
	if s := v.text.find(30, append(corruptionWords, allocatorWords...)...); s != "" {
		for _, w := range append(corruptionWords, allocatorWords...) {
			if i := strings.Index(s, w); i >= 0 {
				// glibc writes its message as a line; a program that logs such words stands before it.
				if i == 0 || !strings.Contains(w, "(): ") || strings.HasPrefix(s, "*** Error in") || s == v.text.lastLine() {
					return plain(s[i:], 100), proven
				}
			}
		}
	}
	if v.Fatal == nil {
		return "", false
	}
	for _, f := range []string{"malloc_printerr", "__stack_chk_fail", "__fortify_fail", "__chk_fail"} {
		if hasFrame(v.Fatal.Trace, f) {
			return f, true
		}
	}
	return "", false
}

// Whose code called abort().
const (
	abortUnknown = iota // no backtrace that tells
	abortLibrary        // the C library, at a check of its own
	abortOwn            // the program or another library
)

func (v *View) aborter() int {
	f := v.Fatal
	if f == nil {
		return abortUnknown
	}
	if hasFrame(f.Trace, "malloc_printerr", "__stack_chk_fail", "__fortify_fail", "__chk_fail", "__libc_message") {
		return abortLibrary
	}
	for i := range f.Trace {
		if f.Trace[i].Guess {
			return abortUnknown
		}
		if strings.TrimPrefix(f.Trace[i].Function, "__GI_") != "abort" || i+1 == len(f.Trace) {
			continue
		}
		switch c := &f.Trace[i+1]; {
		case c.Guess || c.Module == "":
			return abortUnknown
		case strings.HasPrefix(c.Function, "__assert"):
			return abortOwn
		case hasAnyPrefix(base(c.Module), "libc.so", "libc-", "libc.musl", "ld-musl", "ld-linux"):
			return abortLibrary // stripped of names
		}
		return abortOwn
	}
	return abortUnknown
}

var sanitizers = []string{"ERROR: AddressSanitizer: ", "ERROR: HWAddressSanitizer: ", "WARNING: MemorySanitizer: "}

func ruleMemoryCorruption(v *View) *evidence.Finding {
	said, proven := corruption(v)
	conf := evidence.Certain
	if !proven {
		conf = evidence.Likely
	}
	if said == "" && (v.How == endError || v.How == endAbort) {
		if s := v.text.find(400, sanitizers...); s != "" && !containsAny(s, "SEGV", "stack-overflow", "FPE", "detected memory leaks") {
			said, conf = plain(s, 140), evidence.Likely
		}
	}
	if said == "" {
		return nil
	}
	what := "The heap was found corrupt"
	switch {
	case containsAny(said, "stack smashing", "__stack_chk_fail"):
		what = "An array on the stack was written past its end"
	case containsAny(said, "buffer overflow detected", "__fortify_fail"):
		what = "A copy or a format was about to write past the end of its buffer"
		if v.Fatal != nil {
			if f := otherCheck(v.Fatal.Trace); f != "" {
				what += " (" + plain(f, 40) + ")"
			}
		}
	case containsAny(said, "double free", "free(): invalid pointer", "munmap_chunk"):
		what = "A block was freed twice, or something was freed that is no block"
	case conf == evidence.Likely && v.How == endError:
		what = "A sanitizer found memory used wrongly"
	}
	sum := fmt.Sprintf("%s: %q; the program %s.", what, said, v.endWords())
	if v.Fatal != nil {
		if f := ownFrame(v.Fatal.Trace); f != nil && f.Own {
			sum += " It was noticed in " + frameText(f) + "."
		}
	}
	return &evidence.Finding{Confidence: conf, Title: "memory corruption", Summary: sum, Evidence: v.deathAt()}
}
