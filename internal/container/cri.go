package container

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/encoding/protowire"
)

// cri asks a runtime by the Container Runtime Interface, v1.
type cri struct {
	conn          *grpcConn
	name, release string

	mu   sync.Mutex
	pods map[string]*pod // by the sandbox's id
}

// pod is what a sandbox tells of its containers.
type pod struct {
	labels, annotations map[string]string
	inits               []string // names of init containers, where the manifest is among the annotations
}

func newCRI(e endpoint) *cri {
	return &cri{conn: newGRPC(e, "runtime.v1.RuntimeService"), pods: map[string]*pod{}}
}

func (c *cri) close() { c.conn.close() }

func (c *cri) about() (name, version string) { return c.name, c.release }

// ask makes a call, and sorts its errors.
func (c *cri) ask(ctx context.Context, method string, message []byte) ([]byte, error) {
	b, err := c.conn.call(ctx, method, message)
	var status statusError
	if errors.As(err, &status) {
		switch status.code {
		case codeNotFound:
			return nil, errNone
		case codeDeadline:
			return nil, errors.Join(err, context.DeadlineExceeded)
		case codeUnavailable:
			return nil, err
		}
		return nil, aloneError{err}
	}
	return b, err
}

func (c *cri) version(ctx context.Context) error {
	b, err := c.ask(ctx, "Version", nil)
	var status statusError
	if errors.As(err, &status) && status.code == codeUnimplemented {
		return errors.New("it does not speak the CRI, v1 (containerd has it since 1.6, where its plugin is not disabled)")
	}
	if err != nil {
		return err
	}
	c.name, c.release, err = readVersion(b)
	return err
}

