package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// socketAt is a socket as a sample saw it.
type socketAt struct {
	*evidence.Socket
	at   int
	boot int64
	pid  int32
	of   *evidence.Sockets
}

// A sample is handed on when it says something new; what stood still for a second and recovered is told
// once more. So a sample of the last moments tells of the end for sure, and a little older one where the
// socket stood still. Sweeps come each second, and on a loaded machine later.
const (
	fresh   = second * 5 / 2
	sampled = 5 * second
)

// sure says whether the socket was seen so up to the end.
func (s *socketAt) sure(v *View) bool {
	return s.AtDeath || s.FullNanos >= second || v.End-s.boot <= fresh
}

// stood is how long a socket had stood still when the culprit ended.
func (v *View) stood(s *socketAt) int64 { return max(0, v.End-s.boot) + s.FullNanos }

// socketsAtEnd gives the sockets that showed a sign when the culprit ended: those of the last samples
// of the processes that match, and those seen as a process ended, each in an observation of its own.
// Where they had recovered, a sample without sockets says so.
func (v *View) socketsAtEnd(match func(pid int32) bool) (out []socketAt) {
	last := map[int32]int{}
	var pids []int32
	var dying []socketAt
	for i, s := range ofPID[*evidence.Sockets](v, 0) {
		o := &v.Case.Timeline[i]
		if !match(o.PID) {
			continue
		}
		if len(s.Sockets) > 0 && s.Sockets[0].AtDeath {
			for k := range s.Sockets {
				dying = append(dying, socketAt{&s.Sockets[k], i, min(o.BootNanos, v.End), o.PID, s})
			}
			continue
		}
		if o.BootNanos > v.End {
			continue
		}
		if _, ok := last[o.PID]; !ok {
			pids = append(pids, o.PID)
		}
		last[o.PID] = i
	}
	slices.Sort(pids)
	for _, pid := range pids {
		i := last[pid]
		s, ok := v.Case.Timeline[i].Detail.(*evidence.Sockets)
		if !ok || v.End-v.boot(i) > sampled {
			continue
		}
		for k := range s.Sockets {
			x := socketAt{&s.Sockets[k], i, v.boot(i), pid, s}
			dying = slices.DeleteFunc(dying, func(d socketAt) bool {
				same := d.pid == pid && d.Inode == x.Inode && d.Inode != 0
				if same {
					x.Socket, x.at, x.boot = d.Socket, d.at, d.boot
				}
				return same
			})
			out = append(out, x)
		}
	}
	return append(out, dying...)
}

func anyPID(int32) bool { return true }

// own matches the culprit.
func (v *View) own(pid int32) bool { return pid == v.PID }

// heldByOthers says whether a socket is known to be other processes' of the subject and not the culprit's.
func (v *View) heldByOthers(inode uint64) bool {
	others := false
	for i, s := range ofPID[*evidence.Sockets](v, 0) {
		for k := range s.Sockets {
			if s.Sockets[k].Inode != inode || inode == 0 {
				continue
			}
			if v.Case.Timeline[i].PID == v.PID {
				return false
			}
			others = true
		}
	}
	return others
}

// dropped is what one socket lost for one reason.
type dropped struct {
	*evidence.Drop
	seen
}

// drops gives the losses that match, those of the subject's other processes left out.
func (v *View) drops(match func(*evidence.Drop) bool) (out []dropped) {
	type key struct {
		inode         uint64
		local, reason string
		sending       bool
	}
	at := map[key]int{}
	for i, d := range ofPID[*evidence.Drop](v, 0) {
		if !match(d) || v.boot(i) > v.End || v.heldByOthers(d.Inode) {
			continue
		}
		k := key{d.Inode, d.Local, d.Reason, d.Sending}
		n, ok := at[k]
		if !ok {
			n = len(out)
			at[k] = n
			out = append(out, dropped{Drop: d})
		}
		x := &out[n]
		x.add(v, i, 0)
		x.count = max(x.count, d.Count)
		if d.Local != "" && x.Local == "" {
			x.Drop = d
		}
	}
	for n := range out {
		if ev := out[n].evidence; len(ev) > 2 {
			out[n].evidence = []int{ev[0], ev[len(ev)-1]}
		}
	}
	return out
}

// endsItself says whether the culprit ended for an error of its own making, unasked: what its buffers
// did can only then be why.
func (v *View) endsItself() bool {
	return (v.How == endError || v.How == endAbort) && v.asked < 0
}

// lastWords is what the program said last about its end: its final report's message, or its last line;
// that it ends is no news.
func (v *View) lastWords() string {
	if t := v.text.final; t != nil {
		return strings.TrimPrefix(t.typ+": "+t.msg, ": ")
	}
	for _, s := range v.text.last {
		if !closing.MatchString(s) || reported(s, lossWords) || reported(s, waitWords) {
			return s
		}
	}
	return v.text.lastLine()
}

var closing = newPattern(`(?i)^.{0,50}\b(shutting down|going down|exit(ing|s|ed)?|quitting|aborting|stopping|stopped|terminating|goodbye|bye)\b.{0,20}$`)

