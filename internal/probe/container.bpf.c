//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Containers, as they come and go: a process that is put into a cgroup whose name is a container's
 * belongs to that subject from then on, and all that it makes.
 *
 * A cgroup of version 1 is one of several alike ones, one in each hierarchy, and a process is put into
 * one after the other. The first makes the subject; the others are known to be the same by their name.
 */
#include "place.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PF_KTHREAD 0x200000

/* join counts a process into a subject that has others. */
static __always_inline bool join(struct subject *s)
{
	__u32 n;

	for (int i = 0; i < 16; i++) {
		n = *(volatile __u32 *)&s->procs;
		if (!n)
			return false;
		if (__sync_val_compare_and_swap(&s->procs, n, n + 1) == n)
			return true;
	}
	__sync_fetch_and_add(&s->procs, 1);
	return true;
}

/* keep_leaf remembers that a cgroup is a subject's. */
__noinline int keep_leaf(__u32 number, __u64 cgroup)
{
	struct cgroup *g = (struct cgroup *)cgroup;
	struct subject *s = subject_at(number);
	struct leaf l = {.subject = number};
	__u64 key = cgroup_key(g);

	if (!s)
		return 0;
	if (!(key >> 48) && !s->unified)
		s->unified = key;
	if (bpf_map_update_elem(&leaves, &key, &l, BPF_ANY))
		count_lost(EV_CONTAINER);
	return 0;
}

/* make_subject makes the one of the place that was found, with its first process, and tells of it before
 * anybody can come to know it. Its number, or that of another who was quicker; 0 where there is no room. */
__noinline __u32 make_subject(__u32 slot, __u64 cgroup, __u64 task, __u32 action)
{
	struct cgroup *g = (struct cgroup *)cgroup;
	__u32 key = NODE_SUBJECTS, number, was, *latest;
	struct place *w = place_at(slot);
	__u64 *next, name, from;
	struct subject *s;

	next = bpf_map_lookup_elem(&node_state, &key);
	if (!w || !next)
		return 0;
	name = w->found.name;
	latest = bpf_map_lookup_elem(&names, &name);
	was = latest ? *latest : 0;
	number = __sync_fetch_and_add(next, 1) + 1;
	s = &w->made;
	s->cgroup = w->found.key;
	s->unified = s->cgroup >> 48 ? 0 : s->cgroup;
	s->name = name;
	s->held = action == CONTAINER_FOUND;
	s->procs = 1 + s->held; /* who is found first may end before the next one is found */
	s->main = tid_of((struct task_struct *)task);
	s->main_known = s->look = 0;
	s->main_start = 0;
	s->hierarchy = FAR(g, root, hierarchy_id);
	from = w->found.path;
	if (from >= SUBJECT_PATH)
		from = 0;
	bpf_probe_read_kernel(s->path, sizeof(s->path), w->path + from);
	s->path_len = w->len > from ? w->len - from : 0;
	if (bpf_map_update_elem(&subjects, &number, s, BPF_NOEXIST)) {
		count_lost(EV_CONTAINER);
		return 0;
	}
	tell_container(number, action, task);
	if (latest && __sync_val_compare_and_swap(latest, was, number) == was)
		return number;
	if (!latest) {
		long err = bpf_map_update_elem(&names, &name, &number, BPF_NOEXIST);

		if (!err)
			return number;
		latest = bpf_map_lookup_elem(&names, &name);
		if (!latest) { /* no room: its cgroup alone is known */
			count_lost(EV_CONTAINER);
			return number;
		}
	}
	/* Two came at once. */
	tell_container(number, CONTAINER_REMOVED, 0);
	bpf_map_delete_elem(&subjects, &number);
	number = *latest;
	s = subject_at(number);
	return s && join(s) ? number : 0;
}

/* What came of settling a process. */
enum { SETTLED_NOWHERE, SETTLED_ALREADY, SETTLED_NEW, SETTLED_FIRST };

