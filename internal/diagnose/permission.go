package diagnose

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var permission = Cause{
	ID:    "permission",
	Title: "It was not allowed",
	Why: "A call on something that the program needed was refused: the mode or owner of a file or of a directory on its path, a read-only file system or mount, a missing capability " +
		"(a port below 1024, another user's process, a raw socket), an attribute (chattr +i), or a security module.",
	Seen: "A call was refused with EACCES, EPERM or EROFS, and the program's last words name the error and what was refused: certain. Named without the file, or named with it where system calls were not watched and the file found to forbid it, or refused as the last thing before it exited without a word: likely. " +
		"Programs look at files that they may not read in health: one that is named in no last words is not its end.",
	Advice:   "See who it runs as (id, ps -o user) and what the path allows on the way (namei -l PATH).",
	Rule:     rulePermission,
	Absent:   absentPermission,
	Explains: []string{"uncaught-error", "assertion"},
}

// readOnlyWords are what databases say of a file that they may only read.
var readOnlyWords = []string{"readonly database", "read-only database", "database is read-only", "database is read only"}

func isForbidden(e evidence.Errno) bool {
	return e == evidence.EACCES || e == evidence.EPERM || e == evidence.EROFS
}

// privilege is the capability that a call wants which is not about files.
func privilege(c *evidence.FailedCall) string {
	switch strings.TrimRight(c.Call, "0123456789") {
	case "bind":
		if c.Errno == evidence.EACCES && lowPort(c.Path) > 0 {
			return "CAP_NET_BIND_SERVICE"
		}
		if unixPath(c.Path) {
			return "a file"
		}
	case "connect":
		if unixPath(c.Path) {
			return "a file"
		}
	case "socket":
		return "CAP_NET_RAW"
	case "mount", "umount", "pivot_root", "unshare", "setns", "sethostname", "setdomainname", "swapon", "swapoff":
		return "CAP_SYS_ADMIN"
	case "chroot":
		return "CAP_SYS_CHROOT"
	case "setuid", "setreuid", "setresuid":
		return "CAP_SETUID"
	case "setgid", "setregid", "setresgid", "setgroups":
		return "CAP_SETGID"
	case "kill", "tkill", "tgkill", "pidfd_send_signal":
		return "CAP_KILL"
	case "ptrace", "process_vm_readv", "process_vm_writev":
		return "CAP_SYS_PTRACE"
	case "settimeofday", "clock_settime", "adjtimex", "clock_adjtime":
		return "CAP_SYS_TIME"
	case "reboot":
		return "CAP_SYS_BOOT"
	case "setpriority", "sched_setscheduler", "sched_setattr":
		return "CAP_SYS_NICE"
	case "setrlimit", "prlimit":
		return "CAP_SYS_RESOURCE"
	case "mlock", "mlockall":
		return "CAP_IPC_LOCK"
	case "init_module", "finit_module", "delete_module":
		return "CAP_SYS_MODULE"
	case "perf_event_open":
		return "CAP_PERFMON"
	case "bpf":
		return "CAP_BPF"
	case "capset":
		return "CAP_SETPCAP"
	}
	return ""
}

// unixPath says whether an address is that of a UNIX socket in the file system.
func unixPath(addr string) bool {
	_, err := netip.ParseAddrPort(addr)
	return err != nil && addr != "" && !hasAnyPrefix(addr, "@", "*:", "address family ")
}

// lowPort is the port below 1024 of an address, else 0.
func lowPort(addr string) int {
	n, err := strconv.Atoi(addr[strings.LastIndexByte(addr, ':')+1:])
	if err != nil || n <= 0 || n >= 1024 || strings.HasPrefix(addr, "/") {
		return 0
	}
	return n
}

// forbidden is a refused call that may be what ended it.
type forbidden struct {
	l     link
	call  *evidence.FailedCall
	named bool
}

func rulePermission(v *View) *evidence.Finding {
	if v.asked >= 0 || v.How != endError && v.How != endAbort {
		return nil
	}
	if startFailure.Rule(v) != nil {
		return nil // what could not be executed
	}
	var best forbidden
	for _, e := range []evidence.Errno{evidence.EACCES, evidence.EPERM, evidence.EROFS} {
		if f := v.forbiddenBy(e); f.l.conf.Rank() > best.l.conf.Rank() || f.l.conf != "" && f.l.conf == best.l.conf && f.call.BootNanos > best.call.BootNanos {
			best = f
		}
	}
	if best.l.conf == "" {
		return v.permissionUnseen()
	}
	return v.permissionFinding(best)
}

