package coredump

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/descry-dev/descry/internal/evidence"
)

// Bounds of what is read of /proc/PID.
const (
	maxProcFile    = 4 << 20 // bytes of one file; what is beyond is left out
	maxProcString  = 512     // bytes of a path or a name
	maxArgs        = 64
	maxArgsBytes   = 8 << 10
	maxEnvironment = 512
	maxTasks       = 512
	maxMappings    = 1024
	maxDescriptors = 2048
	maxGroups      = 64
)

// readProcess fills e with what /proc tells: whole is the process's own folder ("/proc/PID"), proc the
// one of a thread of it where that tells more. What cannot be read is named in Missing: it is never an
// error.
func readProcess(e *Entry, whole, proc string) {
	p := &Process{UID: -1, GID: -1}
	e.Process = p
	missing := func(what string, err error) {
		p.Missing = append(p.Missing, bounded(fmt.Sprintf("%s: %v", what, err)))
	}
	read := func(name string) []byte {
		b, err := readFile(filepath.Join(proc, name))
		if err != nil {
			missing(name, err)
		}
		return b
	}
	link := func(name string) string {
		s, err := os.Readlink(filepath.Join(proc, name))
		if err != nil {
			missing(name, err)
		}
		return bounded(s)
	}
	e.Comm = bounded(strings.TrimSuffix(string(read("comm")), "\n"))
	e.Command = maskedCommand(read("cmdline"))
	p.Exe, p.Cwd, p.Root = link("exe"), link("cwd"), link("root")
	p.Cgroup = cgroupOf(string(read("cgroup")))
	p.status(string(read("status")))
	p.Started = startedAt(string(read("stat")))
	p.Limits = limits(string(read("limits")))
	p.Environment = environmentNames(read("environ"))
	p.namespaces(proc)
	if err := p.tasks(whole); err != nil {
		missing("task", err)
	}
	p.mappings(string(read("maps")))
	if err := p.descriptors(proc, e); err != nil {
		missing("fd", err)
	}
}

// readFile reads at most maxProcFile bytes.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var buf bytes.Buffer
	chunk := make([]byte, 32<<10)
	for buf.Len() < maxProcFile {
		n, err := f.Read(chunk)
		buf.Write(chunk[:n])
		if err != nil || n == 0 {
			break // /proc ends a file of a process that is gone with ESRCH
		}
	}
	return buf.Bytes(), nil
}

// bounded is s as valid text of bounded length.
func bounded(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxProcString {
		return s
	}
	s = s[:maxProcString]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

// arguments splits the NUL-separated words of a /proc file.
func arguments(b []byte) []string {
	b = bytes.TrimRight(b, "\x00")
	if len(b) == 0 {
		return nil
	}
	return strings.Split(string(b), "\x00")
}

// maskedCommand is a command line without what looks like secrets.
func maskedCommand(b []byte) []string {
	if len(b) > maxArgsBytes {
		b = b[:maxArgsBytes]
	}
	args := MaskArgs(arguments(b))
	if len(args) > maxArgs {
		args = args[:maxArgs]
	}
	for i := range args {
		args[i] = bounded(args[i])
	}
	return args
}

func environmentNames(b []byte) []string {
	var names []string
	for _, v := range arguments(b) {
		name, _, ok := strings.Cut(v, "=")
		if ok && name != "" && len(names) < maxEnvironment {
			names = append(names, bounded(name))
		}
	}
	return names
}

// cgroupOf gives the path in cgroup2, or the whole of a v1 hierarchy's lines.
func cgroupOf(s string) string {
	for line := range strings.Lines(s) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return bounded(strings.TrimSuffix(path, "\n"))
		}
	}
	return bounded(strings.TrimSpace(s))
}

func (p *Process) status(s string) {
	p.Status = map[string]string{}
	for line := range strings.Lines(s) {
		key, value, ok := strings.Cut(line, ":")
		if !ok || len(p.Status) >= 100 {
			continue
		}
		value = bounded(strings.TrimSpace(value))
		p.Status[key] = value
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		n, _ := strconv.ParseInt(fields[0], 10, 64)
		switch key {
		case "Uid":
			p.UID = n
		case "Gid":
			p.GID = n
		case "PPid":
			p.ParentPID = int32(n)
		case "Threads":
			p.ThreadCount = n
		case "NSpid":
			for _, f := range fields {
				n, _ := strconv.ParseInt(f, 10, 32)
				p.NSPIDs = append(p.NSPIDs, int32(n))
			}
		}
	}
}

// limits reads /proc/PID/limits, whose columns stand at fixed places.
func limits(s string) []Limit {
	var list []Limit
	for line := range strings.Lines(s) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) < 68 || strings.HasPrefix(line, "Limit ") || len(list) >= 32 {
			continue
		}
		value := func(v string) int64 {
			n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			if err != nil {
				return -1 // unlimited
			}
			return n
		}
		list = append(list, Limit{
			Name: strings.TrimSpace(line[:26]), Soft: value(line[26:47]), Hard: value(line[47:68]), Unit: strings.TrimSpace(line[68:]),
		})
	}
	return list
}

