//go:build cluster

package suite

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/descry-dev/descry/internal/evidence"
)

// quick are containers that are started without the kubelet, which is quicker; nobody can name them but by their ids.
type quick struct {
	t    *testing.T
	stop context.Context
	work sync.WaitGroup

	sync.Mutex
	exits map[string]int // by id: how those that have ended did
}

func newQuick(t *testing.T) *quick {
	t.Helper()
	loadPrograms(t)
	return &quick{t: t, stop: t.Context(), exits: map[string]int{}}
}

// run runs a program in a container of its own to its end.
func (q *quick) run(image string, command ...string) (id string) {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	id = hex.EncodeToString(b)
	ctx, stop := context.WithTimeout(q.stop, time.Minute)
	defer stop()
	args := append([]string{"-n", "k8s.io", "run", "--rm", "--null-io", "--cgroup", "/kubepods/quick/" + id, image, id}, command...)
	out, err := exec.CommandContext(ctx, "ctr", args...).CombinedOutput()
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		code, err = exit.ExitCode(), nil
	}
	if err != nil || strings.Contains(string(out), "ctr: ") {
		q.t.Errorf("run a container: %v: %s", err, out)
		return id
	}
	q.Lock()
	q.exits[id] = code
	q.Unlock()
	return id
}

// storm starts n containers, at most so many at once, each of which ends by itself with a code of its own.
func (q *quick) storm(n, atOnce int, seconds func(i int) float64) {
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		q.work.Go(func() {
			defer func() { <-slots }()
			q.run(imageC, "sh", "-c", fmt.Sprintf("sleep %.2f; exit %d", seconds(i), 1+i%100))
		})
	}
}

// ended gives how all have ended so far.
func (q *quick) ended() map[string]int {
	q.Lock()
	defer q.Unlock()
	out := map[string]int{}
	for id, code := range q.exits {
		out[id] = code
	}
	return out
}

// amiss says which deaths have no case, a case too many, or another's exit code.
func (q *quick) amiss(cases []*evidence.Case) []string {
	byID := map[string][]*evidence.Case{}
	for _, c := range cases {
		byID[c.Subject.ContainerID] = append(byID[c.Subject.ContainerID], c)
	}
	var out []string
	for id, code := range q.ended() {
		cs := byID[id]
		switch {
		case code == 0 && len(cs) > 0:
			out = append(out, "it ended well and has a case: "+show(cs[0]))
		case code != 0 && len(cs) != 1:
			out = append(out, fmt.Sprintf("container %.12s ended with %d and has %d cases", id, code, len(cs)))
		case code != 0 && cs[0].Death.ExitCode != int32(code):
			out = append(out, fmt.Sprintf("container %.12s ended with %d: %s", id, code, show(cs[0])))
		}
	}
	return out
}
