package container

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// docker asks Docker's Engine API, or what speaks it too.
type docker struct {
	client        *http.Transport
	name, release string
	since         int64 // nanoseconds since 1970 of the last event: the next stream begins there
}

// dockerHistory is how far back events are read at first: they name what was removed meanwhile. The engine keeps
// the last 256.
const dockerHistory = 5 * time.Minute

func newDocker(e endpoint) *docker {
	return &docker{since: time.Now().Add(-dockerHistory).UnixNano(), client: &http.Transport{DialContext: e.dial, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns: 2, IdleConnTimeout: time.Minute}}
}

func (d *docker) close() { d.client.CloseIdleConnections() }

func (d *docker) about() (name, version string) { return d.name, d.release }

// get opens an answer, and gives its header. Without a version in its path a question is answered by the newest form of the API that
// the engine has; what is read here is in all of them.
func (d *docker) get(ctx context.Context, path string) (io.ReadCloser, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("User-Agent", "descry")
	resp, err := d.client.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, resp.Header, nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxName))
	resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, nil, errNone
	}
	return nil, nil, aloneError{fmt.Errorf("it answers with HTTP status %d: %s", resp.StatusCode, strings.TrimSpace(cut(string(text), maxName)))}
}

var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func (d *docker) read(ctx context.Context, path string, into any) error {
	body, _, err := d.get(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.UnmarshalRead(io.LimitReader(body, maxMessage), into, lenient); err != nil {
		return fmt.Errorf("read its answer: %w", err)
	}
	return nil
}

// version takes what an engine calls itself in each answer. Podman asks Debian's package manager for seconds before it
// tells its version.
func (d *docker) version(ctx context.Context) error {
	body, header, err := d.get(ctx, "/_ping")
	if err == nil {
		body.Close()
		name, rest, _ := strings.Cut(header.Get("Server"), "/")
		if version, _, _ := strings.Cut(rest, " "); version != "" {
			d.release = cut(version, maxName)
			switch name {
			case "Docker":
				d.name = "docker"
				return nil
			case "Libpod":
				d.name = "podman"
				return nil
			}
		}
	}
	var v struct {
		Version    string
		Components []struct{ Name string }
	}
	if err := d.read(ctx, "/version", &v); err != nil {
		return err
	}
	if v.Version == "" {
		return errors.New("an engine without a version")
	}
	d.name, d.release = "docker", cut(v.Version, maxName)
	if len(v.Components) > 0 && strings.HasPrefix(v.Components[0].Name, "Podman") {
		d.name = "podman"
	}
	return nil
}

// dockerListed is a container in a list.
type dockerListed struct {
	ID      string `json:"Id"`
	Names   []string
	Image   string
	Created int64 // seconds
	State   string
	Labels  map[string]string
}

func (d *docker) list(ctx context.Context) ([]Info, bool, error) {
	var all []dockerListed
	if err := d.read(ctx, "/containers/json?all=1", &all); err != nil {
		return nil, false, err
	}
	out := make([]Info, 0, min(len(all), maxKnown))
	for _, c := range all[:min(len(all), maxKnown)] {
		i := Info{Ref: Ref{ID: c.ID, Runtime: d.name}, Image: c.Image, State: dockerState(c.State)}
		if c.Created > 0 {
			i.CreatedAt = time.Unix(c.Created, 0).UTC()
		}
		if len(c.Names) > 0 {
			i.Container = c.Names[0]
		}
		dockerLabels(&i, c.Labels)
		out = append(out, i)
	}
	return out, false, nil
}

// dockerLabels names a container by its labels: those that cri-dockerd gives, else all are its user's.
func dockerLabels(i *Info, labels map[string]string) {
	i.Container = strings.TrimPrefix(i.Container, "/")
	i.Labels = pairs(labels)
	if labels[labelPod] == "" {
		return
	}
	i.Pod, i.Namespace, i.PodUID = labels[labelPod], labels[labelNamespace], labels[labelUID]
	i.Container = labels[labelContainer]
	if i.Sandbox = labels["io.kubernetes.docker.type"] == "podsandbox"; i.Sandbox {
		i.Container = ""
	}
	if n, err := strconv.ParseUint(labels["annotation."+noteRestarts], 10, 32); err == nil {
		i.Attempt = uint32(n)
	}
	i.SandboxID = labels["io.kubernetes.sandbox.id"]
}

func dockerState(s string) State {
	switch s {
	case "created":
		return StateCreated
	case "running", "paused":
		return StateRunning
	case "exited", "dead", "removing", "stopped", "restarting":
		return StateExited
	}
	return StateUnknown
}

// dockerContainer is a container as inspect has it.
type dockerContainer struct {
	ID           string `json:"Id"`
	Created      string
	Name         string
	Image        string
	LogPath      string
	RestartCount int64
	State        struct {
		Status     string
		OOMKilled  bool
		Pid        int64
		ExitCode   int64
		Error      string
		StartedAt  string
		FinishedAt string
	}
	Config struct {
		Image  string
		Labels map[string]string
	}
	HostConfig struct {
		LogConfig struct{ Type string }
	}
}

func (d *docker) inspect(ctx context.Context, id string) (Info, error) {
	body, _, err := d.get(ctx, "/containers/"+url.PathEscape(id)+"/json")
	if err != nil {
		return Info{}, err
	}
	defer body.Close()
	return readDockerContainer(body, d.name)
}

func readDockerContainer(r io.Reader, runtime string) (Info, error) {
	var c dockerContainer
	if err := json.UnmarshalRead(io.LimitReader(r, maxMessage), &c, lenient); err != nil {
		return Info{}, fmt.Errorf("read its answer: %w", err)
	}
	return c.info(runtime), nil
}

func (c *dockerContainer) info(runtime string) Info {
	i := Info{Ref: Ref{ID: c.ID, Runtime: runtime}, Container: c.Name, Image: c.Config.Image, LogPath: c.LogPath, LogDriver: c.HostConfig.LogConfig.Type,
		CreatedAt: dockerTime(c.Created), StartedAt: dockerTime(c.State.StartedAt), State: dockerState(c.State.Status)}
	lives := c.RestartCount
	if c.State.Status == "restarting" { // the life that is to come is counted already
		lives--
	}
	if lives > 0 {
		i.Attempt = uint32(min(lives, 1<<24))
	}
	if i.Image == "" {
		i.Image = c.Image
	}
	dockerLabels(&i, c.Config.Labels)
	if path := c.Config.Labels["io.kubernetes.container.logpath"]; path != "" {
		i.LogPath = path
	}
	switch i.State {
	case StateRunning:
		if c.State.Pid > 0 && c.State.Pid < 1<<31 {
			i.PID = int32(c.State.Pid)
		}
	case StateExited:
		i.FinishedAt, i.ExitCode = dockerTime(c.State.FinishedAt), int32(c.State.ExitCode)
		switch {
		case c.State.OOMKilled:
			i.Reason = "OOMKilled"
		case c.State.Error != "":
			i.Reason = c.State.Error
		case i.ExitCode != 0:
			i.Reason = "Error"
		default:
			i.Reason = "Completed"
		}
	}
	return i
}

// dockerTime reads a time; year 1 stands for never.
func dockerTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1970 {
		return time.Time{}
	}
	return t.UTC()
}

