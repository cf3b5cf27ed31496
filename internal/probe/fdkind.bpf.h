/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a descriptor is, and what it has in common with others. Part of fdtable.bpf.h. */
#ifndef FDKIND_BPF_H
#define FDKIND_BPF_H

#define S_FMT 0170000
#define MAGIC_PIPE 0x50495045
#define MAGIC_ANON 0x09041934
#define MAGIC_PIDFS 0x50494446
#define MAGIC_TMPFS 0x01021994
#define MAGIC_HUGETLB 0x958458f6

/* FIELD reads a member from a copy, or from the thing itself where that kernel has it farther behind.
 * ptr is a local variable: a member would be relocated too. */
#define FIELD(copy, ptr, type, field) ({ \
	typeof(((type *)0)->field) value; \
	const __u64 at = bpf_core_field_offset(type, field); \
	if (at <= sizeof(copy) - sizeof(value)) \
		__builtin_memcpy(&value, &(copy)[at], sizeof(value)); \
	else \
		bpf_core_read(&value, sizeof(value), &(ptr)->field); \
	value; })

/* load_file copies what is needed of a file; false where it is none. */
__noinline int load_file(__u32 slot, __u64 file)
{
	struct file *f = (void *)file;
	struct walk *w = walk_at(slot);
	struct super_block *sb;
	struct inode *ino;

	if (!w || bpf_probe_read_kernel(w->file, bpf_core_type_size(struct file) < sizeof(w->file) ? bpf_core_type_size(struct file) : sizeof(w->file), f))
		return 0;
	ino = FIELD(w->file, f, struct file, f_inode);
	if (!ino)
		return 0;
	if (ino != w->inode) {
		if (bpf_probe_read_kernel(w->node, sizeof(w->node), ino))
			return 0;
		w->inode = ino;
		w->mode = FIELD(w->node, ino, struct inode, i_mode);
		sb = FIELD(w->node, ino, struct inode, i_sb);
		if (sb != w->sb) {
			w->sb = sb;
			w->magic = BPF_CORE_READ(sb, s_magic);
			w->dev = BPF_CORE_READ(sb, s_dev);
		}
	}
	w->key.inode = FIELD(w->node, ino, struct inode, i_ino);
	return 1;
}

static __always_inline void read_inet(struct walk *w, struct fd_group *k, struct sock_common *sk, __u16 family)
{
	if (family == 2) {
		k->remote[1] = 0xffff0000ULL | (__u64)FIELD(w->sock, sk, struct sock_common, skc_daddr) << 32;
		k->local[1] = 0xffff0000ULL | (__u64)FIELD(w->sock, sk, struct sock_common, skc_rcv_saddr) << 32;
	} else {
		*(struct in6_addr *)k->remote = FIELD(w->sock, sk, struct sock_common, skc_v6_daddr);
		*(struct in6_addr *)k->local = FIELD(w->sock, sk, struct sock_common, skc_v6_rcv_saddr);
	}
	k->rport = k->rport1 = __builtin_bswap16(FIELD(w->sock, sk, struct sock_common, skc_dport));
	k->lport = k->lport1 = FIELD(w->sock, sk, struct sock_common, skc_num);
}

