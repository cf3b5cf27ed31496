/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Descriptors of the current process: what one is, how many there are, which are open. */
#ifndef FILE_BPF_H
#define FILE_BPF_H

#include "syscall.bpf.h"

#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFDIR 0040000
#define ANON_INODE_FS 0x09041934
#define PIPE_FS 0x50495045
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define MAX_FD_WORDS 16384 /* a million descriptors */

#define DESC_PATH 256
#define DESC_DEPTH 24 /* components and mounts of a path */
/* As in fdtable.bpf.h. */
#define PATH_DELETED 1
#define PATH_CUT 2

/* Enough to name the kind of a descriptor. All zero: none. */
struct fd_kind {
	__u16 mode;   /* i_mode; sockets S_IFSOCK */
	__u16 family; /* of sockets */
	__u16 type;
	__u16 protocol;
	__u32 magic;  /* of the file system */
	__u32 rdev;   /* of devices, as the kernel keeps it: major << 20 | minor */
	__u64 ino;
};

struct fd_desc {
	struct fd_kind kind;
	__u32 dev;
	__u16 state;
	__u16 local_port, peer_port; /* host order */
	__u16 unix_len;
	__u32 netns;
	__u8 local[16], peer[16]; /* IPv4 in the first four bytes */
	char name[64];            /* of an anonymous inode; a UNIX socket's path */
	char path[DESC_PATH + 64]; /* a byte of PATH_ flags, the components from the innermost outward, an empty one */
};

static __always_inline struct fdtable *fdt_of(struct task_struct *t)
{
	return BPF_CORE_READ(t, files, fdt);
}

static __always_inline __u64 file_at(struct fdtable *fdt, __u32 fd)
{
	struct file **all, *f = NULL;

	if (!fdt || fd >= BPF_CORE_READ(fdt, max_fds))
		return 0;
	all = BPF_CORE_READ(fdt, fd);
	bpf_probe_read_kernel(&f, sizeof(f), &all[fd]);
	return (__u64)f;
}

/* file_of is the struct file of a descriptor of the current process, 0 where it is not open. */
static __always_inline __u64 file_of(__u32 fd)
{
	return file_at(fdt_of((struct task_struct *)bpf_get_current_task_btf()), fd);
}

/*
 * Functions that are not static are verified once, however often they are called, and that is what
 * loading takes its time for. They take pointers into the kernel as numbers.
 */
__noinline int kind_of(struct fd_kind *k, __u64 file)
{
	struct file *f = (struct file *)file;
	struct inode *i;

	if (!k)
		return 0;
	__builtin_memset(k, 0, sizeof(*k));
	if (!f)
		return 0;
	i = BPF_CORE_READ(f, f_inode);
	k->mode = BPF_CORE_READ(i, i_mode);
	k->ino = BPF_CORE_READ(i, i_ino);
	k->rdev = BPF_CORE_READ(i, i_rdev);
	k->magic = BPF_CORE_READ(i, i_sb, s_magic);
	if ((k->mode & S_IFMT) == S_IFSOCK) {
		struct socket *s = BPF_CORE_READ(f, private_data);
		struct sock *sk = BPF_CORE_READ(s, sk);

		k->family = BPF_CORE_READ(sk, __sk_common.skc_family);
		k->type = BPF_CORE_READ(s, type);
		k->protocol = BPF_CORE_READ(sk, sk_protocol);
	}
	return 0;
}

struct path_steps {
	struct dentry *e, *root;
	struct vfsmount *mnt, *root_mnt;
	char *to;
	__u32 off;
	bool whole;
};

