//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Sweeps: what the tree's processes hold now. */
#include "descry.bpf.h"
#include "fdtable.bpf.h"
#include "rss.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define RLIMIT_NOFILE 7
#define TASK_SLEEPS 3 /* interruptibly or not */

enum row_type { ROW_PROCESS = 1, ROW_BLOCKED, ROW_TABLE, ROW_FOUND };

/* What a sweep is asked: the pid, as descry sees it, that is looked for. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} wanted SEC(".maps");

struct process_row {
	__u32 type, size;
	__u32 pid;
	__u32 threads;
	__u64 open;
	__s64 highest;
	__u64 soft, hard;
	__u64 rss; /* pages */
	__u64 select_calls;
	__u64 mappings;
	struct standard io[3];
	char comm[COMM_LEN];
	__u64 start_ns;
	__u32 subject;
	__u32 parent;
	__u32 outside;
	__u32 has_io; /* io was looked at */
};

struct blocked_row {
	__u32 type, size;
	__u32 pid, tid;
	__u32 fd;
	__u32 pad;
};

struct table_row {
	__u32 type, size;
	__u32 pid;
	__u32 open;
	__s32 highest;
	__u32 nameless;
	__u32 groups, paths;       /* groups, and bytes of paths */
	__u32 groups_at, paths_at; /* where they stand in the slot */
	__u64 soft, hard;
	__u32 by_kind[WALK_KINDS];
};

struct found_row {
	__u32 type, size;
	__u32 tgid;
	__u32 pad;
};

/* The sweeps' own slot; the Go side lets one run at a time. */
#define SLOT (walk_slots - 1)

#define COUNT_WORDS 4 /* of a bitmap, read at once */

struct count_walk {
	unsigned long *bits;
	__u32 words;
	__u32 open;
	__s32 highest;
};

/* count_words counts the descriptors in COUNT_WORDS words. Behind a bitmap's end, in the same block of memory, stands
 * what is not counted. */
static long count_words(__u32 i, struct count_walk *c)
{
	unsigned long w[COUNT_WORDS], v, last = 0;
	__u32 base = i * COUNT_WORDS, r = 0;

	if (base >= c->words)
		return 1;
	if (bpf_probe_read_kernel(w, sizeof(w), &c->bits[base]))
		return 0;
	for (int k = 0; k < COUNT_WORDS; k++) {
		v = w[k];
		if (!v || base + k >= c->words)
			continue;
		c->highest = (base + k) * 64;
		last = v;
		v -= v >> 1 & 0x5555555555555555UL;
		v = (v & 0x3333333333333333UL) + (v >> 2 & 0x3333333333333333UL);
		v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fUL;
		c->open += v * 0x0101010101010101UL >> 56;
	}
	if (!last)
		return 0;
	/* Its highest bit, in six steps. */
	if (last >> 32) { r += 32; last >>= 32; }
	if (last >> 16) { r += 16; last >>= 16; }
	if (last >> 8) { r += 8; last >>= 8; }
	if (last >> 4) { r += 4; last >>= 4; }
	if (last >> 2) { r += 2; last >>= 2; }
	if (last >> 1) { r += 1; }
	c->highest += r;
	return 0;
}

/*
 * NEAR reads a member: by a plain load, which takes half of the time, where near is set. Loading a program that
 * has them takes 15 ms more (see FAR): that is for who sweeps a thousand processes, not for one that starts.
 */
#define NEAR(p, ...) ({ \
	typeof((p)->__VA_ARGS__) value; \
	if (near) \
		value = (p)->__VA_ARGS__; \
	else \
		bpf_core_read(&value, sizeof(value), &(p)->__VA_ARGS__); \
	value; })

/* blocked_in gives the descriptor that a sleeping thread writes to, or -1. */
static __always_inline int blocked_in(struct task_struct *t, const bool near)
{
	struct pt_regs *regs;
	long nr, fd;

	if (!(NEAR(t, __state) & TASK_SLEEPS))
		return -1;
	regs = (struct pt_regs *)bpf_task_pt_regs(t);
#if defined(__TARGET_ARCH_x86)
	nr = NEAR(regs, orig_ax);
	if (nr != 1 /* write */ && nr != 20 /* writev */ && nr != 44 /* sendto */ && nr != 46 /* sendmsg */ && nr != 40 /* sendfile */)
		return -1;
	fd = NEAR(regs, di);
#else
	nr = NEAR(regs, syscallno);
	if (nr != 64 && nr != 66 && nr != 206 && nr != 211 && nr != 71)
		return -1;
	fd = NEAR(regs, orig_x0);
#endif
	return fd == 1 || fd == 2 ? fd : -1;
}