struct settling {
	__u64 cgroup, task;
	__u32 flags;  /* of its entry in the tree */
	__u32 action; /* that a new subject is told with */
	__u32 slot;
	__u32 tgid;
	__u32 number; /* of the subject, once settled */
	__u32 pad;
};

/* subject_of finds the subject of a cgroup and counts the process in, unless it is in already. */
static __always_inline int subject_of(struct settling *x, __u32 mine)
{
	struct cgroup *g = (struct cgroup *)x->cgroup;
	struct place *w = place_at(x->slot);
	__u64 key = cgroup_key(g), name;
	struct leaf *l;
	struct subject *s;
	__u32 *latest;

	l = bpf_map_lookup_elem(&leaves, &key);
	if (l) {
		x->number = l->subject;
		if (x->number == mine)
			return SETTLED_ALREADY;
		s = subject_at(x->number);
		if (s && join(s))
			return SETTLED_NEW;
	}
	if (!w || !find_place(x->slot, x->cgroup))
		return SETTLED_NOWHERE;
	name = w->found.name;
	latest = bpf_map_lookup_elem(&names, &name);
	if (latest) {
		x->number = *latest;
		s = subject_at(x->number);
		if (x->number == mine) {
			keep_leaf(mine, x->cgroup);
			return SETTLED_ALREADY;
		}
		if (s && join(s)) {
			keep_leaf(x->number, x->cgroup);
			return SETTLED_NEW;
		}
	}
	x->number = make_subject(x->slot, x->cgroup, x->task, x->action);
	if (!x->number)
		return SETTLED_NOWHERE;
	keep_leaf(x->number, x->cgroup);
	return SETTLED_FIRST;
}

/* settle puts a process where its cgroup says that it belongs. */
__noinline int settle(struct settling *x)
{
	__u32 tgid, was = 0, flags;
	struct task_struct *t;
	struct proc *p, q = {};
	struct subject *s;
	int is;

	if (!x)
		return 0;
	tgid = x->tgid;
	flags = x->flags;
	t = (struct task_struct *)x->task;
	p = bpf_map_lookup_elem(&tree, &tgid);
	if (p)
		was = p->subject;
	is = subject_of(x, was);
	if (is == SETTLED_ALREADY || is == SETTLED_NOWHERE)
		return is;
	s = subject_at(x->number);
	if (!s)
		return SETTLED_NOWHERE;
	if (is == SETTLED_NEW && x->action == CONTAINER_STARTED)
		tell_container(x->number, CONTAINER_JOINED, x->task);
	if (p) {
		tell_container(was, CONTAINER_LEFT, x->task);
		p->subject = x->number;
		p->root = s->main;
		__sync_fetch_and_and(&p->flags, ~PROC_LOOKED);
		__sync_fetch_and_or(&p->flags, PROC_OUTSIDE);
		gone_from(was, x->task);
	} else {
		q.pid = tid_of(t);
		q.root = s->main;
		q.subject = x->number;
		q.flags = flags;
		if (bpf_map_update_elem(&tree, &tgid, &q, BPF_NOEXIST)) {
			count_lost(EV_FORK);
			gone_from(x->number, x->task);
			return SETTLED_NOWHERE;
		}
		/* One that ends meanwhile may have passed its end before it came into the tree. */
		if (FAR(t, signal, live.counter) == 0 && !bpf_map_delete_elem(&tree, &tgid)) {
			gone_from(x->number, x->task);
			return SETTLED_NOWHERE;
		}
	}
	looks_closer(tgid, s);
	return is;
}

static __always_inline int settle_in(struct cgroup *g, struct task_struct *t, __u32 flags)
{
	struct settling x = {.cgroup = (__u64)g, .task = (__u64)t, .flags = flags, .tgid = FAR(t, tgid),
			     .action = flags & PROC_ADOPTED ? CONTAINER_FOUND : CONTAINER_STARTED};
	int is;

	x.slot = place_claim(bpf_get_smp_processor_id());
	if (x.slot == ~0U) {
		count_lost(EV_CONTAINER);
		return SETTLED_ALREADY;
	}
	is = settle(&x);
	place_release(x.slot);
	return is;
}