func (c *cri) list(ctx context.Context) ([]Info, bool, error) {
	var out []Info
	b, err := c.ask(ctx, "ListPodSandbox", nil)
	if err != nil {
		return nil, false, err
	}
	seen := map[string]*pod{}
	err = readList(b, func(text []byte) error {
		r, err := readSandbox(text, false)
		i := r.sandboxInfo(c.name)
		seen[r.id] = podOfSandbox(&r, &i)
		out = append(out, i)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	if b, err = c.ask(ctx, "ListContainers", nil); err != nil {
		return nil, false, err
	}
	err = readList(b, func(text []byte) error {
		r, err := readContainer(text)
		i := r.containerInfo(c.name)
		c.addPod(&i, seen[i.SandboxID])
		out = append(out, i)
		return err
	})
	c.mu.Lock()
	c.pods = seen // of those that are gone nothing is to be asked any more
	c.mu.Unlock()
	return out, false, err
}

// podOfSandbox keeps what containers take from their sandbox.
func podOfSandbox(r *raw, i *Info) *pod {
	p := &pod{labels: i.Labels, annotations: i.Annotations}
	if manifest := r.annotations[noteApplied]; manifest != "" && len(manifest) < 1<<20 {
		var m struct {
			Spec struct {
				InitContainers []struct {
					Name string `json:"name"`
				} `json:"initContainers"`
			} `json:"spec"`
		}
		if json.Unmarshal([]byte(manifest), &m) == nil {
			for _, c := range m.Spec.InitContainers[:min(len(m.Spec.InitContainers), 64)] {
				p.inits = append(p.inits, cut(c.Name, maxName))
			}
		}
	}
	return p
}

func (c *cri) addPod(i *Info, p *pod) {
	if p != nil {
		i.Labels, i.Annotations, i.Init = p.labels, p.annotations, slices.Contains(p.inits, i.Container)
	}
}

// podOf gives what the sandbox of a container tells, nil where that is not known.
func (c *cri) podOf(ctx context.Context, sandbox string) *pod {
	if sandbox == "" {
		return nil
	}
	c.mu.Lock()
	p := c.pods[sandbox]
	c.mu.Unlock()
	if p == nil {
		p, _, _ = c.sandbox(ctx, sandbox)
	}
	return p
}

func (c *cri) sandbox(ctx context.Context, id string) (*pod, Info, error) {
	b, err := c.ask(ctx, "PodSandboxStatus", idMessage(id))
	if err != nil {
		return nil, Info{}, err
	}
	status, info, err := readAnswer(b)
	if err != nil {
		return nil, Info{}, err
	}
	p, i, err := c.takeSandbox(status)
	i.PID = readVerbose(info).PID
	return p, i, err
}

// takeSandbox keeps a PodSandboxStatus.
func (c *cri) takeSandbox(status []byte) (*pod, Info, error) {
	r, err := readSandbox(status, true)
	if err != nil || r.id == "" {
		return nil, Info{}, errors.Join(err, errMessage)
	}
	i := r.sandboxInfo(c.name)
	p := podOfSandbox(&r, &i)
	c.mu.Lock()
	if len(c.pods) < maxKnown {
		c.pods[r.id] = p
	}
	c.mu.Unlock()
	return p, i, nil
}

// idMessage is a question for one container, or one sandbox: with all that there is to know of it.
func idMessage(id string) []byte {
	b := protowire.AppendTag(nil, 1, protowire.BytesType)
	b = protowire.AppendString(b, id)
	b = protowire.AppendTag(b, 2, protowire.VarintType)
	return protowire.AppendVarint(b, 1) // verbose: it has the pid
}

func (c *cri) inspect(ctx context.Context, id string) (Info, error) {
	b, err := c.ask(ctx, "ContainerStatus", idMessage(id))
	if errors.Is(err, errNone) {
		_, i, err := c.sandbox(ctx, id)
		return i, err
	}
	if err != nil {
		return Info{}, err
	}
	status, text, err := readAnswer(b)
	if err != nil {
		return Info{}, err
	}
	r, err := readStatus(status)
	if err != nil {
		return Info{}, err
	}
	more := readVerbose(text)
	r.sandbox = more.SandboxID
	if r.user == "" {
		r.user = more.Config.Image.User
	}
	i := r.containerInfo(c.name)
	if i.State == StateRunning {
		i.PID = more.PID
	}
	i.Cgroup = specCgroup(more.RuntimeSpec.Linux.CgroupsPath)
	c.addPod(&i, c.podOf(ctx, r.sandbox))
	return i, nil
}

// verbose is what containerd and CRI-O tell in free form.
type verbose struct {
	SandboxID string `json:"sandboxID"`
	PID       int32  `json:"pid"`
	Config    struct {
		Image struct {
			User string `json:"user_specified_image"`
		} `json:"image"`
	} `json:"config"`
	RuntimeSpec struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	} `json:"runtimeSpec"`
}

// readVerbose reads what there is to be read: it is never an error.
func readVerbose(text string) verbose {
	var v verbose
	if text == "" {
		return v
	}
	if json.UnmarshalRead(bytes.NewReader([]byte(text)), &v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return verbose{}
	}
	return v
}

const eventDeleted = 3 // a kind of event

// How long the events that containerd has kept are read.
const (
	historyQuiet = 300 * time.Millisecond // nothing more comes
	historyLimit = 2 * time.Second
)

// watch reads what containerd has kept of the last five minutes: the only thing that still names a container that
// was removed meanwhile. It does not go on listening. In containerd a listener that does not read, because it is
// frozen or starved, holds up every start and end of a container on the node; before 2.0, and in CRI-O,
// each event goes to one listener only, which may have to be the kubelet.
func (c *cri) watch(ctx context.Context, tell func(event)) error {
	major, _, _ := strings.Cut(strings.TrimPrefix(c.release, "v"), ".")
	if n, err := strconv.Atoi(major); c.name != "containerd" || err != nil || n < 2 {
		return errNoEvents
	}
	ctx, stop := context.WithTimeout(ctx, historyLimit)
	defer stop()
	quiet := time.AfterFunc(historyQuiet, stop)
	defer quiet.Stop()
	// Whatever ends it: there is no more to be had.
	_ = c.conn.stream(ctx, "GetContainerEvents", nil, func(b []byte) error {
		quiet.Reset(historyQuiet)
		e, err := c.event(b)
		if err == nil {
			tell(e)
		}
		return err
	})
	return errNoEvents
}

func (c *cri) event(b []byte) (event, error) {
	id, kind, sandbox, statuses, err := readEvent(b)
	if err != nil {
		return event{}, err
	}
	e := event{id: id, removed: kind == eventDeleted}
	var p *pod
	if len(sandbox) > 0 {
		var i Info
		if p, i, err = c.takeSandbox(sandbox); err != nil {
			return event{}, err
		}
		if i.ID != id || !e.removed {
			e.infos = append(e.infos, i)
		}
	}
	for _, s := range statuses {
		r, err := readStatus(s)
		if err != nil {
			return event{}, err
		}
		i := r.containerInfo(c.name)
		c.addPod(&i, p)
		e.infos = append(e.infos, i)
	}
	return e, nil
}
