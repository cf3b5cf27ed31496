package container

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The messages of the CRI (runtime.v1) that are read, by the numbers of their fields in api.proto. Unknown
// fields are skipped.

var errMessage = errors.New("a broken message")

// fields calls f for each field of a message: bytes of strings and messages, or a number.
func fields(b []byte, f func(field protowire.Number, text []byte, number uint64) error) error {
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errMessage
		}
		b = b[n:]
		var (
			text   []byte
			number uint64
		)
		switch kind {
		case protowire.BytesType:
			text, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, kind, b)
		}
		if n < 0 {
			return errMessage
		}
		b = b[n:]
		if kind != protowire.BytesType && kind != protowire.VarintType {
			continue
		}
		if err := f(num, text, number); err != nil {
			return err
		}
	}
	return nil
}

// maxRawPairs bounds a map before it is looked at.
const maxRawPairs = 1024

// readPair reads one entry of a map<string, string>.
func readPair(into *map[string]string, b []byte) error {
	var k, v string
	err := fields(b, func(f protowire.Number, text []byte, _ uint64) error {
		switch f {
		case 1:
			k = string(text)
		case 2:
			v = string(text)
		}
		return nil
	})
	if *into == nil {
		*into = map[string]string{}
	}
	if len(*into) < maxRawPairs {
		(*into)[k] = v
	}
	return err
}

func nanos(n uint64) time.Time {
	if int64(n) <= 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n)).UTC()
}

// raw are a container's or sandbox's own words, before they are made an Info.
type raw struct {
	id, sandbox           string
	name, uid, namespace  string
	attempt               uint32
	image, user, imageRef string
	state                 uint64
	created, started, end time.Time
	exit                  int32
	reason, log           string
	labels, annotations   map[string]string
}

// metadata reads ContainerMetadata or PodSandboxMetadata.
func (r *raw) metadata(b []byte, sandbox bool) error {
	return fields(b, func(f protowire.Number, text []byte, number uint64) error {
		switch {
		case f == 1:
			r.name = string(text)
		case f == 2 && sandbox:
			r.uid = string(text)
		case f == 3 && sandbox:
			r.namespace = string(text)
		case f == 2, f == 4 && sandbox:
			r.attempt = uint32(number)
		}
		return nil
	})
}

// imageSpec reads ImageSpec.
func (r *raw) imageSpec(b []byte) error {
	return fields(b, func(f protowire.Number, text []byte, _ uint64) error {
		switch f {
		case 1:
			r.image = string(text)
		case 18:
			r.user = string(text)
		}
		return nil
	})
}

// readContainer reads Container, of a list.
func readContainer(b []byte) (r raw, err error) {
	err = fields(b, func(f protowire.Number, text []byte, number uint64) error {
		switch f {
		case 1:
			r.id = string(text)
		case 2:
			r.sandbox = string(text)
		case 3:
			return r.metadata(text, false)
		case 4:
			return r.imageSpec(text)
		case 5:
			r.imageRef = string(text)
		case 6:
			r.state = number
		case 7:
			r.created = nanos(number)
		case 8:
			return readPair(&r.labels, text)
		case 9:
			return readPair(&r.annotations, text)
		}
		return nil
	})
	return r, err
}

// readStatus reads ContainerStatus.
func readStatus(b []byte) (r raw, err error) {
	err = fields(b, func(f protowire.Number, text []byte, number uint64) error {
		switch f {
		case 1:
			r.id = string(text)
		case 2:
			return r.metadata(text, false)
		case 3:
			r.state = number
		case 4:
			r.created = nanos(number)
		case 5:
			r.started = nanos(number)
		case 6:
			r.end = nanos(number)
		case 7:
			r.exit = int32(number)
		case 8:
			return r.imageSpec(text)
		case 9:
			r.imageRef = string(text)
		case 10:
			r.reason = string(text)
		case 12:
			return readPair(&r.labels, text)
		case 13:
			return readPair(&r.annotations, text)
		case 15:
			r.log = string(text)
		}
		return nil
	})
	return r, err
}

