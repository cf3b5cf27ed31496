package container

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// endpoint is the socket of a runtime.
type endpoint struct {
	path   string // as it is opened
	docker bool   // it speaks Docker's API, not the CRI
	given  bool   // somebody named it: that it is not there is worth a word
}

// usual are the sockets of runtimes, below the node's root. None is below /var/run, which is a link, often an
// absolute one that leads elsewhere in a container.
var usual = []endpoint{
	{path: "run/containerd/containerd.sock"},
	{path: "run/crio/crio.sock"},
	{path: "run/cri-dockerd.sock"},
	{path: "run/k3s/containerd/containerd.sock"}, // RKE2 too
	{path: "run/k0s/containerd.sock"},
	{path: "var/snap/microk8s/common/run/containerd.sock"},
	{path: "run/docker.sock", docker: true},
	{path: "run/podman/podman.sock", docker: true}, // speaks Docker's API too
}

// endpoints gives what is to be asked. given may be paths, or have a scheme: unix:// is the CRI, docker:// is
// Docker's API; without one the file's name decides. They are opened as they stand, without hostRoot.
func endpoints(given []string, hostRoot string) []endpoint {
	var out []endpoint
	for _, g := range given {
		scheme, path, has := strings.Cut(g, "://")
		if !has {
			scheme, path = "", g
		}
		name := filepath.Base(path)
		out = append(out, endpoint{path: path, given: true, docker: scheme == "docker" ||
			scheme == "" && (strings.HasPrefix(name, "docker") || strings.HasPrefix(name, "podman"))})
	}
	if len(given) > 0 {
		return out
	}
	if hostRoot == "" {
		hostRoot = "/"
	}
	for _, e := range usual {
		e.path = filepath.Join(hostRoot, e.path)
		out = append(out, e)
	}
	return out
}

var (
	ErrAbsent  = errors.New("there is no socket") // of a Status: of a runtime that is not there
	errUntried = errors.New("it was not tried yet")
)

// present says whether e is a socket.
func (e endpoint) present() error {
	st, err := os.Stat(e.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return ErrAbsent
	case err != nil:
		return err
	case st.Mode().Type() != os.ModeSocket:
		return errors.New("it is no socket")
	}
	return nil
}

func (e endpoint) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	d := net.Dialer{Timeout: callLimit}
	return d.DialContext(ctx, "unix", e.path)
}

// Limits of what a runtime is waited for.
const (
	callLimit = 3 * time.Second  // one container
	listLimit = 10 * time.Second // all
)

// runtime is a container runtime, as a source asks it. Errors are those of the connection, and end it, but for
// errNone and those that are an aloneError.
type runtime interface {
	about() (name, version string)
	// list gives what there is, with the dead that the runtime still has. whole: there is no more to be told
	// of them by inspect.
	list(ctx context.Context) (all []Info, whole bool, err error)
	// inspect gives all of one; errNone where it is not known.
	inspect(ctx context.Context, id string) (Info, error)
	// watch tells of changes until ctx or the connection ends, or gives errNoEvents where there are no more.
	watch(ctx context.Context, tell func(event)) error
	close()
}

// event is a change that a runtime told of. infos are what came with it, and are not whole.
type event struct {
	id      string
	removed bool
	infos   []Info
}

var (
	errNone     = errors.New("the runtime knows no such container")
	errNoEvents = errors.New("there are no events to be listened to")
)

// aloneError is of one question, and says nothing of the connection.
type aloneError struct{ err error }

func (e aloneError) Error() string { return e.err.Error() }
func (e aloneError) Unwrap() error { return e.err }

// openRuntime connects, and asks for the runtime's version.
func openRuntime(e endpoint) (runtime, error) {
	if err := e.present(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(context.Background(), callLimit)
	defer stop()
	var rt interface {
		runtime
		version(context.Context) error
	} = newCRI(e)
	if e.docker {
		rt = newDocker(e)
	}
	if err := rt.version(ctx); err != nil {
		rt.close()
		return nil, fmt.Errorf("ask for its version: %w", err)
	}
	return rt, nil
}
