/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* bind, listen and connect that were refused their address; connect() that failed. */
#ifndef ADDRESS_BPF_H
#define ADDRESS_BPF_H

#include "file.bpf.h"
#include "connect.bpf.h"

#define ADDRESS_MAX 112 /* sockaddr_un has 110 */

struct address_event {
	struct event_header h;
	__u32 nr;
	__s32 err;
	__u64 count; /* alike ones before and with it */
	__s32 fd;
	__u32 addr_len;
	__u8 addr[ADDRESS_MAX]; /* struct sockaddr that was asked for; none for listen */
	struct fd_desc is;      /* the socket */
	__u32 wait;             /* of EV_CONNECT: the socket blocks */
	__s32 mark;             /* of EV_CONNECT: arg of its count_key */
	__u32 ports_lo, ports_hi; /* local ports of its network namespace; 0: not looked at */
	__u64 ports_used;         /* of these, by TCP */
};
EVENT(address_event)

#define PORTS_ALIKE 16 /* of one place in the table of ports */

/* Which local ports are taken. */
struct port_walk {
	__u64 net, heads;
	__u32 mask, mix;
	__u32 lo, hi;
	__u64 used;
};

/* port_step looks up one port in the table of those that are bound, with the sockets that wait for their
 * time to pass. */
static long port_step(__u32 i, struct port_walk *c)
{
	const __u32 each = bpf_core_type_size(struct inet_bind_hashbucket);
	__u64 at = 0, net = c->net;
	__u32 port = c->lo + i;

	if (port > c->hi)
		return 1;
	bpf_probe_read_kernel(&at, sizeof(at), (void *)c->heads + ((port + c->mix) & c->mask) * each + bpf_core_field_offset(struct inet_bind_hashbucket, chain));
	for (int n = 0; n < PORTS_ALIKE && at; n++) {
		struct inet_bind_bucket *b = (void *)at - bpf_core_field_offset(struct inet_bind_bucket, node);

		if (FAR(b, port) == port && (__u64)FAR(b, ib_net.net) == net) {
			c->used++;
			return 0;
		}
		at = (__u64)FAR(b, node.next);
	}
	return 0;
}

/* count_ports counts the local ports of a socket's network namespace that are in use: right now, since they
 * are free again when the program has ended. It takes a millisecond for all of them. */
static __noinline void count_ports(struct address_event *e, struct file *f)
{
	struct socket *s = FAR(f, private_data);
	struct sock___sys *sk = (void *)FAR(s, sk);
	struct net *net = FAR(sk, __sk_common.skc_net.net);
	struct port_walk c = {.net = (__u64)net};
	struct net___range *old = (void *)net;
	struct inet_hashinfo *table;
	__u32 range;

	if (!bpf_core_field_exists(net->ipv4.tcp_death_row.hashinfo)) /* before 6.1 it is elsewhere */
		return;
	table = FAR(net, ipv4.tcp_death_row.hashinfo);
	if (bpf_core_field_exists(net->ipv4.ip_local_ports.range)) { /* 6.8: one number; before, an array, which is another type */
		range = FAR(net, ipv4.ip_local_ports.range);
		c.lo = range & 0xffff;
		c.hi = range >> 16;
	} else {
		c.lo = FAR(old, ipv4.ip_local_ports.range[0]);
		c.hi = FAR(old, ipv4.ip_local_ports.range[1]);
	}
	c.heads = (__u64)FAR(table, bhash);
	c.mask = FAR(table, bhash_size) - 1;
	c.mix = FAR(net, hash_mix);
	if (!c.heads || !c.lo || c.hi > 65535)
		return;
	bpf_loop(65536, port_step, &c, 0);
	e->ports_lo = c.lo;
	e->ports_hi = c.hi;
	e->ports_used = c.used;
}

/* wants_port says whether a call was refused that takes any local port, of TCP. */
static __always_inline bool wants_port(struct address_event *e, __u32 err)
{
	if ((e->is.kind.family != 2 && e->is.kind.family != 10) || e->is.kind.protocol != 6)
		return false;
	return err == EADDRNOTAVAIL || (!e->addr[2] && !e->addr[3]);
}