/* A process was put into a cgroup. */
SEC("tp_btf/cgroup_attach_task")
int on_attach(unsigned long long *ctx)
{
	struct cgroup *g = (struct cgroup *)plain(&ctx[0]);
	struct task_struct *t = (struct task_struct *)plain(&ctx[2]);
	__u32 tgid = FAR(t, tgid), was;
	struct subject *s;
	struct proc *p;

	if (FAR(t, pid) != tgid || FAR(t, flags) & PF_KTHREAD || !awake())
		return 0;
	if (settle_in(g, t, PROC_OUTSIDE | PROC_LAUNCH) != SETTLED_NOWHERE)
		return 0;
	p = bpf_map_lookup_elem(&tree, &tgid);
	if (!p)
		return 0;
	was = p->subject;
	s = subject_at(was);
	if (!s || s->hierarchy != (__u32)FAR(g, root, hierarchy_id) || bpf_map_delete_elem(&tree, &tgid))
		return 0;
	tell_container(was, CONTAINER_LEFT, (__u64)t);
	gone_from(was, (__u64)t);
	return 0;
}

/* unified_of is a task's cgroup of version 2. */
static __always_inline struct cgroup *unified_of(struct task_struct *t)
{
	return FAR(t, cgroups, dfl_cgrp);
}

/* cgroup_at is a task's cgroup of a controller, in whatever hierarchy that is. */
static __always_inline struct cgroup *cgroup_at(struct task_struct *t, __u32 controller)
{
	struct css_set *set = FAR(t, cgroups);
	struct cgroup_subsys_state *css = NULL;

	bpf_probe_read_kernel(&css, sizeof(css), (void *)set + bpf_core_field_offset(struct css_set, subsys) +
		(controller & 31) * sizeof(css));
	return FAR(css, cgroup);
}

#define EVERYWHERE(settle_one)                                                                     \
	if (settle_one(unified_of(t)) == SETTLED_NOWHERE &&                                        \
	    settle_one(AT(memory_cgrp_id)) == SETTLED_NOWHERE && settle_one(AT(pids_cgrp_id)) == SETTLED_NOWHERE) \
		settle_one(AT(cpu_cgrp_id))
#define AT(c) (bpf_core_enum_value_exists(enum cgroup_subsys_id, c) ? cgroup_at(t, bpf_core_enum_value(enum cgroup_subsys_id, c)) : NULL)

/*
 * A child that was made in another cgroup than its parent's, which no attachment tells of. And while
 * Set.Adopt looks for what runs, those that fork before it comes to them: so no child is missed. It stands
 * before on_fork.
 */
SEC("tp_btf/sched_process_fork")
int on_fork_into(unsigned long long *ctx)
{
	struct task_struct *parent = (struct task_struct *)plain(&ctx[0]), *child = (struct task_struct *)plain(&ctx[1]), *t;
	__u32 tgid = FAR(parent, tgid), key = NODE_ADOPTING;
	__u64 *adopting;

	if (FAR(child, tgid) == tgid)
		return 0;
	if (FAR(child, cgroups) != FAR(parent, cgroups)) {
		if (awake())
			settle_in(unified_of(child), child, PROC_OUTSIDE | PROC_LAUNCH);
		return 0;
	}
	adopting = bpf_map_lookup_elem(&node_state, &key);
	if (!adopting || !*adopting || !awake() || bpf_map_lookup_elem(&tree, &tgid) || FAR(parent, flags) & PF_KTHREAD)
		return 0;
	t = FAR(parent, group_leader);
#define SETTLE(g) settle_in(g, t, PROC_EXECED | PROC_ADOPTED)
	EVERYWHERE(SETTLE);
	return 0;
}

