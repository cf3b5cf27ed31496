/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* select and pselect6 with sets that are too small for the descriptors in them. */
#ifndef SELECT_BPF_H
#define SELECT_BPF_H

#include "file.bpf.h"

#define FD_SETSIZE 1024
#define SET_BYTES (FD_SETSIZE / 8)
#define SET_CHUNK (SET_BYTES + 16) /* glibc's block for one fd_set, header included */
#define SELECT_PAGES 5
#define SELECT_WHOLE 8
#define MAX_BEYOND 336 /* words of 64 descriptors that are looked at: up to descriptor 21,503 */

enum { WHERE_NONE, WHERE_STACK, WHERE_HEAP, WHERE_DATA, WHERE_OTHER };
enum { PROOF_NONE, PROOF_OVERLAP, PROOF_BLOCK, PROOF_BIT };

struct select_event {
	struct event_header h;
	__u32 nr;
	__s32 nfds;
	__u64 sets[3];
	__s64 distance;
	__s64 chunk[3];
	__u32 where[3];
	__s32 highest;
	__s32 bit_fd; /* 0: none */
	__u32 proof;
	__u64 count;
	struct user_context context;
	__u8 stack[SELECT_PAGES * PAGE];
};
EVENT(select_event)

struct memory {
	__u64 sp, start_stack, start_brk, brk, start_data;
};

__noinline int where_is(struct memory *m, __u64 at)
{
	if (!m || !at)
		return WHERE_NONE;
	if (at >= m->start_brk && at < m->brk)
		return WHERE_HEAP;
	if (at >= m->start_data && at < m->start_brk && at - m->start_data < (1 << 30))
		return WHERE_DATA;
	/* The end of the first thread's stack is known; others', and goroutines', are guessed. */
	if (at >= m->sp && (m->start_stack - m->sp < (64 << 20) ? at < m->start_stack : at - m->sp < (256 << 10)))
		return WHERE_STACK;
	return WHERE_OTHER;
}

/* header_ok says whether the word may be the size in a header of glibc's heap at that address. */
static __always_inline bool header_ok(struct memory *m, __u64 at, __u64 size)
{
	return !(size & 0xe) && size >= 16 && size <= m->brk - at;
}

#define MAX_BLOCKS (1 << 16)

struct heap_walk {
	__u64 at, end;
	bool broken;
};

static long next_block(__u32 i, struct heap_walk *w)
{
	__u64 h[2];

	if (w->at >= w->end)
		return 1;
	if (bpf_probe_read_user(h, sizeof(h), (void *)w->at) || h[1] & 0xe || h[1] < 32) {
		w->broken = true;
		return 1;
	}
	w->at += h[1] & ~1ULL;
	return 0;
}

/*
 * chunk_size gives the usable bytes of glibc's block that begins at the set, by the header before
 * it; 0 where there is none to trust. A set inside a larger block has its neighbour's bytes there.
 * If they say that the block is large enough, it is believed when the headers behind it are right,
 * too. If they say that it is too small, nothing behind it can be asked: select has just written
 * there. Then the block must be found by going from header to header from the heap's start; in a
 * heap too large for that, only the very size that malloc(sizeof(fd_set)) gives is believed.
 */
__noinline long chunk_size(struct memory *m, __u64 at, __u64 need)
{
	struct heap_walk w = {};
	__u64 h[2], n[2], size, next;

	if (!m || !at || at & 15 || bpf_probe_read_user(h, sizeof(h), (void *)(at - 16)))
		return 0;
	size = h[1] & ~7ULL;
	if ((h[1] & 7) == 2) { /* a mapping of its own */
		if ((at & (PAGE - 1)) != 16 || h[0] || !size || size & (PAGE - 1) || size >> 40)
			return 0;
		return size - 16;
	}
	if (at < m->start_brk + 16 || at >= m->brk || size < 32 || !header_ok(m, at - 16, h[1] & ~1ULL))
		return 0;
	if (size - 8 < need) {
		w.at = (m->start_brk + 15) & ~15ULL;
		w.end = at - 16;
		bpf_loop(MAX_BLOCKS, next_block, &w, 0);
		if (w.at != w.end && (w.broken || w.at > w.end || size != SET_CHUNK))
			return 0;
		return size - 8;
	}
	next = at - 16 + size;
	if (next + 16 > m->brk || bpf_probe_read_user(n, sizeof(n), (void *)next))
		return 0;
	if (!(n[1] & 1) || !header_ok(m, next, n[1] & ~1ULL)) /* the block before is in use: ours */
		return 0;
	next += n[1] & ~7ULL;
	if (next + 16 <= m->brk &&
	    (bpf_probe_read_user(n, sizeof(n), (void *)next) || !header_ok(m, next, n[1] & ~1ULL)))
		return 0;
	return size - 8;
}

/*
 * Bits behind a set of 1024. Memory there belongs to something else, so a bit alone proves
 * nothing: it counts if all bits of its word are open descriptors, the highest of them one that
 * can be waited for, and if it is either among the newest descriptors, as those of a leak are, or
 * nothing at all up to the highest open descriptor speaks against this being a set.
 */
struct beyond {
	unsigned long *open;
	__u64 set, other[2];
	__u32 words;
	__s32 found; /* highest descriptor of the last word that looks right */
	bool doubt;
};