static long path_step(__u32 i, struct path_steps *c)
{
	struct dentry *e = c->e, *parent;
	struct vfsmount *mnt = c->mnt;
	const __u64 inside = bpf_core_field_offset(struct mount, mnt);
	__u64 off = c->off;
	long n;

	c->whole = true;
	if (e == c->root && mnt == c->root_mnt)
		return 1;
	if (e == BPF_CORE_READ(mnt, mnt_root)) {
		struct mount *m = (void *)mnt - inside, *up = BPF_CORE_READ(m, mnt_parent);

		if (!up || up == m)
			return 1;
		c->e = BPF_CORE_READ(m, mnt_mountpoint);
		c->mnt = (void *)up + inside;
		c->whole = false;
		return 0;
	}
	c->whole = false;
	if (off >= DESC_PATH)
		return 1;
	asm volatile("%0 &= 255" : "+r"(off)); /* DESC_PATH - 1; or the compiler leaves it out */
	parent = BPF_CORE_READ(e, d_parent);
	n = bpf_probe_read_kernel_str(c->to + off, 64, BPF_CORE_READ(e, d_name.name));
	if (n <= 0)
		return 1;
	c->off = off + n;
	if (!parent || parent == e) {
		c->whole = true;
		return 1;
	}
	c->e = parent;
	return 0;
}

static __always_inline void path_of(struct fd_desc *d, struct path *p)
{
	struct fs_struct *fs = BPF_CORE_READ((struct task_struct *)bpf_get_current_task_btf(), fs);
	struct path_steps c = {
		.e = BPF_CORE_READ(p, dentry), .mnt = BPF_CORE_READ(p, mnt),
		.root = BPF_CORE_READ(fs, root.dentry), .root_mnt = BPF_CORE_READ(fs, root.mnt),
		.to = d->path, .off = 1,
	};
	struct dentry *e = c.e;

	if (!BPF_CORE_READ(e, d_hash.pprev) && BPF_CORE_READ(e, d_parent) != e)
		d->path[0] = PATH_DELETED;
	bpf_loop(DESC_DEPTH, path_step, &c, 0);
	if (!c.whole)
		d->path[0] |= PATH_CUT;
}

__noinline int describe(struct fd_desc *d, __u64 file)
{
	struct file *f = (struct file *)file;
	struct dentry *e;

	if (!d)
		return 0;
	__builtin_memset(d, 0, sizeof(*d));
	if (!f)
		return 0;
	kind_of(&d->kind, file);
	d->dev = BPF_CORE_READ(f, f_inode, i_sb, s_dev);
	if ((d->kind.mode & S_IFMT) == S_IFSOCK) {
		struct socket *s = BPF_CORE_READ(f, private_data);
		struct sock *sk = BPF_CORE_READ(s, sk);

		d->state = BPF_CORE_READ(sk, __sk_common.skc_state);
		d->netns = BPF_CORE_READ((struct sock___sys *)sk, __sk_common.skc_net.net, ns.inum);
		if (d->kind.family == AF_INET || d->kind.family == AF_INET6) {
			d->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
			d->peer_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
		}
		if (d->kind.family == AF_INET) {
			BPF_CORE_READ_INTO((__be32 *)d->local, sk, __sk_common.skc_rcv_saddr);
			BPF_CORE_READ_INTO((__be32 *)d->peer, sk, __sk_common.skc_daddr);
		} else if (d->kind.family == AF_INET6) {
			BPF_CORE_READ_INTO((struct in6_addr *)d->local, sk, __sk_common.skc_v6_rcv_saddr);
			BPF_CORE_READ_INTO((struct in6_addr *)d->peer, sk, __sk_common.skc_v6_daddr);
		} else if (d->kind.family == AF_UNIX) {
			struct unix_sock *u = (void *)sk;
			struct unix_address *a = BPF_CORE_READ(u, addr);
			__s32 len;

			if (!a && (u = (void *)BPF_CORE_READ(u, peer)))
				a = BPF_CORE_READ(u, addr);
			len = a ? BPF_CORE_READ(a, len) - 2 : 0;
			if (len > 0 && len <= 110) {
				d->unix_len = len > sizeof(d->name) ? sizeof(d->name) : len;
				bpf_probe_read_kernel(d->name, sizeof(d->name), &a->name[0].sun_path);
			}
		}
		return 0;
	}
	if (d->kind.magic != ANON_INODE_FS && d->kind.magic != PIPE_FS && d->kind.mode & S_IFMT) {
		path_of(d, &f->f_path);
		return 0;
	}
	e = BPF_CORE_READ(f, f_path.dentry);
	bpf_probe_read_kernel_str(d->name, sizeof(d->name), BPF_CORE_READ(e, d_name.name));
	return 0;
}