// readSandbox reads PodSandbox, of a list, or PodSandboxStatus, whose labels are elsewhere.
func readSandbox(b []byte, status bool) (r raw, err error) {
	labels, annotations := protowire.Number(5), protowire.Number(6)
	if status {
		labels, annotations = 7, 8
	}
	err = fields(b, func(f protowire.Number, text []byte, number uint64) error {
		switch f {
		case 1:
			r.id = string(text)
		case 2:
			return r.metadata(text, true)
		case 3:
			r.state = number
		case 4:
			r.created = nanos(number)
		case labels:
			return readPair(&r.labels, text)
		case annotations:
			return readPair(&r.annotations, text)
		}
		return nil
	})
	return r, err
}

// readList calls f for each element of field 1 of an answer.
func readList(b []byte, f func([]byte) error) error {
	n := 0
	return fields(b, func(num protowire.Number, text []byte, _ uint64) error {
		if num != 1 {
			return nil
		}
		if n++; n > maxKnown {
			return nil
		}
		return f(text)
	})
}

// readAnswer gives field 1 of an answer, and what stands under "info" in its map, field 2.
func readAnswer(b []byte) (status []byte, info string, err error) {
	err = fields(b, func(f protowire.Number, text []byte, _ uint64) error {
		switch f {
		case 1:
			status = text
		case 2:
			var m map[string]string
			if err := readPair(&m, text); err != nil {
				return err
			}
			if v, ok := m["info"]; ok {
				info = v
			}
		}
		return nil
	})
	return status, info, err
}

// readEvent reads ContainerEventResponse.
func readEvent(b []byte) (id string, kind uint64, sandbox []byte, statuses [][]byte, err error) {
	err = fields(b, func(f protowire.Number, text []byte, number uint64) error {
		switch f {
		case 1:
			id = string(text)
		case 2:
			kind = number
		case 4:
			sandbox = text
		case 5:
			if len(statuses) < maxKnown {
				statuses = append(statuses, text)
			}
		}
		return nil
	})
	return id, kind, sandbox, statuses, err
}

// readVersion reads VersionResponse.
func readVersion(b []byte) (name, version string, err error) {
	err = fields(b, func(f protowire.Number, text []byte, _ uint64) error {
		switch f {
		case 2:
			name = cut(string(text), maxName)
		case 3:
			version = cut(string(text), maxName)
		}
		return nil
	})
	if err == nil && name == "" {
		err = fmt.Errorf("%w: a runtime without a name", errMessage)
	}
	return name, version, err
}

// containerInfo makes an Info of what was read of a container.
func (r *raw) containerInfo(runtime string) Info {
	i := Info{Ref: Ref{ID: r.id, Runtime: runtime, PodUID: r.labels[labelUID]},
		Namespace: r.labels[labelNamespace], Pod: r.labels[labelPod], Container: r.labels[labelContainer],
		Attempt: r.attempt, LogPath: r.log, CreatedAt: r.created, StartedAt: r.started, FinishedAt: r.end,
		ExitCode: r.exit, Reason: r.reason, State: containerState(r.state), SandboxID: r.sandbox}
	if i.Container == "" {
		i.Container = r.name
	}
	if n, err := strconv.ParseUint(r.annotations[noteRestarts], 10, 32); err == nil {
		i.Attempt = uint32(n)
	}
	for _, image := range []string{r.user, r.image, r.imageRef} {
		if image != "" {
			i.Image = image
			break
		}
	}
	if i.State != StateExited {
		i.FinishedAt, i.ExitCode, i.Reason = time.Time{}, 0, ""
	}
	return i
}

// sandboxInfo makes an Info of what was read of a sandbox.
func (r *raw) sandboxInfo(runtime string) Info {
	i := Info{Ref: Ref{ID: r.id, Runtime: runtime, PodUID: r.uid}, Namespace: r.namespace, Pod: r.name, Attempt: r.attempt,
		Labels: pairs(r.labels), Annotations: pairs(r.annotations), Sandbox: true, CreatedAt: r.created, StartedAt: r.created,
		State: StateRunning, SandboxID: r.id}
	if r.state != 0 {
		i.State = StateExited
	}
	return i
}

func containerState(n uint64) State {
	switch n {
	case 0:
		return StateCreated
	case 1:
		return StateRunning
	case 2:
		return StateExited
	}
	return StateUnknown
}
