/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* System calls that were refused a descriptor, and descriptors higher than any before. */
#ifndef REFUSED_BPF_H
#define REFUSED_BPF_H

#include "failures.bpf.h"
#include "stdio.bpf.h"

#define REFUSED_PAGES 5 /* at least 16 KiB from the stack pointer up */
#define GROWN_PAGES 3
#define FIRST_WHOLE 3   /* events of a key that go out whole */
#define FIRST_STACKS 2  /* refusals of a process with a stack */

struct refused_event { /* also EV_INOTIFY, without a stack */
	struct event_header h;
	__u32 nr;
	__s32 err;
	__u64 count; /* alike ones before and with it */
	__u64 open, soft;
	__u32 in_message;
	__u32 pad;
	char path[256];
	struct user_context context;
	__u8 stack[REFUSED_PAGES * PAGE];
};
EVENT(refused_event)
#define REFUSED_BARE offsetof(struct refused_event, stack)

struct grown_event {
	struct event_header h;
	__u32 nr;
	__s32 fd;
	struct fd_desc is;
	struct user_context context;
	__u8 stack[GROWN_PAGES * PAGE];
};
EVENT(grown_event)

static __always_inline void fill_refused(struct refused_event *e, struct proc *p, void *regs,
					 struct count_key *k, __u64 n, bool in_message)
{
	fill(&e->h, k->type, p);
	e->nr = k->nr;
	e->err = k->err;
	e->count = n + 1;
	e->open = count_open(&e->soft);
	e->in_message = in_message;
	e->pad = 0;
	read_path(e->path, sizeof(e->path), regs, call_of(k->nr));
	e->context.present = 0;
}

/* refuse counts a refusal, exactly, and tells of the first ones. */
static __always_inline void refuse(struct proc *p, void *regs, __u32 type, __u32 nr, __u32 err, bool in_message)
{
	struct count_key k = {.pid = p->pid, .subject = p->subject, .type = type, .nr = nr, .err = err};
	__u64 n = count(&k, 0), of_process = FIRST_STACKS;
	struct refused_event *e;

	if (type == EV_REFUSED)
		of_process = __sync_fetch_and_add(&p->refused, 1);
	if (of_process < FIRST_STACKS) {
		e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
		if (!e) {
			count_lost(type);
			return;
		}
		fill_refused(e, p, regs, &k, n, in_message);
		copy_context(&e->context, e->stack, REFUSED_PAGES, regs);
		bpf_ringbuf_submit(e, 0);
	} else if (n < FIRST_WHOLE) {
		e = bpf_ringbuf_reserve(&events, REFUSED_BARE, 0);
		if (!e) {
			count_lost(type);
			return;
		}
		fill_refused(e, p, regs, &k, n, in_message);
		bpf_ringbuf_submit(e, 0);
	}
}

/* grown tells of a new descriptor if it is higher than the last that was told of, by an eighth. */
static __noinline void grown(struct proc *p, void *regs, __u32 fd)
{
	__u32 nr = call_nr(regs), mark, high;
	struct grown_event *e;

#pragma unroll
	for (int i = 0; i < 4; i++) { /* the maximum, though two threads allocate at once */
		high = *(volatile __u32 *)&p->highest;
		if (fd <= high || __sync_val_compare_and_swap(&p->highest, high, fd) == high)
			break;
	}
	mark = *(volatile __u32 *)&p->next_mark;
	if (fd < 64 || fd < mark)
		return;
	if (__sync_val_compare_and_swap(&p->next_mark, mark, fd + (fd / 8 > 16 ? fd / 8 : 16)) != mark)
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_GROWN);
		return;
	}
	fill(&e->h, EV_GROWN, p);
	e->nr = nr;
	e->fd = fd;
	describe(&e->is, file_of(fd));
	copy_context(&e->context, e->stack, GROWN_PAGES, regs);
	bpf_ringbuf_submit(e, 0);
}

static __always_inline void allocated(struct proc *p, void *regs, __s32 fd)
{
	if (fd >= 0 && fd <= 2)
		stdio_changed(p, regs, fd, STDIO_ALLOCATED, -1);
	else
		grown(p, regs, fd);
}

/* A call returned a descriptor that is 0 to 2, or high. */
CALL_END(syscall_alloc, regs, ret)
{
	struct proc *p = looked();

	if (p && !compat())
		allocated(p, regs, ret);
	return 0;
}

/* pipe, pipe2, socketpair: two descriptors, in the caller's memory */
CALL_END(syscall_pair, regs, ret)
{
	struct proc *p = looked();
	__s32 fd[2] = {-1, -1};
	bool pipe = CALL_CLASS(call_of(call_nr(regs))) == C_PIPE;

	if (!p || compat())
		return 0;
	bpf_probe_read_user(fd, sizeof(fd), (void *)(pipe ? arg1(regs) : arg4(regs)));
	if (fd[0] >= 0)
		allocated(p, regs, fd[0]);
	if (fd[1] >= 0)
		allocated(p, regs, fd[1]);
	return 0;
}

/*
 * alloc_fd gives out every descriptor, for whatever call, io_uring, or message: refused here is
 * refused for want of a number. Left out where functions cannot be attached to.
 */
SEC("fexit/alloc_fd")
int BPF_PROG(alloc_fd_refused, unsigned int start, unsigned int end, unsigned int flags, int ret)
{
	struct task_struct *task;
	void *regs;
	struct thread *t;
	struct proc *p;
	__u32 nr;

	if (ret != -EMFILE)
		return 0;
	p = looked();
	if (!p || !started(p))
		return 0;
	task = (struct task_struct *)bpf_get_current_task_btf();
	regs = (void *)bpf_task_pt_regs(task);
	nr = call_nr(regs);
	if (BPF_CORE_READ(task, flags) & 0x10) /* PF_IO_WORKER: a thread that works for io_uring */
		nr = IO_URING_ENTER;
	else if (compat())
		nr = NOT_DECODED;
	if (nr != IO_URING_ENTER && !(call_of(nr) & CALL_MESSAGE)) {
		t = this_thread(p);
		if (t) /* so that the call's own end does not count it again */
			t->refused = nr + 1;
	}
	refuse(p, regs, EV_REFUSED, nr, EMFILE, call_of(nr) & CALL_MESSAGE);
	return 0;
}

#endif