static __always_inline int sweep_task(struct bpf_iter__task *ctx, const bool near)
{
	struct task_struct *t = ctx->task;
	struct process_row row = {.type = ROW_PROCESS, .size = sizeof(row)};
	struct count_walk c = {.highest = -1};
	struct task_struct *leader, *parent;
	struct files_struct *files;
	struct signal_struct *sig;
	struct mm_struct *mm;
	struct fdtable *fdt;
	struct proc *p;
	__u32 tgid;
	int fd;

	if (!t)
		return 0;
	tgid = NEAR(t, tgid);
	p = bpf_map_lookup_elem(&tree, &tgid);
	if (!p)
		return 0;
	fd = blocked_in(t, near);
	if (fd >= 0) {
		struct blocked_row b = {.type = ROW_BLOCKED, .size = sizeof(b), .pid = p->pid, .tid = tid_of(t), .fd = fd};

		bpf_seq_write(ctx->meta->seq, &b, sizeof(b));
	}
	/* One thread stands for its process: the first, or where that is gone, any other. */
	leader = NEAR(t, group_leader);
	files = NEAR(t, files);
	if (!files || (NEAR(t, pid) != tgid && NEAR(leader, files)))
		return 0;
	fdt = NEAR(files, fdt);
	c.bits = NEAR(fdt, open_fds);
	c.words = NEAR(fdt, max_fds) / 64;
	if (c.words > COUNT_WORDS)
		bpf_loop(WALK_FDS / 64 / COUNT_WORDS, count_words, &c, 0);
	else
		count_words(0, &c);
	/* Most of a sweep's time goes there. Of a node's many processes each is looked at when it is first seen, and
	 * then about every fourth second. */
	row.has_io = !node || !(p->flags & PROC_IO) || !((bpf_ktime_get_boot_ns() / 1000000000 + tgid) & 3);
	if (row.has_io) {
		struct walk *w = walk_at(SLOT);
		__u64 all = (__u64)FAR(fdt, fd); /* a number, which is what a global function takes */

		standard_fd(SLOT, all, 0);
		standard_fd(SLOT, all, 1);
		standard_fd(SLOT, all, 2);
		if (w)
			__builtin_memcpy(row.io, w->std, sizeof(row.io));
		if (node && !(p->flags & PROC_IO))
			__sync_fetch_and_or(&p->flags, PROC_IO);
	}
	mm = NEAR(t, mm);
	sig = NEAR(t, signal);
	if (mm) {
		row.rss = near ? rss_near(mm) : rss_pages(mm);
		row.mappings = NEAR(mm, map_count);
	}
	if (NEAR(t, files) != files) /* it ended meanwhile: the table may be gone */
		return 0;
	row.pid = p->pid;
	row.open = c.open;
	row.highest = c.highest;
	row.threads = NEAR(sig, nr_threads);
	row.soft = NEAR(sig, rlim[RLIMIT_NOFILE].rlim_cur);
	row.hard = NEAR(sig, rlim[RLIMIT_NOFILE].rlim_max);
	row.select_calls = p->select_calls;
	bpf_probe_read_kernel(&row.comm, sizeof(row.comm), &leader->comm);
	row.start_ns = NEAR(leader, start_boottime);
	row.subject = p->subject;
	parent = NEAR(t, real_parent);
	parent = NEAR(parent, group_leader);
	row.parent = near && !ns_level ? NEAR(parent, pid) : tid_of(parent);
	row.outside = !!(p->flags & PROC_OUTSIDE);
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

SEC("iter/task")
int on_sweep(struct bpf_iter__task *ctx)
{
	return node ? sweep_task(ctx, true) : sweep_task(ctx, false); /* the verifier looks at one of them */
}

/* on_table groups the descriptors of one process, in the sweeps' slot. */
SEC("iter/task")
int on_table(struct bpf_iter__task *ctx)
{
	struct table_row row = {.type = ROW_TABLE, .size = sizeof(row)};
	struct task_struct *t = ctx->task;
	struct files_struct *files;
	__u32 zero = 0, *pid;
	struct walk *w;

	pid = bpf_map_lookup_elem(&wanted, &zero);
	if (!t || !pid || tid_of(BPF_CORE_READ(t, group_leader)) != *pid)
		return 0;
	files = BPF_CORE_READ(t, files);
	if (!files || (FAR(t, pid) != FAR(t, tgid) && BPF_CORE_READ(t, group_leader, files)))
		return 0;
	w = walk_at(SLOT);
	if (!w || !walk_table(SLOT, t) || BPF_CORE_READ(t, files) != files)
		return 0;
	row.pid = *pid;
	row.open = w->open;
	row.highest = w->highest;
	row.nameless = w->nameless;
	row.groups = w->groups.n;
	row.paths = w->paths.n;
	row.groups_at = __builtin_offsetof(struct walk, groups.all);
	row.paths_at = __builtin_offsetof(struct walk, paths.bytes);
	row.soft = BPF_CORE_READ(t, signal, rlim[RLIMIT_NOFILE].rlim_cur);
	row.hard = BPF_CORE_READ(t, signal, rlim[RLIMIT_NOFILE].rlim_max);
	__builtin_memcpy(row.by_kind, w->by_kind, sizeof(row.by_kind));
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

/* on_find translates a pid of descry's namespace. */
SEC("iter/task")
int on_find(struct bpf_iter__task *ctx)
{
	struct found_row row = {.type = ROW_FOUND, .size = sizeof(row)};
	struct task_struct *t = ctx->task;
	__u32 zero = 0, *pid;

	pid = bpf_map_lookup_elem(&wanted, &zero);
	if (!t || !pid || FAR(t, pid) != FAR(t, tgid) || tid_of(t) != *pid)
		return 0;
	row.tgid = FAR(t, tgid);
	bpf_seq_write(ctx->meta->seq, &row, sizeof(row));
	return 0;
}

/* on_level gives the level of the current process's pid namespace. It is run by hand. */
SEC("raw_tp")
int on_level(void *ctx)
{
	struct task_struct *t = (struct task_struct *)bpf_get_current_task();

	return BPF_CORE_READ(t, thread_pid, level);
}