// forbiddenBy looks for a call that was refused with e.
func (v *View) forbiddenBy(e evidence.Errno) forbidden {
	words := errnoWords[e]
	if e != evidence.EROFS {
		words = slices.Concat(words, deniedWords)
	}
	if e != evidence.EPERM {
		words = slices.Concat(words, readOnlyWords)
	}
	match := func(c *evidence.FailedCall) bool {
		return c.Errno == e && (onFiles(c.Call) || privilege(c) != "" || strings.HasPrefix(c.Call, "exec"))
	}
	how, line := v.tells(func(line string) bool { return mentions(line, words...) })
	said := line
	if t := v.text.final; t != nil {
		said = t.whole
	}
	var f forbidden
	f.l = v.link(others, match, words, seen{})
	f.call = f.l.call
	if c, at := v.namedCall(match, said); c != nil {
		f.call, f.named = c, true
		f.l.gap = v.End - c.BootNanos
		f.l.evidence = []int{at}
	} else if i, c := v.refusedNamed(e, said); how != toldNot && c != nil {
		f.call, f.named = c, true
		f.l = link{gap: v.End - c.BootNanos, evidence: []int{i}}
	}
	switch {
	case f.call == nil:
		f.l.conf = ""
	case f.named && how == toldLast && f.l.gap <= window:
		f.l.conf = v.afterwards(evidence.Certain, f.l.gap, evidence.Possible)
	case f.named && how == toldEarlier && f.l.gap <= window:
		f.l.conf = evidence.Likely
	case f.l.conf == "":
	case how == toldLast && v.isLast(f.call) && f.l.gap <= soon && (asErrno(line, e) || mentions(line, readOnlyWords...) || v.text.final != nil && asErrno(v.text.final.msg, e)):
		f.l.conf = evidence.Likely // it says so, and not of what
		if f.call.Path == "" && privilege(f.call) != "" || f.l.gap <= atOnce && v.alone(f.call, match) {
			f.l.conf = evidence.Certain // nothing else to name
		}
	case how == toldNot && v.text.said() == "" && v.isLast(f.call) && f.l.gap <= atOnce:
		f.l.conf = capped(f.l.conf, evidence.Likely)
	case how == toldNot && v.text.final == nil && v.isLast(f.call) && f.l.gap <= soon && v.namesAndFails(f.call):
		f.l.conf = capped(f.l.conf, evidence.Likely)
	default:
		f.l.conf = ""
	}
	return f
}

// isLast says whether nothing else that tells failed after c in the thread that ended it.
func (v *View) isLast(c *evidence.FailedCall) bool {
	for _, t := range v.threads {
		if !t.ender {
			continue
		}
		for k := range t.calls {
			x := &t.calls[k]
			if x.BootNanos > c.BootNanos && x.BootNanos <= v.End && !noise(x.Errno) && x.Errno != c.Errno {
				return false
			}
		}
		return true
	}
	return true
}

// alone says whether no other call that matches was about something else than c.
func (v *View) alone(c *evidence.FailedCall, match func(*evidence.FailedCall) bool) bool {
	for _, t := range v.threads {
		for k := range t.calls {
			if x := &t.calls[k]; match(x) && (x.Path != c.Path || x.Call != c.Call || x.FD != c.FD && c.Path == "") {
				return false
			}
		}
	}
	return true
}

// namedCall is the last failed call that matches and that a text names, by its file, its port or
// its own name.
func (v *View) namedCall(match func(*evidence.FailedCall) bool, said string) (best *evidence.FailedCall, at int) {
	if said == "" {
		return nil, -1
	}
	rank := 0
	for _, t := range v.threads {
		for k := range t.calls {
			c := &t.calls[k]
			if c.BootNanos > v.End || !match(c) {
				continue
			}
			n := v.callNamed(c, said)
			if n > rank || n == rank && n > 0 && c.BootNanos >= best.BootNanos {
				best, at, rank = c, t.at, n
			}
		}
	}
	return best, at
}

