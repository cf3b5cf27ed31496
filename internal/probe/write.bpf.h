/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Writes to descriptors 1 and 2 that were cut short or refused. */
#ifndef WRITE_BPF_H
#define WRITE_BPF_H

#include "file.bpf.h"

struct write_event {
	struct event_header h;
	__u32 nr;
	__s32 err; /* 0: cut short */
	__s32 fd;
	__u32 pad;
	__u64 asked, written;
	__u64 count; /* alike ones before and with it */
	__u64 lost;  /* bytes not taken, of all these */
	struct fd_kind kind;
};
EVENT(write_event)

struct iov {
	__u64 base, len;
};
#define MAX_IOV 16

/* asked_of gives the bytes that a call was to write; of more than MAX_IOV pieces the first ones. */
static __always_inline __u64 asked_of(void *regs, __u32 class)
{
	struct iov v[MAX_IOV];
	__u64 at, n, sum = 0;

	switch (class) {
	case C_WRITE:
		return arg3(regs);
	case C_WRITEV:
		at = arg2(regs);
		n = arg3(regs);
		break;
	case C_SENDMSG: {
		__u64 m[4] = {}; /* name, name's length, pieces, their number */

		if (bpf_probe_read_user(m, sizeof(m), (void *)arg2(regs)))
			return 0;
		at = m[2];
		n = m[3];
		break;
	}
	default:
		return 0;
	}
	if (n > MAX_IOV)
		n = MAX_IOV;
	__builtin_memset(v, 0, sizeof(v));
	if (!n || bpf_probe_read_user(v, n * sizeof(v[0]), (void *)at))
		return 0;
#pragma unroll
	for (int i = 0; i < MAX_IOV; i++)
		sum += v[i].len;
	return sum;
}

static __always_inline void write_failed(struct proc *p, void *regs, __u32 nr, __u32 c, __u32 err, __s64 written)
{
	struct count_key k = {.pid = p->pid, .subject = p->subject, .type = EV_WRITE, .nr = nr, .err = err, .arg = arg1(regs)};
	__u64 asked = asked_of(regs, CALL_CLASS(c)), n;
	struct count_value *v;
	struct write_event *e;

	if (!err && written >= asked)
		return;
	n = count(&k, asked - written);
	if (n >= 3)
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_WRITE);
		return;
	}
	fill(&e->h, EV_WRITE, p);
	e->nr = nr;
	e->err = err;
	e->fd = k.arg;
	e->pad = 0;
	e->asked = asked;
	e->written = written;
	e->count = n + 1;
	v = bpf_map_lookup_elem(&counts, &k);
	e->lost = v ? v->sum : 0;
	kind_of(&e->kind, file_of(k.arg));
	bpf_ringbuf_submit(e, 0);
}

/* maybe_short says whether a call may have written less than it was to. */
static __always_inline bool maybe_short(void *regs, __u32 class, __s64 written)
{
	return class == C_WRITEV || (class == C_WRITE && written < arg3(regs));
}

CALL_END(syscall_short, regs, ret)
{
	struct proc *p = looked();
	__u32 nr = call_nr(regs);

	if (p && !compat())
		write_failed(p, regs, nr, call_of(nr), 0, ret);
	return 0;
}

#endif
