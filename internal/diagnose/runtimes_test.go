package diagnose

import (
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestMentions(t *testing.T) {
	for _, x := range []struct {
		said  string
		errno evidence.Errno
		want  bool
	}{
		{"OSError: [Errno 11] x", evidence.EAGAIN, true},
		{"ConnectionRefusedError: [Errno 111] Verbindungsaufbau abgelehnt", evidence.EAGAIN, false},
		{"ConnectionRefusedError: [Errno 111] Verbindungsaufbau abgelehnt", evidence.ECONNREFUSED, true},
		{"OSError: [Errno 24] x", evidence.ENOENT, false},
		{"FileNotFoundError: [Errno 2] x", evidence.ENOENT, true},
		{"EIOCBQUEUED", evidence.EIO, false},
		{"write: EIO", evidence.EIO, true},
		{"read REMOTEIO", evidence.EIO, false},
		{"UV_EMFILE", evidence.EMFILE, true},
		{"make: *** [all] Error 2", evidence.ENOENT, false},
		{"No file descriptors available", evidence.EMFILE, true},
		{"Os { code: 24, kind: Uncategorized", evidence.EMFILE, true},
		{"Os { code: 2, kind: NotFound", evidence.ENOENT, true},
		{"Os { code: 28, kind: StorageFull", evidence.ENOENT, false},
	} {
		if got := mentions(x.said, errnoWords[x.errno]...); got != x.want {
			t.Errorf("%q says %s: %t", x.said, x.errno, got)
		}
	}
}

func TestRefusalsAreDistinct(t *testing.T) {
	seen := map[string]string{}
	for i := range refusals {
		r := &refusals[i]
		if r.errno != 0 && r.errno.String() != r.id {
			t.Errorf("%s has the number of %s", r.id, r.errno)
		}
		for _, w := range r.words() {
			if first := seen[w]; first != "" && w != "kind: PermissionDenied" {
				t.Errorf("%q stands for %s and %s", w, first, r.id)
			}
			seen[w] = r.id
		}
	}
}
