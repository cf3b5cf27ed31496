package coredump

import (
	"bytes"
	"math"
	"strings"
)

func printable(c byte) bool { return c >= 0x20 && c < 0x7f || c == '\t' || c == '\n' || c == '\r' }

// The longest secrets that are looked for; text that announces one in every line stays cheap.
const (
	longestKey   = 16 << 10
	longestURL   = 512
	longestValue = 1024
	longestWeak  = 256 // where the name tells little
)

// leastRun is the length of text that is looked at.
const leastRun = 8

// secrets finds the places, in order and apart from each other.
func secrets(b []byte, found func(from, to int)) {
	for i := 0; i < len(b); {
		if !printable(b[i]) {
			// Most of memory is no text: look at the last byte of the shortest text first.
			if i+leastRun < len(b) && !printable(b[i+leastRun]) {
				i += leastRun + 1
			} else {
				i++
			}
			continue
		}
		j := i + 1
		for j < len(b) && printable(b[j]) {
			j++
		}
		if j-i >= leastRun {
			inText(b, i, j, found)
		}
		i = j
	}
}

// inText finds the secrets in the text from..to of b.
func inText(b []byte, from, to int, found func(from, to int)) {
	for i := from; i < to; {
		start, end := secretAt(b, i, from, to)
		if end > start {
			found(start, end)
			i = end
			continue
		}
		i = max(i+1, end)
	}
}

// secretAt looks whether a secret, or what announces one, begins at i. It gives the place of the
// secret; where there is noName, end is where to look on.
func secretAt(b []byte, i, from, to int) (start, end int) {
	t := b[i:to]
	switch c := t[0]; {
	case c == '-' && bytes.HasPrefix(t, []byte("-----BEGIN ")):
		return privateKey(t, i)
	case c == ':' && bytes.HasPrefix(t, []byte("://")):
		return urlPassword(t, i)
	case !isWord(c):
		return 0, 0
	}
	if i > from && isWord(b[i-1]) {
		return 0, 0 // in the middle of a word
	}
	n := 1
	for n < len(t) && isWord(t[n]) {
		n++
	}
	if s, e := knownToken(t, n); e > s {
		return i + s, i + e
	}
	if s, e := namedValue(t, n); e > s {
		return i + s, i + e
	}
	if n >= leastRandom && looksRandom(t[:n]) && announced(b, i) {
		return i, i + n
	}
	return i + n, i + n
}

// isWord says what names and tokens are made of.
func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_' || c == '-' || c == '.'
}

// isValue says what an unquoted value is made of.
func isValue(c byte) bool { return valueBytes[c] }

var valueBytes = func() (set [256]bool) {
	for c := byte('!'); c < 0x7f; c++ {
		set[c] = strings.IndexByte("\"'`<>,;&)}]", c) < 0
	}
	return set
}()

// privateKey takes all between the lines of a PEM private key.
func privateKey(t []byte, at int) (start, end int) {
	t = t[:min(len(t), longestKey)]
	line := bytes.Index(t[5:], []byte("-----"))
	if line < 0 || line > 60 || !bytes.Contains(t[:5+line], []byte("PRIVATE KEY")) {
		return 0, 0
	}
	line += 10
	end = bytes.Index(t[line:], []byte("-----END"))
	if end < 0 {
		end = len(t) - line
	}
	return at + line, at + line + end
}

// urlPassword takes what stands between a user's name and the host.
func urlPassword(t []byte, at int) (start, end int) {
	colon := 0
	t = t[:min(len(t), longestURL)]
	for k := 3; k < len(t) && isValue(t[k]) && t[k] != '/' && t[k] != '?'; k++ {
		switch t[k] {
		case ':':
			if colon == 0 {
				colon = k
			}
		case '@':
			if colon > 0 && k > colon+1 {
				return at + colon + 1, at + k
			}
			return 0, 0
		}
	}
	return 0, 0
}

// tokens are what services begin their keys with, and the least length of what follows.
var tokens = []struct {
	prefix string
	least  int
}{
	{"eyJ", 17},                                            // JWT: "{" and a quote in base64
	{"AKIA", 16}, {"ASIA", 16}, {"ABIA", 16}, {"ACCA", 16}, // AWS
	{"AIza", 30}, {"ya29.", 20}, {"GOCSPX-", 20}, // Google
	{"ghp_", 20}, {"gho_", 20}, {"ghu_", 20}, {"ghs_", 20}, {"ghr_", 20}, {"github_pat_", 20}, // GitHub
	{"glpat-", 16}, {"gldt-", 16}, {"glrt-", 16}, // GitLab
	{"xoxb-", 10}, {"xoxp-", 10}, {"xoxa-", 10}, {"xoxr-", 10}, {"xoxs-", 10}, {"xoxe-", 10}, {"xapp-", 10}, // Slack
	{"sk_live_", 10}, {"sk_test_", 10}, {"rk_live_", 10}, {"whsec_", 16}, {"sk-", 20}, // Stripe and others
	{"npm_", 30}, {"pypi-", 30}, {"hf_", 30}, {"dop_v1_", 30}, {"hvs.", 20}, {"SG.", 30}, {"AGE-SECRET-KEY-", 30}, {"shpat_", 30},
}

func knownToken(t []byte, n int) (start, end int) {
	for _, k := range tokens {
		if n >= len(k.prefix)+k.least && k.prefix[0] == t[0] && bytes.HasPrefix(t, []byte(k.prefix)) {
			return 0, n
		}
	}
	return 0, 0
}

