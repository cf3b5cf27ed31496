package coredump

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// dying is a process whose core the kernel is about to write. All of it is foreign: read it
// while the process waits.
type dying struct {
	PID, TID int // in our own pid namespace; TID 0: not known
	Signal   int
	At       time.Time
	Dumpable int // as %d has it: 1 as itself, 2 as root alone; 0: not known
}

// The flags of a task in field 9 of its stat.
const taskDumps = 0x200 // PF_DUMPCORE: this thread writes the core

func (d *dying) proc(file ...string) string {
	return filepath.Join(append([]string{"/proc", strconv.Itoa(d.PID)}, file...)...)
}

// alive is proc for what a process gives up at its end, where its first thread has ended before the others.
func (d *dying) alive(file ...string) string {
	return filepath.Join(append([]string{livingProc(d.proc())}, file...)...)
}

// complete finds the thread and the signal where the kernel has not told them.
func (d *dying) complete() {
	if d.Signal == 0 {
		// The exit code of the whole group is the signal already.
		if f := statFields(d.proc("stat")); len(f) > 49 {
			code, _ := strconv.Atoi(f[49])
			d.Signal = code & 0x7f
		}
	}
	if d.TID == 0 {
		tids, _ := os.ReadDir(d.proc("task"))
		for _, t := range tids {
			f := statFields(d.proc("task", t.Name(), "stat"))
			if len(f) < 7 {
				continue
			}
			if flags, err := strconv.ParseUint(f[6], 10, 64); err == nil && flags&taskDumps != 0 {
				d.TID, _ = strconv.Atoi(t.Name())
				break
			}
		}
	}
}

// statFields are the fields of a stat file from the third, the state, on.
func statFields(path string) []string {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return nil
	}
	return strings.Fields(string(b[i+1:]))
}

// identity is who a process is, from its status.
type identity struct {
	UID, GID     [4]int // real, effective, saved, of the file system
	Groups       []int
	Capabilities uint64 // effective
	NSPID        int    // in its own pid namespace
	NSTID        int
}

func (d *dying) identity() (id identity, err error) {
	status := d.proc("status")
	if d.TID != 0 {
		status = d.proc("task", strconv.Itoa(d.TID), "status")
	}
	b, err := os.ReadFile(status)
	if err != nil {
		return id, fmt.Errorf("read who process %d is: %w", d.PID, err)
	}
	if id, err = parseIdentity(b); err != nil {
		return id, fmt.Errorf("read who process %d is: %w", d.PID, err)
	}
	return id, nil
}

func parseIdentity(status []byte) (id identity, err error) {
	var seen int
	for line := range bytes.Lines(status) {
		key, value, _ := strings.Cut(string(line), ":")
		f := strings.Fields(value)
		switch key {
		case "Uid", "Gid":
			if len(f) != 4 {
				return id, fmt.Errorf("%s is %q", key, value)
			}
			to := &id.UID
			if key == "Gid" {
				to = &id.GID
			}
			for i := range f {
				if to[i], err = strconv.Atoi(f[i]); err != nil {
					return id, err
				}
			}
			seen++
		case "Groups":
			for _, g := range f {
				n, err := strconv.Atoi(g)
				if err != nil {
					return id, err
				}
				id.Groups = append(id.Groups, n)
			}
			seen++
		case "CapEff":
			if len(f) != 1 {
				return id, fmt.Errorf("CapEff is %q", value)
			}
			if id.Capabilities, err = strconv.ParseUint(f[0], 16, 64); err != nil {
				return id, err
			}
			seen++
		case "NStgid", "NSpid":
			if len(f) == 0 {
				break
			}
			n, err := strconv.Atoi(f[len(f)-1])
			if err != nil {
				return id, err
			}
			if key == "NStgid" {
				id.NSPID = n
			} else {
				id.NSTID = n
			}
		}
	}
	if seen != 4 {
		return id, fmt.Errorf("status lacks Uid, Gid, Groups or CapEff")
	}
	return id, nil
}

// unlimited is RLIM_INFINITY as %c has it on 64 bits.
const unlimited = ^uint64(0)

