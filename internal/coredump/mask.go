package coredump

import (
	"bytes"
	"strings"
)

// Mask is what secrets are overwritten with, byte by byte.
const Mask = '*'

// MaskText gives s with what looks like keys, tokens and passwords overwritten, at the same length, and
// the number of places. It is the best that can be had without knowing the program: it misses secrets
// that look like other text, and takes some other text for secrets.
func MaskText(s string) (string, int) {
	b := []byte(s)
	n := MaskBytes(b)
	if n == 0 {
		return s, 0
	}
	return string(b), n
}

// MaskBytes overwrites in b itself what MaskText does, in text between any other bytes.
func MaskBytes(b []byte) (n int) {
	secrets(b, func(from, to int) {
		n++
		maskAll(b[from:to])
	})
	return n
}

func maskAll(b []byte) {
	for i := range b {
		b[i] = Mask
	}
}

// MaskArgs gives a copy of a command line in which what looks like secrets is overwritten; that is also
// the word that follows an option like --password.
func MaskArgs(args []string) []string {
	b := []byte(strings.Join(args, "\x00"))
	maskWords(b, 0)
	if len(args) == 0 {
		return nil
	}
	return strings.Split(string(b), "\x00")
}

// maskWords masks a command line whose words are parted by sep.
func maskWords(b []byte, sep byte) int {
	n := MaskBytes(b)
	next := false
	for from := 0; from < len(b); {
		to := bytes.IndexByte(b[from:], sep)
		if to < 0 {
			to = len(b) - from
		}
		word := b[from : from+to]
		if next && len(word) > 0 && word[0] != '-' {
			maskAll(word)
			n++
		}
		next = len(word) > 1 && word[0] == '-' && bytes.IndexByte(word, '=') < 0 && strength(word) == strongName
		from += to + 1
	}
	return n
}

// maskMemory masks the memory of a process that stands at addr. Words that are addresses of the process
// stay: they may be return addresses right beside text.
func maskMemory(b []byte, addr uint64, isAddress func(uint64) bool) (n int) {
	secrets(b, func(from, to int) {
		n++
		for from < to {
			// The aligned word that holds this byte.
			word := int((addr+uint64(from))&^7 - addr)
			end := min(word+8, to)
			if word < 0 || word+8 > len(b) || !isAddress(le.Uint64(b[word:])) {
				maskAll(b[from:end])
			}
			from = end
		}
	})
	return n
}

// maskValues overwrites the values of an environment: "NAME=value" words parted by NUL.
func maskValues(b []byte) (n int) {
	for len(b) > 0 {
		word, rest, _ := bytes.Cut(b, []byte{0})
		if i := bytes.IndexByte(word, '='); i >= 0 && i+1 < len(word) {
			maskAll(word[i+1:])
			n++
		}
		b = rest
	}
	return n
}

// Secrets that are looked for elsewhere, and how much of the begin of one has to stand there.
const (
	maxKnown   = 64
	leastKnown = 6
	copyStart  = 8
)

// changed gives the places of before that differ in after, of some length.
func changed(before, after []byte) (list [][]byte) {
	for i := 0; i < len(before); i++ {
		j := i
		for j < len(before) && before[j] != after[j] {
			j++
		}
		if j-i >= leastKnown && len(list) < maxKnown {
			list = append(list, before[i:j])
		}
		i = max(i, j)
	}
	return list
}

// maskCopies overwrites each of known, and what begins like it.
func maskCopies(b []byte, known [][]byte) (n int) {
	for _, k := range known {
		for at := 0; ; n++ {
			i := bytes.Index(b[at:], k[:min(len(k), copyStart)])
			if i < 0 {
				break
			}
			at += i
			for j := 0; j < len(k) && at < len(b) && b[at] == k[j]; j++ {
				b[at] = Mask
				at++
			}
		}
	}
	return n
}
