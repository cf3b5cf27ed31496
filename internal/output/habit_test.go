package output

import (
	"bytes"
	"debug/elf"
	"fmt"
	"strings"
	"testing"
)

// calm is a log without a control, long enough to know its habits.
var calm = strings.Repeat("2026-11-22 07:24:16 INFO checkout 8812 ok, 17 items, 42.50 EUR\n", 300)

// What many programs print on purpose is no garbage, in the midst of a log without any control either.
func TestMeantControls(t *testing.T) {
	for name, s := range map[string]string{
		"arguments":         "started: /usr/sbin/nginx\x00-g\x00daemon off;\x00-c\x00/etc/nginx/nginx.conf\x00\n",
		"environment":       "environ PATH=/usr/bin:/bin\x00HOME=/root\x00LANG=C.UTF-8\x00TERM=xterm\x00PWD=/\x00\n",
		"paths":             "./a/b.go\x00./c.go\x00./d/e/f.go\x00./g.go\x00./h.go\x00./i.go\x00\n",
		"FIX":               strings.Repeat("8=FIX.4.2\x019=65\x0135=A\x0149=S\x0156=T\x0134=1\x0152=20261122-07:24:16\x0198=0\x01108=30\x0110=062\x01\n", 5),
		"IRC":               "<ada> \x02so\x02 it is \x0304red\x03 and \x1funderlined\x1f\n<bob> \x02no\x02 way\n",
		"an index of Emacs": "\x1f\nTag Table:\nNode: Top\x7f332\nNode: Introduction\x7f1225\nNode: How to use it\x7f2355\nNode: Name\x7f2743\nNode: Synopsis\x7f3009\n\x1f\nEnd Tag Table\n",
		"a prompt":          "\x01\x1b[32m\x02$ \x01\x1b[0m\x02ls\n",
		"one NUL":           "user=ada\x00 logged in\n",
		"a class of bytes":  "syn match ctrl \"[\x01-\b\v\x0f-\x1f]\"\n",
		"Latin-1":           "Zugriff verweigert f\xfcr J\xf6rg M\xfcller, Stra\xdfe 7\n",
	} {
		if got := spans([]byte(calm + s + calm)); len(got) > 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// A program that ends each line with NUL, from its first line on or from some time on.
	ended := strings.Repeat("INFO checkout ok\n\x00", 400)
	if got := spans([]byte(ended)); len(got) > 0 {
		t.Errorf("lines that end with NUL: %+v", got)
	}
	if got := spans([]byte(calm + ended)); len(got) > 1 {
		t.Errorf("lines that end with NUL are noticed %d times: %+v", len(got), got)
	}
}

// Names that NUL ends are a program's, where a log never held a control before; elsewhere they may be text.
func TestNamesOfPrograms(t *testing.T) {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		t.Skipf("needs ELF: %v", err)
	}
	defer f.Close()
	var table []byte
	for _, s := range f.Sections {
		if s.Type == elf.SHT_STRTAB {
			if b, err := s.Data(); err == nil && len(b) > len(table) {
				table = b
			}
		}
	}
	if len(table) < 64<<10 { // stripped: the same, made
		for i := range 8000 {
			table = fmt.Appendf(table, "__libc_%s_%d\x00", []string{"start", "freeres", "pthread_init", "dl_open"}[i%4], i)
		}
	}
	short := bytes.ReplaceAll(table, []byte("github.com/descry-dev/descry/"), nil) // names of a usual length
	for _, c := range []struct {
		length, most int // of a thousand that may be missed
	}{{128, 60}, {512, 10}, {4096, 0}} {
		missed, tried := 0, 0
		for at := 0; at+c.length < len(short) && tried < 1000; at += c.length * 3 {
			p := short[at : at+c.length]
			if bytes.Count(p, []byte{0}) < 4*c.length/128 {
				continue
			}
			tried++
			if len(spans([]byte(calm+string(p)+calm[:500]))) == 0 {
				missed++
			}
		}
		if tried == 0 || missed*1000 > c.most*tried {
			t.Errorf("%d of %d pieces of %d bytes are missed", missed, tried, c.length)
		}
	}
	if got := spans([]byte("read_file\x00parse_line\x00write_out\x00free_all\x00read_file\x00parse_line\x00\n")); len(got) > 0 {
		t.Errorf("without a log before them: %+v", got)
	}
}

// Metadata of a class: tags and lengths between names.
func TestMetadata(t *testing.T) {
	class := []byte("\x01\x00\x10java/lang/Object\x01\x00\x06<init>\x01\x00\x03()V\x01\x00\x04Code\x01\x00\x0fLineNumberTable\x01")
	if got := spans([]byte(calm + string(class) + calm)); len(got) == 0 {
		t.Error("nothing found")
	}
}
