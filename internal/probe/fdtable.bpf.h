/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The descriptor table of a process, told apart and grouped in the kernel. A table of 20,000
 * descriptors has a handful of groups, and only those leave the kernel.
 *
 * A walk works in a slot of `walks`, which holds its result: an open hash of groups, and the paths
 * of the groups' first members.
 */
#ifndef FDTABLE_BPF_H
#define FDTABLE_BPF_H

#include "descry.bpf.h"

/* In the order of fdKinds in fdtable.go. */
enum fd_kind_nr {
	FD_NONE,
	FD_TCP, FD_UDP, FD_UNIX, FD_NETLINK, FD_RAW, FD_PACKET, FD_SOCKET,
	FD_PIPE, FD_FIFO, FD_FILE, FD_DIR, FD_DEVICE, FD_TTY, FD_MEMFD,
	FD_ANON, FD_PIDFD,
	FD_KINDS,
};
#define WALK_KINDS 32 /* room for FD_KINDS, a power of two */

#define WALK_GROUPS 1024   /* groups of a table; what does not fit is in no group */
#define WALK_FINE 512      /* beyond, files are grouped by directory and sockets by less */
#define WALK_INDEX 2048    /* of the hash */
#define WALK_PROBES 8
#define WALK_PATHS 65536   /* bytes of paths */
#define WALK_PATH 1024     /* bytes of one path */
#define WALK_DEPTH 128     /* components and mounts of one path */
#define WALK_FDS (1 << 20) /* descriptors looked at */

/* Flags of a group. */
#define GROUP_MIXED 1  /* its members are different files or sockets; path and ports are the first one's */
#define GROUP_COARSE 2 /* it was made when there were many groups: by directory, or without ports */
#define GROUP_BOUND 4  /* the local port was bound, so it says more than the peer's */

/* Before a path. */
#define PATH_DELETED 1
#define PATH_CUT 2  /* it has more components */
#define PATH_UNIX 4 /* the path of a UNIX socket: one byte of length, then its bytes */

struct fd_group {
	/* What its members have in common. */
	__u64 ident;     /* file, directory, device or address; means nothing outside the kernel */
	__u64 remote[2]; /* IPv6 or IPv4-mapped address; name of an anonymous inode */
	union {
		struct {
			__u16 kind;
			__u16 state;
			__u16 rport, lport; /* host order; 0: not in common */
		};
		__u64 what;
	};
	/* The rest is of the first member. */
	__u32 count;
	__s32 lowest, highest;
	__u32 flags;
	__u32 path; /* where in the paths; ~0: nowhere */
	__u32 slot; /* in the hash */
	__u32 dev;
	__u16 rport1, lport1;
	__u64 inode; /* of files, or the file itself: tells whether others are the same */
	__u64 local[2];
};

struct groups_event {
	struct event_header h;
	__u64 id;
	__u32 n;
	__u32 pad;
	struct fd_group all[WALK_GROUPS];
};
EVENT(groups_event)

struct paths_event {
	struct event_header h;
	__u64 id;
	__u32 n;     /* bytes of paths */
	__u32 extra; /* bytes behind them */
	char bytes[WALK_PATHS + WALK_PATH];
};
EVENT(paths_event)

/* What one of descriptors 0 to 2 is. */
struct standard {
	__u64 inode;
	__u32 dev;
	__u16 kind, state;
	__u32 used, slots; /* of a pipe */
};

struct walk {
	__u32 busy;
	__u32 open;
	__s32 highest;
	__u32 nameless; /* groups whose path found no room */
	__u32 by_kind[WALK_KINDS];
	/* Of the process. */
	struct task_struct *task;
	struct file **fd;
	unsigned long *bits;
	struct dentry *root;
	struct vfsmount *root_mnt;
	__u32 words;
	__u32 word;
	unsigned long open_bits;
	struct file *chunk[64];
	/* Of the descriptor at hand: copies, since a read of many bytes costs little more than one of eight. */
	struct inode *inode;
	struct super_block *sb;
	__u64 magic;
	__u32 dev;
	__u16 mode;
	__u16 pad;
	char file[256];
	char node[128];
	char sock[128];
	struct fd_group key;
	struct standard std[4]; /* the last is there so that an index needs no more than a mask */
	__u16 index[WALK_INDEX];
	struct groups_event groups;
	struct paths_event paths;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct walk);
} walks SEC(".maps");