func (p *Process) namespaces(proc string) {
	p.Namespaces = map[string]string{}
	for _, name := range []string{"cgroup", "ipc", "mnt", "net", "pid", "user", "uts"} {
		if s, err := os.Readlink(filepath.Join(proc, "ns", name)); err == nil {
			p.Namespaces[name] = bounded(s)
		}
	}
}

func (p *Process) tasks(proc string) error {
	tids, err := numbers(filepath.Join(proc, "task"))
	if err != nil {
		return err
	}
	p.ThreadCount = max(p.ThreadCount, int64(len(tids)))
	for _, tid := range tids[:min(len(tids), maxTasks)] {
		b, err := readFile(filepath.Join(proc, "task", strconv.Itoa(tid), "stat"))
		if err != nil {
			continue
		}
		// The name stands in parentheses and may hold some itself.
		from, to := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
		if from < 0 || to < from {
			continue
		}
		t := Task{TID: int32(tid), Comm: bounded(string(b[from+1 : to]))}
		if rest := bytes.Fields(b[to+1:]); len(rest) > 0 {
			t.State = string(rest[0])
		}
		p.Threads = append(p.Threads, t)
	}
	return nil
}

// mappings keeps the lines that name something: files, stacks, [vdso].
func (p *Process) mappings(s string) {
	for line := range strings.Lines(s) {
		p.MapCount++
		if f := strings.Fields(line); len(f) >= 6 && len(p.Mappings) < maxMappings {
			p.Mappings = append(p.Mappings, bounded(strings.TrimSuffix(line, "\n")))
		}
	}
}

// numbers gives the entries of dir that are numbers, in order.
func numbers(dir string) ([]int, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	list := make([]int, 0, len(names))
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, nil
}

// descriptors reads the table: the links of the first ones, and the number of all.
func (p *Process) descriptors(proc string, e *Entry) error {
	fds, err := numbers(filepath.Join(proc, "fd"))
	if err != nil {
		return err
	}
	t := &evidence.FDTable{At: e.At, PID: e.PID, Open: int64(len(fds)), Highest: -1, ByKind: map[evidence.FDKind]int64{}}
	for _, l := range p.Limits {
		if l.Name == "Max open files" {
			t.SoftLimit, t.HardLimit = l.Soft, l.Hard
		}
	}
	type what struct {
		kind evidence.FDKind
		path string
	}
	groups := map[what]int{} // to an index
	if len(fds) > 0 {
		t.Highest = int64(fds[len(fds)-1])
	}
	// The last ones as well: with a leak these are what leaks.
	looked := fds
	if len(fds) > maxDescriptors {
		looked = append(slices.Clone(fds[:maxDescriptors/2]), fds[len(fds)-maxDescriptors/2:]...)
		t.Partial = fmt.Sprintf("%d of %d descriptors were looked at", len(looked), len(fds))
		t.ByKind[evidence.FDOther] = int64(len(fds) - len(looked))
	}
	for _, fd := range looked {
		link, err := os.Readlink(filepath.Join(proc, "fd", strconv.Itoa(fd)))
		if err != nil {
			t.ByKind[evidence.FDOther]++
			continue
		}
		link = bounded(link)
		p.Descriptors = append(p.Descriptors, Descriptor{FD: int32(fd), Path: link})
		kind, path := descriptorKind(link)
		t.ByKind[kind]++
		i, ok := groups[what{kind, path}]
		if !ok {
			i = len(t.Groups)
			groups[what{kind, path}] = i
			t.Groups = append(t.Groups, evidence.FDGroup{Kind: kind, Path: path, Lowest: int32(fd)})
		}
		t.Groups[i].Count++
		t.Groups[i].Highest = int32(fd)
	}
	slices.SortStableFunc(t.Groups, func(a, b evidence.FDGroup) int { return cmp.Compare(b.Count, a.Count) })
	t.Groups = t.Groups[:min(len(t.Groups), maxGroups)]
	e.Process.FDTable = t
	return nil
}

// descriptorKind tells by the link alone: to look at the file could hang (a dead NFS server).
func descriptorKind(link string) (kind evidence.FDKind, path string) {
	switch {
	case strings.HasPrefix(link, "socket:"):
		return evidence.FDSocket, ""
	case strings.HasPrefix(link, "pipe:"):
		return evidence.FDPipe, ""
	case strings.HasPrefix(link, "anon_inode:"):
		return evidence.AnonKind(link), ""
	case strings.HasPrefix(link, "/memfd:"):
		return evidence.FDMemfd, link
	case strings.HasPrefix(link, "/dev/pts/"), strings.HasPrefix(link, "/dev/tty"):
		return evidence.FDTTY, link
	case strings.HasPrefix(link, "/dev/") && !strings.HasPrefix(link, "/dev/shm/"):
		return evidence.FDDevice, link
	case strings.HasPrefix(link, "/"):
		return evidence.FDFile, link
	}
	return evidence.FDOther, link
}