// limit is a soft limit of the process by its name in /proc/PID/limits.
func (d *dying) limit(name string) (uint64, error) {
	b, err := os.ReadFile(d.proc("limits"))
	if err != nil {
		return 0, fmt.Errorf("read the limits of process %d: %w", d.PID, err)
	}
	return parseLimit(b, name)
}

func parseLimit(limits []byte, name string) (uint64, error) {
	for line := range bytes.Lines(limits) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok {
			continue
		}
		f := bytes.Fields(rest)
		if len(f) > 0 && string(f[0]) == "unlimited" {
			return unlimited, nil
		}
		if len(f) > 0 {
			return strconv.ParseUint(string(f[0]), 10, 64)
		}
	}
	return 0, fmt.Errorf("limits have no %q", name)
}

const coreLimit, fileLimit = "Max core file size", "Max file size"

// specifiers reads what a former pattern asks for.
func (d *dying) specifiers(id *identity) specifiers {
	return func(letter byte) (string, bool, bool) {
		number := func(n int) (string, bool, bool) { return strconv.Itoa(n), false, true }
		switch letter {
		case 'p':
			return number(id.NSPID)
		case 'P':
			return number(d.PID)
		case 'i':
			return number(id.NSTID)
		case 'I':
			return number(d.TID)
		case 'u':
			return number(id.UID[0])
		case 'g':
			return number(id.GID[0])
		case 'd':
			return number(d.Dumpable)
		case 's':
			return number(d.Signal)
		case 't':
			return strconv.FormatInt(d.At.Unix(), 10), false, true
		case 'h':
			return d.hostname(), true, true
		case 'e':
			comm, _ := os.ReadFile(d.proc("task", strconv.Itoa(d.TID), "comm"))
			return strings.TrimSuffix(string(comm), "\n"), true, true
		case 'f', 'E':
			exe, err := os.Readlink(d.alive("exe"))
			if err != nil {
				comm, _ := os.ReadFile(d.proc("comm"))
				exe = strings.TrimSuffix(string(comm), "\n") + " (path unknown)"
			} else if letter == 'f' {
				exe = filepath.Base(exe)
			}
			return exe, true, true
		case 'c':
			n, err := d.limit(coreLimit)
			return strconv.FormatUint(n, 10), false, err == nil
		case 'C':
			f := statFields(d.proc("task", strconv.Itoa(d.TID), "stat"))
			if len(f) < 37 {
				return "0", false, true
			}
			return f[36], false, true
		case 'F':
			return number(formerPIDFD)
		}
		return "", false, false
	}
}

// hostname is that of the process's UTS namespace.
func (d *dying) hostname() string {
	var u unix.Utsname
	read := func() string {
		unix.Uname(&u)
		return unix.ByteSliceToString(u.Nodename[:])
	}
	ns, err := os.Open(d.alive("ns/uts"))
	if err != nil {
		return read()
	}
	defer ns.Close()
	// The thread goes there and comes back: the process's first one could not end instead.
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/uts")
	if err != nil {
		runtime.UnlockOSThread()
		return read()
	}
	defer own.Close()
	entered := unix.Setns(int(ns.Fd()), unix.CLONE_NEWUTS) == nil
	name := read()
	if !entered || unix.Setns(int(own.Fd()), unix.CLONE_NEWUTS) == nil {
		runtime.UnlockOSThread() // else no other goroutine gets this thread
	}
	return name
}

// inOurUserNamespace says whether what a process may do holds here too.
func (d *dying) inOurUserNamespace() bool {
	theirs, err := os.Readlink(d.alive("ns/user"))
	ours, err2 := os.Readlink("/proc/self/ns/user")
	return err == nil && err2 == nil && theirs == ours
}

// Within says whether process pid is root or came from it by fork, as far as parents still stand.
func Within(pid, root int) bool { return within("/proc", pid, root) }

// within says whether the process is pid or came from it by fork, as far as parents still stand.
func within(proc string, pid, root int) bool {
	var path []int
	for pid > 1 && !slices.Contains(path, pid) && len(path) < 1000 {
		if pid == root {
			return true
		}
		path = append(path, pid)
		f := statFields(filepath.Join(proc, strconv.Itoa(pid), "stat"))
		if len(f) < 2 {
			return false
		}
		pid, _ = strconv.Atoi(f[1])
	}
	return false
}
