package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// printed is what programs print: recordings of terminals, progress, dumps, traces.
func (e *eval) printed() []*tally {
	var out []*tally
	for _, k := range []struct {
		name  string
		texts func() map[string][]byte
	}{{"terminal recordings, progress bars", e.recordings}, {"base64 and hex dumps", e.dumps}, {"stack traces", traces}} {
		t := &tally{name: k.name, foreign: map[string]int{}}
		for name, b := range k.texts() {
			if len(b) > 0 && (e.mine(hash(b)) || k.name != "base64 and hex dumps") {
				e.judgeText(t, name, b)
			}
		}
		out = append(out, t)
		fmt.Fprintf(os.Stderr, "%-30s %9d lines in %6d files, %d alarms\n%s\n", t.name, t.lines, t.files, t.alarms, strings.Join(t.example, "\n"))
	}
	return out
}

// recordings are of programs on a terminal of their own.
func (e *eval) recordings() map[string][]byte {
	out := map[string][]byte{}
	for _, c := range []string{
		"ls -la --color=always /usr/bin", "top -b -n 3", "top -n 3 -d 0.2", "man -P cat bash", "apt-cache show bash coreutils", "dpkg -l", "git --no-pager -c color.ui=always log -p -5", "ps axf", "lsblk", "df -h", "nano --version", "vim -c 'sleep 300m' -c q /etc/services", "less -f /etc/services </dev/null", "tput longname; tput smso; tput sgr0; tput clear",
		"dd if=/dev/zero of=/dev/null bs=1M count=3000 status=progress", "curl -# -o /dev/null file:///usr/bin/python3.11", "pv -f -L 20m /usr/bin/gdb >/dev/null", "rsync -a --progress --dry-run /usr/share/doc/ /tmp/nothing", "python3 -c \"import time,sys\nfor i in range(101): sys.stdout.write('\\r%3d%% [%-50s] \\u2588' % (i, '\\u2588'*(i//2)))\"",
		"bash -c 'for i in $(seq 0 255); do printf \"\\e[38;5;${i}m%3d\\e[48;5;${i}m  \\e[0m \" $i; done'", "bash -c 'for i in $(seq 30); do printf \"\\e[%d;%dH*\" $i $i; done'", "tree -C /etc", "strace -f ls /", "ip -c addr", "gcc -fdiagnostics-color=always -c /etc/passwd -x c -o /dev/null", "find /etc -print0 | head -c 3000", "cat /proc/self/environ", "openssl s_client -help", "openssl ciphers -v",
	} {
		b, err := exec.Command("timeout", "20", "script", "-qefc", c, "/dev/null").Output()
		if err == nil || len(b) > 0 {
			out[c] = b
		}
	}
	return out
}

// dumps are of programs, as people print them.
func (e *eval) dumps() map[string][]byte {
	out := map[string][]byte{}
	for i, b := range e.found(60, func(string) bool { return true }, "/usr/bin") {
		b = b[:min(len(b), 1<<19)]
		out[fmt.Sprint("hex.Dump ", i)] = []byte(hex.Dump(b))
		s := base64.StdEncoding.EncodeToString(b)
		out[fmt.Sprint("base64 ", i)] = []byte(s + "\n")
		var lines bytes.Buffer
		for ; len(s) > 76; s = s[76:] {
			lines.WriteString(s[:76] + "\n")
		}
		out[fmt.Sprint("base64 in lines ", i)] = lines.Bytes()
		out[fmt.Sprint("quoted ", i)] = fmt.Appendf(nil, "%q\n%x\n%v\n", b[:min(len(b), 1<<16)], b[:min(len(b), 1<<16)], b[:min(len(b), 1<<14)])
	}
	return out
}

// traces are of programs that fail.
func traces() map[string][]byte {
	out := map[string][]byte{}
	for _, c := range [][]string{
		{"python3", "-c", "def f(n):\n  return f(n-1) if n else {}['größe']\nf(30)"},
		{"node", "-e", "function f(n){return n?f(n-1):null.x} f(30)"},
		{"ruby", "-e", "def f(n) n>0 ? f(n-1) : raise('größe') end; f(30)"},
		{"perl", "-MCarp", "-e", "sub f { $_[0] ? f($_[0]-1) : confess 'gr\\x{f6}sse' } f(30)"},
		{"php", "-r", "function f($n){ return $n ? f($n-1) : throw new Exception('größe'); } f(30);"},
		{"bash", "-c", "set -x; for i in 1 2 3; do ls /nothing$i; done; kill -SEGV $$"},
		{"gdb", "-batch", "-nx", "-ex", "run", "-ex", "bt full", "-ex", "info registers", "-ex", "x/200xb $sp", "-ex", "disassemble", "--args", "sh", "-c", "kill -ABRT $$"},
	} {
		b, _ := exec.Command("timeout", append([]string{"60"}, c...)...).CombinedOutput()
		out[strings.Join(c, " ")] = b
	}
	return out
}
