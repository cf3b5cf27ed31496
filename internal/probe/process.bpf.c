//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The life of the tree's processes: fork, exec, exit. */
#include "descry.bpf.h"
#include "fdtable.bpf.h"
#include "subject.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SIGNAL_GROUP_EXIT 4
#define PF_EXITING 0x4
#define PF_SIGNALED 0x400
#define RLIMIT_NOFILE 7
#define RLIMIT_DATA 2
#define RLIMIT_AS 9
#define USER_LEVELS 4 /* user namespaces in each other that are looked at */
#define FORKS_WHOLE 64   /* of each process; the others are counted */
#define ARGS 256
#define MAX_THREADS 1024 /* threads that are summed up at an exit */

/* Set by the Go side: sched_process_exit says itself who is the last thread (6.16). */
volatile const __u32 exit_has_group_dead = 0;

/* --- fork --- */

struct fork_event {
	struct event_header h;
	__u32 child;
	__u32 pad;
};
EVENT(fork_event)

/* grew enters a child of a node's subject, unless on_fork_into has done so. */
static __always_inline void grew(struct task_struct *parent, struct task_struct *child, struct proc *p, struct proc *q)
{
	struct subject *s = subject_at(p->subject);
	__u32 tgid = FAR(parent, tgid), new = FAR(child, tgid), above;
	struct proc *from;
	long err;

	if (!s || FAR(child, cgroups) != FAR(parent, cgroups))
		return;
	/* One that is made as its maker's sibling, as runc does, has a parent outside. */
	q->flags |= p->flags & (PROC_LAUNCH | PROC_ADOPTED);
	above = FAR(child, real_parent, tgid);
	if (above != tgid) {
		from = bpf_map_lookup_elem(&tree, &above);
		if (!from || from->subject != p->subject)
			q->flags |= PROC_OUTSIDE;
	}
	err = bpf_map_update_elem(&tree, &new, q, BPF_NOEXIST);
	if (err) {
		if (err != -17) /* EEXIST: another generation of this program was quicker */
			count_lost(EV_FORK);
		return;
	}
	__sync_fetch_and_add(&s->procs, 1);
	looks_closer(new, s);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = FAR(parent, tgid), new = FAR(child, tgid);
	struct count_key k = {.type = EV_FORK};
	struct fork_event *e;
	struct proc *p, q = {};

	if (new == tgid) /* a thread */
		return 0;
	p = tree_of(tgid);
	if (!p)
		return 0;
	q.pid = tid_of(child);
	q.root = p->root;
	q.subject = p->subject;
	q.flags = p->flags & PROC_INHERITED;
	__builtin_memcpy(q.std, p->std, sizeof(q.std));
	if (node)
		grew(parent, child, p, &q);
	else if (bpf_map_update_elem(&tree, &new, &q, BPF_ANY))
		count_lost(EV_FORK);
	__sync_fetch_and_add(&p->forks, 1);
	k.pid = p->pid;
	k.subject = p->subject;
	if (count(&k, 0) >= FORKS_WHOLE)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_FORK);
		return 0;
	}
	fill(&e->h, EV_FORK, p);
	e->child = q.pid;
	e->pad = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* standards looks at a task's descriptors 0 to 2, in the slot. */
static __always_inline void standards(__u32 slot, struct task_struct *t)
{
	__u64 all = (__u64)FAR(t, files, fdt, fd);

	standard_fd(slot, all, 0);
	standard_fd(slot, all, 1);
	standard_fd(slot, all, 2);
}

/* written_by is how much a task, and the threads of its process that have ended before, gave to calls of write. */
static __always_inline __u64 written_by(struct task_struct *t)
{
	if (!bpf_core_field_exists(t->ioac.wchar))
		return 0;
	return FAR(t, ioac.wchar) + FAR(t, signal, ioac.wchar);
}

/* --- exec --- */

/* executed ends what a runtime does in its container: the first that it made there which runs a program
 * is the container's main process. */