// callNamed says how well a text names what a call was refused: 2 its file or address, 1 the call.
func (v *View) callNamed(c *evidence.FailedCall, said string) int {
	if c.Path != "" {
		if namesPath(said, c.Path) {
			return 2
		}
		if port := lowPort(c.Path); port > 0 && bounded(said, strconv.Itoa(port)) {
			return 2
		}
		if strings.HasPrefix(c.Call, "rename") || strings.HasPrefix(c.Call, "link") { // the other name
			if d := path.Dir(c.Path); len(d) > 4 && strings.Contains(said, d) {
				return 1
			}
		}
	} else if c.FD > 2 || onFiles(c.Call) {
		for _, i := range v.refusedFiles(v.PID, c.Errno) {
			if r := v.fileRefused(i); r.Call == c.Call && r.Path != "" && namesPath(said, r.Path) {
				return 2
			}
		}
	}
	if privilege(c) != "" && (saysCall(said, c.Call) || bounded(said, strings.TrimRight(c.Call, "0123456789"))) {
		return 1
	}
	return 0
}

// namesAndFails says whether the last words say of what the call was about that something failed.
func (v *View) namesAndFails(c *evidence.FailedCall) bool {
	how, _ := v.tells(func(line string) bool { return v.callNamed(c, line) == 2 && absentWords.MatchString(line) })
	return how != toldNot
}

// refusedNamed is a refusal that the last words name, of a thread of the culprit that ended before it, or
// of a process that it started and that failed.
func (v *View) refusedNamed(e evidence.Errno, said string) (int, *evidence.FailedCall) {
	refused := v.refusedFiles(0, e)
	slices.Reverse(refused)
	for _, i := range refused {
		o := &v.Case.Timeline[i]
		r := v.fileRefused(i)
		if (o.PID == v.PID || v.failedChild(o.PID)) && r.Path != "" && namesPath(said, r.Path) {
			return i, &evidence.FailedCall{BootNanos: o.BootNanos, Call: r.Call, Errno: r.Errno, FD: r.FD, Path: r.Path}
		}
	}
	for i, x := range ofPID[*evidence.ExecFailed](v, 0) {
		if x.Errno == e && x.Path != "" && namesPath(said, x.Path) {
			return i, &evidence.FailedCall{BootNanos: v.boot(i), Call: "execve", Errno: e, FD: -1, Path: x.Path}
		}
	}
	return -1, nil
}

func (v *View) permissionFinding(f forbidden) *evidence.Finding {
	c := f.call
	at := v.ofCall(c)
	var r *evidence.FileRefused
	target := plain(c.Path, 100)
	if at >= 0 {
		r = v.fileRefused(at)
		f.l.evidence = append(f.l.evidence, at)
		if p := fullPath(r); p != "" {
			target = plain(p, 120)
		}
	}
	if target == "" && c.FD >= 0 {
		target = v.target(c)
	}
	sum := plain(c.Call, 30) + "()"
	if target != "" {
		sum += " of " + target
	}
	sum += fmt.Sprintf(" was refused with %s %s before it %s.", c.Errno, span(f.l.gap), v.endWords())
	why, advice := "", ""
	title := "a missing permission"
	switch want := privilege(c); {
	case lowPort(c.Path) > 0 && c.Call == "bind":
		why = "Ports below 1024 (net.ipv4.ip_unprivileged_port_start) are for root and who has CAP_NET_BIND_SERVICE."
		advice = fmt.Sprintf("Take a port of 1024 or more and map %d to it, or give it CAP_NET_BIND_SERVICE (setcap, AmbientCapabilities=, --cap-add NET_BIND_SERVICE).", lowPort(c.Path))
	case r == nil && want != "" && want != "a file":
		why = fmt.Sprintf("That call needs %s, which it does not have here; a seccomp filter says the same.", want)
		advice = fmt.Sprintf("Start it as root or give it %s (setcap, AmbientCapabilities=, --cap-add), if it must do that.", want)
	case c.Errno == evidence.EROFS || r != nil && r.ReadOnly && c.Errno != evidence.EACCES:
		title = "a read-only file system"
		why, advice = v.readOnly(r)
	case r != nil:
		why, advice = forbids(r)
	}
	return &evidence.Finding{Confidence: f.l.conf, Title: title, Summary: sentences(sum, why), Evidence: append(f.l.evidence, v.deathAt()...), Advice: advice}
}

func (v *View) readOnly(r *evidence.FileRefused) (why, advice string) {
	if r == nil || r.Mount == "" {
		return "The file system or mount is read-only.", "Write elsewhere, or mount it for writing (a volume, an emptyDir, mount -o remount,rw; readOnlyRootFilesystem in Kubernetes)."
	}
	return fmt.Sprintf("%s (%s) is mounted read-only.", plain(r.Mount, 80), plain(r.FSType, 30)),
		fmt.Sprintf("Write elsewhere, or mount %s for writing (a volume there, mount -o remount,rw; readOnlyRootFilesystem in Kubernetes). A disk that met errors may have been made read-only by the kernel: see its log.", plain(r.Mount, 80))
}

