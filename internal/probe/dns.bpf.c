//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Questions to name servers and their answers: packets of the subject's own sockets to and from
 * port 53. A question waits here for its answer, so that all figures are exact however many there
 * are; what tells something goes out whole, with the head of the question, whose name user space reads.
 *
 * A question leaves to port 53, an answer comes from there. What comes to a port 53 of the subject's
 * own is another's question, and on loopback each packet passes here twice: the direction tells.
 */
#include "descry.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* As the user interface has it: no relocation. */
struct __sk_buff {
	__u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	__u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
};

#define bswap16(x) __builtin_bswap16(x)
#define bswap32(x) __builtin_bswap32(x)

enum { TCP = 6, UDP = 17 };
enum { PORT_DNS = 53, PORT_DOT = 853, PORT_MDNS = 5353 };
enum { DNS_HEADER = 12, DNS_HEAD = 272 /* header, longest name, type and class: 271 */ };

/* What is counted, see struct count_key: nr. err is the answer's code. */
enum { DNS_ASKED = 1, DNS_RETRIED, DNS_ANSWERED, DNS_EMPTY, DNS_ENCRYPTED, DNS_MULTICAST };

struct dns_key {
	__u8 server[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u16 port;      /* local */
	__u16 id;
	__u32 proto;
	__u32 subject;
};

/* A question, and the event that it becomes. */
struct dns_event {
	struct event_header h; /* who asked; the time is the answer's */
	struct dns_key key;
	__u32 pad2;
	__u64 first_ns, last_ns; /* of the question, CLOCK_BOOTTIME */
	__u32 tries;             /* packets of the question */
	__u32 size;              /* bytes of its message */
	__u32 answered;
	__u16 flags;             /* of the answer's header */
	__u16 answers;
	__u32 head_len;
	__u32 pad;
	__u8 head[DNS_HEAD];
};
EVENT(dns_event)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct dns_key);
	__type(value, struct dns_event);
} dns_open SEC(".maps");

/* A question that nothing is known of yet: too large for a program's stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dns_event);
} dns_none SEC(".maps");

/* Where the next message begins in a TCP connection's one direction. */
struct dns_flow {
	__u8 server[16];
	__u16 port;
	__u16 out;
	__u32 subject;
};
struct dns_next {
	__u32 seq;
	__u32 len; /* of the message, where its two bytes of length stood alone before it; else 0 */
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 512);
	__type(key, struct dns_flow);
	__type(value, struct dns_next);
} dns_flows SEC(".maps");

/* How many answers have gone out whole in this second, by subject. */
struct dns_pace {
	__u64 second;
	__u64 n[2];    /* good ones, others */
	__u64 credit;  /* good ones to go out after a bad one: they show that it was got over */
	__u64 slowest; /* ns */
	__u32 root;    /* the subject's main process, as descry sees it; set by the Go side, of a node in subjects */
	__u32 pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct dns_pace);
} dns_pace SEC(".maps");

#define GOOD_A_SECOND 16
#define OTHERS_A_SECOND 64
#define CREDIT 8
#define SLOW 1000000000ULL
#define NOTABLE 20000000ULL /* a slowest one below that is not worth an event */

static __always_inline struct dns_pace *pace_of(__u32 subject)
{
	struct dns_pace *p = bpf_map_lookup_elem(&dns_pace, &subject), none = {};

	if (p || !node)
		return p;
	bpf_map_update_elem(&dns_pace, &subject, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&dns_pace, &subject);
}

static __always_inline void tally(__u32 pid, __u32 subject, __u16 nr, __s32 err)
{
	struct count_key k = {.pid = pid, .subject = subject, .type = EV_DNS, .nr = nr, .err = err};

	count(&k, 0);
}

/*
 * asker fills in who sends the packet at hand: as a rule the current process; the subject's main one
 * where the packet is sent by a timer or an interrupt.
 */
