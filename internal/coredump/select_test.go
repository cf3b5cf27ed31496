package coredump

import (
	"strings"
	"testing"

	"github.com/descry-dev/descry/internal/evidence"
)

// selectorsC opens descriptors up to the number that its second argument names, and does with the last ones what
// the first names.
const selectorsC = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>
#define NOINLINE __attribute__((noinline))
static volatile int sum;
NOINLINE void use(void *p) { asm volatile("" :: "r"(p) : "memory"); }
NOINLINE void one(int fd) { fd_set r; FD_ZERO(&r); FD_SET(0, &r); FD_SET(2, &r); FD_SET(fd, &r); struct timeval t = { 0, 0 };
	use(&r); sum += select(fd + 1, &r, 0, 0, &t); }
NOINLINE void polled(int fd) { fd_set r; FD_ZERO(&r); FD_SET(fd, &r); use(&r); struct pollfd p = { fd, POLLIN, 0 }; sum += poll(&p, 1, 0) + FD_ISSET(fd, &r); }
NOINLINE void ored(int fd) { fd_set r; FD_ZERO(&r); use(&r); FD_SET(fd, &r); use(&r); sum++; }
NOINLINE void many(int from, int to) { fd_set r, w; FD_ZERO(&r); FD_ZERO(&w); FD_SET(0, &w); for (int fd = from; fd <= to; fd++) { FD_SET(fd, &r); FD_SET(fd, &w); } use(&r); use(&w); sum++; }
NOINLINE void byte(int n) { char b[136]; memset(b, 0, sizeof b); use(b); b[n] = 'A'; use(b); sum++; }
NOINLINE void string(const char *s) { char b[128]; strcpy(b, s); use(b); sum++; }
NOINLINE void null(int *p) { fd_set r; FD_ZERO(&r); FD_SET(3, &r); use(&r); sum += *p; }
NOINLINE void deep(int n) { fd_set r; FD_ZERO(&r); FD_SET(n % 1000, &r); use(&r); deep(n + 1); use(&r); }
int main(int argc, char **argv) {
	int last = atoi(argv[2]);
	struct rlimit l = { 4096, 4096 };
	if (setrlimit(RLIMIT_NOFILE, &l)) return 3;
	while (open("/dev/null", O_RDONLY) < last) ;
	const char *how = argv[1];
	if (!strcmp(how, "one")) one(last);
	if (!strcmp(how, "polled")) polled(last);
	if (!strcmp(how, "ored")) { for (int i = 0; i < 40; i++) ored(last - i); }
	if (!strcmp(how, "many")) many(last - 20, last);
	if (!strcmp(how, "byte")) byte(argc > 3 ? atoi(argv[3]) : 136);
	if (!strcmp(how, "string")) string("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	if (!strcmp(how, "null")) null(0);
	if (!strcmp(how, "deep")) deep(0);
	if (!strcmp(how, "abort")) { one(9); abort(); }
	if (!strcmp(how, "free")) { char *p = malloc(100); free(p); asm volatile("" : "+r"(p)); free(p); }
	return 0;
}`

// TestSelected tells an fd_set that was run over from other damage, in whole cores and in stacks.
func TestSelected(t *testing.T) {
	flags := []string{"gcc", "-w", "-g", "-O2", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=0", "-o", "OUT", "SRC"}
	strong := build(t, selectorsC, "selectors.c", append(flags, "-fstack-protector-strong")...)
	plain := build(t, selectorsC, "selectors.c", "gcc", "-w", "-g", "-O0", "-fstack-protector-strong", "-o", "OUT", "SRC")
	bare := build(t, selectorsC, "selectors.c", append(flags, "-fno-stack-protector")...)
	for _, k := range []struct {
		name, prog string
		args       []string
		over       string
		fd         int32
		sure       bool
	}{
		{"select", strong, []string{"one", "1110"}, "stack protector", 1110, false},
		{"poll", strong, []string{"polled", "1130"}, "stack protector", 1130, false},
		{"poll, or", strong, []string{"ored", "1151"}, "stack protector", 0, true},
		{"poll, -O0", plain, []string{"ored", "1151"}, "stack protector", 0, true},
		{"two sets", strong, []string{"many", "1140"}, "stack protector", 0, true},
		{"return address", bare, []string{"ored", "1133"}, "return address", 1133, true},
		{"no address", bare, []string{"ored", "1148"}, "return address", 1148, true},
		{"one byte", strong, []string{"byte", "1140"}, "", 0, false},
		{"a string", strong, []string{"string", "1140"}, "", 0, false},
		{"few descriptors", strong, []string{"byte", "900", "141"}, "", 0, false},
		{"null pointer", strong, []string{"null", "1140"}, "", 0, false},
		{"null pointer, bare", bare, []string{"null", "1140"}, "", 0, false},
		{"recursion", strong, []string{"deep", "1140"}, "", 0, false},
		{"abort", strong, []string{"abort", "1140"}, "", 0, false},
		{"free", strong, []string{"free", "1140"}, "", 0, false},
	} {
		t.Run(k.name, func(t *testing.T) {
			for _, keep := range []Depth{Full, Stacks} {
				c := keptSummary(t, keep, nil, append([]string{k.prog}, k.args...)...)
				s := c.Selected
				if k.over == "" && s != nil && s.Sure || k.over != "" && (s == nil || s.Over != k.over || k.fd != 0 && s.FD != k.fd || s.Sure != k.sure) {
					t.Errorf("%s: %+v; %s\n%s", keep, s, c.Meaning, strings.Join(c.Backtrace, "\n"))
				}
				if s != nil {
					t.Logf("%s: %+v", keep, *s)
				}
			}
		})
	}
}

// keptSummary keeps the core of a program that dies, and reads it.
func keptSummary(t *testing.T, keep Depth, env []string, argv ...string) *evidence.Core {
	t.Helper()
	s := storeFor(t, Bounds{}, Policy{Keep: keep})
	e := take(t, s, waiting(t, env, argv...))
	if e.Kept != keep {
		t.Fatalf("kept %s: %s", e.Kept, e.Why)
	}
	res := NewResolver(nil)
	defer res.Close()
	c, err := s.Summary(e, SummaryOptions{Resolver: res})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
