/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Writes that reach the subject's output, by whatever descriptor: who wrote which bytes of it. A byte
 * is known by the inode of the pipe (or pseudo-terminal) and its offset there, a running sum of what
 * writes gave. That sum is taken at the end of each call; where two threads write at the same time the
 * pipe may have another order, so what a write began with is kept to tell.
 */
#ifndef WRITTEN_BPF_H
#define WRITTEN_BPF_H

#include "write.bpf.h"

/* What a subject's output is. Key: the inode's number. */
struct output_is {
	__u64 sum;  /* bytes written; atomic */
	__u32 rdev; /* of a terminal, else 0 */
	__u32 last; /* slot of the latest run */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, struct output_is);
} outputs SEC(".maps");

/* Outputs whose writers are looked at closer: stacks of the next writes, whatever they hold. */
struct closer_is {
	__u64 until; /* CLOCK_BOOTTIME */
	__u64 stacks; /* that may still be taken; atomic */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, struct closer_is);
} closer SEC(".maps");

#define HEAD 16
#define LEDGER 4096
#define ODD_LEDGER 1024 /* behind them: runs of what no text has stay longer */
#define RUN_BYTES 32768 /* of one run: more would blur when it was */

/* A run: writes of one thread by one call on one descriptor, each behind the one before. */
struct run {
	__u64 ino;
	__u64 offset, length;
	__u64 first_ns, last_ns;
	__u64 last_offset;    /* of its last write */
	__u32 pid, tid;       /* as descry sees them */
	__u32 writes;
	__s32 fd;
	__u16 nr;
	__u8 odd;             /* they hold bytes that no text has, as far as was looked */
	__u8 first_len, last_len; /* of what is kept of the first and last write */
	__u8 pad[3];
	char comm[COMM_LEN];
	__u8 first[HEAD], last[HEAD];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LEDGER + ODD_LEDGER);
	__type(key, __u32);
	__type(value, struct run);
} ledger SEC(".maps");

/* How many runs there ever were; until when (CLOCK_BOOTTIME) any output is looked at closer; how many
 * odd runs there ever were. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} ledger_next SEC(".maps");

/* A write worth its stack: of bytes that no text has into the output, or to a standard descriptor that
 * is something else than the program started with. */
#define LOOK 64
#define LOOKS 16
#define LOOK_EACH 512
#define WRITTEN_PAGES 3
#define WRITTEN_WHOLE 3

enum { WRITTEN_ODD = 1, WRITTEN_OUTPUT = 2, WRITTEN_CLOSER = 4 };

struct written_event {
	struct event_header h;
	__u32 nr;
	__s32 fd;
	__u64 ino, offset;
	__u64 written;
	__u64 count; /* alike ones of this thread before and with it */
	__u64 from;  /* where data stood in the writer's memory, 0: not known */
	__u32 at;    /* where in the write data stands, as far as is known */
	__u16 len;   /* of data */
	__u16 flags;
	__u8 data[LOOK];
	struct fd_desc is;
	struct user_context context;
	__u8 stack[WRITTEN_PAGES * PAGE];
};
EVENT(written_event)

#define ONES 0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

struct look {
	__u64 words[LOOK / 8]; /* the first piece that is odd, else the first */
	__u64 piece[LOOK / 8]; /* that is looked at */
	__u64 addr, len;
	__u32 step;
	__u32 at, n;           /* of words */
	bool odd;
	__u8 first_len;
	__u8 first[HEAD];      /* of the write */
	__u32 flags;           /* of the event */
	__u64 count;
};

/* More than the stack has room for. */
struct writing {
	__u64 output; /* it is one */
	struct look look;
	struct run run;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct writing);
} writing SEC(".maps");

/*
 * look_at reads one piece and tells whether it holds what no text has: controls but those that
 * terminals and logs know (BEL to CR, ESC), or bytes that are no UTF-8. The ends of a piece may cut a
 * letter; there nothing is asked.
 */
