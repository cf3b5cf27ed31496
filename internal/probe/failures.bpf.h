/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The last failed system calls of each thread, kept for its death. */
#ifndef FAILURES_BPF_H
#define FAILURES_BPF_H

#include "file.bpf.h"

#define RING 16
#define PATH_KEPT 96

struct failure {
	__u64 boot_ns; /* of the last of them */
	__u64 arg;
	__u16 nr;
	__u16 err;
	__s32 fd; /* -1: none */
	__u32 count;
	__u32 path_len; /* of an address; 0: path is a string, or empty */
	char path[PATH_KEPT];
};

/* A thread that met an error. What stands before next is also the event. */
struct thread {
	struct event_header h; /* pid and tid from the first failure on; the rest at the end */
	__u32 n;               /* ever noted; the newest is ring[(n - 1) % RING] */
	__u32 refused;         /* number of the call, plus one, that alloc_fd has counted as refused */
	struct failure ring[RING];
	struct failure next; /* where one is made */
};

/* Key: thread id in the initial pid namespace. A busy machine has many threads, few of which
 * belong to the tree, and of those not all meet errors: elements are made at the first. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct thread);
} threads SEC(".maps");

/* A thread that has met nothing yet: too large for a program's stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct thread);
} no_thread SEC(".maps");

static __always_inline struct thread *this_thread(struct proc *p)
{
	__u32 tid = bpf_get_current_pid_tgid(), zero = 0;
	struct thread *t = bpf_map_lookup_elem(&threads, &tid), *none;

	if (t)
		return t;
	none = bpf_map_lookup_elem(&no_thread, &zero);
	if (!none)
		return NULL;
	bpf_map_update_elem(&threads, &tid, none, BPF_NOEXIST);
	t = bpf_map_lookup_elem(&threads, &tid);
	if (!t) {
		count_lost(EV_FAILURES);
		return NULL;
	}
	t->h.pid = p->pid;
	t->h.subject = p->subject;
	t->h.tid = tid_of((struct task_struct *)bpf_get_current_task_btf());
	return t;
}

static __always_inline bool same_path(struct failure *a, struct failure *b)
{
	__u64 *x = (__u64 *)a->path, *y = (__u64 *)b->path, d = 0;

#pragma unroll
	for (int i = 0; i < PATH_KEPT / 8; i++)
		d |= x[i] ^ y[i];
	return !d;
}

/* note keeps a failed call; calls that are alike and follow each other are merged. */
static __always_inline void note(struct thread *t, void *regs, __u32 nr, __u32 c, __u32 err)
{
	struct failure *f = &t->next, *last;
	__u32 newest = (t->n - 1) & (RING - 1);

	__builtin_memset(f, 0, sizeof(*f));
	f->boot_ns = bpf_ktime_get_boot_ns();
	f->nr = nr;
	f->err = err;
	f->count = 1;
	f->fd = c & CALL_FD && (__s32)arg1(regs) >= 0 ? (__s32)arg1(regs) : -1;
	f->arg = arg(regs, CALL_ARG(c));
	if (CALL_PATH(c)) {
		void *at = (void *)arg(regs, CALL_PATH(c));

		if (c & CALL_SOCKADDR) {
			__u32 len = arg(regs, (CALL_PATH(c) + 1));

			if (len > PATH_KEPT - 1)
				len = PATH_KEPT - 1;
			if (len && !bpf_probe_read_user(f->path, len, at))
				f->path_len = len;
		} else {
			bpf_probe_read_user_str(f->path, PATH_KEPT, at);
		}
	}
	if (t->n) {
		last = &t->ring[newest];
		if (last->nr == f->nr && last->err == f->err && last->fd == f->fd && same_path(last, f)) {
			last->count++;
			last->boot_ns = f->boot_ns;
			last->arg = f->arg;
			return;
		}
	}
	t->ring[t->n & (RING - 1)] = *f;
	t->n++;
}

#endif
