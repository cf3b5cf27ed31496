//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What the subject's sockets had no room for. These run for packets, in no process's context: the
 * socket's cgroup says whose it is.
 */
#include "descry.bpf.h"
#include "sockbuf.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ENOBUFS 105
#define SK_MEM_SEND 0

#define FIRST_DROPS 3 /* of each socket and reason go out whole */

/* In the order of dropReasons in drop.go. */
enum drop_reason { DROP_BUFFER = 1, DROP_UDP_MEMORY, DROP_SOCKET_MEMORY, DROP_PROTOCOL_MEMORY };

struct drop_event {
	struct event_header h;
	struct ends ends;
	__u64 inode;
	__u64 count; /* of this socket and reason, this one too */
	__u64 netns;
	__s64 allocated; /* pages of the protocol */
	__s64 limits[3];
	__s32 buffer, queued;
	__u32 reason, sending;
};
EVENT(drop_event)

/* tell counts a drop, and emits it where it is one of the first. Global, so that the verifier looks at it once. */
__noinline int tell(__u64 socket, __u64 owner, __u32 reason, __u32 sending, __s64 allocated)
{
	struct sock *sk = (void *)socket;
	struct sock___buf *b = (void *)sk;
	struct sock___sys *s = (void *)sk;
	struct count_key k = {.pid = OWNER_PID(owner), .subject = OWNER_SUBJECT(owner), .type = EV_DROP};
	__u16 family = FAR(sk, __sk_common.skc_family);
	__u16 kind = sock_kind(family, FAR(sk, sk_protocol));
	__u64 inode = sock_inode(sk), n;
	struct drop_event *e;

	k.nr = reason | kind << 4 | (sending != 0) << 8;
	k.err = inode; /* numbers of 32 bits, the kernel's get_next_ino */
	n = count(&k, 0);
	if (n >= FIRST_DROPS)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_DROP);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->h.boot_ns = bpf_ktime_get_boot_ns();
	e->h.type = EV_DROP;
	e->h.pid = OWNER_PID(owner);
	e->h.subject = OWNER_SUBJECT(owner);
	read_ends(&e->ends, sk, family);
	e->ends.kind = kind;
	e->inode = inode;
	e->count = n + 1;
	e->netns = FAR(s, __sk_common.skc_net.net, ns.inum);
	e->allocated = allocated;
	e->reason = reason;
	e->sending = sending;
	e->buffer = sending ? FAR(b, sk_sndbuf) : FAR(b, sk_rcvbuf);
	e->queued = sending ? FAR(b, sk_wmem_queued) : RMEM(b);
	if (reason != DROP_BUFFER) {
		long *mem = FAR(b, __sk_common.skc_prot, sysctl_mem);

		if (mem)
			bpf_probe_read_kernel(e->limits, sizeof(e->limits), mem);
	}
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp_btf/udp_fail_queue_rcv_skb")
int BPF_PROG(on_udp_fail, int rc)
{
	__u64 sk = plain(&ctx[1]);
	__u64 owner = owner_of(sk);

	if (owner)
		tell(sk, owner, rc == -ENOBUFS ? DROP_UDP_MEMORY : DROP_BUFFER, 0, 0);
	return 0;
}

SEC("tp_btf/sock_rcvqueue_full")
int BPF_PROG(on_queue_full)
{
	__u64 sk = plain(&ctx[0]);
	__u64 owner = owner_of(sk);

	if (owner)
		tell(sk, owner, DROP_BUFFER, 0, 0);
	return 0;
}

/* The memory of all sockets of a protocol, or of a cgroup, is used up. */
SEC("tp_btf/sock_exceed_buf_limit")
int BPF_PROG(on_exceed)
{
	__u64 sk = plain(&ctx[0]);
	struct proto___buf *prot = (struct proto___buf *)plain(&ctx[1]);
	__u64 owner = owner_of(sk);
	__u32 reason = DROP_SOCKET_MEMORY;
	__s64 allocated = ctx[2], low = 0;
	long *mem;

	if (!owner)
		return 0;
	mem = FAR(prot, sysctl_mem);
	/* Below the first limit nothing is refused but for the cgroup. */
	if (mem && !bpf_probe_read_kernel(&low, sizeof(low), mem) && allocated > low)
		reason = DROP_PROTOCOL_MEMORY;
	tell(sk, owner, reason, (__u32)ctx[3] == SK_MEM_SEND, allocated);
	return 0;
}
