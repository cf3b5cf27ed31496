// Package run starts a program so that it cannot tell by its behaviour that it is watched.
//
// Three processes take part. The watcher (descry) calls Prepare, Go and Wait. The launcher is the
// same binary executed again; it holds the command's pid while probes are attached, and becomes the
// command by execve. The relay, the same binary again, passes the output on; being a process of its
// own it outlives a watcher that is killed, and with it the program does.
//
// What the command gets is what the watcher was started with, byte for byte and bit for bit:
// arguments, environment, working directory, inherited descriptors under their numbers, closed
// descriptors closed, resource limits, ignored and blocked signals, umask, niceness, process group,
// session and controlling terminal. What differs, and cannot but differ: its parent is the watcher
// (LISTEN_PID and WATCHDOG_PID, where they named the watcher, name the command), and its standard output and error are pipes (one pipe, where both were one open file).
//
// A binary that uses this package calls Reexec first of all in main.
package run