/* A cgroup is gone. */
SEC("tp_btf/cgroup_rmdir")
int on_rmdir(unsigned long long *ctx)
{
	struct cgroup *g = (struct cgroup *)plain(&ctx[0]);
	__u64 key = cgroup_key(g);
	struct subject *s;
	struct leaf *l;
	__u32 number;

	l = bpf_map_lookup_elem(&leaves, &key);
	if (!l || !awake())
		return 0;
	number = l->subject;
	bpf_map_delete_elem(&leaves, &key);
	s = subject_at(number);
	if (s && s->cgroup == key)
		tell_container(number, CONTAINER_REMOVED, 0);
	return 0;
}

/* --- those that run already --- */

struct adopt_row {
	__u32 type, size;
	__u32 pid;
	__u32 subject;
};
enum { ROW_ADOPTED = 1 };

/* adopt_in is settle_in for the iterator, of which the Go side lets one run at a time. */
static __always_inline int adopt_in(struct bpf_iter__task *ctx, struct cgroup *g, struct task_struct *t, __u32 tgid)
{
	struct settling x = {.cgroup = (__u64)g, .task = (__u64)t, .flags = PROC_EXECED | PROC_ADOPTED, .action = CONTAINER_FOUND,
			     .slot = place_slots - 1, .tgid = tgid};
	int is = settle(&x);

	if (is == SETTLED_FIRST) {
		struct adopt_row r = {.type = ROW_ADOPTED, .size = sizeof(r), .pid = tid_of(t), .subject = x.number};

		bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	}
	return is;
}

/* main_of finds out who of an adopted subject came from outside, and who of these first. */
static __always_inline void main_of(struct task_struct *t, struct proc *p)
{
	__u32 parent = FAR(t, real_parent, tgid);
	struct proc *above = bpf_map_lookup_elem(&tree, &parent);
	struct subject *s = subject_at(p->subject);
	__u64 start;

	if (!s || (above && above->subject == p->subject))
		return;
	__sync_fetch_and_or(&p->flags, PROC_OUTSIDE);
	start = FAR(t, start_boottime);
	if (s->main_known || (s->main_start && s->main_start <= start))
		return;
	s->main_start = start;
	s->main = p->pid;
}

/* let_go ends what Set.Adopt has held a subject for. */
static long let_go(void *map, __u32 *number, struct subject *s, void *none)
{
	if (__sync_val_compare_and_swap(&s->held, 1, 0) == 1)
		gone_from(*number, 0);
	return 0;
}

SEC("iter/task")
int on_adopt(struct bpf_iter__task *ctx)
{
	__u32 key = NODE_ADOPTING, tgid;
	struct task_struct *t = ctx->task;
	struct subject *s;
	__u64 *mode;
	struct proc *p;

	mode = bpf_map_lookup_elem(&node_state, &key);
	if (!mode)
		return 0;
	if (!t) { /* the last call */
		if (*mode == 3)
			bpf_for_each_map_elem(&subjects, let_go, NULL, 0);
		return 0;
	}
	tgid = FAR(t, tgid);
	if (FAR(t, pid) != tgid || FAR(t, flags) & PF_KTHREAD)
		return 0;
	p = bpf_map_lookup_elem(&tree, &tgid);
	if (*mode == 1) {
		if (p || FAR(t, signal, live.counter) == 0)
			return 0;
#define ADOPT(g) adopt_in(ctx, g, t, tgid)
		EVERYWHERE(ADOPT);
		return 0;
	}
	if (!p || !(p->flags & PROC_ADOPTED))
		return 0;
	if (*mode == 2) {
		main_of(t, p);
		return 0;
	}
	__sync_fetch_and_and(&p->flags, ~PROC_ADOPTED);
	s = subject_at(p->subject);
	if (!s)
		return 0;
	p->root = s->main;
	if (s->main == p->pid && !s->main_known) {
		s->main_known = 1;
		tell_container(p->subject, CONTAINER_MAIN, (__u64)FAR(t, group_leader));
	}
	return 0;
}
