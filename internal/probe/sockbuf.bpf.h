/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What a socket holds, and whose it is. For drop.bpf.c and sockets.bpf.c. */
#ifndef SOCKBUF_BPF_H
#define SOCKBUF_BPF_H

#include "descry.bpf.h"

/* In the order of fdKinds in fdtable.go, as in fdtable.bpf.h. */
enum { SOCK_TCP = 1, SOCK_UDP, SOCK_UNIX, SOCK_NETLINK, SOCK_RAW, SOCK_PACKET, SOCK_OTHER };

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16
#define AF_PACKET 17
#define TCP_LISTEN 10
#define IPPROTO_MPTCP 262

/* Both ends of a connection. */
struct ends {
	__u64 local[2], remote[2]; /* IPv6 or IPv4-mapped addresses */
	__u16 lport, rport;        /* host order */
	__u16 kind, state;
};

static __always_inline __u16 sock_kind(__u16 family, __u16 protocol)
{
	switch (family) {
	case AF_UNIX:
		return SOCK_UNIX;
	case AF_NETLINK:
		return SOCK_NETLINK;
	case AF_PACKET:
		return SOCK_PACKET;
	case AF_INET:
	case AF_INET6:
		break;
	default:
		return SOCK_OTHER;
	}
	if (protocol == 6 || protocol == IPPROTO_MPTCP)
		return SOCK_TCP;
	return protocol == 17 || protocol == 136 ? SOCK_UDP : SOCK_RAW;
}

/* read_ends reads the addresses of an inet socket. */
static __always_inline void read_ends(struct ends *e, struct sock *sk, __u16 family)
{
	if (family == AF_INET) {
		e->remote[0] = e->local[0] = 0;
		e->remote[1] = 0xffff0000ULL | (__u64)FAR(sk, __sk_common.skc_daddr) << 32;
		e->local[1] = 0xffff0000ULL | (__u64)FAR(sk, __sk_common.skc_rcv_saddr) << 32;
	} else if (family == AF_INET6) {
		BPF_CORE_READ_INTO(&e->remote, sk, __sk_common.skc_v6_daddr);
		BPF_CORE_READ_INTO(&e->local, sk, __sk_common.skc_v6_rcv_saddr);
	} else {
		return;
	}
	e->rport = __builtin_bswap16(FAR(sk, __sk_common.skc_dport));
	e->lport = FAR(sk, __sk_common.skc_num);
}

/* sock_inode is the inode that /proc/PID/fd shows, 0 for a socket that no descriptor refers to. */
static __always_inline __u64 sock_inode(struct sock *sk)
{
	struct sock___buf *b = (void *)sk;
	struct socket_alloc *a;

	if (bpf_core_field_exists(b->sk_ino))
		return FAR(b, sk_ino);
	a = (void *)FAR(b, sk_socket); /* its first member */
	return a ? FAR(a, vfs_inode.i_ino) : 0;
}

static __always_inline __u32 sock_drops(struct sock *sk)
{
	struct sock___buf *b = (void *)sk;

	if (bpf_core_field_exists(b->sk_drop_counters)) {
		struct numa_drop_counters *n = FAR(b, sk_drop_counters);

		if (n)
			return FAR(n, drops0.counter) + FAR(n, drops1.counter);
	}
	return FAR(b, sk_drops.counter);
}

#define RMEM(b) FAR(b, sk_backlog.rmem_alloc.counter)
/* The kernel keeps one more than there is. */
#define WMEM(b) (FAR(b, sk_wmem_alloc.refs.counter) - 1)

#endif
