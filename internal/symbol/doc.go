// Package symbol turns registers and a copied piece of stack into named frames.
//
// A probe copies registers and up to 32 KiB of stack at a rare event; the process is usually gone
// when its stack is read here. Binaries are therefore opened by path (below a root, for a
// container), and are checked against the inode that was mapped: of a file that was replaced or
// deleted nothing is read, and Trace.Notes says so. While the process still lives, Hold keeps its
// binaries open, so that what happens to the paths later does not matter.
//
// Frames are found, in this order, by the kernel's signal frame, by Go's pclntab, by .eh_frame
// (or .debug_frame), by frame pointers, and at last by scanning the stack for return addresses
// that follow a call instruction; the last are marked Guess. A wrong name is worse than none: a
// symbol names an address only within its size, and a symbol without a size only up to the next
// one and within the function that the unwind information tells.
//
// Binaries are foreign bytes: nothing in them may cause a panic, or time and memory without bound.
// They are mapped, never read whole, and the pages are given back after each use.
//
// Only 64-bit little-endian ELF of amd64 and arm64 is read. Go binaries need Go 1.18 or later to
// be unwound by their own tables; older ones go by symbols and frame pointers. Debug sections may be
// packed with zlib or zstd, and .gnu_debugdata (MiniDebugInfo) with xz; what would take too much memory
// stays packed, and its names are missing.
package symbol
