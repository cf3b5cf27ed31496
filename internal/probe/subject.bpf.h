/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The life of a node's subjects: what is told of them, and how processes are counted in and out. */
#ifndef SUBJECT_BPF_H
#define SUBJECT_BPF_H

#include "descry.bpf.h"

/* In the order of containerActions in container.go. */
enum container_action { CONTAINER_STARTED, CONTAINER_FOUND, CONTAINER_JOINED, CONTAINER_MAIN, CONTAINER_LEFT, CONTAINER_EMPTY, CONTAINER_REMOVED };

struct container_event {
	struct event_header h;
	__u64 cgroup;
	__u64 unified;
	__u32 action;
	__u32 hierarchy;
	__u32 path_len;
	__u32 pad;
	char path[SUBJECT_PATH];
};
EVENT(container_event)

/* Of container names, see struct place: the latest subject. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} names SEC(".maps");

static __always_inline struct subject *subject_at(__u32 number)
{
	return bpf_map_lookup_elem(&subjects, &number);
}

/* tell_container emits what happened to a subject; task is the process (its leader) that did it, or 0. */
__noinline int tell_container(__u32 number, __u32 action, __u64 task)
{
	struct task_struct *t = (struct task_struct *)task;
	struct subject *s = subject_at(number);
	struct container_event *e;

	if (!s)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_CONTAINER);
		return 0;
	}
	e->h.boot_ns = bpf_ktime_get_boot_ns();
	e->h.type = EV_CONTAINER;
	e->h.subject = number;
	e->h.pid = t ? tid_of(t) : 0;
	e->h.tid = 0;
	__builtin_memset(e->h.comm, 0, sizeof(e->h.comm));
	if (t)
		BPF_CORE_READ_INTO(&e->h.comm, t, comm);
	e->cgroup = s->cgroup;
	e->unified = s->unified;
	e->action = action;
	e->hierarchy = s->hierarchy;
	e->path_len = s->path_len;
	e->pad = 0;
	__builtin_memcpy(e->path, s->path, sizeof(e->path));
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* gone_from counts a process out of a subject; the last one ends it. */
__noinline int gone_from(__u32 number, __u64 task)
{
	struct subject *s = subject_at(number);
	__u32 *latest;
	__u64 name;

	if (!s || __sync_fetch_and_add(&s->procs, -1) != 1)
		return 0;
	name = s->name;
	latest = bpf_map_lookup_elem(&names, &name);
	if (latest && *latest == number)
		bpf_map_delete_elem(&names, &name);
	tell_container(number, CONTAINER_EMPTY, task);
	return 0;
}

/* looks_closer flags a process that has come into the tree while its subject is looked at. */
static __always_inline void looks_closer(__u32 tgid, struct subject *s)
{
	struct proc *p;

	if (!s->look)
		return;
	p = bpf_map_lookup_elem(&tree, &tgid);
	if (p)
		__sync_fetch_and_or(&p->flags, PROC_LOOKED);
}

#endif
