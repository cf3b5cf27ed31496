package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/descry-dev/descry/bench/measure"
	"github.com/descry-dev/descry/internal/evidence"
)

// deathWays are how the containers of "die" end, by their number.
var deathWays = []string{"SIGSEGV", "abort", "exit code 3", "SIGTERM", "SIGKILL from outside"}

// appeared is a case that has come into the casebook.
type appeared struct {
	at int64 // boot time
	c  *evidence.Case
}

// deaths measures how long it takes from the kernel's time of an exit until the case stands in the casebook, and
// that each death has one case, with the right name.
func deaths(l *lab) error {
	const rate = 50
	during := l.lasts(time.Minute)
	cases := filepath.Join(l.dir, "cases")
	came, err := watchCases(cases)
	if err != nil {
		return err
	}
	defer came.stop()
	agent, err := l.agent()
	if err != nil {
		return err
	}
	defer agent.end()
	fleet, _, err := l.play("die", fmt.Sprint(rate), fmt.Sprint(int(during.Seconds())))
	if err != nil {
		return err
	}
	own, from := scheduled(agent.pid()), time.Now()
	died := map[string]int{} // way by container
	last := ""
	for in := bufio.NewScanner(fleet.out); in.Scan(); {
		var id string
		var way, status int
		if last = in.Text(); strings.HasPrefix(last, "started") {
			break
		}
		if _, err := fmt.Sscan(last, &id, &way, &status); err == nil {
			died[id] = way
		}
	}
	took := time.Since(from)
	used := scheduled(agent.pid()) - own
	time.Sleep(3 * time.Second) // far longer than a case may take
	if err := errors.Join(fleet.end(), agent.end()); err != nil {
		return err
	}
	by := make([][]float64, len(deathWays))
	var all []float64
	got := map[string]int{}
	wrong, foreign := 0, 0
	for _, a := range came.stop() {
		id := a.c.Subject.ContainerID
		way, ours := died[id]
		if !ours || a.c.Death == nil {
			foreign++
			continue
		}
		if got[id]++; got[id] > 1 {
			continue
		}
		if !rightDeath(way, a.c.Death) {
			wrong++
		}
		ms := float64(a.at-a.c.Death.BootNanos) / 1e6
		by[way], all = append(by[way], ms), append(all, ms)
	}
	missing, doubled := 0, 0
	for id := range died {
		switch n := got[id]; {
		case n == 0:
			missing++
		case n > 1:
			doubled++
		}
	}
	fmt.Printf("%d containers in %.0f s (%.1f a second), each of one process that lives 0.3 s. From the kernel's time of the exit to the case's file.\n\n", len(died), took.Seconds(), float64(len(died))/took.Seconds())
	fmt.Println("| died of | cases | median, ms | p99, ms | most, ms |\n| --- | --- | --- | --- | --- |")
	for i, name := range deathWays {
		fmt.Printf("| %s | %d | %.1f | %.1f | %.1f |\n", name, len(by[i]), measure.Quantile(by[i], 0.5), measure.Quantile(by[i], 0.99), measure.Quantile(by[i], 1))
	}
	fmt.Printf("| all | %d | %.1f | %.1f | %.1f |\n", len(all), measure.Quantile(all, 0.5), measure.Quantile(all, 0.99), measure.Quantile(all, 1))
	fmt.Printf("\nmissing %d, doubled %d, with another death than theirs %d, of no container of these %d; the agent's own CPU %.1f%% of a core\n",
		missing, doubled, wrong, foreign, 100*used.Seconds()/took.Seconds())
	if missing+doubled+wrong+foreign > 0 {
		return fmt.Errorf("not every death has its one case; %s", agent.said())
	}
	return nil
}

// rightDeath says whether a container died as it was meant to.
func rightDeath(way int, d *evidence.Death) bool {
	switch way {
	case 0:
		return d.Signal == evidence.Signal(unix.SIGSEGV)
	case 1:
		return d.Signal == evidence.Signal(unix.SIGABRT)
	case 2:
		return d.Signal == 0 && d.ExitCode == 3
	case 3:
		return d.Signal == evidence.Signal(unix.SIGTERM)
	}
	return d.Signal == evidence.Signal(unix.SIGKILL)
}

// caseWatch reads cases as they appear.
type caseWatch struct {
	events *os.File
	once   sync.Once
	done   chan struct{}
	all    []appeared
}

func watchCases(dir string) (*caseWatch, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MOVED_TO); err != nil {
		unix.Close(fd)
		return nil, err
	}
	events := os.NewFile(uintptr(fd), "inotify")
	w := &caseWatch{events: events, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		buf := make([]byte, 64<<10)
		for {
			n, err := events.Read(buf)
			now := bootNanos()
			if err != nil {
				return
			}
			for b := buf[:n]; len(b) >= unix.SizeofInotifyEvent; {
				e := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
				name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+e.Len]), "\x00")
				b = b[unix.SizeofInotifyEvent+int(e.Len):]
				if c, err := measure.ReadCase(filepath.Join(dir, name)); err == nil {
					w.all = append(w.all, appeared{now, c})
				}
			}
		}
	}()
	return w, nil
}

// stop ends the watch and gives what it saw.
func (w *caseWatch) stop() []appeared {
	w.once.Do(func() {
		w.events.Close()
		<-w.done
	})
	return w.all
}

func bootNanos() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		fail("%v", err)
	}
	return t.Nano()
}
