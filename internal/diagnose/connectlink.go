package diagnose

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/descry-dev/descry/internal/evidence"
)

// connectWords are how programs say that they did not get a connection.
var connectWords = []string{"ailed to connect", "ould not connect", "ouldn't connect", "an't connect", "annot connect", "nable to connect", "not connect to", "onnect failed", "onnection failed", "onnection to server",
	"rror connecting", "onnect error", "onnection error", "ailed to open connection", "ould not open connection", "o connection could be", "onnect to host", "CONNECTION_ERROR", "an't contact", "annot contact", "nable to contact", "ould not contact", "nable to reach", "annot reach", "ould not reach", "ailed to reach"}

// otherTrouble is a last line that speaks of an error, and connection words show that it may be this one's consequence.
var (
	otherTrouble = newPattern(`(?i)\b(error|errors|fail\w*|fatal|panic|invalid|cannot|can't|could not|unable|denied|missing|not found|abort\w*|exception|unexpected|illegal|corrupt\w*|assert\w*)\b`)
	ofConnection = newPattern(`(?i)(connect|reach|refused|timed? ?out|timeout|host|server|remote|network|databas|upstream|backend|service|unavailable|retr(y|ies)|attempt|giv(e|ing) up|gave up|socket|url|https?|download|fetch|transfer|repositor|access rights|depend|\bdb\b|redis|postgres|mysql|broker|queue|cache|peer|io error|initiali[sz]|start|boot|launch|set ?up|exit|quit|shut|terminat|abort|migrat|log ?in|sync|` +
		`verb(ind|und)|erreichbar|netzwerk|connexion|joindre|r[eé]seau|serveur|conexi[oó]n|conectar|conex[aã]o|connession|rete\b|соедин|подключ|сервер|接続|ネットワーク|サーバ|连接|連接|网络|服务器|연결)`)
)

// namesPeer says how well words name a peer: 3 its address and port, 2 its path or its address, 1 its port.
func namesPeer(said, peer string) int {
	if peer == "" || said == "" {
		return 0
	}
	a, err := netip.ParseAddrPort(peer)
	if err != nil {
		if mentions(said, peer) {
			return 3
		}
		return 0
	}
	port := fmt.Sprint(a.Port())
	host := strings.Contains(said, a.Addr().String())
	number := false
	for from := 0; ; {
		k := strings.Index(said[from:], port)
		if k < 0 {
			break
		}
		k += from
		end := k + len(port)
		if (k == 0 || !wordByte(said[k-1])) && (end == len(said) || !wordByte(said[end])) {
			number = true
			break
		}
		from = k + 1
	}
	switch {
	case host && number:
		return 3
	case host && !a.Addr().IsLoopback():
		return 2
	case number:
		return 1
	}
	return 0
}

// linkConnect says how a failure hangs together with the end.
func (v *View) linkConnect(p *failedPeer) (conf evidence.Confidence, gap int64, ev []int) {
	words := connectWords
	switch p.errno {
	case 0, evidence.ETIMEDOUT:
		words = slices.Concat(words, timeoutWords)
	default:
		words = slices.Concat(words, errnoWords[p.errno])
	}
	if p.protocol == evidence.FDUnix && (p.errno == evidence.ENOENT || p.errno == evidence.EACCES || p.errno == evidence.EPERM) && p.named < 2 {
		words = connectWords // of files the same is said
	}
	s := seen{first: p.first, last: p.last, count: p.count, evidence: p.evidence}
	if p.count > 1 && p.errno != 0 {
		s.first = p.last // to try again and again is not to live on
	}
	said := v.text.said()
	switch {
	case mentions(said, dnsWords...): // a name server that refuses is another matter
		return "", 0, nil
	case p.protocol == evidence.FDUDP && !mentions(said, errnoWords[p.errno]...):
		return "", 0, nil
	}
	if p.pid != v.PID {
		return v.linkChild(p, words)
	}
	l := v.link(others, func(c *evidence.FailedCall) bool {
		return p.errno != 0 && c.Errno == p.errno && (c.Call == "connect" && c.Path == p.peer && c.BootNanos > s.first-second || p.protocol == evidence.FDUDP && transfers(c.Call))
	}, words, s)
	conf = l.conf
	if conf != evidence.Certain && !l.said && v.asked < 0 && v.End-p.last <= late && v.spokeOf(words, p) {
		l.said, l.gap, l.evidence = true, v.End-p.last, p.evidence
		if conf = evidence.Likely; l.gap <= window {
			conf = evidence.Certain
		}
	}
	if p.errno == 0 && !l.said {
		return "", 0, nil // who gives up may have had enough otherwise
	}
	if p.protocol == evidence.FDUnix && !l.said && v.text.said() != "" {
		return "", 0, nil
	}
	if conf != "" && !l.said {
		conf = v.wordless(conf, ofConnection)
		if text := v.text.said(); text != "" && !ofConnection.MatchString(text) && v.End-p.last > atOnce {
			conf = "" // it speaks, and not of that
		}
	}
	if conf != "" && l.call == nil && !l.said && l.gap > 3*atOnce {
		conf = ""
	}
	if l.said {
		switch v.lastTrouble(words, p) {
		case elsewhere:
			if v.triedInVain(p, l.gap) {
				conf = evidence.Possible
				break
			}
			if len(v.Passed) == 0 || l.call == nil || v.End-l.call.BootNanos > atOnce {
				conf = ""
				break
			}
			conf = min2(conf, evidence.Likely) // those are the words of who passed it on
		case perhaps:
			conf = min2(conf, evidence.Likely)
		}
	}
	if conf == evidence.Certain && p.errno == 0 && p.named == 0 && !mentions(v.text.said(), connectWords...) && l.gap > soon {
		conf = evidence.Likely
	}
	return conf, l.gap, l.evidence
}

