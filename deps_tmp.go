//go:build never

package descry

import (
	_ "github.com/cilium/ebpf"
	_ "github.com/creack/pty"
	_ "github.com/go-delve/delve/pkg/dwarf/frame"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/ianlancetaylor/demangle"
	_ "github.com/oklog/ulid/v2"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/spf13/cobra"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
)
