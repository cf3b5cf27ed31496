package container

import (
	"bytes"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	v1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// checkInfo checks what must hold whatever a runtime says, once the registry has it.
func checkInfo(t *testing.T, i Info) {
	t.Helper()
	i.bounded()
	for _, s := range []string{i.Namespace, i.Pod, i.Container, i.Image, i.LogPath, i.Reason, i.PodUID, i.SandboxID} {
		if !utf8.ValidString(s) || len(s) > 3*maxText {
			t.Errorf("the string %.50q of %d bytes", s, len(s))
		}
	}
	if len(i.Labels) > maxPairs || len(i.Annotations) > maxPairs {
		t.Errorf("%d labels, %d annotations", len(i.Labels), len(i.Annotations))
	}
	switch i.State {
	case StateCreated, StateRunning, StateExited, StateUnknown:
	default:
		t.Errorf("the state %q", i.State)
	}
}

func FuzzCRIMessages(f *testing.F) {
	s := shop()
	for _, m := range []proto.Message{
		s.statuses[0], s.statuses[1], s.boxes[0],
		&v1.ContainerStatusResponse{Status: s.statuses[1], Info: s.verbose},
		&v1.ContainerEventResponse{ContainerId: nth(3), ContainerEventType: 2, PodSandboxStatus: s.boxes[0], ContainersStatuses: s.statuses},
		&v1.ListContainersResponse{Containers: []*v1.Container{{Id: nth(1), Labels: map[string]string{"a": "b"}}}},
		&v1.VersionResponse{RuntimeName: "containerd", RuntimeVersion: "v2"},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"sandboxID":"x","pid":-1,"config":{"image":{"user_specified_image":"y"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := readContainer(b); err == nil {
			checkInfo(t, r.containerInfo("x"))
		}
		if r, err := readStatus(b); err == nil {
			checkInfo(t, r.containerInfo("x"))
		}
		for _, status := range []bool{false, true} {
			if r, err := readSandbox(b, status); err == nil {
				i := r.sandboxInfo("x")
				checkInfo(t, i)
				podOfSandbox(&r, &i)
			}
		}
		_, _, _ = readAnswer(b)
		_, _, _ = readVersion(b)
		_ = readList(b, func([]byte) error { return nil })
		if e, err := newCRI(endpoint{}).event(b); err == nil {
			for _, i := range e.infos {
				checkInfo(t, i)
			}
		}
		readVerbose(string(b))
		for r := bytes.NewReader(b); ; {
			if _, err := readMessage(r); err != nil {
				break
			}
		}
	})
}

func FuzzDocker(f *testing.F) {
	f.Add([]byte(dockerInspectWeb))
	f.Add([]byte(dockerDie))
	f.Add([]byte(`{"Id":"x","State":{"Pid":-1,"ExitCode":9999999999999},"RestartCount":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, at, ok := readDockerEvent(b, "docker"); ok {
			if at < 0 || len(e.infos) > 1 {
				t.Errorf("%+v, %d", e, at)
			}
			for _, i := range e.infos {
				checkInfo(t, i)
			}
		}
		if i, err := readDockerContainer(bytes.NewReader(b), "docker"); err == nil {
			checkInfo(t, i)
		}
	})
}
