//go:build linux

package probe

import (
	"fmt"
	"runtime"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sync/errgroup"
)

// dispatcher is the kernel's function that all system calls go through, and where its result
// stands among what a program at its end is given. Programs on the functions of single calls, some
// two hundred, cost as much for each call that matters and take seconds to attach and to detach.
// x64_sys_call exists since 6.9, and in the stable series of 2024 (5.15.154, 6.1.85, 6.6.26);
// do_el0_svc since 4.20, but a program attaches to it since 6.4.
//
// The price: exit_group never returns through the trampoline, so the kernel keeps its page (4 KiB)
// when the program is detached.
var dispatcher = map[string]struct {
	name  string
	retAt uint32
}{
	"amd64": {"x64_sys_call", 2}, // registers, number
	"arm64": {"do_el0_svc", 0},   // registers; the result is in the first of them
}[runtime.GOARCH]

// loadFunctions loads the programs for the functions that system calls go through, and for the one
// that gives out descriptors.
func loadFunctions(e *env) (*group, error) {
	if dispatcher.name == "" {
		return nil, &NotSupportedError{Feature: "a function that all system calls go through", Err: fmt.Errorf("not known on %s", runtime.GOARCH)}
	}
	b, err := newBunch(e)
	if err != nil {
		return nil, err
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	b.loadSlow(&g, dispatcher.name)
	progs := make([]*ebpf.Program, 4)
	for i, name := range []string{"syscall_exec", "syscall_thread_exit", "alloc_fd_refused", headProgram} {
		g.Go(func() (err error) {
			to := ""
			if name == headProgram {
				to = dispatcher.name
			}
			progs[i], err = b.load(name, to)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.close()
		return nil, err
	}
	return &group{close: b.close, attach: func() ([]link.Link, error) { return b.attach(progs) }, missed: b.missed}, nil
}