__noinline int look_at(__u32 i)
{
	__u64 off, n, lead_was = 0, inside_was = 0x80, bad = 0;
	__u32 zero = 0;
	struct writing *w = bpf_map_lookup_elem(&writing, &zero);
	struct look *l;

	if (!w)
		return 1;
	l = &w->look;
	off = (__u64)i * l->step;
	if (off >= l->len)
		return 1;
	n = l->len - off;
	if (n > LOOK)
		n = LOOK;
	for (int k = 0; k < LOOK / 8; k++)
		l->piece[k] = ONES * ' ';
	asm volatile("%0 &= 127" : "+r"(n)); /* for the verifier */
	if (n > LOOK || bpf_probe_read_user(l->piece, n, (void *)(l->addr + off)))
		return 1;
	for (int k = 0; k < LOOK / 8; k++) {
		__u64 x = l->piece[k], low = x & ~HIGHS, wide = x << 1, control, known, escape, inner, lead;

		control = ~(low + 0x60 * ONES) & ~x & HIGHS;
		known = (low + 0x79 * ONES) & ~(low + 0x72 * ONES); /* 7 to 13 */
		escape = ~((low ^ 0x1b * ONES) + 0x7f * ONES);
		inner = x & ~wide & HIGHS;
		lead = x & wide & HIGHS;
		bad |= control & ~(known | escape);
		bad |= (lead << 8 | lead_was) & ~inner;             /* a first byte without its second */
		bad |= inner & ~((lead | inner) << 8 | inside_was); /* a second one without a first */
		bad |= inner & inner << 8 & inner << 16 & inner << 24; /* more of them than a letter has */
		lead_was = lead >> 56;
		inside_was = (lead | inner) >> 56;
	}
	if (i == 0) {
		__builtin_memcpy(l->first, l->piece, HEAD);
		l->first_len = n < HEAD ? n : HEAD;
	}
	if (i == 0 || bad) {
		l->at = off;
		l->n = n;
		__builtin_memcpy(l->words, l->piece, LOOK);
	}
	l->odd = bad != 0;
	return bad != 0;
}

static long look_each(__u32 i, void *none) { return look_at(i) ? 1 : 0; }

/* pieces_of finds the first piece of several that holds something. */
__noinline int pieces_of(__u64 at, __u64 n, __u64 written)
{
	__u32 zero = 0;
	struct writing *w = bpf_map_lookup_elem(&writing, &zero);
	struct iov v[4] = {};

	if (!w)
		return 0;
	w->look.len = 0;
	if (n > 4)
		n = 4;
	if (!n || bpf_probe_read_user(v, n * sizeof(v[0]), (void *)at))
		return 0;
#pragma unroll
	for (int i = 3; i >= 0; i--)
		if (v[i].len) {
			w->look.addr = v[i].base;
			w->look.len = v[i].len;
		}
	if (w->look.len > written)
		w->look.len = written;
	return 0;
}

/* target_of is the descriptor that a call writes to. */
static __always_inline __u32 target_of(void *regs, __u32 c)
{
	if (CALL_CLASS(c) != C_MOVED || c & CALL_WRITES)
		return arg1(regs);
	return c & CALL_OUT3 ? arg3(regs) : arg2(regs);
}

/* output_at is the entry of the output that a file is, NULL where it is something else. */
static __always_inline struct output_is *output_at(__u64 file, __u64 *ino)
{
	struct inode *i = FAR((struct file *)file, f_inode);
	struct output_is *o;

	*ino = FAR(i, i_ino);
	o = bpf_map_lookup_elem(&outputs, ino);
	if (!o)
		return NULL;
	if ((FAR(i, i_mode) & S_IFMT) == (o->rdev ? 0020000 : 0010000) && FAR(i, i_rdev) == o->rdev)
		return o;
	return NULL;
}

/* mark_copy takes note of a descriptor that is one more of the output. */
static __always_inline void mark_copy(struct proc *p, __s64 fd)
{
	__u64 ino;

	if (fd > 2 && !(p->flags & PROC_COPY) && output_at(file_of(fd), &ino))
		__sync_fetch_and_or(&p->flags, PROC_COPY);
}

/* is_output says whether a write to fd is worth more: it is the output, or a standard descriptor that
 * became something else. What it finds is left for syscall_written. */
static __always_inline bool is_output(struct proc *p, __u32 fd)
{
	__u32 zero = 0;
	struct writing *w = bpf_map_lookup_elem(&writing, &zero);

	if (!w)
		return false;
	w->output = output_at(file_of(fd), &w->run.ino) != NULL;
	return w->output || (of_output(fd) && p->flags & PROC_STRANGER << fd);
}

