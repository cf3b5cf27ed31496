/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* bind, listen and connect that were refused their address. */
#ifndef ADDRESS_BPF_H
#define ADDRESS_BPF_H

#include "file.bpf.h"

#define ADDRESS_MAX 112 /* sockaddr_un has 110 */

struct address_event {
	struct event_header h;
	__u32 nr;
	__s32 err;
	__u64 count; /* alike ones before and with it */
	__s32 fd;
	__u32 addr_len;
	__u8 addr[ADDRESS_MAX]; /* struct sockaddr that was asked for; none for listen */
	struct fd_desc is;      /* the socket */
};

static __always_inline void address_refused(struct proc *p, void *regs, __u32 nr, __u32 c, __u32 err)
{
	struct count_key k = {.pid = p->pid, .type = EV_ADDRESS, .nr = nr, .err = err};
	struct address_event *e;
	__u64 n = count(&k, 0);
	__u32 len;

	if (n >= 3)
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_ADDRESS);
		return;
	}
	fill(&e->h, EV_ADDRESS, sizeof(*e), p);
	e->nr = nr;
	e->err = err;
	e->count = n + 1;
	e->fd = arg1(regs);
	e->addr_len = 0;
	__builtin_memset(e->addr, 0, sizeof(e->addr));
	if (c & CALL_SOCKADDR) {
		len = arg3(regs);
		if (len > ADDRESS_MAX)
			len = ADDRESS_MAX;
		if (len && !bpf_probe_read_user(e->addr, len, (void *)arg2(regs)))
			e->addr_len = len;
	}
	describe(&e->is, file_of(e->fd));
	bpf_ringbuf_submit(e, 0);
}

#endif
