/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Programs that could not be started. */
#ifndef EXECFAIL_BPF_H
#define EXECFAIL_BPF_H

#include "syscall.bpf.h"

struct exec_failed_event {
	struct event_header h;
	__u32 nr;
	__s32 err;
	__u64 count; /* alike ones before and with it */
	char path[256];
};
EVENT(exec_failed_event)

static __always_inline void exec_failed(struct proc *p, void *regs, __u32 nr, __u32 c, __u32 err)
{
	struct count_key k = {.pid = p->pid, .subject = p->subject, .type = EV_EXEC_FAILED, .nr = nr, .err = err};
	struct exec_failed_event *e;
	__u64 n = count(&k, 0);

	if (n >= 8)
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_EXEC_FAILED);
		return;
	}
	fill(&e->h, EV_EXEC_FAILED, p);
	e->nr = nr;
	e->err = err;
	e->count = n + 1;
	read_path(e->path, sizeof(e->path), regs, c);
	bpf_ringbuf_submit(e, 0);
}

#endif