// capDACOverride is the bit of CAP_DAC_OVERRIDE, which modes do not bind.
const capDACOverride = 1 << 1

// ownersOnly says who may do what no mode allows anybody.
func ownersOnly(r *evidence.FileRefused) string {
	if r.Errno != evidence.EPERM {
		return ""
	}
	switch {
	case hasAnyPrefix(r.Call, "chown", "fchown", "lchown"):
		return "Only who has CAP_CHOWN may give a file to another user."
	case hasAnyPrefix(r.Call, "chmod", "fchmod", "utime", "futime"):
		return "Only the owner of a file, or who has CAP_FOWNER, may do that."
	case hasAnyPrefix(r.Call, "mknod"):
		return "Only who has CAP_MKNOD may make a device."
	}
	return ""
}

// forbids says what of a file forbade it.
func forbids(r *evidence.FileRefused) (why, advice string) {
	who := ""
	if r.UID >= 0 {
		who = asUser(r.UID)
	}
	target := plain(fullPath(r), 100)
	switch {
	case r.Attribute == "immutable" || r.Attribute == "append-only":
		return fmt.Sprintf("%s is %s (chattr), for root too.", plain(r.Forbids, 100), r.Attribute), fmt.Sprintf("See lsattr -d %s; chattr takes the attribute away.", plain(r.Forbids, 100))
	case r.Attribute == "sticky":
		return fmt.Sprintf("The directory %s is sticky: only the owner of a file may remove or rename it.", plain(r.Forbids, 100)), "Do it as the file's owner."
	case r.Forbids != "" && r.Owner >= 0:
		why = fmt.Sprintf("%s has mode %04o, owner %s, group %d", plain(r.Forbids, 120), r.Mode, asUser(r.Owner), r.Group)
		if who != "" {
			why += fmt.Sprintf("; it ran as %s, group %d", who, r.GID)
			switch {
			case r.Errno == evidence.EACCES && r.Caps&capDACOverride != 0:
				why += ", and its capabilities are those of a user namespace, which do not count for that owner"
			case r.UID == 0:
				why += " without CAP_DAC_OVERRIDE"
			}
		}
		advice = fmt.Sprintf("Give %s the right (chown, chmod, a group; fsGroup in Kubernetes)", orIt(who))
		if r.Owner != 0 {
			advice += ", or run it as " + asUser(r.Owner)
		}
		advice += "."
		return why + ".", advice
	case (r.Call == "execve" || r.Call == "mmap") && r.NoExec:
		return fmt.Sprintf("It is on a mount without execution (noexec: %s).", plain(r.Mount, 80)), "Put it elsewhere, or mount that with exec."
	case r.Owner >= 0 && who != "":
		why = fmt.Sprintf("%s has mode %04o, owner %s, group %d; it ran as %s, group %d", target, r.Mode, asUser(r.Owner), r.Group, who, r.GID)
		if advice := ownersOnly(r); advice != "" {
			return why + ". " + advice, "Do it as root or as the file's owner, or give it that capability (setcap, AmbientCapabilities=, --cap-add)."
		}
		why += ". Its mode does not forbid it"
		if r.Caps&capDACOverride != 0 {
			why += " to who has CAP_DAC_OVERRIDE"
		}
		if r.Missing {
			why = fmt.Sprintf("There is no %s, and the directory's mode %04o (owner %s) does not forbid it to %s", target, r.Mode, asUser(r.Owner), who)
		}
		return why + ": an access list, a security module (SELinux, AppArmor), a user namespace or what kind of file it is may.", "See getfacl and the kernel's log (audit, AppArmor)."
	}
	return "", ""
}

func orIt(s string) string {
	if s == "" {
		return "it"
	}
	return s
}

func absentPermission(v *View) string {
	if !v.dead() || !v.Case.Covered("probe/syscall") || v.Case.Counters[evidence.CountFileForbidden] != 0 || v.Case.Counters[evidence.CountFileReadOnly] != 0 {
		return ""
	}
	for i := range v.Case.Timeline {
		switch d := v.Case.Timeline[i].Detail.(type) {
		case *evidence.FileRefused:
			if isForbidden(d.Errno) {
				return ""
			}
		case *evidence.ExecFailed:
			if isForbidden(d.Errno) {
				return ""
			}
		case *evidence.ThreadFailures:
			for k := range d.Calls {
				if isForbidden(d.Calls[k].Errno) {
					return ""
				}
			}
		}
	}
	return "0 calls on files forbidden"
}