/* key_socket tells a socket apart. */
__noinline int key_socket(__u32 slot, __u64 file, __u32 coarse)
{
	struct file *f = (void *)file;
	struct walk *w = walk_at(slot);
	struct sock_common *common;
	struct fd_group *k;
	struct socket *s;
	struct sock *sk;
	__u16 family, protocol;

	if (!w)
		return 0;
	k = &w->key;
	k->kind = FD_SOCKET;
	s = FIELD(w->file, f, struct file, private_data);
	if (!s || !(sk = BPF_CORE_READ(s, sk)) || bpf_probe_read_kernel(w->sock, sizeof(w->sock), sk))
		return 0;
	common = (void *)sk; /* its first member */
	family = FIELD(w->sock, common, struct sock_common, skc_family);
	switch (family) {
	case 1:
		k->kind = FD_UNIX;
		k->state = FIELD(w->sock, common, struct sock_common, skc_state);
		if (k->state == 1 && (BPF_CORE_READ(sk, sk_shutdown) & 1))
			k->state = 100; /* the peer is gone */
		{
			struct unix_sock *u = (void *)sk, *peer;
			struct unix_address *a = BPF_CORE_READ(u, addr);

			if (!a) {
				peer = (void *)BPF_CORE_READ(u, peer);
				if (peer)
					a = BPF_CORE_READ(peer, addr);
				k->rport = 1; /* the name is the peer's */
			}
			/* Accepted sockets share the address of their listener. */
			k->ident = (__u64)a;
		}
		return 0;
	case 16:
		k->kind = FD_NETLINK;
		return 0;
	case 17:
		k->kind = FD_PACKET;
		return 0;
	case 2:
	case 10:
		break;
	default:
		k->state = family;
		return 0;
	}
	protocol = BPF_CORE_READ(sk, sk_protocol);
	read_inet(w, k, common, family);
	if (protocol == 6 || protocol == 262 /* multipath */) {
		k->kind = FD_TCP;
		k->state = FIELD(w->sock, common, struct sock_common, skc_state);
		if (protocol == 6 && k->state != 10) {
			/* connect() marks the port that it takes as not to be shared. */
			struct inet_bind_bucket *bound = BPF_CORE_READ((struct inet_connection_sock *)sk, icsk_bind_hash);

			if (bound && BPF_CORE_READ(bound, fastreuse) >= 0)
				k->flags |= GROUP_BOUND;
		}
	} else if (protocol == 17 || protocol == 136) {
		k->kind = FD_UDP;
	} else {
		k->kind = FD_RAW;
	}
	if (k->kind == FD_TCP && k->state == 10 /* listening */)
		return 0;
	if (!k->rport) /* unconnected: only its own address tells it apart */
		return 0;
	/* Connections to one peer are alike, and so are those that one port accepted from it. */
	if (k->flags & GROUP_BOUND) {
		k->rport = 0;
		if (coarse)
			k->remote[0] = k->remote[1] = 0;
	} else {
		k->lport = 0;
		if (coarse)
			k->rport = 0;
	}
	return 0;
}

/* key_file tells any other descriptor apart. */
__noinline int key_file(__u32 slot, __u64 file, __u32 coarse)
{
	struct file *f = (void *)file;
	struct walk *w = walk_at(slot);
	struct inode *ino;
	struct fd_group *k;
	struct dentry *d;
	__u64 magic;
	__u16 mode;
	__u32 rdev;

	if (!w)
		return 0;
	k = &w->key;
	ino = w->inode;
	d = FIELD(w->file, f, struct file, f_path.dentry);
	magic = w->magic;
	mode = w->mode;
	k->dev = w->dev;
	if (magic == MAGIC_ANON || magic == MAGIC_PIDFS) {
		k->kind = magic == MAGIC_ANON ? FD_ANON : FD_PIDFD;
		k->inode = 0;
		if (magic == MAGIC_ANON)
			bpf_probe_read_kernel_str(k->remote, sizeof(k->remote), BPF_CORE_READ(d, d_name.name));
		return 0;
	}
	switch (mode & S_FMT) {
	case 0010000:
		if (magic == MAGIC_PIPE) {
			k->kind = FD_PIPE;
			return 0;
		}
		k->kind = FD_FIFO;
		break;
	case 0020000:
	case 0060000:
		rdev = FIELD(w->node, ino, struct inode, i_rdev);
		k->kind = FD_DEVICE;
		k->ident = (mode & S_FMT) | (__u64)rdev << 32;
		switch (rdev >> 20) {
		case 4: case 5: case 188: case 204: case 229:
		case 136 ... 143:
			k->kind = FD_TTY;
		}
		return 0;
	case 0040000:
		k->kind = FD_DIR;
		break;
	default:
		k->kind = FD_FILE;
		if (magic == MAGIC_TMPFS || magic == MAGIC_HUGETLB) {
			char name[16] = {};

			bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(d, d_name.name));
			if (*(__u32 *)name == 0x666d656d /* memf */ && name[4] == 'd' && name[5] == ':') {
				k->kind = FD_MEMFD;
				__builtin_memcpy(k->remote, name, sizeof(k->remote));
				return 0;
			}
		}
	}
	k->ident = (__u64)(coarse ? BPF_CORE_READ(d, d_parent) : d);
	return 0;
}

#endif
