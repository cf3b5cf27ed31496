package output

import (
	"os"
	"path/filepath"
	"testing"
)

// What stands before and behind a place of a stream, in each form.
func TestAround(t *testing.T) {
	cri := "2026-11-22T07:24:16.1Z stdout F one\n2026-11-22T07:24:16.2Z stderr F other\n2026-11-22T07:24:16.3Z stdout P two, \n2026-11-22T07:24:16.4Z stdout F and\x01\x02\n2026-11-22T07:24:16.5Z stderr F x\n2026-11-22T07:24:16.6Z stdout F three\n"
	docker := `{"log":"one\n","stream":"stdout","time":"2026-11-22T07:24:16Z"}` + "\n" + `{"log":"other\n","stream":"stderr","time":"2026-11-22T07:24:16Z"}` + "\n" + `{"log":"\u0001\u0002\n","stream":"stdout","time":"2026-11-22T07:24:16Z"}` + "\n"
	for _, x := range []struct {
		name           string
		form           Form
		text           string
		stream         int
		mark           string // the place is that of its first byte
		before, behind int
		pre, post      string
	}{
		{"raw", Raw, "one\ntwo\x01\x02\nthree\n", 0, "\x01", 5, 4, "e\ntwo"[:5], "\x01\x02\nt"},
		{"raw, at its start", Raw, "\x01\x02\nthree\n", 0, "\x01", 5, 1, "", "\x01"},
		{"CRI", CRI, cri, 0, "\x01", 4096, 256, "one\ntwo, and", "\x01\x02\nthree\n"},
		{"CRI, little", CRI, cri, 0, "\x01", 3, 2, "and", "\x01\x02"},
		{"CRI, stderr", CRI, cri, 1, "x\n", 4096, 256, "other\n", "x\n"},
		{"Docker", Docker, docker, 0, `{"log":"\u`, 4096, 256, "one\n", "\x01\x02\n"},
	} {
		path := filepath.Join(t.TempDir(), "x.log")
		if err := os.WriteFile(path, []byte(x.text), 0o600); err != nil {
			t.Fatal(err)
		}
		st, err := statFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := int64(0)
		for x.text[at:at+int64(len(x.mark))] != x.mark {
			at++
		}
		pre, post, err := Around(path, st.id, x.form, x.stream, at, x.before, x.behind)
		if err != nil || string(pre) != x.pre || string(post) != x.post {
			t.Errorf("%s: %q and %q, %v; want %q and %q", x.name, pre, post, err, x.pre, x.post)
		}
		if _, _, err := Around(path, FileID{1, 2}, x.form, x.stream, at, 1, 1); err != ErrOtherFile {
			t.Errorf("%s: of another file: %v", x.name, err)
		}
	}
}