static __always_inline void asker(struct event_header *h, __u32 subject)
{
	struct task_struct *t = (void *)bpf_get_current_task_btf();
	__u32 tgid = FAR(t, tgid);
	struct proc *p = bpf_map_lookup_elem(&tree, &tgid);
	struct dns_pace *pace;
	struct subject *s;

	h->subject = subject;
	if (p && p->subject == subject) {
		h->pid = p->pid;
		h->tid = tid_of(t);
		BPF_CORE_READ_INTO(&h->comm, t, comm);
		return;
	}
	if (node) {
		s = bpf_map_lookup_elem(&subjects, &subject);
		h->pid = s ? s->main : 0;
		return;
	}
	pace = pace_of(0);
	h->pid = pace ? pace->root : 0;
}

__noinline int question(struct __sk_buff *skb, struct dns_key *k, __u32 off, __u32 size)
{
	struct dns_key key; /* Linux 6.1 takes no key out of an argument */
	struct dns_event *v, *none;
	struct event_header who = {};
	__u64 now = bpf_ktime_get_boot_ns(), n = size;
	__u32 zero = 0;

	if (!k)
		return 0;
	key = *k;
	v = bpf_map_lookup_elem(&dns_open, &key);
	if (v && v->size == size) {
		__sync_fetch_and_add(&v->tries, 1);
		v->last_ns = now;
		tally(v->h.pid, key.subject, DNS_RETRIED, 0);
		return 0;
	}
	asker(&who, key.subject);
	tally(who.pid, key.subject, DNS_ASKED, 0);
	none = bpf_map_lookup_elem(&dns_none, &zero);
	if (!none)
		return 0;
	bpf_map_update_elem(&dns_open, &key, none, BPF_ANY);
	v = bpf_map_lookup_elem(&dns_open, &key);
	if (!v) {
		count_lost(EV_DNS);
		return 0;
	}
	__builtin_memcpy(&v->h, &who, sizeof(who));
	__builtin_memcpy(&v->key, &key, sizeof(key));
	v->h.type = EV_DNS;
	v->first_ns = v->last_ns = v->h.boot_ns = now;
	v->tries = 1;
	v->size = size;
	/* Two comparisons of one register: of a range check made of a difference, verifiers before 6.18 lose the lower end. */
	if (n > DNS_HEAD)
		n = DNS_HEAD;
	asm volatile("" : "+r"(n));
	if (n < DNS_HEADER)
		return 0;
	asm volatile("" : "+r"(n));
	if (!bpf_skb_load_bytes(skb, off, v->head, n))
		v->head_len = n;
	return 0;
}

__noinline int answer(struct dns_key *k, __u32 flags, __u32 answers)
{
	__u64 now = bpf_ktime_get_boot_ns(), took;
	struct dns_key key; /* Linux 6.1 takes no key out of an argument */
	struct dns_pace *pace;
	struct dns_event *v;
	bool good, whole;

	if (!k)
		return 0;
	key = *k;
	pace = pace_of(key.subject);
	if (!pace)
		return 0;
	v = bpf_map_lookup_elem(&dns_open, &key);
	if (!v || __sync_lock_test_and_set(&v->answered, 1))
		return 0; /* a second one, or nobody asked */
	took = now - v->last_ns;
	v->h.boot_ns = now;
	v->flags = flags;
	v->answers = answers;
	tally(v->h.pid, key.subject, DNS_ANSWERED, flags & 15);
	if (!(flags & 15) && !answers)
		tally(v->h.pid, key.subject, DNS_EMPTY, 0);
	good = !(flags & 0x20f) && answers;
	if (pace->second != now >> 30) {
		pace->second = now >> 30;
		pace->n[0] = pace->n[1] = 0;
	}
	if (!good) {
		whole = pace->n[1]++ < OTHERS_A_SECOND;
		pace->credit = CREDIT;
	} else if (v->tries > 1 || took > SLOW) {
		whole = pace->n[1]++ < OTHERS_A_SECOND;
	} else if (pace->credit) {
		pace->credit--;
		whole = true;
	} else {
		whole = pace->n[0]++ < GOOD_A_SECOND;
	}
	if (took > pace->slowest) {
		pace->slowest = took;
		whole |= took > NOTABLE;
	}
	if (whole && bpf_ringbuf_output(&events, v, sizeof(*v), 0))
		count_lost(EV_DNS);
	bpf_map_delete_elem(&dns_open, &key);
	return 0;
}