__noinline int executed(__u64 leader, __u32 tgid)
{
	struct proc *p = bpf_map_lookup_elem(&tree, &tgid);
	struct subject *s;

	if (!p)
		return 0;
	s = subject_at(p->subject);
	__sync_fetch_and_or(&p->flags, PROC_EXECED);
	__sync_fetch_and_and(&p->flags, ~PROC_LAUNCH);
	if (!s || !(p->flags & PROC_OUTSIDE) || p->flags & PROC_ADOPTED || __sync_val_compare_and_swap(&s->main_known, 0, 1))
		return 0;
	s->main = p->root = p->pid;
	tell_container(p->subject, CONTAINER_MAIN, leader);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *t, pid_t old_pid, struct linux_binprm *bprm)
{
	__u32 tgid = FAR(t, tgid), slot, n, len;
	unsigned long start, end;
	struct walk *w;
	struct proc *p;

	p = tree_of(tgid);
	if (!p)
		return 0;
	if (node)
		executed((__u64)FAR(t, group_leader), tgid);
	__sync_fetch_and_and(&p->flags, ~PROC_STANDARD);
	p->written = written_by(t);
	slot = walk_claim(bpf_get_smp_processor_id());
	w = walk_at(slot);
	if (!w) {
		count_lost(EV_EXEC);
		return 0;
	}
	standards(slot, t);
	for (int i = 0; i < 3; i++)
		p->std[i] = *(struct std_was *)&w->std[i]; /* the same members, in the same places */
	__sync_fetch_and_or(&p->flags, PROC_STANDARD);
	w->root = BPF_CORE_READ(t, fs, root.dentry);
	w->root_mnt = BPF_CORE_READ(t, fs, root.mnt);
	w->paths.n = 0;
	path_add(slot, (__u64)BPF_CORE_READ(bprm, file, f_path.dentry), (__u64)BPF_CORE_READ(bprm, file, f_path.mnt));
	n = w->paths.n & (WALK_PATHS - 1);
	start = BPF_CORE_READ(t, mm, arg_start);
	end = BPF_CORE_READ(t, mm, arg_end);
	end -= start;
	len = end < ARGS ? end : ARGS;
	asm volatile("" : "+r"(len)); /* for the verifier: the bounds of the register that is used */
	if (len > ARGS)
		len = ARGS;
	if (bpf_probe_read_user(&w->paths.bytes[n], len, (void *)start))
		len = 0;
	w->paths.extra = len;
	w->paths.id = tid_of(FAR(t, real_parent, group_leader)) | (__u64)!!(p->flags & PROC_OUTSIDE) << 32;
	fill(&w->paths.h, EV_EXEC, p);
	n += sizeof(w->paths) - sizeof(w->paths.bytes) + len;
	if (n > sizeof(w->paths))
		n = sizeof(w->paths);
	if (bpf_ringbuf_output(&events, &w->paths, n, 0))
		count_lost(EV_EXEC);
	walk_release(slot);
	return 0;
}

/* --- exit --- */

struct exit_event {
	struct event_header h;
	__u64 id; /* of the groups and paths that came before; 0: the table was not walked */
	__u64 start_ns;
	__u64 utime, stime, runtime;
	__u64 maxrss; /* pages */
	__u64 min_flt, maj_flt;
	__u64 soft, hard; /* RLIMIT_NOFILE */
	__u64 select_calls, refused;
	__s32 code; /* as of wait(2) */
	__u32 parent;
	__u32 ender;
	__u32 highest_ever;
	__u32 group_exit; /* exit_group or a fatal signal ended all threads */
	__u32 forks;
	__u32 open;
	__s32 highest;
	__u32 groups;
	__u32 nameless;
	__u32 by_kind[WALK_KINDS];
	/* Descriptors 0 to 2, as they were at exec and as they are; std_known: both were looked at. */
	struct std_was was[3], is[3];
	__u32 std_known;
	__u32 uid, gid; /* that files are judged by */
	__u32 pad;
	__u64 caps;
	__u64 as_limit, data_limit; /* bytes */
	__u64 vm_peak; /* pages; 0: not known, before 6.16 the address space is gone by then */
	__u64 written; /* bytes, since its exec */
	__s64 inotify, inotify_max; /* instances of its user, in the user namespace that allows fewest; -1: not known */
};
EVENT(exit_event)

struct thread_walk {
	struct signal_struct *sig;
	struct list_head *at;
	__u64 utime, stime, runtime, min_flt, maj_flt, written;
	__u32 ender;
};

