package coredump

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// The part in angle brackets must be masked, and nothing else.
var masked = []string{
	"password=<hunter2>",
	"DB_PASSWORD=<p4ss>;",
	`{"password": "<correct horse battery>", "user": "ann"}`,
	`{"user":"ann","api_key":"<abc123>"}`,
	"Authorization: Bearer <abcdefgh12345678>",
	"authorization: Basic <dXNlcjpwYXNzd29yZA==>",
	"x Bearer <abcDEF123456789012> y",
	"postgres://ann:<s3cr3t>@db.example:5432/cart?sslmode=disable",
	"https://example.com/path?token=<abc>&page=2",
	"jwt <eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U>",
	"AWS <AKIAIOSFODNN7EXAMPLE> there",
	"aws_secret_access_key = <wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY>",
	"git <ghp_abcdefghijklmnopqrstuvwxyz0123456789>",
	"slack <xoxb-123456789012-abcdefghij>",
	"-----BEGIN RSA PRIVATE KEY-----<\nMIIEpAIBAAKCAQEA7\nabc==\n>-----END RSA PRIVATE KEY-----",
	"-----BEGIN PRIVATE KEY-----<\nMIIEpAIBAAKCAQEA7 cut>",
	"key: <4f3c2b1a09e8d7c6b5a49382716f5e4d>",
	"secret\x00\x00\x01\x02<4f3c2b1a09e8d7c6b5a49382716f5e4d>\x00",
	"Cookie: <session=abcdef0123456789>",
	"PGPASSWORD=<x>",
	"SMTP_PASS=<swordfish>",
	`{user: 'ann', pass: '<swordfish>'}`,
}

// Nothing of these is a secret.
var plain = []string{
	"/usr/lib/x86_64-linux-gnu/libc.so.6",
	"_ZNSt8ios_base4InitC1Ev",
	"http://localhost:8080/health",
	"git@github.com:descry-dev/descry.git",
	"see https://example.com:8443/a@b",
	"password=%s and token=%d",
	"the keyboard=us and the monkey: banana",
	"b6f3c0e2a1d94857 is the build id of 4f3c2b1a09e8d7c6b5a49382716f5e4d20987654",
	"-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\n-----END CERTIFICATE-----",
	"GET /index.html HTTP/1.1\r\nHost: example.com\r\n\r\n",
	"key=value",
	"skip-this-long-but-plain-option-name",
	"bearer of bad news",
	"PWD=/srv/shop",
	"OLDPWD=/srv/shop/bin",
	"--- PASS: TestOrders (0.01s)",
	"bypass=yes",
	"pass: 14, fail: 2",
	"basic understanding",
}

func TestMaskText(t *testing.T) {
	for _, c := range masked {
		from, to := strings.Index(c, "<"), strings.LastIndex(c, ">")
		in := c[:from] + c[from+1:to] + c[to+1:]
		want := c[:from] + strings.Repeat(string(Mask), to-from-1) + c[to+1:]
		got, n := MaskText(in)
		if got != want || n != 1 {
			t.Errorf("%q\n got %q (%d)\nwant %q", in, got, n, want)
		}
		if again, n := MaskText(got); again != got {
			t.Errorf("%q masked again is %q (%d)", got, again, n)
		}
	}
	for _, c := range plain {
		if got, n := MaskText(c); n != 0 {
			t.Errorf("no secret in %q, but %q", c, got)
		}
	}
}

func TestMaskArgs(t *testing.T) {
	got := MaskArgs([]string{"/bin/x", "--password", "hunter2", "--token=abcd", "-v", "--password-file", "/run/p", "https://u:pw@h/"})
	want := "/bin/x --password ******* --token=**** -v --password-file ****** https://u:**@h/"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %q\nwant %q", strings.Join(got, " "), want)
	}
	if got := MaskArgs(nil); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// Wherever a page or a buffer ends, a secret that is held whole is masked.
func TestMaskMemory(t *testing.T) {
	const at = 0x7f00_0000_1000
	address := func(v uint64) bool {
		return v >= 0x7f00_0000_0000 && v < 0x7f80_0000_0000 || v == 0x0000_4141_4141_4141
	}
	for shift := range 16 {
		b := make([]byte, 128)
		text := "password=hunter2hunter2"
		copy(b[shift:], text)
		binary.LittleEndian.PutUint64(b[64:], 0x7f00_1234_5678)
		if n := maskMemory(b, at, address); n != 1 || bytes.Contains(b, []byte("hunter")) || !bytes.Contains(b, []byte("password=****")) {
			t.Errorf("shifted by %d: %d places, %q", shift, n, b)
		}
		if binary.LittleEndian.Uint64(b[64:]) != 0x7f00_1234_5678 {
			t.Error("an address is gone")
		}
	}
	// An address whose bytes are text, right behind a secret.
	b := make([]byte, 64)
	copy(b, "password=hunter2")
	binary.LittleEndian.PutUint64(b[16:], 0x0000_4141_4141_4141)
	maskMemory(b, at, address)
	if got := binary.LittleEndian.Uint64(b[16:]); got != 0x0000_4141_4141_4141 || bytes.Contains(b, []byte("hunter")) {
		t.Errorf("the address is %#x, the text %q", got, b[:16])
	}
}

func TestMaskValues(t *testing.T) {
	b := []byte("HOME=/root\x00EMPTY=\x00odd\x00X=a=b\x00")
	if n := maskValues(b); n != 2 || string(b) != "HOME=*****\x00EMPTY=\x00odd\x00X=***\x00" {
		t.Errorf("%d %q", n, b)
	}
}

// Text that announces secrets and has none must not take time by the square of its length.
func BenchmarkMaskWorst(b *testing.B) {
	for _, c := range []string{"-----BEGIN ", "://a:", "pwd=%", "Bearer ", "key=", "pwd: Bearer "} {
		b.Run(c, func(b *testing.B) {
			m := bytes.Repeat([]byte(c), 256<<10/len(c))
			b.SetBytes(int64(len(m)))
			for b.Loop() {
				secrets(m, func(int, int) {})
			}
		})
	}
}

func FuzzMask(f *testing.F) {
	for _, c := range append(masked, plain...) {
		f.Add([]byte(c))
	}
	f.Add([]byte("Bearer "))
	f.Add([]byte("://:@"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := bytes.Clone(b)
		MaskBytes(got)
		if len(got) != len(b) {
			t.Fatal("another length")
		}
		for i := range b {
			if got[i] != b[i] && (got[i] != Mask || !printable(b[i])) {
				t.Fatalf("byte %d was %q and is %q", i, b[i], got[i])
			}
		}
		words := bytes.Clone(b)
		maskWords(words, 0)
		maskValues(words)
		s, _ := MaskText(string(b))
		if s != string(got) {
			t.Fatal("text and bytes are masked differently")
		}
		// Words of addresses stay wherever they are.
		memory := bytes.Clone(b)
		maskMemory(memory, 0x1003, func(uint64) bool { return true })
		for i := 5; i+8 <= len(b); i += 8 {
			if !bytes.Equal(memory[i:i+8], b[i:i+8]) {
				t.Fatalf("the word at %d was overwritten", i)
			}
		}
	})
}

func BenchmarkMask(b *testing.B) {
	m := material(4 << 20)
	b.SetBytes(int64(len(m)))
	for b.Loop() {
		maskMemory(m, 0x1000, func(uint64) bool { return false })
	}
}
