// Package scenarios runs real programs that die, each for a reason that is known beforehand, under
// the built command, and compares what descry says with that reason.
//
// A folder per cause holds the small programs of ours; the tables (table_*_test.go) say how they
// and programs from Debian are driven to their end. Beside the positives stand near misses (looks
// like the cause, is not) and pairs (one cause is the death, the other merely happened).
//
//	go test ./test/scenarios                          all
//	go test ./test/scenarios -run 'Scenarios/fd-limit' one cause
//	go test ./test/scenarios -bare                    the programs alone, without descry
//	go test ./test/scenarios -matrix FILE             expected against found, as docs/judgement.md
//	go test ./test/scenarios -store DIR               the cases, as internal/diagnose/testdata has them
//
// DESCRY_BIN names the command to test; without it, it is built.
package scenarios

import (
	"flag"
	"os"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

var (
	bareOnly   = flag.Bool("bare", false, "run the programs alone, without descry")
	matrixFile = flag.String("matrix", "", "write expected against found as Markdown to this file")
	storeDir   = flag.String("store", "", "write cases as internal/diagnose/testdata has them below this folder")
	skipBare   = flag.Bool("nobare", false, "do not run the programs bare first: half the time, no comparison")
)

// Scenario is a program, what surrounds it, and what descry must say of its death.
type Scenario struct {
	Name string // unique; after the cause's id and a slash, the test's name
	Why  string // what makes it die, or what makes it a near miss, in one line
	Kind Kind

	// Cmd is the command. Words that begin with "c:", "go:", "py:", "js:", "java:", "php:", "rb:",
	// "pl:" or "sh:" name a program in this folder and become what runs it; {dir} becomes the
	// scenario's own empty working directory, and {self} this folder.
	Cmd   []string
	Needs []string               // programs beyond those that Cmd names, for skips
	Files map[string]string      // in the working directory, by name; a name that ends in "/" is a directory; {DIR} in a text is the working directory
	Modes map[string]os.FileMode // of Files and of "." (the working directory), where not 0644 (0755 with "#!", 0777 for directories)
	Owner map[string]int         // of Files and of ".": user and group; else root
	Env   []string
	Stdin string

	UID     int               // runs the program (not descry) as this user and group, by setpriv; 0: root
	Groups  []int             // further ones of that user
	Mounts  []Mount           // in a mount namespace of the scenario
	Net     []string          // with NetNS: shell commands in it before the start, "ip route add unreachable 10.9.0.0/16"
	PidsMax uint64            // a cgroup with this limit of tasks, which only the program enters
	NoFile  uint64            // soft RLIMIT_NOFILE, 0: as it is
	Limits  map[string]uint64 // other soft limits, of descry too (else: ulimit()): "stack", "core", "fsize", "cpu", "as", "data", "memlock", "nproc" in bytes, seconds, tasks
	NetNS   bool              // a network namespace of its own with loopback up
	Ports   string            // ip_local_port_range in it
	Sysctl  map[string]string // others of the network namespace, by path below /proc/sys
	MemCG   uint64            // a memory cgroup with this limit in bytes; needs a writable hierarchy
	Close   []int             // descriptors that are closed at the start
	Hold    bool              // nobody reads stdout until Do says so
	Merge   bool              // stdout and stderr are one pipe
	Setup   func(*Run)        // before the program starts: helpers in its namespace, files
	Do      func(*Run)        // while it runs
	Varies  bool              // the program's output differs from run to run
	AnyExit bool              // the bare exit code differs from run to run; only its class is compared

	Exit int // of the bare program and of descry run: 128+n for a signal

	Cause        string                // the first finding; "unexplained": none
	Or           []string              // first findings that are as right
	Confidence   []evidence.Confidence // allowed of the first; empty: any
	Beside       []string              // other causes that may be called certain: they truly happened too
	Never        []string              // causes that must not be found at all
	Words        []string              // each stands in the report
	NoWords      []string              // none stands in the report
	Silent       bool                  // descry must not say anything
	CaseKind     evidence.CaseKind     // empty: any
	Unprivileged bool                  // also tried without root
	Known        string                // why descry cannot tell it yet: a miss is counted, not failed
}

// Kind says what a scenario is for.
type Kind string

// The kinds of scenarios.
const (
	Positive Kind = "positive"
	NearMiss Kind = "near miss" // looks like another cause
	Pair     Kind = "pair"      // something else happened beside the cause
)

var (
	certain  = []evidence.Confidence{evidence.Certain}
	likelyUp = []evidence.Confidence{evidence.Certain, evidence.Likely}

	// weakest are the findings that say how a program ended and not why.
	weakest = []string{"exit-error", "killed", "finished", "unexplained"}

	// surfaces are the forms in which another cause shows: true beside it, and a miss in its place.
	surfaces = map[string][]string{
		"":                {"uncaught-error", "assertion"},
		"fd-limit":        {"invalid-access", "start-failure"},
		"select-overflow": {"invalid-access", "memory-corruption"},
	}
)

func (s *Scenario) surface(cause string) bool {
	if s.accepts(cause) || slices.Contains(weakest, s.Cause) || s.Cause == "memory-corruption" {
		return false
	}
	return slices.Contains(surfaces[""], cause) || slices.Contains(surfaces[s.Cause], cause)
}

func all() []Scenario {
	return slices.Concat(fdLimit, fdLimitNear, fdLeak, selectOverflow, selectNear, stdio, inotify, addresses, ports,
		output, brokenPipe, corruption, stack, access, assertion, uncaught, start, seccomp, killed, ends, memory,
		dns, connects, losses, buffers, disk, files, limits, surroundings, torn, blamed)
}

func (s *Scenario) accepts(cause string) bool {
	return cause == s.Cause || slices.Contains(s.Or, cause)
}

// found is the outcome of one scenario under descry.
type found struct {
	s          *Scenario
	cause      string
	confidence evidence.Confidence
	problems   []string // each fails the test
	less       []string // said less than there is to say: bounded over all, see enough

	unprivileged bool
}

// verdict of one scenario: "right", "missed" (said nothing, or only how it ended), "wrong",
// "wrong, certain".
func (f *found) verdict() string {
	switch {
	case f.s.accepts(f.cause):
		return "right"
	case slices.Contains(weakest, f.cause), f.s.surface(f.cause):
		return "missed"
	case f.confidence == evidence.Certain:
		return "wrong, certain"
	}
	return "wrong"
}

// Mount is a file system or a file that a scenario sees in place of the machine's.
type Mount struct {
	At string // an absolute path; {dir} is the working directory, which may be mounted over itself

	// FS is the type: "tmpfs"; "ext4" (an image of Opt's size= on a loop device); any other that
	// needs no device. "" binds a file with Text over At, and without Text makes At, which must exist,
	// what Opt says, after Files were written: "ro", "noexec", "nodev".
	FS   string
	Opt  string // as mount -o has them: "size=64k,nr_inodes=20" (tmpfs), "size=1m,inodes=32,ro" (ext4)
	Text string
}

// ulimit puts a program under limits, hard and soft, by prlimit's flags: "--data=1048576".
func ulimit(flags string, cmd ...string) []string {
	return slices.Concat([]string{"prlimit"}, strings.Fields(flags), []string{"--"}, cmd)
}

// limit puts a program under a limit of descriptors, hard and soft, so that runtimes which raise
// their soft limit (Go, Java, Node.js) stay under it.
func limit(n string, cmd ...string) []string {
	return append([]string{"prlimit", "--nofile=" + n + ":" + n, "--"}, cmd...)
}