// triedInVain says whether the process tried that peer again, got no connection at all, and ended with
// words of what it could not do, and no reason of its own.
func (v *View) triedInVain(p *failedPeer, gap int64) bool {
	said := v.text.said()
	if p.count < 2 || gap > soon || ownReason.MatchString(said) || wentOn.MatchString(said) || !couldNot.MatchString(said) {
		return false
	}
	for range ofPID[*evidence.ConnectMade](v, p.pid) {
		return false
	}
	return true
}

// npmError stands before each line of its last words.
var npmError = newPattern(`^npm (ERR!|error) ?`)

// spokeOf says whether its last lines come to speak of the failure before they speak of other trouble: a
// long report may end in frames, a hint, or its own words for the consequence.
func (v *View) spokeOf(words []string, p *failedPeer) bool {
	if t := v.text.final; t != nil && !mentions(t.whole, words...) && namesPeer(t.whole, p.peer) < 3 {
		return false
	}
	for _, s := range v.text.streams {
		for i := len(s.all) - 1; i >= max(0, len(s.all)-40); i-- {
			line := npmError.ReplaceAllString(s.all[i], "")
			if mentions(line, words...) || namesPeer(line, p.peer) == 3 && (otherTrouble.MatchString(line) || ofConnection.MatchString(line)) {
				return true
			}
			if otherTrouble.MatchString(line) && !ofConnection.MatchString(line) && !strings.HasPrefix(strings.TrimSpace(line), "at ") {
				return false
			}
		}
	}
	return false
}

func (v *View) lastTrouble(words []string, p *failedPeer) trouble {
	return v.afterWords(ofConnection, func(s string) bool { return mentions(s, words...) || namesPeer(s, p.peer) >= 2 })
}

// min2 is the weaker of two confidences.
func min2(a, b evidence.Confidence) evidence.Confidence {
	if a.Rank() < b.Rank() {
		return a
	}
	return b
}

// linkChild is for a helper that the culprit started to connect for it, as git and rsync do.
func (v *View) linkChild(p *failedPeer, words []string) (conf evidence.Confidence, gap int64, ev []int) {
	gap = v.End - p.last
	if v.asked < 0 && gap <= soon && !v.spokeOf(words, p) && p.errno != 0 && p.protocol == evidence.FDTCP {
		conf, at := v.helperFailed(p.pid, p.last, func(string) bool { return false })
		return conf, gap, append(p.evidence[:len(p.evidence):len(p.evidence)], at...)
	}
	if v.asked >= 0 || gap > window || !v.spokeOf(words, p) || v.lastTrouble(words, p) == elsewhere {
		return "", 0, nil // what it says itself may stand behind what its helper says
	}
	ev = p.evidence
	for i, e := range ofPID[*evidence.Exit](v, p.pid) {
		if t := v.boot(i); t >= p.last && t <= v.End {
			if e.ExitCode == 0 {
				return "", 0, nil
			}
			ev = append(ev[:len(ev):len(ev)], i)
			if t-p.last <= soon && !v.passes(v.PID) { // a script may go on
				return evidence.Certain, gap, ev
			}
		}
	}
	return evidence.Likely, gap, ev
}
