/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What of a socket tells of trouble. Part of sockets.bpf.c. */
#ifndef SOCKETLOOK_BPF_H
#define SOCKETLOOK_BPF_H

#include "sockbuf.bpf.h"

#define S_FMT 0170000
#define S_SOCKET 0140000
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_SEQPACKET 5
#define TCP_SYN_SENT 2
#define TCP_CLOSE 7
#define TIMER_PROBE0 3 /* ICSK_TIME_PROBE0: data waits, the window is closed */

#define MAX_ROWS 64            /* of a process: an iterator gives at most 32 KiB of each */
#define SOCKETS_FDS (1 << 20)  /* descriptors looked at */
#define END_ROWS 16            /* of a process that ends */
#define END_SLOTS 8            /* a power of two */
#define STATES 64              /* see state_at */

enum row_type { ROW_SOCKET = 1, ROW_SOCKETS };

/* In the order of signNames in sockets.go. */
enum {
	SIGN_RECV_FULL = 1 << 0,
	SIGN_SEND_FULL = 1 << 1,
	SIGN_ZERO_WINDOW = 1 << 2,
	SIGN_ACCEPT_FULL = 1 << 3,
	SIGN_DROPS = 1 << 4, /* ever; the Go side tells whether they grew */
	SIGN_RETRANSMITS = 1 << 5,
	SIGN_PEER_FULL = 1 << 6,
};

struct socket_row {
	__u32 type, size;
	__u32 pid;
	__s32 fd;
	struct ends ends;
	__u64 inode, netns, peer_inode;
	__u64 token_in, token_out; /* change when the reader, and when the peer, takes something */
	__u32 signs;
	__u32 sock_type;
	__u32 recv_q, recv_mem, recv_buf, recv_window;
	__u32 send_q, send_mem, send_buf, send_window;
	__u32 drops;
	__u32 accept_q, backlog;
	__u32 unacked, retransmits, total_retrans;
	__u32 peer_q, peer_backlog;
	__u32 name_of_peer;
	__u32 name_len;
	char name[112]; /* of a UNIX socket, or of its peer */
};

/* A socket in trouble, as its process ends. */
struct socket_event {
	struct event_header h;
	struct socket_row row;
	__u32 main; /* it is the subject's main process */
	__u32 pad;
};
EVENT(socket_event)

struct sockets_row {
	__u32 type, size;
	__u32 pid;
	__u32 count;
	__u32 telling;
	__u32 subject;
	__u32 states[STATES];
	char comm[COMM_LEN];
};

struct socket_walk {
	__u64 busy;
	const struct file_operations *socket_ops; /* those of all sockets, once one was seen */
	struct file **fd;
	unsigned long *bits;
	unsigned long open_bits;
	__u32 words;
	__u32 rows;
	struct file *chunk[64];
	struct sockets_row sum;
	struct socket_row row;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 + END_SLOTS);
	__type(key, __u32);
	__type(value, struct socket_walk);
} socket_walks SEC(".maps");

/* Slot 0 is the sweep's, of which the Go side lets one run at a time; the others are for ends. */
static __always_inline struct socket_walk *walk_of(__u32 slot)
{
	return bpf_map_lookup_elem(&socket_walks, &slot);
}

/* Seven of eight parts, or more. */
static __always_inline bool nearly(__s64 used, __s64 all)
{
	return used > 0 && used * 8 >= all * 7;
}

