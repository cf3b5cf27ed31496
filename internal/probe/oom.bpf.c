//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Processes that the kernel kills for memory. */
#include "descry.bpf.h"
#include "rss.bpf.h"
#include "cgroup.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set by the Go side: the tracepoint's parameter is a task (6.10), not a pid. */
volatile const __u32 victim_is_task = 0;

struct oom_event {
	struct event_header h;
	__u64 rss; /* pages; 0 where the tracepoint gives a pid only */
	__u32 known; /* whose limit it was could be looked for */
	__u32 pad;
	struct full_cgroup at;
};
EVENT(oom_event)

SEC("tp_btf/mark_victim")
int BPF_PROG(on_mark_victim)
{
	struct task_struct *t = NULL;
	struct oom_event *e;
	struct proc *p;
	__u32 tgid;

	if (victim_is_task) {
		t = (struct task_struct *)ctx[0];
		tgid = BPF_CORE_READ(t, tgid);
	} else {
		tgid = ctx[0]; /* of a thread that still has memory: nearly always the first one */
	}
	p = tree_of(tgid);
	if (!p)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_OOM);
		return 0;
	}
	/* The current task is whoever happened to need memory. */
	e->h.boot_ns = bpf_ktime_get_boot_ns();
	e->h.type = EV_OOM;
	e->h.pid = p->pid;
	e->h.tid = 0;
	e->h.subject = p->subject;
	__builtin_memset(e->h.comm, 0, sizeof(e->h.comm));
	e->rss = 0;
	if (t) {
		BPF_CORE_READ_INTO(&e->h.comm, t, group_leader, comm);
		e->rss = rss_pages(BPF_CORE_READ(t, mm));
	} else {
		/* Where a cgroup is at its limit, who asked for memory is in it as well as who is chosen. */
		t = (struct task_struct *)bpf_get_current_task_btf();
	}
	e->pad = 0;
	e->known = bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id);
	if (e->known)
		find_full(&e->at, css_of(t, bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)),
			  bpf_core_field_offset(struct mem_cgroup, memory.usage), bpf_core_field_offset(struct mem_cgroup, memory.max), 64);
	else
		__builtin_memset(&e->at, 0, sizeof(e->at));
	bpf_ringbuf_submit(e, 0);
	return 0;
}