// namedValue takes what a telling name is given: "password=…", "token": "…", "Authorization: Bearer …".
func namedValue(t []byte, n int) (start, end int) {
	name := t[:n]
	told, scheme := strength(name), false
	if t = t[:min(len(t), n+longestValue)]; told == weakName {
		t = t[:min(len(t), n+longestWeak)]
	}
	if told == noName || told == weakName && (equalFold(name, "bearer")) {
		scheme = equalFold(name, "bearer") || equalFold(name, "basic")
		if !scheme {
			return 0, 0
		}
	}
	k, sign := n, byte(0)
	for k < len(t) && k-n < 6 {
		c := t[k]
		if c == ' ' || c == '\t' || c == '"' || c == '\'' || c == '\\' {
			k++
			continue
		}
		if (c == '=' || c == ':') && sign == 0 && !scheme {
			sign = c
			k++
			if c == ':' && k < len(t) && t[k] == '=' {
				k++
			}
			continue
		}
		break
	}
	if sign == 0 && !(scheme && k > n) {
		return 0, 0
	}
	if k == len(t) || strings.IndexByte("%${*", t[k]) >= 0 {
		return 0, 0 // to be filled in, or masked already
	}
	end = k
	quoted := k > n && (t[k-1] == '"' || t[k-1] == '\'')
	for end < len(t) && (isValue(t[end]) || quoted && t[end] != t[k-1] && t[end] >= ' ') {
		end++
	}
	v := t[k:end]
	least := 1
	switch {
	case scheme:
		least = 8
	case sign == ':':
		least = 4
	}
	if equalFold(v, "bearer") || equalFold(v, "basic") || equalFold(v, "digest") {
		// The secret follows the scheme.
		rest := t[end:]
		m := 0
		for m < len(rest) && rest[m] == ' ' {
			m++
		}
		k = end + m
		for end = k; end < len(t) && isValue(t[end]); end++ {
		}
		v = t[k:end]
	}
	if len(v) < least || v[0] == Mask || scheme && !looksRandom(v) && len(v) < 16 {
		return 0, 0
	}
	if v[0] == '/' && (string(name) == "PWD" || string(name) == "OLDPWD") {
		return 0, 0 // a shell's working directory, which other paths begin with
	}
	if told == weakName && endsInPass(name) && (sign == '=' || quoted || len(name) > len("pass")) {
		told = strongName
	}
	if told == weakName && !scheme && !(len(v) >= 16 && looksRandom(v)) {
		return 0, 0
	}
	return k, end
}

// How much a name tells that its value is a secret.
const (
	noName = iota
	weakName
	strongName
)

var strongNames = []string{
	"password", "passwd", "passphrase", "secret", "token", "apikey", "api_key", "api-key", "accesskey", "access_key", "access-key",
	"privatekey", "private_key", "private-key", "credential", "authorization", "cookie", "pwd",
}

var weakNames = []string{"key", "auth", "pass", "session", "signature", "salt", "bearer", "sid", "hmac", "cert", "sas", "dsn"}

func strength(name []byte) int {
	if len(name) > 64 {
		return noName
	}
	for _, w := range strongNames {
		if containsFold(name, w) {
			return strongName
		}
	}
	for _, w := range weakNames {
		if containsFold(name, w) {
			return weakName
		}
	}
	return noName
}

// endsInPass is true of SMTP_PASS and dbPass, but for words that end so by chance.
func endsInPass(name []byte) bool {
	const pass = "pass"
	n := len(name) - len(pass)
	return n >= 0 && equalFold(name[n:], pass) && !containsFold(name, "bypass") && !containsFold(name, "compass") && !containsFold(name, "trespass")
}

func equalFold(b []byte, s string) bool { return len(b) == len(s) && containsFold(b, s) }

// containsFold looks for s, in small letters, in b.
func containsFold(b []byte, s string) bool {
next:
	for i := 0; i+len(s) <= len(b); i++ {
		for j := range len(s) {
			c := b[i+j]
			if c >= 'A' && c <= 'Z' {
				c += 'a' - 'A'
			}
			if c != s[j] {
				continue next
			}
		}
		return true
	}
	return false
}

const (
	leastRandom = 24
	lookBack    = 64 // bytes before a random string in which a telling word may stand
)

// announced says whether a telling word stands before i, whatever bytes are between them.
func announced(b []byte, i int) bool {
	before := b[max(0, i-lookBack):i]
	for _, w := range strongNames {
		if containsFold(before, w) {
			return true
		}
	}
	return containsFold(before, "key") || containsFold(before, "bearer")
}

// looksRandom says whether b looks like base64, hex or the like of random bytes, and not like words.
func looksRandom(b []byte) bool {
	var counts [256]int
	var digits, upper, lower int
	for _, c := range b {
		counts[c]++
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'A' && c <= 'Z':
			upper++
		case c >= 'a' && c <= 'z':
			lower++
		}
	}
	if digits == 0 && (upper == 0 || lower == 0) || digits == len(b) {
		return false
	}
	var bits float64
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(len(b))
			bits -= p * math.Log2(p)
		}
	}
	// Of hex digits there are 4 bits at most; of short strings the logarithm of their length.
	return bits >= 0.75*min(4, math.Log2(float64(len(b))))
}