static __always_inline void look_tcp(struct socket_row *r, struct sock *sk)
{
	struct inet_connection_sock___buf *icsk = (void *)sk;
	struct sock___buf *b = (void *)sk;
	struct tcp_sock___buf *tp = (void *)sk;
	__u32 una, window;

	if (r->ends.state == TCP_LISTEN) {
		r->accept_q = FAR(b, sk_ack_backlog);
		r->backlog = FAR(b, sk_max_ack_backlog);
		r->drops = sock_drops(sk);
		r->token_in = (__u64)FAR(icsk, icsk_accept_queue.rskq_accept_head);
		if (r->accept_q > r->backlog)
			r->signs |= SIGN_ACCEPT_FULL;
		if (r->drops)
			r->signs |= SIGN_DROPS;
		return;
	}
	r->token_in = FAR(tp, copied_seq);
	r->recv_q = FAR(tp, rcv_nxt) - (__u32)r->token_in;
	una = FAR(tp, snd_una);
	r->token_out = una;
	r->send_q = FAR(tp, write_seq) - una;
	if ((__s32)r->recv_q > 0) {
		window = FAR(tp, rcv_wup) + FAR(tp, rcv_wnd) - FAR(tp, rcv_nxt);
		r->recv_window = (__s32)window > 0 ? window : 0;
		r->recv_mem = RMEM(b);
		r->recv_buf = FAR(b, sk_rcvbuf);
		if (r->recv_window <= r->recv_q / 8 || nearly(r->recv_mem, r->recv_buf))
			r->signs |= SIGN_RECV_FULL;
	} else {
		r->recv_q = 0;
	}
	/* A connection that failed keeps the sequence number of its SYN. */
	if ((__s32)r->send_q > 0 && r->ends.state != TCP_CLOSE) {
		r->send_mem = FAR(b, sk_wmem_queued);
		r->send_buf = FAR(b, sk_sndbuf);
		r->send_window = FAR(tp, snd_wnd);
		r->retransmits = FAR(icsk, icsk_retransmits);
		if (nearly(r->send_mem, r->send_buf))
			r->signs |= SIGN_SEND_FULL;
		if (r->ends.state == TCP_SYN_SENT) {
			if (r->retransmits)
				r->signs |= SIGN_RETRANSMITS;
		} else if (r->send_window == 0 ||
			   (FAR(icsk, icsk_pending) == TIMER_PROBE0 && r->send_window < r->send_q)) {
			r->signs |= SIGN_ZERO_WINDOW;
		} else if (r->retransmits >= 2) {
			r->signs |= SIGN_RETRANSMITS;
		}
	} else {
		r->send_q = 0;
	}
	if (!r->signs)
		return;
	r->unacked = FAR(tp, packets_out);
	r->total_retrans = FAR(tp, total_retrans);
	r->recv_mem = RMEM(b);
	r->recv_buf = FAR(b, sk_rcvbuf);
	r->send_mem = FAR(b, sk_wmem_queued);
	r->send_buf = FAR(b, sk_sndbuf);
	r->send_window = FAR(tp, snd_wnd);
	r->drops = sock_drops(sk);
}

/* look_queue looks at sockets whose receive queue drops what it cannot hold. */
static __always_inline void look_queue(struct socket_row *r, struct sock *sk)
{
	struct sock___buf *b = (void *)sk;
	struct udp_sock *up = (void *)sk;
	__s32 held = RMEM(b);

	r->token_in = (__u64)FAR(b, sk_receive_queue.next);
	if (r->ends.kind == SOCK_UDP) {
		held -= FAR(up, forward_deficit); /* what was read and is not yet given back */
		if (FAR(up, reader_queue.qlen))
			r->token_in = (__u64)FAR(up, reader_queue.next);
	}
	r->recv_q = r->recv_mem = held > 0 ? held : 0;
	r->recv_buf = FAR(b, sk_rcvbuf);
	r->send_q = r->send_mem = WMEM(b);
	r->send_buf = FAR(b, sk_sndbuf);
	r->drops = sock_drops(sk);
	if (nearly(r->recv_mem, r->recv_buf))
		r->signs |= SIGN_RECV_FULL;
	if (nearly(r->send_mem, r->send_buf))
		r->signs |= SIGN_SEND_FULL;
	if (r->drops)
		r->signs |= SIGN_DROPS;
}

