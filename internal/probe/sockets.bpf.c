//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Sweeps of sockets: those of the tree whose queues are full, that have dropped something, or that
 * wait for their peer. Healthy ones, be they thousands, are counted and stay in the kernel.
 *
 * They are reached through the descriptors, so the network namespace that they are in does not matter.
 */
#include "descry.bpf.h"
#include "socketlook.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct look {
	struct seq_file *seq;
	__u32 slot;
	__u32 base;
	__u32 main;
};

/* look_at looks at one descriptor: 1 where it is a socket in trouble, for which there is room; -1 for no more. */
static __always_inline int look_at(__u32 bit, __u32 slot, __u32 base, __u32 room)
{
	const struct file_operations *ops;
	struct socket_walk *w = walk_of(slot);
	struct file___buf *b;
	struct file *f;

	if (!w || !(w->open_bits >> (bit & 63)))
		return -1;
	if (!(w->open_bits >> (bit & 63) & 1))
		return 0;
	f = w->chunk[bit & 63];
	if (!f)
		return 0;
	b = (void *)f;
	ops = FAR(b, f_op);
	if (ops != w->socket_ops) {
		if (w->socket_ops || !ops || (FAR(f, f_inode, i_mode) & S_FMT) != S_SOCKET)
			return 0;
		w->socket_ops = ops;
	}
	if (!look_socket(slot, (__u64)f))
		return 0;
	w->sum.telling++;
	if (w->rows >= room)
		return 0;
	w->rows++;
	w->row.type = ROW_SOCKET;
	w->row.size = sizeof(w->row);
	w->row.pid = w->sum.pid;
	w->row.fd = base + bit;
	return 1;
}

static long sweep_at(__u32 bit, struct look *c)
{
	int n = look_at(bit, 0, c->base, MAX_ROWS);
	struct socket_walk *w = walk_of(0);

	if (n > 0 && w)
		bpf_seq_write(c->seq, &w->row, sizeof(w->row));
	return n < 0;
}

static long end_at(__u32 bit, struct look *c)
{
	int n = look_at(bit, c->slot, c->base, END_ROWS);
	struct socket_walk *w = walk_of(c->slot);
	struct socket_event *e;

	if (n <= 0 || !w)
		return n < 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_SOCKETS);
		return 0;
	}
	e->h.boot_ns = bpf_ktime_get_boot_ns();
	e->h.type = EV_SOCKETS;
	e->h.pid = w->sum.pid;
	e->h.tid = 0;
	e->h.subject = w->sum.subject;
	__builtin_memcpy(e->h.comm, w->sum.comm, sizeof(e->h.comm));
	__builtin_memcpy(&e->row, &w->row, sizeof(e->row));
	e->main = c->main;
	e->pad = 0;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* load_word takes the descriptors of one word of 64: 1 where there are some, -1 for no more. */
static __always_inline int load_word(__u32 i, __u32 slot)
{
	struct socket_walk *w = walk_of(slot);

	if (!w || i >= w->words)
		return -1;
	if (bpf_probe_read_kernel(&w->open_bits, sizeof(w->open_bits), &w->bits[i]) || !w->open_bits)
		return 0;
	return bpf_probe_read_kernel(w->chunk, sizeof(w->chunk), &w->fd[i * 64]) == 0;
}

static long sweep_word(__u32 i, struct look *c)
{
	int n = load_word(i, 0);

	c->base = i * 64;
	if (n > 0)
		bpf_loop(64, sweep_at, c, 0);
	return n < 0;
}

static long end_word(__u32 i, struct look *c)
{
	int n = load_word(i, c->slot);

	c->base = i * 64;
	if (n > 0)
		bpf_loop(64, end_at, c, 0);
	return n < 0;
}

/* begin_walk makes a slot ready for a table. */
static __always_inline void begin_walk(struct socket_walk *w, struct files_struct *files, struct proc *p)
{
	struct fdtable *fdt = FAR(files, fdt);

	__builtin_memset(&w->sum, 0, sizeof(w->sum));
	w->rows = 0;
	w->sum.type = ROW_SOCKETS;
	w->sum.size = sizeof(w->sum);
	w->sum.pid = p->pid;
	w->sum.subject = p->subject;
	w->fd = FAR(fdt, fd);
	w->bits = FAR(fdt, open_fds);
	w->words = FAR(fdt, max_fds) / 64;
}

SEC("iter/task")
int on_sockets(struct bpf_iter__task *ctx)
{
	struct look c = {.seq = ctx->meta->seq};
	struct task_struct *t = ctx->task;
	struct socket_walk *w = walk_of(0);
	struct files_struct *files;
	struct proc *p;
	__u32 tgid;

	if (!t || !w)
		return 0;
	tgid = FAR(t, tgid);
	p = bpf_map_lookup_elem(&tree, &tgid);
	if (!p)
		return 0;
	/* One thread stands for its process: the first, or where that is gone, any other. */
	files = FAR(t, files);
	if (!files || (FAR(t, pid) != tgid && FAR(t, group_leader, files)))
		return 0;
	begin_walk(w, files, p);
	bpf_loop(SOCKETS_FDS / 64, sweep_word, &c, 0);
	if (FAR(t, files) != files) /* it ended meanwhile: the table may be gone */
		return 0;
	BPF_CORE_READ_INTO(&w->sum.comm, t, group_leader, comm);
	bpf_seq_write(ctx->meta->seq, &w->sum, sizeof(w->sum));
	return 0;
}

/* on_socket_end looks once more as a process ends: it stands before on_exit, which forgets the process. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_socket_end)
{
	struct task_struct *t = (struct task_struct *)bpf_get_current_task();
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct files_struct *files;
	struct socket_walk *w;
	struct look c = {};
	struct proc *p;

	p = tree_of(tgid);
	if (!p || FAR(t, signal, live.counter) != 0)
		return 0;
	files = FAR(t, files);
	c.slot = 1 + (bpf_get_smp_processor_id() & (END_SLOTS - 1));
	w = walk_of(c.slot);
	if (!files || !w || __sync_val_compare_and_swap(&w->busy, 0, 1)) /* sweeps see what this one then does not */
		return 0;
	begin_walk(w, files, p);
	c.main = p->pid == p->root;
	BPF_CORE_READ_INTO(&w->sum.comm, t, group_leader, comm);
	bpf_loop(SOCKETS_FDS / 64, end_word, &c, 0);
	__sync_lock_test_and_set(&w->busy, 0);
	return 0;
}