// namesAnother says whether the last words name an error that the kernel returned to the culprit, other
// than the given ones: then that is what it ended for.
func (v *View) namesAnother(but ...evidence.Errno) bool {
	said := v.lastWords()
	for errno, words := range errnoWords {
		if !slices.Contains(but, errno) && len(v.threads) > 0 && mentions(said, words...) && v.met(errno) {
			return true
		}
	}
	if t := v.text.final; t != nil {
		switch t.typ {
		case "KeyError", "IndexError", "ZeroDivisionError", "NameError", "RecursionError", "AttributeError", "TypeError", "ReferenceError", "SyntaxError",
			"NullPointerException", "java.lang.NullPointerException":
			return true
		}
		return strings.Contains(t.msg, "nil pointer dereference")
	}
	return false
}

func reported(s string, patterns []pattern) bool {
	for _, p := range patterns {
		if p.MatchString(s) {
			return true
		}
	}
	return false
}

const items = `(packets?|datagrams?|messages?|msgs?|samples?|frames?|ticks?|events?|pieces?|chunks?|blocks?|segments?|fragments?|records?|updates?|metrics?|quotes?|sequences?|seqs?|seqnos?|numbers?|reports?|lines?|data|bytes|telemetry|input)`

const gone = `(lost|losing|loss|los[te]s?|missing|missed|dropped|drops?|skipped|discarded|overrun|overflow\w*|gaps?)`

// lossWords are how a program says that data which it waited for did not come whole.
var lossWords = compile(
	`(?i)\b`+gone+`\b[^.;]{0,40}\b`+items+`\b`,
	`(?i)\b`+items+`\b[^.;]{0,40}\b`+gone+`\b`,
	`(?i)\b(sequence|seq|seqno|packet|datagram|frame|message|feed|stream|data|continuity|ordering)\W?_?(number\w* )?(gap|jump|break|mismatch|discontinuity|error|loss)`,
	`(?i)\b(out[- ]of[- ](order|sequence|sync)|desynchroni[sz]ed|packetloss|discontinuity)\b`,
	`(?i)\b(expect\w*|want\w*|await\w*|need\w*)\b.{0,30}\d.{0,30}\b(got|have|received|found|saw|is|was)\b`,
	`(?i)\d.{0,20}\bexpected\b.{0,30}\d.{0,20}\b(got|received|found|seen|came)\b`,
	`(?i)\d+\W+(are |is |were |was )?(missing|lost|dropped)\b`,
	`(?i)\b(incomplete|truncated)\b.{0,40}\d`,
	`(?i)\b\d+ (of|/) ?\d+ `+items+`\b`,
	`(?i)\breceive (buffer|queue) (full|overflow|overrun)`,
)

// notLoss are losses of another sort.
var notLoss = compile(`(?i)\b(lost|losing|lose|loss of|dropped|missing)\W+(the |its |my |our |to |a |an |\d+ |required |positional |mandatory )*(connections?|contact|leases?|leader\w*|locks?|quorum|sessions?|master|primary|arguments?|keys?|files?|parameters?|fields?|columns?|config\w*|options?|values?)\b`,
	`(?i)\b(connection|session|lease|lock|quorum)\b.{0,20}\b(lost|dropped)\b`)

// waitWords are how a program says that an answer did not come, or that something did not get on.
var waitWords = compile(
	`(?i)\btim(ed|e|ing)?[- ]?out`,
	`(?i)\b(timeout\w*|deadline|watchdog|heartbeats?|unresponsive|stuck|stall\w*|hung|hangs?|silence|silent)\b`,
	`(?i)\bno (reply|replies|answer|response|responses|data|heartbeats?|progress|record|activity|ack\w*)\b`,
	`(?i)\b(not|n't|never) (answer\w*|respond\w*|reply|replied|repl\w+|reach\w*|make progress|keep\w* up|accept\w*|drain\w*|get on|come|came|arrive\w*)\b`,
	`(?i)\b(gave|giving|give) up\b`,
	`(?i)\btoo (slow|long)\b`,
)

func compile(patterns ...string) (out []pattern) {
	for _, p := range patterns {
		out = append(out, newPattern(p))
	}
	return out
}

func (v *View) saysLoss() bool {
	s := v.lastWords()
	return reported(s, lossWords) && !reported(s, notLoss)
}

func (v *View) saysWaited() bool {
	s := v.lastWords()
	return reported(s, waitWords) || mentions(s, timeoutWords...)
}

// portOf is the port of "127.0.0.1:80", "" where there is none.
func portOf(addr string) string {
	k := strings.LastIndexByte(addr, ':')
	if k < 0 || k+1 == len(addr) || strings.Trim(addr[k+1:], "0123456789") != "" {
		return ""
	}
	return addr[k+1:]
}

// sameAddress says whether a connection to asked reaches a listener at local, whose address may be any.
func sameAddress(local, asked string) bool {
	if local == asked {
		return true
	}
	p := portOf(local)
	return p != "" && p == portOf(asked) && hasAnyPrefix(local, "*:", "0.0.0.0:", "[::]:")
}

// processWords names another process than the culprit for a sentence, "" for the culprit.
func (v *View) processWords(pid int32) string {
	if pid == v.PID {
		return ""
	}
	for i := range v.Case.Timeline {
		if o := &v.Case.Timeline[i]; o.PID == pid && o.Comm != "" {
			return fmt.Sprintf("%s (pid %d)", plain(o.Comm, 40), pid)
		}
	}
	return fmt.Sprintf("process %d", pid)
}

// comm is the name of a process of the case, its latest.
func (v *View) comm(pid int32) string {
	name := ""
	for i := range v.Case.Timeline {
		if o := &v.Case.Timeline[i]; o.PID == pid && o.Comm != "" {
			name = o.Comm
		}
	}
	return name
}