static __always_inline void look_unix(struct socket_row *r, struct sock *sk)
{
	struct unix_sock *u = (void *)sk;
	struct sock___buf *b = (void *)sk, *peer;
	__u32 queued = FAR(b, sk_receive_queue.qlen);

	r->send_q = r->send_mem = WMEM(b);
	if (!queued && !r->send_q && r->sock_type != SOCK_DGRAM) /* nothing waits on either side */
		return;
	r->backlog = FAR(b, sk_max_ack_backlog);
	r->token_in = (__u64)FAR(b, sk_receive_queue.next);
	if (r->ends.state == TCP_LISTEN) {
		r->accept_q = queued;
		if (queued > r->backlog)
			r->signs |= SIGN_ACCEPT_FULL;
		return;
	}
	peer = (void *)FAR(u, peer);
	r->send_buf = FAR(b, sk_sndbuf);
	if (nearly(r->send_mem, r->send_buf))
		r->signs |= SIGN_SEND_FULL;
	if (r->sock_type == SOCK_DGRAM) {
		r->accept_q = queued;
		if (queued > r->backlog)
			r->signs |= SIGN_RECV_FULL;
	} else {
		r->backlog = 0;
	}
	if (!peer)
		return;
	r->token_out = (__u64)FAR(peer, sk_receive_queue.next);
	if (r->sock_type == SOCK_DGRAM) {
		r->peer_q = FAR(peer, sk_receive_queue.qlen);
		r->peer_backlog = FAR(peer, sk_max_ack_backlog);
		if (r->peer_q > r->peer_backlog && (void *)peer != (void *)sk)
			r->signs |= SIGN_PEER_FULL;
	} else {
		/* What waits here is charged to the peer. */
		r->recv_q = r->recv_mem = WMEM(peer);
		r->recv_buf = FAR(peer, sk_sndbuf);
		if (nearly(r->recv_mem, r->recv_buf))
			r->signs |= SIGN_RECV_FULL;
	}
	if (r->signs)
		r->peer_inode = sock_inode((void *)peer);
}

/* name_unix copies the socket's name, or where it has none that of its peer. */
static __always_inline void name_unix(struct socket_row *r, struct sock *sk)
{
	struct unix_sock *u = (void *)sk, *peer;
	struct unix_address *a = FAR(u, addr);
	__u32 len;

	if (!a) {
		peer = (void *)FAR(u, peer);
		if (peer)
			a = FAR(peer, addr);
		r->name_of_peer = 1;
	}
	if (!a)
		return;
	len = FAR(a, len) - 2; /* without the family */
	if (len > 108)
		return;
	r->name_len = len;
	bpf_probe_read_kernel(r->name, len, (void *)a->name + 2);
}

/* state_at is where sockets of a kind and state are counted: TCP has 13 states. */
static __always_inline __u32 state_at(struct socket_row *r)
{
	switch (r->ends.kind) {
	case SOCK_TCP:
		return r->ends.state & 15;
	case SOCK_UNIX:
		return 16 + (r->ends.state & 15);
	}
	return 32 + (r->ends.kind & 7);
}

/* look_socket fills the row from one socket; the row's signs say whether it is worth telling. */
__noinline int look_socket(__u32 slot, __u64 file)
{
	struct file *f = (void *)file;
	struct socket_walk *w = walk_of(slot);
	struct socket_row *r;
	struct sock___sys *s;
	struct socket *so;
	struct sock *sk, *of;
	__u16 family, protocol;

	if (!w)
		return 0;
	r = &w->row;
	so = FAR(f, private_data);
	if (!so || !(sk = FAR(so, sk)))
		return 0;
	__builtin_memset(r, 0, sizeof(*r));
	family = FAR(sk, __sk_common.skc_family);
	protocol = FAR(sk, sk_protocol);
	r->sock_type = FAR(sk, sk_type);
	r->ends.state = FAR(sk, __sk_common.skc_state);
	r->ends.kind = sock_kind(family, protocol);
	w->sum.count++;
	w->sum.states[state_at(r) & (STATES - 1)]++;
	switch (r->ends.kind) {
	case SOCK_TCP:
		of = sk;
		if (protocol == IPPROTO_MPTCP) {
			struct mptcp_sock *mp = (void *)sk;

			if (!bpf_core_field_exists(mp->first) || !(of = FAR(mp, first)))
				return 0;
		}
		look_tcp(r, of);
		break;
	case SOCK_UNIX:
		look_unix(r, sk);
		break;
	default:
		look_queue(r, sk);
	}
	if (!r->signs)
		return 0;
	s = (void *)sk;
	r->netns = FAR(s, __sk_common.skc_net.net, ns.inum);
	r->inode = FAR(f, f_inode, i_ino);
	read_ends(&r->ends, sk, family);
	if (r->ends.kind == SOCK_UNIX)
		name_unix(r, sk);
	return 1;
}

#endif
