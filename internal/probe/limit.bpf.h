/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Forks and mappings that were refused, with the limits as they were at that moment. Which of them
 * did it is for user space to say, by the figures.
 */
#ifndef LIMIT_BPF_H
#define LIMIT_BPF_H

#include "syscall.bpf.h"
#include "cgroup.bpf.h"

#define LIMIT_WHOLE 3 /* of a process, call and error; then the fourth, eighth, sixteenth… */
#define NPROC_LEVELS 4

enum { R_DATA = 2, R_NPROC = 6, R_MEMLOCK = 8, R_AS = 9 };

struct limit_event {
	struct event_header h;
	__u32 nr;
	__s32 err;
	__u64 count; /* alike ones before and with it */
	__u64 args[4];
	__u64 data, memlock, as; /* soft limits, bytes */
	__u64 total_vm, data_vm, locked_vm; /* pages */
	__u64 map_count;
	__u64 procs, procs_max; /* of the user: in the user namespace that is full, or the innermost one */
	__u32 uid;
	__u32 level; /* of its user namespace */
	__u64 caps;  /* effective ones */
	struct full_cgroup pids;
};
EVENT(limit_event)

/* count_processes says how many the user has, and how many it may have. */
static __always_inline void count_processes(struct limit_event *e, struct task_struct *t)
{
	struct ucounts *u = FAR(t, cred, ucounts);
	__u64 max = FAR(t, signal, rlim[R_NPROC].rlim_cur), n;
	struct user_namespace *ns;

	e->procs = 0;
	e->procs_max = max;
	if (!bpf_core_field_exists(u->rlimit)) /* before 6.0 */
		return;
	for (int i = 0; i < NPROC_LEVELS && u; i++) {
		n = FAR(u, rlimit[0].counter); /* UCOUNT_RLIMIT_NPROC */
		if (i == 0 || n >= max) {
			e->procs = n;
			e->procs_max = max;
		}
		if (n >= max)
			return;
		ns = FAR(u, ns);
		max = FAR(ns, rlimit_max[0]);
		u = FAR(ns, ucounts);
	}
}

CALL_END(syscall_limit, regs, ret)
{
	struct task_struct *t = (struct task_struct *)bpf_get_current_task_btf();
	struct count_key k = {.type = EV_LIMIT};
	struct limit_event *e;
	struct mm_struct *mm;
	struct proc *p = looked();
	__u64 n;

	if (!p)
		return 0;
	k.pid = p->pid;
	k.subject = p->subject;
	k.nr = call_nr(regs);
	k.err = -ret;
	n = count(&k, 0);
	if (n >= LIMIT_WHOLE && ((n + 1) & n))
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_LIMIT);
		return 0;
	}
	fill(&e->h, EV_LIMIT, p);
	e->nr = k.nr;
	e->err = k.err;
	e->count = n + 1;
	e->args[0] = arg1(regs);
	e->args[1] = arg2(regs);
	e->args[2] = arg3(regs);
	e->args[3] = arg4(regs);
	e->data = FAR(t, signal, rlim[R_DATA].rlim_cur);
	e->memlock = FAR(t, signal, rlim[R_MEMLOCK].rlim_cur);
	e->as = FAR(t, signal, rlim[R_AS].rlim_cur);
	mm = FAR(t, mm);
	e->total_vm = FAR(mm, total_vm);
	e->data_vm = FAR(mm, data_vm);
	e->locked_vm = FAR(mm, locked_vm);
	e->map_count = FAR(mm, map_count);
	e->uid = FAR(t, cred, uid.val);
	e->level = FAR(t, cred, user_ns, level);
	e->caps = 0;
	bpf_probe_read_kernel(&e->caps, sizeof(e->caps), (void *)FAR(t, cred) + bpf_core_field_offset(struct cred, cap_effective));
	count_processes(e, t);
	if (bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id))
		find_full(&e->pids, css_of(t, bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id)),
			  bpf_core_field_offset(struct pids_cgroup, counter), bpf_core_field_offset(struct pids_cgroup, limit), 0);
	else
		e->pids.used = e->pids.max = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* of_limit says whether a call's error speaks of a limit of processes or memory. */
static __always_inline bool of_limit(__u32 c, __u32 err)
{
	if (err == ENOMEM || err == EAGAIN)
		return c & (CALL_SPAWN | CALL_MEMORY);
	return err == ENOSPC ? c & CALL_SPAWN : err == EPERM && c & CALL_MEMORY;
}

#endif
