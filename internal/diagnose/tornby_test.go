package diagnose

import (
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

func TestTornByWords(t *testing.T) {
	w := func(pid, tid int32, exact bool) *evidence.Writer {
		return &evidence.Writer{PID: pid, TID: tid, Comm: "app", FDKind: evidence.FDPipe, Exact: exact}
	}
	for _, c := range []struct {
		d    evidence.Torn
		want string
	}{
		{evidence.Torn{Before: w(4242, 4242, true), After: w(4242, 4243, true), BeforeWrite: 1, AfterWrite: 80},
			" Such a line was written by two threads of app (4242 and 4243), in pieces of 1 byte and 80 bytes."},
		{evidence.Torn{Before: w(4242, 4242, true), After: w(4250, 4250, true), BeforeWrite: 65536},
			" Such a line was written by two processes, app (4242) and app (4250), one of them in a piece of 64 KiB. Writes of more than 4096 bytes to a pipe with several writers are not atomic."},
		{evidence.Torn{Before: w(4242, 4242, false), After: w(4242, 4243, true)},
			" Such a line was most likely written by two threads of app (4242 and 4243)."},
		{evidence.Torn{How: "glued", Before: w(4242, 4242, true), After: w(4242, 4242, true), AfterWrite: 80},
			" Both parts of such a line were written by one thread, of app (4242)."},
	} {
		if got := tornByWords(&c.d); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	one := &evidence.Torn{Before: w(1, 1, true), After: w(1, 1, true)}
	two := &evidence.Torn{Before: w(1, 1, true), After: w(1, 2, true)}
	if tornBy([]*evidence.Torn{one, {}, two}) != two || tornBy([]*evidence.Torn{{}}) != nil {
		t.Error("the line that tells most is not the one that is told")
	}
	if s := tornByWords(&evidence.Torn{Before: w(1, 1, true), After: &evidence.Writer{PID: 2, TID: 2, Comm: "a\x1b[31m\nb"}}); strings.ContainsAny(s, "\x1b\n") {
		t.Errorf("%q", s)
	}
}