/* mark tells peers apart in a count_key: of two that have the same one the later has no name. */
static __always_inline __s32 mark(__u8 *addr)
{
	__u64 *w = (__u64 *)addr, h = 14695981039346656037ULL;

#pragma unroll
	for (int i = 0; i < ADDRESS_MAX / 8; i++)
		h = (h ^ w[i]) * 1099511628211ULL;
	return h ^ h >> 32;
}

static __always_inline void read_address(struct address_event *e, void *regs, __u32 c)
{
	__u64 len;

	e->addr_len = 0;
	__builtin_memset(e->addr, 0, sizeof(e->addr));
	if (c & CALL_SOCKADDR) {
		len = arg3(regs);
		if (len > ADDRESS_MAX)
			len = ADDRESS_MAX;
		asm volatile("%0 &= 127" : "+r"(len)); /* for the verifier */
		if (len && len <= ADDRESS_MAX && !bpf_probe_read_user(e->addr, len, (void *)arg2(regs)))
			e->addr_len = len;
	}
}

static __always_inline void address_refused(struct proc *p, void *regs, __u32 nr, __u32 c, __u32 err)
{
	struct count_key k = {.pid = p->pid, .subject = p->subject, .type = EV_ADDRESS, .nr = nr, .err = err};
	struct address_event *e;
	__u64 n = count(&k, 0), f;

	if (n >= 3)
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_ADDRESS);
		return;
	}
	fill(&e->h, EV_ADDRESS, p);
	e->nr = nr;
	e->err = err;
	e->count = n + 1;
	e->fd = arg1(regs);
	read_address(e, regs, c);
	f = file_of(e->fd);
	describe(&e->is, f);
	e->ports_lo = e->ports_hi = e->ports_used = 0;
	if (n == 0 && f && wants_port(e, err))
		count_ports(e, (struct file *)f);
	bpf_ringbuf_submit(e, 0);
}

/* network says whether an error of connect() speaks of the peer or the way there, not of its arguments. */
static __always_inline bool network(__u32 err)
{
	switch (err) {
	case EPERM: case ENOENT: case EAGAIN: case EACCES: case EPROTOTYPE: case ENETDOWN: case ENETUNREACH: case ECONNABORTED:
	case ECONNRESET: case ETIMEDOUT: case ECONNREFUSED: case EHOSTDOWN: case EHOSTUNREACH:
		return true;
	}
	return false;
}

/* already_told says whether the failure was seen where the packets are, and forgets it. */
static __always_inline bool already_told(struct file *f, __u32 err)
{
	struct socket *s = FAR(f, private_data);
	__u64 sk = (__u64)FAR(s, sk);
	struct tcp_conn *t = bpf_map_lookup_elem(&tcp_conns, &sk);

	if (!t || !t->failed_ns || t->err != err)
		return false;
	bpf_map_delete_elem(&tcp_conns, &sk);
	return true;
}

/* A connect() that failed, unless on_tcp_state (tcp.bpf.c) has told of it. */
static __always_inline void connect_failed(struct proc *p, void *regs, __u32 nr, __u32 c, __u32 err)
{
	struct count_key k = {.pid = p->pid, .subject = p->subject, .type = EV_CONNECT, .nr = nr, .err = err};
	struct file *f = (struct file *)file_of(arg1(regs));
	struct address_event *e;
	__u64 n;

	if (!network(err) || !f || already_told(f, err))
		return;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_CONNECT);
		return;
	}
	fill(&e->h, EV_CONNECT, p);
	e->nr = nr;
	e->err = err;
	e->fd = arg1(regs);
	read_address(e, regs, c);
	k.arg = mark(e->addr);
	n = count(&k, 0);
	e->count = n + 1;
	if (n >= 3) {
		bpf_ringbuf_discard(e, 0);
		return;
	}
	describe(&e->is, (__u64)f);
	e->wait = !(FAR(f, f_flags) & O_NONBLOCK);
	e->mark = k.arg;
	bpf_ringbuf_submit(e, 0);
}

#endif
