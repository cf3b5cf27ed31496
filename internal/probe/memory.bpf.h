/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The mappings of the current process, looked up in the kernel's own tree: bpf_find_vma may be
 * called only once where interrupts are off, as they are when a signal is delivered.
 *
 * Linux 6.1 and newer keep mappings in a maple tree. Older ones have no such member, and nothing
 * is found there.
 */
#ifndef MEMORY_BPF_H
#define MEMORY_BPF_H

#include "fdtable.bpf.h"

#define VM_READ 1
#define VM_WRITE 2
#define VM_EXEC 4
#define VM_GROWSDOWN 0x100
#define FMODE_BACKING 0x2000000

#define AREA_MAPPED (1ULL << 63) /* among the flags: it is a mapping, not a gap */

#define MAPPINGS 24     /* executable ones that are kept for a stack */
#define STACK_PAGES 9   /* 32 KiB from anywhere in a page */
#define PAGE 4096       /* a piece of stack; no page is smaller */
#define AREA_CACHE 64

/* A mapping or a gap between mappings. hi is its last byte. */
struct area {
	__u64 lo, hi;
	__u64 flags;
	__u64 offset; /* pages into the file */
	__u64 inode;
	__u32 dev;
	__u32 path; /* where in the paths; ~0: no file */
};

struct area_range {
	__u64 lo, hi;
};

/* What a look-up works in; one for each slot of walks. */
struct lookup {
	__u64 index; /* page-aligned address */
	__u64 lo, hi;
	__u64 entry; /* encoded node, in the end the mapping */
	__u32 done;
	__u32 pivots, child;
	__u32 pad;
	__u64 node[32];
	struct area_range cache[AREA_CACHE];
};

/* pivot_step passes the children of a node that end before the address. */
static long pivot_step(__u32 i, struct lookup **at)
{
	struct lookup *l = *at;
	__u64 pivot = l->node[(i + 1) & 31];

	if (i >= l->pivots || pivot >= l->index || (i && !pivot)) /* one that is not used is 0 */
		return 1;
	l->child = i + 1;
	return 0;
}

/* maple_step goes down one level. */
static long maple_step(__u32 level, struct lookup **at)
{
	struct lookup *l = *at;
	__u64 type, i;

	if (l->done || l->entry <= 4096)
		return 1;
	type = l->entry >> 3 & 15;
	if (type > 3)
		return 1;
	if (bpf_probe_read_kernel(l->node, sizeof(l->node), (void *)(l->entry & ~255ULL)))
		return 1;
	/* leaf_64 and range_64: parent, 15 pivots, 16 slots. arange_64: parent, 9 pivots, 10 slots. */
	l->pivots = type == 3 ? 9 : 15;
	l->child = 0;
	bpf_loop(15, pivot_step, at, 0);
	i = l->child;
	if (i > 0)
		l->lo = l->node[i & 31] + 1;
	if (i < l->pivots && l->node[(i + 1) & 31])
		l->hi = l->node[(i + 1) & 31];
	l->entry = l->node[(i + 1 + l->pivots) & 31];
	if (type < 2) {
		l->done = 1;
		return 1;
	}
	return 0;
}

/* look_up finds the mapping or the gap that an address is in. */
__noinline int look_up(struct lookup *l, __u64 mem, __u64 address)
{
	struct mm_struct *mm = (void *)mem;
	struct vm_area_struct *vma;

	if (!l || !mm || !bpf_core_field_exists(mm->mm_mt))
		return 0;
	l->index = address & ~4095ULL;
	l->lo = 0;
	l->hi = ~0ULL;
	l->done = 0;
	l->entry = (__u64)BPF_CORE_READ(mm, mm_mt.ma_root);
	if ((l->entry & 3) != 2) /* not a node: a single mapping, or none */
		return 0;
	bpf_loop(12, maple_step, &l, 0);
	if (!l->done)
		return 0;
	vma = (void *)l->entry;
	/* Other threads may have changed the tree meanwhile. */
	if (vma && (BPF_CORE_READ(vma, vm_start) > address || BPF_CORE_READ(vma, vm_end) <= address))
		return 0;
	return 1;
}

struct backing_file {
	struct path user_path;
} __attribute__((preserve_access_index));

/* describe_area says what was found; its file's path goes to the paths of the slot. */
__noinline int describe_area(struct area *a, struct lookup *l, __u32 slot)
{
	struct vm_area_struct *vma;
	struct file *f;
	struct path at;

	if (!a || !l)
		return 0;
	vma = (void *)l->entry;
	a->lo = l->lo;
	a->hi = l->hi;
	a->path = ~0U;
	a->flags = 0;
	if (!vma)
		return 1;
	a->flags = (BPF_CORE_READ(vma, vm_flags) & 0xffffffff) | AREA_MAPPED;
	f = BPF_CORE_READ(vma, vm_file);
	if (!f)
		return 1;
	a->offset = BPF_CORE_READ(vma, vm_pgoff);
	a->inode = BPF_CORE_READ(f, f_inode, i_ino);
	a->dev = BPF_CORE_READ(f, f_inode, i_sb, s_dev);
	BPF_CORE_READ_INTO(&at, f, f_path);
	if (bpf_core_field_exists(struct backing_file, user_path) && (BPF_CORE_READ(f, f_mode) & FMODE_BACKING))
		/* A file of an overlay, as in a container: the path that the program knows. */
		BPF_CORE_READ_INTO(&at, (struct backing_file *)f, user_path);
	a->path = path_add(slot, (__u64)at.dentry, (__u64)at.mnt);
	return 1;
}

#endif
