package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	big := bytes.Repeat([]byte("0123456789"), 10_000)
	for k, payload := range map[Kind][]byte{Ready: []byte("6.1 2.5"), Done: nil, Output: big} {
		b.Reset()
		if err := Write(&b, k, payload); err != nil {
			t.Fatal(err)
		}
		whole := bytes.Clone(b.Bytes())
		var got []byte
		for {
			kind, p, err := Read(&b)
			if err == io.EOF {
				break
			}
			if err != nil || kind != k {
				t.Fatalf("%c: got %c, %v", k, kind, err)
			}
			got = append(got, p...)
		}
		if !bytes.Equal(got, payload) {
			t.Errorf("%c: %d bytes came back of %d", k, len(got), len(payload))
		}
		if _, _, err := Read(bytes.NewReader(whole[:4])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%c, cut in its header: %v", k, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("O\x00\x00\x00\x02hi"))
	f.Add([]byte("O\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for r := bytes.NewReader(b); ; {
			if _, _, err := Read(r); err != nil {
				return
			}
		}
	})
}