/* message looks at a message of size bytes at off, of which the header is there. */
__noinline int message(struct __sk_buff *skb, struct dns_key *k, __u32 off, __u32 size, __u32 out)
{
	__u16 h[6];
	__u16 flags;

	if (!k || bpf_skb_load_bytes(skb, off, h, sizeof(h)))
		return 0;
	flags = bswap16(h[1]);
	if (flags >> 11 & 15) /* no query: an update, a notification */
		return 0;
	k->id = h[0];
	if (out && !(flags >> 15) && h[2] == bswap16(1))
		return question(skb, k, off, size);
	if (!out && flags >> 15)
		return answer(k, flags, bswap16(h[3]));
	return 0;
}

/* stream follows a TCP connection's messages, each behind two bytes of length. */
static __always_inline void stream(struct __sk_buff *skb, struct dns_key *k, __u32 l4, __u32 out)
{
	struct dns_flow f = {.port = k->port, .out = out, .subject = k->subject};
	struct dns_next *s, first = {};
	__u8 th[20];
	__u32 seq, off, at, size, left;
	__u16 len;

	if (bpf_skb_load_bytes(skb, l4, th, sizeof(th)))
		return;
	__builtin_memcpy(f.server, k->server, sizeof(f.server));
	seq = bswap32(*(__u32 *)(th + 4));
	if (th[13] & 2) { /* SYN */
		first.seq = seq + 1;
		bpf_map_update_elem(&dns_flows, &f, &first, BPF_ANY);
		return;
	}
	off = l4 + (th[12] >> 4) * 4;
	if (off >= skb->len)
		return;
	size = skb->len - off;
	s = bpf_map_lookup_elem(&dns_flows, &f);
	if (!s)
		return;
	if ((__s32)(s->seq - seq) < 0) { /* behind a hole */
		count_lost(EV_DNS);
		return;
	}
	at = s->seq - seq;
	for (int i = 0; i < 8 && at < size; i++) {
		if (!s->len) {
			if (size - at < 2 || bpf_skb_load_bytes(skb, off + at, &len, sizeof(len)))
				break;
			s->len = bswap16(len);
			at += 2;
		}
		left = size - at;
		if (left && left < DNS_HEADER && left < s->len)
			count_lost(EV_DNS); /* a header in pieces */
		if (!left || left < DNS_HEADER)
			break;
		if (s->len >= DNS_HEADER)
			message(skb, k, off + at, left < s->len ? left : s->len, out);
		at += s->len;
		s->len = 0;
	}
	s->seq = seq + at;
}

/* whose is the subject that a packet's socket belongs to; false where it is none's. */
static __always_inline bool whose(struct __sk_buff *skb, __u32 *subject)
{
	__u64 owner;

	if (!node) /* attached to the only one's cgroup */
		return true;
	if (!awake())
		return false;
	/* A cgroup below a container's has an entry of its own once a process was put there. */
	owner = leaf_at(bpf_skb_cgroup_id(skb));
	*subject = OWNER_SUBJECT(owner);
	return owner != 0;
}