/* Set by the Go side: entries of walks. The last one is the Go side's own. */
volatile const __u32 walk_slots = 16;

static __always_inline struct walk *walk_at(__u32 slot)
{
	return bpf_map_lookup_elem(&walks, &slot);
}

/* walk_claim gives a free slot, or ~0. */
__noinline __u32 walk_claim(__u32 slot)
{
	struct walk *w;

	for (int i = 0; i < 3; i++, slot++) {
		slot %= walk_slots - 1;
		w = walk_at(slot);
		if (w && __sync_val_compare_and_swap(&w->busy, 0, 1) == 0)
			return slot;
	}
	return ~0U;
}

static __always_inline void walk_release(__u32 slot)
{
	struct walk *w = walk_at(slot);

	if (w)
		__sync_lock_test_and_set(&w->busy, 0);
}

/* --- paths --- */

struct path_walk {
	struct dentry *d;
	struct vfsmount *mnt;
	__u32 slot;
	__u32 off, end;
};

static __always_inline struct mount *real_mount(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

/* path_step appends one component, the innermost first. */
static long path_step(__u32 i, struct path_walk *c)
{
	/* Copies: an access through c inside BPF_CORE_READ would be relocated as the kernel's. */
	struct dentry *d = c->d, *parent;
	struct vfsmount *mnt = c->mnt;
	struct walk *w = walk_at(c->slot);
	const unsigned char *name;
	long n;

	if (!w)
		return 1;
	if (d == w->root && mnt == w->root_mnt)
		return 1;
	if (d == BPF_CORE_READ(mnt, mnt_root)) {
		struct mount *m = real_mount(mnt), *up = BPF_CORE_READ(m, mnt_parent);

		if (!up || up == m)
			return 1;
		c->d = BPF_CORE_READ(m, mnt_mountpoint);
		c->mnt = (void *)up + bpf_core_field_offset(struct mount, mnt);
		return 0;
	}
	parent = BPF_CORE_READ(d, d_parent);
	name = BPF_CORE_READ(d, d_name.name);
	if (!name || c->off >= c->end) {
		c->end = 0; /* cut */
		return 1;
	}
	n = bpf_probe_read_kernel_str(&w->paths.bytes[c->off & (WALK_PATHS - 1)], 256, name);
	if (n <= 0) {
		c->end = 0;
		return 1;
	}
	c->off += n;
	if (!parent || parent == d)
		return 1;
	c->d = parent;
	return 0;
}

/*
 * path_add appends a path to the slot's and returns where it begins; ~0 where there is no room.
 *
 * It is global, as others below, so that the verifier looks at it once and not with each caller:
 * that is most of the time in which a program is loaded.
 */
__noinline __u32 path_add(__u32 slot, __u64 dentry, __u64 mount)
{
	struct dentry *d = (void *)dentry;
	struct vfsmount *mnt = (void *)mount;
	struct path_walk c = {.d = d, .mnt = mnt, .slot = slot};
	struct walk *w = walk_at(slot);
	__u32 start;
	char *flags;

	if (!w || !d || !mnt)
		return ~0U;
	start = w->paths.n;
	if (start >= WALK_PATHS - 2 * WALK_PATH) {
		w->nameless++;
		return ~0U;
	}
	flags = &w->paths.bytes[start & (WALK_PATHS - 1)];
	*flags = 0;
	if (!BPF_CORE_READ(d, d_hash.pprev) && BPF_CORE_READ(d, d_parent) != d)
		*flags = PATH_DELETED;
	c.off = start + 1;
	c.end = start + WALK_PATH - 256;
	bpf_loop(WALK_DEPTH, path_step, &c, 0);
	if (!c.end)
		*flags |= PATH_CUT;
	w->paths.bytes[c.off & (WALK_PATHS - 1)] = 0; /* an empty component ends it */
	w->paths.n = c.off + 1;
	return start;
}

/* path_unix appends the name of a UNIX socket. */
static __always_inline __u32 path_unix(struct walk *w, struct unix_address *a)
{
	__u32 start = w->paths.n, len;
	char *to;

	if (start >= WALK_PATHS - 2 * WALK_PATH) {
		w->nameless++;
		return ~0U;
	}
	len = BPF_CORE_READ(a, len) - 2; /* without the family */
	if (len > 108)
		return ~0U;
	to = &w->paths.bytes[start & (WALK_PATHS - 1)];
	to[0] = PATH_UNIX;
	to[1] = len;
	bpf_probe_read_kernel(to + 2, len, (void *)a->name + 2);
	w->paths.n = start + 2 + len;
	return start;
}

/* --- groups --- */

static __always_inline __u32 group_hash(struct fd_group *k)
{
	__u64 h = k->ident * 0x9E3779B97F4A7C15ULL;

	h = (h ^ (h >> 29) ^ k->remote[0]) * 0xBF58476D1CE4E5B9ULL;
	h = (h ^ (h >> 32) ^ k->remote[1]) * 0x94D049BB133111EBULL;
	h = (h ^ (h >> 29) ^ k->what) * 0x9E3779B97F4A7C15ULL;
	return h >> 40;
}

/* group_find gives the place of the slot's key among its groups, a new one where there is none
 * (then its count is 0); ~0 where there is no room. */
__noinline __u32 group_find(__u32 slot)
{
	struct walk *w = walk_at(slot);
	struct fd_group *g;
	__u32 h, i, n;

	if (!w)
		return ~0U;
	h = group_hash(&w->key);
	n = w->groups.n;
	for (int probe = 0; probe < WALK_PROBES; probe++, h++) {
		__u32 at = h & (WALK_INDEX - 1);

		i = w->index[at] & (WALK_GROUPS - 1);
		g = &w->groups.all[i];
		/* An index entry counts only if its group points back: so none needs clearing. */
		if (i < n && g->slot == at) {
			if (g->ident == w->key.ident && g->remote[0] == w->key.remote[0] &&
			    g->remote[1] == w->key.remote[1] && g->what == w->key.what)
				return i;
			continue;
		}
		if (n >= WALK_GROUPS)
			return ~0U;
		w->index[at] = n;
		i = n & (WALK_GROUPS - 1);
		w->groups.n = n + 1;
		g = &w->groups.all[i];
		*g = w->key;
		g->slot = at;
		return i;
	}
	return ~0U;
}

#include "fdkind.bpf.h"

/* --- the walk --- */

/* name_group appends the path of a new group. */
static __always_inline __u32 name_group(__u32 slot, struct walk *w, struct fd_group *k, struct file *f)
{
	switch (k->kind) {
	case FD_FILE:
	case FD_DIR:
	case FD_FIFO:
	case FD_DEVICE:
	case FD_TTY:
	case FD_MEMFD:
		return path_add(slot, (__u64)BPF_CORE_READ(f, f_path.dentry), (__u64)BPF_CORE_READ(f, f_path.mnt));
	case FD_UNIX:
		if (k->ident)
			return path_unix(w, (void *)k->ident);
	}
	return ~0U;
}

/* standard_fd says in the slot what one of descriptors 0 to 2 is; all is the table's array of files. */
__noinline int standard_fd(__u32 slot, __u64 all, __u32 fd)
{
	struct walk *w = walk_at(slot);
	struct pipe_inode_info *pipe;
	struct file *f = NULL;
	struct standard *s;

	if (!w)
		return 0;
	s = &w->std[fd & 3];
	__builtin_memset(s, 0, sizeof(*s));
	if (bpf_probe_read_kernel(&f, sizeof(f), &((struct file **)all)[fd & 3]) || !f)
		return 0;
	__builtin_memset(&w->key, 0, sizeof(w->key));
	w->inode = NULL; /* of another time, they may be of other things */
	w->sb = NULL;
	if (!load_file(slot, (__u64)f))
		return 0;
	if ((w->mode & S_FMT) == 0140000)
		key_socket(slot, (__u64)f, 0);
	else
		key_file(slot, (__u64)f, 0);
	s->kind = w->key.kind;
	s->state = w->key.state;
	s->inode = w->key.inode;
	s->dev = w->key.dev;
	if (s->kind != FD_PIPE && s->kind != FD_FIFO)
		return 0;
	pipe = BPF_CORE_READ(f, private_data);
	s->used = BPF_CORE_READ(pipe, head) - BPF_CORE_READ(pipe, tail);
	s->slots = BPF_CORE_READ(pipe, max_usage);
	return 0;
}

struct bit_walk {
	__u32 slot;
	__u32 base;
};

/* walk_bit looks at one descriptor. */
static long walk_bit(__u32 bit, struct bit_walk *c)
{
	struct walk *w = walk_at(c->slot);
	struct fd_group *k, *g;
	struct file *f;
	__u32 i, fd = c->base + bit;
	bool coarse;

	if (!w || !(w->open_bits >> (bit & 63)))
		return 1;
	if (!(w->open_bits >> (bit & 63) & 1))
		return 0;
	f = w->chunk[bit & 63];
	if (!f)
		return 0;
	k = &w->key;
	__builtin_memset(k, 0, sizeof(*k));
	if (!load_file(c->slot, (__u64)f))
		return 0;
	w->open++;
	w->highest = fd;
	k->path = ~0U;
	k->lowest = k->highest = fd;
	coarse = w->groups.n >= WALK_FINE;
	if (coarse)
		k->flags = GROUP_COARSE;
	if ((w->mode & S_FMT) == 0140000)
		key_socket(c->slot, (__u64)f, coarse);
	else
		key_file(c->slot, (__u64)f, coarse);
	w->by_kind[k->kind & (WALK_KINDS - 1)]++;
	i = group_find(c->slot);
	if (i == ~0U) /* no room: the Go side sees that the groups do not sum to all */
		return 0;
	g = &w->groups.all[i & (WALK_GROUPS - 1)];
	if (g->count++ == 0) {
		g->path = name_group(c->slot, w, k, f);
		return 0;
	}
	g->highest = fd;
	if (g->inode != k->inode || g->dev != k->dev || g->rport1 != k->rport1 || g->lport1 != k->lport1)
		g->flags |= GROUP_MIXED;
	return 0;
}

/* walk_word looks at 64 descriptors. */
static long walk_word(__u32 i, __u32 *slot)
{
	struct bit_walk c = {.slot = *slot, .base = i * 64};
	struct walk *w = walk_at(*slot);

	if (!w || i >= w->words)
		return 1;
	if (bpf_probe_read_kernel(&w->open_bits, sizeof(w->open_bits), &w->bits[i]) || !w->open_bits)
		return 0;
	if (bpf_probe_read_kernel(w->chunk, sizeof(w->chunk), &w->fd[c.base]))
		return 0;
	bpf_loop(64, walk_bit, &c, 0);
	return 0;
}

/* walk_table fills the slot from t's table; false where t has none. */
static __always_inline bool walk_table(__u32 slot, struct task_struct *t)
{
	struct walk *w = walk_at(slot);
	struct fdtable *fdt;

	if (!w)
		return false;
	w->open = 0;
	w->highest = -1;
	w->nameless = 0;
	w->inode = NULL; /* of another time, they may be of other things */
	w->sb = NULL;
	__builtin_memset(w->by_kind, 0, sizeof(w->by_kind));
	w->groups.n = 0;
	w->paths.n = 0;
	w->root = BPF_CORE_READ(t, fs, root.dentry);
	w->root_mnt = BPF_CORE_READ(t, fs, root.mnt);
	fdt = BPF_CORE_READ(t, files, fdt);
	if (!fdt)
		return false;
	w->fd = BPF_CORE_READ(fdt, fd);
	w->bits = BPF_CORE_READ(fdt, open_fds);
	w->words = BPF_CORE_READ(fdt, max_fds) / 64;
	bpf_loop(WALK_FDS / 64, walk_word, &slot, 0);
	return true;
}

#endif