// dockerEvents are those that change what is known; health checks alone make three others each time.
var dockerEvents = url.QueryEscape(`{"type":["container"],"event":["create","start","restart","die","died","stop","oom","rename","destroy","remove"]}`)

func (d *docker) watch(ctx context.Context, tell func(event)) error {
	path := fmt.Sprintf("/events?filters=%s&since=%d.%09d", dockerEvents, d.since/1e9, d.since%1e9)
	body, _, err := d.get(ctx, path)
	var alone aloneError
	if errors.As(err, &alone) || errors.Is(err, errNone) {
		return errNoEvents
	}
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		e, at, ok := readDockerEvent(lines.Bytes(), d.name)
		if !ok {
			return errors.New("an event that is none")
		}
		d.since = max(d.since, at)
		if e.id != "" {
			tell(e)
		}
	}
	return cmp.Or(lines.Err(), io.EOF)
}

// maxEvent is the longest event that is read, bytes: all labels stand in it.
const maxEvent = 1 << 20

// readDockerEvent reads one line of the stream of events, and gives its time in nanoseconds since 1970.
func readDockerEvent(line []byte, runtime string) (e event, at int64, ok bool) {
	var v struct {
		Action string
		Actor  struct {
			ID         string
			Attributes map[string]string // name, image, exitCode, and all labels
		}
		Nanos int64 `json:"timeNano"`
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return e, 0, true
	}
	if json.Unmarshal(line, &v, lenient) != nil {
		return e, 0, false
	}
	if !isID(v.Actor.ID) {
		return e, max(0, v.Nanos), true
	}
	e = event{id: v.Actor.ID, removed: v.Action == "destroy" || v.Action == "remove"}
	words := v.Actor.Attributes
	i := Info{Ref: Ref{ID: v.Actor.ID, Runtime: runtime}, Container: words["name"], Image: words["image"], State: StateUnknown}
	if code, err := strconv.ParseInt(words["exitCode"], 10, 32); err == nil && (v.Action == "die" || v.Action == "died") && v.Nanos > 0 {
		i.State, i.ExitCode, i.FinishedAt = StateExited, int32(code), time.Unix(0, v.Nanos).UTC()
	}
	for _, k := range []string{"name", "image", "exitCode", "containerExitCode", "podId", "execDuration", "signal"} {
		delete(words, k)
	}
	dockerLabels(&i, words)
	e.infos = []Info{i}
	return e, max(0, v.Nanos), true
}