__noinline int dns(struct __sk_buff *skb, __u32 l4, __u32 proto, __u32 out)
{
	struct dns_key k = {.proto = proto};
	__u8 version;

	if (!whose(skb, &k.subject) || bpf_skb_load_bytes(skb, 0, &version, 1))
		return 1;
	if (version >> 4 == 4) {
		k.server[10] = k.server[11] = 0xff;
		if (bpf_skb_load_bytes(skb, out ? 16 : 12, k.server + 12, 4))
			return 1;
	} else if (bpf_skb_load_bytes(skb, out ? 24 : 8, k.server, 16)) {
		return 1;
	}
	if (bpf_skb_load_bytes(skb, out ? l4 : l4 + 2, &k.port, sizeof(k.port)))
		return 1;
	k.port = bswap16(k.port);
	if (proto == TCP)
		stream(skb, &k, l4, out);
	else if (skb->len >= l4 + 8 + DNS_HEADER)
		message(skb, &k, l4 + 8, skb->len - l4 - 8, out);
	return 1;
}

/* unseen counts what asks for names in ways that cannot be read. */
static __noinline int unseen(struct __sk_buff *skb, __u32 port)
{
	struct event_header who = {};
	__u32 subject = 0;

	if (!whose(skb, &subject))
		return 1;
	asker(&who, subject);
	tally(who.pid, subject, port == PORT_DOT ? DNS_ENCRYPTED : DNS_MULTICAST, 0);
	return 1;
}

/* packet is the way that all packets of the subject go: a few loads, and out. */
static __always_inline int packet(struct __sk_buff *skb, __u32 out)
{
	__u8 *p = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 l4, proto;
	__u16 port;

	if (p + 24 > end)
		return 1;
	if (p[0] >> 4 == 4) {
		l4 = (p[0] & 15) * 4;
		proto = p[9];
	} else {
		l4 = 40;
		proto = p[6];
	}
	if (p + l4 + 4 > end)
		return 1;
	port = *(__u16 *)(p + l4 + (out ? 2 : 0));
	if (port == bswap16(PORT_DNS) && (proto == UDP || proto == TCP))
		return dns(skb, l4, proto, out);
	if (out && ((port == bswap16(PORT_DOT) && (proto == TCP || proto == UDP)) || (port == bswap16(PORT_MDNS) && proto == UDP)))
		return unseen(skb, bswap16(port));
	return 1;
}

/* What came back in place of an answer: nobody listens there, no way to it. The key has no id. */
struct dns_error {
	__u64 boot_ns;
	__u64 err;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 256);
	__type(key, struct dns_key);
	__type(value, struct dns_error);
} dns_errors SEC(".maps");

SEC("tp_btf/inet_sk_error_report")
int BPF_PROG(dns_refused)
{
	struct sock *sk = (struct sock *)plain(&ctx[0]);
	struct dns_key k = {};
	struct dns_error e = {};
	__u64 owner;
	__be32 addr;

	if (FAR(sk, __sk_common.skc_dport) != bswap16(PORT_DNS))
		return 0;
	owner = owner_of((__u64)sk);
	if (!owner)
		return 0;
	k.subject = OWNER_SUBJECT(owner);
	if (FAR(sk, __sk_common.skc_family) == 2) { /* AF_INET */
		k.server[10] = k.server[11] = 0xff;
		addr = FAR(sk, __sk_common.skc_daddr);
		__builtin_memcpy(k.server + 12, &addr, sizeof(addr));
	} else {
		BPF_CORE_READ_INTO(&k.server, sk, __sk_common.skc_v6_daddr);
	}
	k.port = FAR(sk, __sk_common.skc_num);
	k.proto = FAR(sk, sk_protocol);
	e.boot_ns = bpf_ktime_get_boot_ns();
	e.err = FAR(sk, sk_err);
	bpf_map_update_elem(&dns_errors, &k, &e, BPF_ANY);
	return 0;
}

/*
 * One program for both directions, since each has to be verified anew. What comes in has come by some
 * device, loopback among them; what goes out has not.
 */
SEC("cgroup_skb/ingress")
int dns_packet(struct __sk_buff *skb)
{
	return packet(skb, !skb->ingress_ifindex);
}
