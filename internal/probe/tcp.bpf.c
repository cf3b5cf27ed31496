//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * TCP connections: made, failed, lost.
 *
 * All of it shows in the changes of a socket's state. Whatever ends a connection against its owner's
 * will (a reset, retransmission given up, an ICMP error) sets sk_err before the state becomes CLOSE;
 * a socket that is closed from here has none. The socket also counts what it sent and sent again,
 * so that no program is needed where packets are sent.
 */
#include "connect.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT = 2, TCP_SYN_RECV = 3, TCP_FIN_WAIT1 = 4, TCP_CLOSE = 7, TCP_CLOSE_WAIT = 8, TCP_LAST_ACK = 9 };
enum { AF_INET = 2, AF_INET6 = 10, IPPROTO_TCP = 6 };
enum { EHOSTUNREACH = 113 };
#define O_NONBLOCK 04000
#define FIRST_WHOLE 3 /* events of a peer and an error that go out whole */

#define UNANSWERED 2  /* retransmissions in a row after which a connection counts as stalled */

/* What is counted, as nr of a count_key; mirrored in tcp.go. */
enum tcp_count {
	N_CONNECTED = 1, N_CONNECT_FAILED, N_ABANDONED, /* of EV_TCP */
	N_ACCEPTED, N_LOST, N_ABORTED, N_CLOSED, N_RESENT, N_STALLED, /* of EV_TCP_LOST; the sum of N_CLOSED is of segments */
};

/* Failures and losses by peer, exactly. */
struct tcp_peer {
	__u32 pid;
	__u16 port; /* host order */
	__u16 family;
	__u16 type; /* EV_TCP, EV_TCP_LOST */
	__u16 err;  /* 0: closed by the program while nothing was answered */
	__u32 subject;
	__u8 addr[16];
};
struct tcp_tally {
	__u64 n;
	__u64 first_ns, last_ns;
	__u64 nanos; /* that the last one took, or had lasted */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct tcp_peer);
	__type(value, struct tcp_tally);
} tcp_peers SEC(".maps");

/* Connections made, by peer, the latest ones: who failed to reach a peer may have reached it in the end. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct tcp_peer);
	__type(value, struct tcp_tally);
} tcp_made SEC(".maps");

struct tcp_event {
	struct event_header h;
	__u16 family, old_state;
	__u16 local_port, peer_port; /* host order */
	__s32 err;
	__u32 wait;                  /* connect() waited */
	__u8 local[16], peer[16];    /* IPv4 in the first four bytes */
	__u64 count;                 /* alike ones of the peer before and with it */
	__u64 nanos;                 /* since connect(), or since it was connected; 0: not known */
	__u64 sent, received;        /* bytes, acknowledged ones */
	__u32 resent, accepted;      /* segments; the peer connected, not we */
};
EVENT(tcp_event)

static __always_inline void peer_of(struct tcp_peer *k, struct sock *sk)
{
	__builtin_memset(k->addr, 0, sizeof(k->addr));
	k->family = FAR(sk, __sk_common.skc_family);
	k->port = __builtin_bswap16(FAR(sk, __sk_common.skc_dport));
	if (k->family == AF_INET)
		BPF_CORE_READ_INTO((__be32 *)k->addr, sk, __sk_common.skc_daddr);
	else
		BPF_CORE_READ_INTO((struct in6_addr *)k->addr, sk, __sk_common.skc_v6_daddr);
}

/* tally adds one to k's entry and returns the number with it; 0 where there was no room. */
static __always_inline __u64 tally(void *map, struct tcp_peer *k, __u64 now, __u64 nanos)
{
	struct tcp_tally none = {.first_ns = now}, *v = bpf_map_lookup_elem(map, k);

	if (!v) {
		bpf_map_update_elem(map, k, &none, BPF_NOEXIST);
		v = bpf_map_lookup_elem(map, k);
		if (!v)
			return 0;
	}
	v->last_ns = now;
	v->nanos = nanos;
	return __sync_fetch_and_add(&v->n, 1) + 1;
}

__noinline int add(__u32 type, __u64 owner, __u32 what, __s32 err, __u64 sum)
{
	struct count_key k = {.pid = OWNER_PID(owner), .subject = OWNER_SUBJECT(owner), .type = type, .nr = what, .err = err};

	count(&k, sum);
	return 0;
}

static __always_inline void began(struct sock *sk, __u64 key)
{
	struct tcp_conn c = {.start_ns = bpf_ktime_get_boot_ns()};
	struct proc *p = mine();
	struct file *f;

	if (!p || (node ? p->flags & PROC_LAUNCH : !(p->flags & PROC_EXECED) && p->pid == p->root)) {
		bpf_map_delete_elem(&tcp_conns, &key); /* of one who had the address before */
		return;
	}
	c.pid = p->pid;
	c.subject = p->subject;
	c.tid = tid_of((struct task_struct *)bpf_get_current_task_btf());
	f = FAR(sk, sk_socket, file);
	c.wait = f && !(FAR(f, f_flags) & O_NONBLOCK);
	bpf_get_current_comm(c.comm, sizeof(c.comm));
	if (bpf_map_update_elem(&tcp_conns, &key, &c, BPF_ANY))
		count_lost(EV_TCP);
}

/* What ended, and how. */
struct tcp_end {
	__u64 sk; /* struct sock */
	__u64 now, nanos;
	__u64 owner;
	__u32 type;
	__s32 old, err;
	__u32 ours; /* we connected, and what follows is known */
	__u32 tid, wait;
	char comm[COMM_LEN];
};

