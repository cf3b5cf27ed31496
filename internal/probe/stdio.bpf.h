/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Descriptors 0 to 2: what they are since the program started, and what becomes of them. */
#ifndef STDIO_BPF_H
#define STDIO_BPF_H

#include "file.bpf.h"

/* What 0 to 2 are of a process, from its exec on. Key: tgid in the initial pid namespace. */
struct stdio_is {
	struct fd_kind fd[4]; /* the last is there so that an index needs no more than a mask */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct stdio_is);
} stdio SEC(".maps");

enum { STDIO_CLOSED, STDIO_REPLACED, STDIO_ALLOCATED };
#define STDIO_PAGES 3

struct stdio_event {
	struct event_header h;
	__u32 nr;
	__s32 fd;
	__u32 action;
	__s32 from; /* of dup2 and dup3, else -1 */
	struct fd_kind was;
	struct fd_desc is;
	struct user_context context;
	__u8 stack[STDIO_PAGES * PAGE];
};
EVENT(stdio_event)

static __always_inline void stdio_now(struct stdio_is *s)
{
#pragma unroll
	for (int i = 0; i < 3; i++)
		kind_of(&s->fd[i], file_of(i));
}

/* stdio_of is the entry of the current process. A child that has not yet run a program of its own
 * begins with what its parent has. */
static __always_inline struct stdio_is *stdio_of(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct stdio_is *s = bpf_map_lookup_elem(&stdio, &tgid), was = {};

	if (s)
		return s;
	{
		struct task_struct *t = (struct task_struct *)bpf_get_current_task_btf();
		__u32 parent = BPF_CORE_READ(t, real_parent, tgid);

		s = bpf_map_lookup_elem(&stdio, &parent);
		if (s)
			was = *s;
	}
	bpf_map_update_elem(&stdio, &tgid, &was, BPF_NOEXIST);
	return bpf_map_lookup_elem(&stdio, &tgid);
}

/*
 * stdio_changed tells of a change of fd, one of 0 to 2. Between fork and exec a child prepares
 * another program's descriptors: there only what was hit by chance is told, the lowest free number
 * given to something new.
 */
static __noinline void stdio_changed(struct proc *p, void *regs, __u32 fd, __u32 action, __s32 from)
{
	struct count_key k = {.pid = p->pid, .subject = p->subject, .type = EV_STDIO, .arg = fd};
	struct stdio_is *s = stdio_of();
	struct fd_kind was = {}, is;
	struct stdio_event *e;
	__u32 nr = call_nr(regs), c = call_of(nr);
	__u64 f = 0, i = fd;

	if (action != STDIO_CLOSED)
		f = file_of(fd);
	kind_of(&is, f);
	asm volatile("%0 &= 3" : "+r"(i));
	if (s) {
		was = s->fd[i];
		s->fd[i] = is;
	}
	if (action == STDIO_ALLOCATED)
		__sync_fetch_and_or(&p->flags, PROC_STRANGER << (fd & 3));
	else
		__sync_fetch_and_and(&p->flags, ~(PROC_STRANGER << (fd & 3)));
	if (!(p->flags & PROC_EXECED) && (action != STDIO_ALLOCATED || c & CALL_DUP))
		return;
	k.nr = nr;
	k.err = (is.mode & S_IFMT) | is.family; /* what else it becomes is another story */
	if (count(&k, 0) >= 3)
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_STDIO);
		return;
	}
	fill(&e->h, EV_STDIO, p);
	e->nr = nr;
	e->fd = fd;
	e->action = action;
	e->from = from;
	e->was = was;
	describe(&e->is, f);
	copy_context(&e->context, e->stack, STDIO_PAGES, regs);
	bpf_ringbuf_submit(e, 0);
}

/* close, close_range, dup2 and dup3 of 0 to 2 */
CALL_END(syscall_stdio, regs, ret)
{
	struct proc *p = looked();
	__u32 c = call_of(call_nr(regs));

	if (!p || compat())
		return 0;
	switch (CALL_CLASS(c)) {
	case C_CLOSE:
		stdio_changed(p, regs, arg1(regs) & 3, STDIO_CLOSED, -1);
		break;
	case C_DUP2:
		if ((__s32)arg1(regs) != (__s32)arg2(regs))
			stdio_changed(p, regs, arg2(regs) & 3, STDIO_REPLACED, arg1(regs));
		break;
	case C_CLOSE_RANGE: {
		__u32 first = arg1(regs), last = arg2(regs);

		if (arg3(regs) & 4) /* CLOSE_RANGE_CLOEXEC */
			break;
		for (__u32 fd = 0; fd < 3; fd++) {
			struct stdio_is *s = stdio_of();

			if (fd >= first && fd <= last && s && s->fd[fd].mode)
				stdio_changed(p, regs, fd, STDIO_CLOSED, -1);
		}
		break;
	}
	}
	return 0;
}

#endif