/* thread_step sums up a thread that the process's own sums do not have yet. */
static long thread_step(__u32 i, struct thread_walk *c)
{
	struct list_head *at = c->at;
	struct task_struct *t;
	__u32 flags;

	if (!at || at == (void *)c->sig + bpf_core_field_offset(struct signal_struct, thread_head))
		return 1;
	t = (void *)at - bpf_core_field_offset(struct task_struct, thread_node);
	c->utime += BPF_CORE_READ(t, utime);
	c->stime += BPF_CORE_READ(t, stime);
	c->runtime += BPF_CORE_READ(t, se.sum_exec_runtime);
	c->min_flt += BPF_CORE_READ(t, min_flt);
	c->maj_flt += BPF_CORE_READ(t, maj_flt);
	if (bpf_core_field_exists(t->ioac.wchar))
		c->written += BPF_CORE_READ(t, ioac.wchar);
	flags = BPF_CORE_READ(t, flags);
	if (!c->ender && (flags & PF_EXITING) && !(flags & PF_SIGNALED))
		c->ender = tid_of(t);
	c->at = BPF_CORE_READ(at, next);
	return 0;
}

/* called_exit_group says that the current, exiting thread asked for the end of its process. */
static __always_inline bool called_exit_group(struct task_struct *t)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(t);

	if (t->flags & PF_SIGNALED) /* a signal ended it, often the one by which another thread's exit_group ends all */
		return false;
#if defined(__TARGET_ARCH_x86)
	return regs->orig_ax == 231;
#else
	return regs->syscallno == 94;
#endif
}

static __always_inline void emit_table(struct walk *w, struct proc *p, __u64 id)
{
	__u32 n = w->groups.n;

	if (n > WALK_GROUPS)
		n = WALK_GROUPS;
	w->groups.id = w->paths.id = id;
	w->paths.extra = 0;
	n = n * sizeof(struct fd_group) + sizeof(w->groups) - sizeof(w->groups.all);
	fill(&w->groups.h, EV_FD_GROUPS, p);
	if (bpf_ringbuf_output(&events, &w->groups, n, 0))
		count_lost(EV_FD_GROUPS);
	n = w->paths.n & (WALK_PATHS - 1);
	if (!n)
		return;
	n += sizeof(w->paths) - sizeof(w->paths.bytes);
	fill(&w->paths.h, EV_FD_PATHS, p);
	if (bpf_ringbuf_output(&events, &w->paths, n, 0))
		count_lost(EV_FD_PATHS);
}

static __always_inline void exit_usage(struct exit_event *e, struct task_struct *t, struct signal_struct *sig)
{
	struct thread_walk c = {.sig = sig};

	c.at = BPF_CORE_READ(sig, thread_head.next);
	c.utime = BPF_CORE_READ(sig, utime);
	c.stime = BPF_CORE_READ(sig, stime);
	c.runtime = BPF_CORE_READ(sig, sum_sched_runtime);
	c.min_flt = BPF_CORE_READ(sig, min_flt);
	c.maj_flt = BPF_CORE_READ(sig, maj_flt);
	if (bpf_core_field_exists(sig->ioac.wchar))
		c.written = BPF_CORE_READ(sig, ioac.wchar);
	bpf_loop(MAX_THREADS, thread_step, &c, 0);
	e->written = c.written;
	e->utime = c.utime;
	e->stime = c.stime;
	e->runtime = c.runtime;
	e->min_flt = c.min_flt;
	e->maj_flt = c.maj_flt;
	e->maxrss = BPF_CORE_READ(sig, maxrss);
	e->soft = BPF_CORE_READ(sig, rlim[RLIMIT_NOFILE].rlim_cur);
	e->hard = BPF_CORE_READ(sig, rlim[RLIMIT_NOFILE].rlim_max);
	e->start_ns = BPF_CORE_READ(t, group_leader, start_boottime);
	if (BPF_CORE_READ(sig, flags) & SIGNAL_GROUP_EXIT)
		e->code = BPF_CORE_READ(sig, group_exit_code);
	else
		e->code = BPF_CORE_READ(t, group_leader, exit_code);
	e->parent = tid_of(BPF_CORE_READ(t, real_parent, group_leader));
	e->group_exit = e->ender != 0 || (e->code & 0x7f);
	if (!e->ender && !(e->code & 0x7f))
		e->ender = c.ender;
}

