package probe

// One object for each C file and architecture, the same bytes on every machine with this compiler.
// -mcpu=v3 gives atomic operations that return a value (Linux 5.12).
//
//go:generate go tool bpf2go -tags linux -target amd64,arm64 -no-global-types process process.bpf.c -- -mcpu=v3 -Wall -Werror
//go:generate go tool bpf2go -tags linux -target amd64,arm64 -no-global-types signal signal.bpf.c -- -mcpu=v3 -Wall -Werror
//go:generate go tool bpf2go -tags linux -target amd64,arm64 -no-global-types syscall syscall.bpf.c -- -mcpu=v3 -Wall -Werror
//go:generate go tool bpf2go -tags linux -target amd64,arm64 -no-global-types oom oom.bpf.c -- -mcpu=v3 -Wall -Werror
//go:generate go tool bpf2go -tags linux -target amd64,arm64 -no-global-types sweep sweep.bpf.c -- -mcpu=v3 -Wall -Werror
//go:generate go tool bpf2go -tags linux -target amd64,arm64 -no-global-types tcp tcp.bpf.c -- -mcpu=v3 -Wall -Werror
//go:generate go tool bpf2go -tags linux -target amd64,arm64 -no-global-types dns dns.bpf.c -- -mcpu=v3 -Wall -Werror
//go:generate go tool bpf2go -tags linux -target amd64,arm64 -no-global-types drop drop.bpf.c -- -mcpu=v3 -Wall -Werror
//go:generate go tool bpf2go -tags linux -target amd64,arm64 -no-global-types container container.bpf.c -- -mcpu=v3 -Wall -Werror
//go:generate go tool bpf2go -tags linux -target amd64,arm64 -no-global-types sockets sockets.bpf.c -- -mcpu=v3 -Wall -Werror