/* ended tells of a connect that failed, or a connection that was lost. */
__noinline int ended(struct tcp_end *x)
{
	struct tcp_peer k = {};
	struct tcp_event *e;
	struct tcp_sock *tp;
	struct sock *sk;
	__u64 n;

	if (!x)
		return 0;
	sk = (struct sock *)x->sk;
	tp = (struct tcp_sock *)x->sk;
	k.pid = OWNER_PID(x->owner);
	k.subject = OWNER_SUBJECT(x->owner);
	k.type = x->type;
	k.err = x->err;

	peer_of(&k, sk);
	n = tally(&tcp_peers, &k, x->now, x->nanos);
	if (!n || n > FIRST_WHOLE) {
		if (!n)
			count_lost(x->type);
		return 0;
	}
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(x->type);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->h.boot_ns = x->now;
	e->h.type = x->type;
	e->h.pid = OWNER_PID(x->owner);
	e->h.subject = OWNER_SUBJECT(x->owner);
	e->h.tid = x->tid;
	__builtin_memcpy(e->h.comm, x->comm, sizeof(e->h.comm));
	e->wait = x->wait;
	e->family = k.family;
	e->old_state = x->old;
	e->local_port = __builtin_bswap16(FAR((struct inet_sock *)sk, inet_sport)); /* skc_num is gone already */
	e->peer_port = k.port;
	__builtin_memcpy(e->peer, k.addr, sizeof(e->peer));
	if (k.family == AF_INET)
		BPF_CORE_READ_INTO((__be32 *)e->local, sk, __sk_common.skc_rcv_saddr);
	else
		BPF_CORE_READ_INTO((struct in6_addr *)e->local, sk, __sk_common.skc_v6_rcv_saddr);
	e->err = x->err;
	e->count = n;
	e->nanos = x->nanos;
	e->sent = FAR(tp, bytes_acked);
	e->received = FAR(tp, bytes_received);
	e->resent = FAR(tp, total_retrans);
	e->accepted = !x->ours;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_tcp_state, struct sock *unused, int old, int new)
{
	struct sock *sk = (struct sock *)plain(&ctx[0]);
	struct tcp_sock *tp = (void *)sk;
	__u64 key = (__u64)sk, now, owner;
	struct tcp_end x = {};
	struct tcp_conn *c;
	__u16 family;
	__u32 n;
	int err;

	if (new != TCP_SYN_SENT && new != TCP_ESTABLISHED && new != TCP_FIN_WAIT1 && new != TCP_LAST_ACK && new != TCP_CLOSE)
		return 0;
	if (FAR(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	family = FAR(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (!awake())
		return 0;
	if (new == TCP_SYN_SENT) {
		began(sk, key);
		return 0;
	}
	c = bpf_map_lookup_elem(&tcp_conns, &key);
	if (c && c->failed_ns) { /* its address is used again, by one that was accepted */
		bpf_map_delete_elem(&tcp_conns, &key);
		c = NULL;
	}
	owner = c ? OWNER(c->subject, c->pid) : old == TCP_SYN_SENT ? 0 : owner_of(key);
	if (!owner)
		return 0;
	now = bpf_ktime_get_boot_ns();
	if (new == TCP_ESTABLISHED) {
		if (old == TCP_SYN_SENT && c) {
			struct tcp_peer k = {.pid = OWNER_PID(owner), .subject = OWNER_SUBJECT(owner), .type = EV_TCP};

			c->made_ns = now;
			peer_of(&k, sk);
			tally(&tcp_made, &k, now, now - c->start_ns);
			add(EV_TCP, owner, N_CONNECTED, 0, 0);
		} else if (old == TCP_SYN_RECV && !c) {
			add(EV_TCP_LOST, owner, N_ACCEPTED, 0, 0);
		}
		return 0;
	}
	err = FAR(sk, sk_err);
	x.sk = (__u64)sk;
	x.now = now;
	x.owner = owner;
	x.type = EV_TCP_LOST;
	x.old = old;
	x.err = err;
	if (c) {
		x.ours = 1;
		x.tid = c->tid;
		x.wait = c->wait;
		__builtin_memcpy(x.comm, c->comm, sizeof(x.comm));
		x.nanos = c->made_ns ? now - c->made_ns : 0;
	}
	if (old == TCP_ESTABLISHED || old == TCP_CLOSE_WAIT) {
		add(EV_TCP_LOST, owner, N_CLOSED, 0, FAR(tp, segs_out));
		n = FAR(tp, total_retrans);
		if (n)
			add(EV_TCP_LOST, owner, N_RESENT, 0, n);
		if (!err && FAR((struct inet_connection_sock *)sk, icsk_retransmits) >= UNANSWERED) {
			add(EV_TCP_LOST, owner, N_STALLED, 0, 0);
			ended(&x);
		}
	}
	if (new != TCP_CLOSE)
		return 0;
	if (old == TCP_SYN_SENT && c) {
		/* Where nothing was sent connect() itself returns why: no local port, no route. */
		if (err || FAR(tp, segs_out)) {
			add(EV_TCP, owner, err ? N_CONNECT_FAILED : N_ABANDONED, err, 0);
			x.type = EV_TCP;
			x.nanos = now - c->start_ns;
			ended(&x);
		}
		if (err) {
			c->err = err;
			c->failed_ns = now;
			return 0;
		}
	} else if (old == TCP_ESTABLISHED || old == TCP_CLOSE_WAIT) {
		if (err > 0 && err <= EHOSTUNREACH) {
			add(EV_TCP_LOST, owner, N_LOST, err, 0);
			ended(&x);
		} else {
			add(EV_TCP_LOST, owner, N_ABORTED, 0, 0); /* from here: SO_LINGER, unread data */
		}
	}
	if (c)
		bpf_map_delete_elem(&tcp_conns, &key);
	return 0;
}