/* exit_user says who it ran as, and what that user has of what is counted by user. */
static __always_inline void exit_user(struct exit_event *e, struct task_struct *t)
{
	struct ucounts *u = FAR(t, cred, ucounts);
	struct user_namespace *ns;
	__u64 nr, n, max;

	e->uid = FAR(t, cred, fsuid.val);
	e->gid = FAR(t, cred, fsgid.val);
	bpf_probe_read_kernel(&e->caps, sizeof(e->caps), (void *)FAR(t, cred) + bpf_core_field_offset(struct cred, cap_effective));
	e->inotify = e->inotify_max = -1;
	if (!bpf_core_enum_value_exists(enum ucount_type, UCOUNT_INOTIFY_INSTANCES))
		return;
	nr = bpf_core_enum_value(enum ucount_type, UCOUNT_INOTIFY_INSTANCES) & 31;
	for (int i = 0; i < USER_LEVELS && u; i++) {
		ns = FAR(u, ns);
		n = max = 0;
		bpf_probe_read_kernel(&n, sizeof(n), (void *)u + bpf_core_field_offset(struct ucounts, ucount) + nr * sizeof(n));
		bpf_probe_read_kernel(&max, sizeof(max), (void *)ns + bpf_core_field_offset(struct user_namespace, ucount_max) + nr * sizeof(max));
		if (e->inotify < 0 || (__s64)(max - n) < e->inotify_max - e->inotify) {
			e->inotify = n;
			e->inotify_max = max;
		}
		u = FAR(ns, ucounts);
	}
}

/* exit_memory says how much address space it may have, and had at most. */
static __always_inline void exit_memory(struct exit_event *e, struct task_struct *t, struct signal_struct *sig)
{
	struct mm_struct *mm = FAR(t, mm);
	__u64 peak, now;

	e->as_limit = BPF_CORE_READ(sig, rlim[RLIMIT_AS].rlim_cur);
	e->data_limit = BPF_CORE_READ(sig, rlim[RLIMIT_DATA].rlim_cur);
	peak = FAR(mm, hiwater_vm);
	now = FAR(mm, total_vm);
	e->vm_peak = peak > now ? peak : now;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *t)
{
	struct signal_struct *sig = FAR(t, signal);
	struct exit_event *e;
	struct proc *p, q;
	struct walk *w = NULL;
	__u32 tgid = FAR(t, tgid), slot;
	__u64 id = 0;

	p = tree_of(tgid);
	if (!p)
		return 0;
	if (!p->ender && called_exit_group(t))
		p->ender = tid_of(t);
	if (exit_has_group_dead) {
		if (!(ctx[1] & 1))
			return 0;
	} else if (FAR(sig, live.counter) != 0) {
		return 0;
	}
	q = *p;
	/* Two threads that exit at once may both see that none is left: the first one reports. */
	if (bpf_map_delete_elem(&tree, &tgid))
		return 0;
	slot = walk_claim(bpf_get_smp_processor_id());
	w = walk_at(slot);
	if (w && walk_table(slot, t)) {
		standards(slot, t);
		id = bpf_ktime_get_boot_ns() << 4 | slot;
		emit_table(w, &q, id);
	}
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_EXIT);
		goto out;
	}
	__builtin_memset(e, 0, sizeof(*e));
	fill(&e->h, EV_EXIT, &q);
	e->h.tid = 0;
	BPF_CORE_READ_INTO(&e->h.comm, t, group_leader, comm);
	e->ender = q.ender;
	e->select_calls = q.select_calls;
	e->refused = q.refused;
	e->highest_ever = q.highest;
	e->forks = q.forks;
	exit_usage(e, t, sig);
	exit_user(e, t);
	exit_memory(e, t, sig);
	e->written = e->written > q.written ? e->written - q.written : 0;
	e->id = id;
	if (w && id) {
		e->open = w->open;
		e->highest = w->highest;
		e->groups = w->groups.n;
		e->nameless = w->nameless;
		__builtin_memcpy(e->by_kind, w->by_kind, sizeof(e->by_kind));
		e->std_known = !!(q.flags & PROC_STANDARD);
		for (int i = 0; i < 3; i++) {
			e->was[i] = q.std[i];
			e->is[i] = *(struct std_was *)&w->std[i];
		}
	}
	bpf_ringbuf_submit(e, 0);
out:
	if (w)
		walk_release(slot);
	if (node)
		gone_from(q.subject, (__u64)FAR(t, group_leader));
	return 0;
}
