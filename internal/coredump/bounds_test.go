package coredump

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// With nothing left to drop there is no room, and trim says so.
func TestTrimNoRoom(t *testing.T) {
	s := storeFor(t, Bounds{Bytes: 1 << 20, DiskShare: -1}, Policy{})
	if _, err := s.trim(newID(time.Now()), 1<<20); err != nil {
		t.Errorf("exactly the bound: %v", err)
	}
	if _, err := s.trim(newID(time.Now()), 1<<20+1); !errors.Is(err, errNoRoom) {
		t.Errorf("one byte more: %v", err)
	}
}

// A table that tells of more frames than the file has room for is said to.
func TestSeekTableTooLong(t *testing.T) {
	b := make([]byte, 64)
	le.PutUint32(b[len(b)-footerSize:], 100)
	le.PutUint32(b[len(b)-4:], seekableMagic)
	_, err := openSeekable(bytes.NewReader(b), int64(len(b)), func() error { return nil })
	if err == nil || !strings.Contains(err.Error(), "more than its 64 bytes hold") {
		t.Error(err)
	}
}
