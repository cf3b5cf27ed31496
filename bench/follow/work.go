package main

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// writer lets files grow.
type writer struct {
	files []*os.File
	r     *rand.Rand
	line  []byte

	mu      sync.Mutex
	garbage map[string]time.Time // by file, when it was written
}

const text = "INFO [checkout] request 4711 of customer 0815 took 17 ms, 3 items, total 42.00 EUR, cache hit, region eu-central\n"

// grow writes at the rate, each file in turn, and says how many bytes that were.
func (w *writer) grow(during time.Duration) (bytes int64) {
	start := time.Now()
	second, due := 0, 0.5
	for next := 0; ; {
		passed := time.Since(start)
		if passed >= during {
			return bytes
		}
		for until := int64(passed.Seconds() * *rate * 1e6); bytes < until; next++ {
			i := next % len(w.files)
			w.line = w.line[:0]
			if *form == "cri" {
				w.line = time.Now().UTC().AppendFormat(w.line, "2006-01-02T15:04:05.000000000Z")
				w.line = append(w.line, " stdout F "...)
			}
			if s := passed.Seconds(); s > due && s < during.Seconds() { // some garbage, at no pace that looks might have
				second++
				due = float64(second) + w.r.Float64()
				b := make([]byte, 300)
				w.r.Read(b)
				w.line = append(w.line, strings.ReplaceAll(string(b), "\n", "\x01")...)
				w.mu.Lock()
				w.garbage[logName(i)] = time.Now()
				w.mu.Unlock()
			}
			w.line = append(w.line, text...)
			n, _ := w.files[i].Write(w.line)
			bytes += int64(n)
		}
		time.Sleep(time.Millisecond)
	}
}

// told notes how long it took to tell what the line of JSON is about.
func (w *writer) told(line string, all []time.Duration) []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for file, at := range w.garbage {
		if strings.Contains(line, "/"+file+`"`) {
			delete(w.garbage, file)
			return append(all, time.Since(at))
		}
	}
	return all
}

// used is the processor time that the threads of a process took, user and system, to the nanosecond: getrusage's
// sum of both is the same, but comes only at the end.
func used(pid int) (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("read the time of process %d: it has ended: %w", pid, err)
	}
	var sum time.Duration
	for _, name := range threads {
		if b, err := os.ReadFile(name); err == nil {
			ns, _, _ := strings.Cut(string(b), " ")
			n, _ := strconv.ParseInt(ns, 10, 64)
			sum += time.Duration(n)
		}
	}
	return sum, nil
}

func highWater(pid int) float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	var kib float64
	fmt.Sscan(rest, &kib)
	return kib / 1024
}

type readFile struct {
	fd int
	at int64
}

func openAll(dir string) (all map[string]*readFile, err error) {
	names, err := filepath.Glob(dir + "/*.log")
	all = map[string]*readFile{}
	for _, name := range names {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		all[filepath.Base(name)] = &readFile{fd: fd}
	}
	return all, err
}

func (f *readFile) read(buf []byte) {
	for {
		n, err := unix.Pread(f.fd, buf, f.at)
		if n <= 0 || err != nil {
			return
		}
		if f.at += int64(n); n < len(buf) {
			return
		}
	}
}

// readLoop reads what is new as often as descry looks.
func readLoop(dir string) error {
	all, err := openAll(dir)
	if err != nil {
		return err
	}
	for buf := make([]byte, 1<<20); ; time.Sleep(600 * time.Millisecond) {
		for name, f := range all {
			var st unix.Stat_t
			if unix.Stat(filepath.Join(dir, name), &st) == nil && st.Size > f.at {
				f.read(buf)
			}
		}
	}
}

// readTold reads what inotify tells of, at once.
func readTold(dir string) error {
	all, err := openAll(dir)
	if err != nil {
		return err
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		return err
	}
	events, buf := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := unix.Read(fd, events)
		if err != nil {
			return err
		}
		for b := events[:n]; len(b) >= unix.SizeofInotifyEvent; {
			e := (*unix.InotifyEvent)(unsafe.Pointer(&b[0]))
			name := b[unix.SizeofInotifyEvent : unix.SizeofInotifyEvent+e.Len]
			if f := all[string(bytes.TrimRight(name, "\x00"))]; f != nil {
				f.read(buf)
			}
			b = b[unix.SizeofInotifyEvent+int(e.Len):]
		}
	}
}