static long look_beyond(__u32 i, struct beyond *b)
{
	__u32 w = SET_BYTES / 8 + i;
	__u64 at = b->set + w * 8, v = 0;
	unsigned long open = 0;
	__s32 fd;

	if (w >= b->words || bpf_probe_read_user(&v, sizeof(v), (void *)at))
		return 1;
	if (!v)
		return 0;
	if (at - b->other[0] < SET_BYTES || at - b->other[1] < SET_BYTES ||
	    bpf_probe_read_kernel(&open, sizeof(open), &b->open[w]) || v & ~open) {
		b->doubt = true;
		return 0;
	}
	fd = w * 64 + 63;
#pragma unroll
	for (int s = 32; s; s >>= 1) {
		if (!(v >> (64 - s))) {
			fd -= s;
			v <<= s;
		}
	}
	b->found = fd;
	return 0;
}

__noinline int bit_beyond(__u64 table, __u64 set, __u64 other, __u64 another, int highest)
{
	struct beyond b = {.set = set, .other = {other, another}, .found = -1};
	struct fdtable *fdt = (struct fdtable *)table;
	struct fd_kind k;
	__u16 type;

	if (!set)
		return 0;
	b.open = BPF_CORE_READ(fdt, open_fds);
	b.words = (__u32)highest / 64 + 1;
	bpf_loop(MAX_BEYOND, look_beyond, &b, 0);
	if (b.found < FD_SETSIZE || (b.doubt && b.found < highest - 63))
		return 0;
	kind_of(&k, file_of(b.found));
	type = k.mode & S_IFMT;
	if ((type == S_IFREG || type == S_IFDIR) && k.magic != ANON_INODE_FS)
		return 0;
	return b.found;
}

/* distance gives the bytes between two sets, 0 where one of them is missing or they are one. */
static __always_inline __u64 distance(__u64 a, __u64 b)
{
	if (!a || !b)
		return 0;
	return a > b ? a - b : b - a;
}

static __always_inline void look_at_sets(struct proc *p, void *regs)
{
	struct task_struct *t = (struct task_struct *)bpf_get_current_task_btf();
	struct mm_struct *mm = BPF_CORE_READ(t, mm);
	struct fdtable *fdt = fdt_of(t);
	__s32 nfds = arg1(regs), highest = -1, bit = 0;
	__u64 sets[3] = {arg2(regs), arg3(regs), arg4(regs)}, need = 0, d, near = 0, n, max;
	struct count_key k = {.pid = p->pid, .subject = p->subject, .type = EV_SELECT, .nr = call_nr(regs)};
	__s64 chunk[3] = {};
	__u32 proof = PROOF_NONE;
	bool look = false;
	struct select_event *e;
	struct memory m = {};

	if (!fdt)
		return;
	max = BPF_CORE_READ(fdt, max_fds);
	if (max <= FD_SETSIZE) /* the kernel looks at no more than that of each set */
		return;
	m.sp = user_sp(regs);
	m.start_stack = BPF_CORE_READ(mm, start_stack);
	m.start_brk = BPF_CORE_READ(mm, start_brk);
	m.brk = BPF_CORE_READ(mm, brk);
	m.start_data = BPF_CORE_READ((struct mm_struct___sys *)mm, start_data);
	if (nfds == FD_SETSIZE) {
		if (p->flags & PROC_SELECT_PROVEN)
			return;
		highest = highest_open((__u64)fdt);
		if (highest < FD_SETSIZE)
			return;
		bit = bit_beyond((__u64)fdt, sets[0], sets[1], sets[2], highest);
		if (!bit)
			bit = bit_beyond((__u64)fdt, sets[1], sets[2], sets[0], highest);
		if (!bit)
			bit = bit_beyond((__u64)fdt, sets[2], sets[0], sets[1], highest);
		if (!bit)
			return;
		proof = PROOF_BIT;
	} else {
		need = (((__u32)nfds < max ? (__u32)nfds : max) + 63) / 64 * 8;
#pragma unroll
		for (int i = 0; i < 3; i++) {
			d = distance(sets[i], sets[(i + 1) % 3]);
			if (d && (!near || d < near))
				near = d;
		}
		if (near && near < need)
			proof = PROOF_OVERLAP;
		look = !(p->flags & PROC_SELECT_PROVEN);
	}
	n = count(&k, 0);
	if (look && n < SELECT_WHOLE) { /* only now and then: a heap can have many blocks */
#pragma unroll
		for (int i = 0; i < 3; i++) {
			chunk[i] = chunk_size(&m, sets[i], need);
			if (chunk[i] && chunk[i] < need && !proof)
				proof = PROOF_BLOCK;
		}
	}
	if (proof && __sync_fetch_and_or(&p->flags, PROC_SELECT_PROVEN) & PROC_SELECT_PROVEN)
		proof = PROOF_NONE; /* it was told before; only to go on counting */
	if (n >= SELECT_WHOLE && !proof)
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_SELECT);
		return;
	}
	fill(&e->h, EV_SELECT, p);
	e->nr = call_nr(regs);
	e->nfds = nfds;
	e->distance = near;
	e->highest = highest < 0 ? highest_open((__u64)fdt) : highest;
	e->bit_fd = bit;
	e->proof = proof;
	e->count = n + 1;
#pragma unroll
	for (int i = 0; i < 3; i++) {
		e->sets[i] = sets[i];
		e->chunk[i] = chunk[i];
		e->where[i] = where_is(&m, sets[i]);
	}
	copy_context(&e->context, e->stack, SELECT_PAGES, regs);
	bpf_ringbuf_submit(e, 0);
}

#endif