/* --- the table as a whole --- */

struct walk {
	unsigned long *open;
	__u32 words;
	__u32 count;
	__s32 highest;
	bool free;
};

static long count_word(__u32 i, struct walk *w)
{
	unsigned long v = 0;

	if (i >= w->words || bpf_probe_read_kernel(&v, sizeof(v), &w->open[i]))
		return 1;
	v -= v >> 1 & 0x5555555555555555UL;
	v = (v & 0x3333333333333333UL) + (v >> 2 & 0x3333333333333333UL);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fUL;
	w->count += v * 0x0101010101010101UL >> 56;
	return 0;
}

/* count_open gives the number of open descriptors, and the soft limit. */
__noinline int count_open(__u64 *soft)
{
	struct task_struct *t = (struct task_struct *)bpf_get_current_task_btf();
	struct fdtable *fdt = fdt_of(t);
	struct walk w = {};

	if (!soft)
		return 0;
	*soft = BPF_CORE_READ(t, signal, rlim[7].rlim_cur); /* RLIMIT_NOFILE */
	if (!fdt)
		return 0;
	w.open = BPF_CORE_READ(fdt, open_fds);
	w.words = BPF_CORE_READ(fdt, max_fds) / 64;
	bpf_loop(MAX_FD_WORDS, count_word, &w, 0);
	return w.count;
}

static long find_free(__u32 i, struct walk *w)
{
	unsigned long v = 0;

	if (i >= w->words || bpf_probe_read_kernel(&v, sizeof(v), &w->open[i]))
		return 1;
	if (i == w->words - 1 && w->count) /* bits of the limit's own word that are below it */
		v |= ~0UL << w->count;
	if (v != ~0UL) {
		w->free = true;
		return 1;
	}
	return 0;
}

/* table_full says whether the process has no descriptor left below its soft limit. */
__noinline int table_full(void)
{
	struct task_struct *t = (struct task_struct *)bpf_get_current_task_btf();
	__u64 soft = BPF_CORE_READ(t, signal, rlim[7].rlim_cur);
	struct fdtable *fdt = fdt_of(t);
	struct walk w = {};

	if (!fdt || soft > BPF_CORE_READ(fdt, max_fds))
		return false;
	w.open = BPF_CORE_READ(fdt, open_fds);
	w.words = (soft + 63) / 64;
	w.count = soft & 63;
	bpf_loop(MAX_FD_WORDS, find_free, &w, 0);
	return !w.free;
}

static long find_highest(__u32 i, struct walk *w)
{
	unsigned long v = 0;
	__u32 at = w->words - 1 - i;

	if (i >= w->words || bpf_probe_read_kernel(&v, sizeof(v), &w->open[at]))
		return 1;
	if (!v)
		return 0;
	w->highest = at * 64 + 63;
#pragma unroll
	for (int s = 32; s; s >>= 1) {
		if (!(v >> (64 - s))) {
			w->highest -= s;
			v <<= s;
		}
	}
	return 1;
}

__noinline int highest_open(__u64 table)
{
	struct fdtable *fdt = (struct fdtable *)table;
	struct walk w = {.highest = -1};

	w.open = BPF_CORE_READ(fdt, open_fds);
	w.words = BPF_CORE_READ(fdt, max_fds) / 64;
	bpf_loop(MAX_FD_WORDS, find_highest, &w, 0);
	return w.highest;
}

#endif