/* enter puts a write into the ledger. */
static __always_inline void enter(struct output_is *o, struct run *new, struct look *l)
{
	__u32 slot = o->last, which = new->odd ? 2 : 0;
	struct run *r = bpf_map_lookup_elem(&ledger, &slot);
	__u64 *next;

	new->offset = __sync_fetch_and_add(&o->sum, new->length);
	/* A thread does one thing at a time, so nobody else changes a run of its own. */
	if (r && r->ino == new->ino && r->tid == new->tid && r->offset + r->length == new->offset && r->fd == new->fd &&
	    r->nr == new->nr && r->odd == new->odd && r->pid == new->pid && r->length < RUN_BYTES) {
		r->last_offset = new->offset;
		r->last_ns = new->last_ns;
		r->last_len = l->first_len;
		__builtin_memcpy(r->last, l->first, HEAD);
		r->writes++;
		r->length += new->length;
		return;
	}
	next = bpf_map_lookup_elem(&ledger_next, &which);
	if (!next)
		return;
	slot = __sync_fetch_and_add(next, 1);
	slot = new->odd ? LEDGER + (slot & (ODD_LEDGER - 1)) : slot & (LEDGER - 1);
	new->last_offset = new->offset;
	new->first_ns = new->last_ns;
	new->first_len = l->first_len;
	__builtin_memcpy(new->first, l->first, HEAD);
	bpf_get_current_comm(new->comm, sizeof(new->comm));
	bpf_map_update_elem(&ledger, &slot, new, BPF_ANY);
	o->last = slot;
}

static __noinline void tell_written(struct proc *p, void *regs, struct run *r, struct look *l)
{
	struct written_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e) {
		count_lost(EV_WRITTEN);
		return;
	}
	fill(&e->h, EV_WRITTEN, p);
	e->nr = r->nr;
	e->fd = r->fd;
	e->ino = r->ino;
	e->offset = r->offset;
	e->written = r->length;
	e->count = l->count;
	e->from = l->n ? l->addr + l->at : 0;
	e->at = l->at;
	e->len = l->n;
	e->flags = l->flags;
	__builtin_memcpy(e->data, l->words, LOOK);
	describe(&e->is, file_of(r->fd));
	copy_context(&e->context, e->stack, WRITTEN_PAGES, regs);
	bpf_ringbuf_submit(e, 0);
}

/* A write to the output, or to one of descriptors 1 and 2 that became something else. */
CALL_END(syscall_written, regs, ret)
{
	struct proc *p = looked();
	__u32 nr = call_nr(regs), c = call_of(nr), class = CALL_CLASS(c), fd = target_of(regs, c), flags = 0, zero = 0, one = 1;
	struct count_key k = {.type = EV_WRITTEN};
	struct writing *w = bpf_map_lookup_elem(&writing, &zero);
	struct closer_is *more = NULL;
	struct output_is *o = NULL;
	__u64 *closer_until;
	bool tell = false;
	struct look *l;
	struct run *r;

	if (!p || !w || ret <= 0 || compat())
		return 0;
	l = &w->look;
	r = &w->run;
	if (w->output)
		o = bpf_map_lookup_elem(&outputs, &r->ino);
	l->len = l->at = l->n = l->first_len = 0;
	l->odd = false;
	if (class != C_MOVED) {
		l->addr = arg2(regs);
		l->len = ret;
		if (class == C_WRITEV)
			pieces_of(arg2(regs), arg3(regs), ret);
		l->step = l->len / LOOKS;
		if (l->step < LOOK_EACH)
			l->step = LOOK_EACH;
		if (l->len > LOOK_EACH)
			bpf_loop(LOOKS, look_each, NULL, 0);
		else
			look_at(0);
	}
	r->offset = 0;
	r->length = ret;
	r->last_ns = bpf_ktime_get_boot_ns();
	r->pid = p->pid;
	r->tid = ns_level ? tid_of((struct task_struct *)bpf_get_current_task_btf()) : (__u32)bpf_get_current_pid_tgid();
	r->writes = 1;
	r->fd = fd;
	r->nr = nr;
	r->odd = l->odd;
	if (l->odd)
		flags = WRITTEN_ODD;
	if (o) {
		enter(o, r, l);
		flags |= WRITTEN_OUTPUT;
		closer_until = bpf_map_lookup_elem(&ledger_next, &one);
		if (closer_until && *closer_until > r->last_ns) {
			more = bpf_map_lookup_elem(&closer, &r->ino);
			if (more && more->until > r->last_ns && more->stacks)
				flags |= WRITTEN_CLOSER;
		}
	}
	if (!o || flags & (WRITTEN_ODD | WRITTEN_CLOSER)) {
		k.pid = p->pid;
		k.subject = p->subject;
		k.err = flags;
		k.arg = r->tid;
		l->count = count(&k, ret) + 1;
		l->flags = flags;
		if (more && flags & WRITTEN_CLOSER) {
			__u64 left = __sync_fetch_and_add(&more->stacks, -1);

			tell = left - 1 < 1000; /* two may have taken the last one */
			if (!tell)
				more->stacks = 0;
		} else {
			tell = l->count <= WRITTEN_WHOLE;
		}
		if (tell)
			tell_written(p, regs, r, l);
	}
	if (of_output(fd) && maybe_short(regs, class, ret))
		bpf_tail_call(ctx, &slow, S_SHORT);
	return 0;
}

#endif
