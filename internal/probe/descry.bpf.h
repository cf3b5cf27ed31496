/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What every probe shares: the subject's tree, the ring of events, and counters.
 * The Go side replaces these maps by name, so that all objects use the same ones.
 */
#ifndef DESCRY_BPF_H
#define DESCRY_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#define COMM_LEN 16

#define PROC_EXECED 1        /* has run exec since it belongs to the tree, or was a program before */
#define PROC_SELECT_PROVEN 2 /* an overflow of select was proven and told of */
#define PROC_STRANGER 4      /* shifted by 0 to 2: that descriptor was closed and given to something new */
#define PROC_COPY 32         /* it has, or had, the output under another descriptor than 1 and 2 */
#define PROC_STANDARD 2048 /* std tells what its standard descriptors were when it ran its program */
#define PROC_INHERITED (PROC_STRANGER * 7 | PROC_COPY | PROC_STANDARD)
#define PROC_OUTSIDE 64  /* of a node: it came into its container from outside, no process there has made it */
#define PROC_LAUNCH 128  /* of a node: it came from outside and has run no program there yet, nor did who made it */
#define PROC_ADOPTED 512 /* of a node: Set.Adopt has found it, and does not yet know where it came from */
#define PROC_IO 1024     /* of a node: a sweep has looked at its standard descriptors */
#define PROC_LOOKED 256  /* of a node: its system calls are looked at, see Set.Look */

/* What one of descriptors 0 to 2 was. */
struct std_was {
	__u64 inode;
	__u32 dev;
	__u16 kind; /* enum fd_kind_nr; FD_NONE: it was closed */
	__u16 state;
};

/* A process of the tree. Key: tgid in the initial pid namespace. */
struct proc {
	__u32 pid;          /* as descry sees it, in descry's own pid namespace */
	__u32 root;         /* pid of the subject's main process, as descry sees it */
	__u64 select_calls; /* select and pselect6, any nfds; atomic */
	__u64 refused;      /* EMFILE and ENFILE, exact; atomic */
	__u32 highest;      /* highest descriptor number ever allocated, where seen */
	__u32 next_mark;    /* the next descriptor number worth a stack (fd.grown) */
	__u32 faults;       /* caught faults so far; atomic */
	__u32 ender;        /* thread that called exit_group or died of the signal, as descry sees it; 0: not known */
	/* What signal.bpf.c keeps of the signal that the process dies of. */
	__u32 fatal;        /* signal whose EV_SIGNAL_FATAL is out; 0: none */
	__u32 doom;         /* signal that was sent and ends the process; it is delivered as a SIGKILL */
	__u32 doom_sender;  /* who sent it, as descry sees it; 0: the kernel */
	__u32 doom_tid;     /* the thread that it was sent from, where that is one of its own */
	__s32 doom_code;    /* si_code */
	__u32 forks;        /* atomic */
	__u32 flags;        /* PROC_…; atomic */
	__u32 subject;      /* its number, 0 where there is only one */
	struct std_was std[3]; /* at its exec, where flags say so */
	__u64 written;         /* bytes that its thread had written by then, with those that had ended before */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct proc);
} tree SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} events SEC(".maps");

/* Which event it is; decides the struct behind the header. Blocks of 16 belong to one C file. */
enum event_type {
	EV_FORK = 1, EV_EXIT, EV_EXEC, EV_FD_GROUPS, EV_FD_PATHS, /* process.bpf.c */
	EV_SIGNAL_SENT = 16, EV_SIGNAL_FATAL, EV_SIGNAL_CAUGHT, EV_MAPPINGS, /* signal.bpf.c */
	EV_OOM = 32,                                            /* oom.bpf.c */
	EV_REFUSED = 48, EV_GROWN, EV_INOTIFY, EV_ADDRESS,      /* syscall.bpf.c */
	EV_FAILURES, EV_SELECT, EV_STDIO, EV_WRITE, EV_EXEC_FAILED,
	EV_FILE, EV_LIMIT, EV_CONNECT, EV_WRITTEN,
	EV_DNS = 64,                                            /* dns.bpf.c */
	EV_TCP = 80, EV_TCP_LOST,                               /* tcp.bpf.c */
	EV_DROP = 96,                                           /* drop.bpf.c */
	EV_SOCKETS = 112,                                       /* sockets.bpf.c */
	EV_CONTAINER = 120,                                     /* container.bpf.c */
	EV_TYPES = 128,
};

/*
 * EVENT keeps the type of an event among the object's types, which otherwise has those alone that maps and functions
 * name: by them it is told whether another build can read what stands in the ring (pinshape.go). No code comes of it.
 */
#define EVENT(type) static __attribute__((used, noinline)) int type_of_##type(struct type *e) { return 0; }

/* Every event begins with this. Pids and tids are those of descry's pid namespace. */
struct event_header {
	__u64 boot_ns;
	__u32 type;
	__u32 pid;
	__u32 tid;
	__u32 subject; /* 0 where there is only one */
	char comm[COMM_LEN];
};

/* Events that found no room, by event type. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, EV_TYPES);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

/* Repeated events: the first ones go out whole, all are counted here, exactly. */
struct count_key {
	__u32 pid;  /* as descry sees it */
	__u16 type; /* enum event_type */
	__u16 nr;   /* system call, or signal */
	__s32 err;  /* errno, positive */
	__s32 arg;  /* descriptor 1 or 2 of a write, else 0 */
	__u32 subject;
};
struct count_value {
	__u64 n;
	__u64 first_ns, last_ns; /* CLOCK_BOOTTIME */
	__u64 sum;               /* bytes lost of a write */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct count_key);
	__type(value, struct count_value);
} counts SEC(".maps");

/* Set by the Go side before load. */
volatile const __u32 ns_level = 0; /* level of descry's pid namespace */

/* nr_at is p's number at a level of pid namespaces. The kernel's struct upid is larger than ours. */
static __always_inline __u32 nr_at(struct pid *p, __u32 level)
{
	__u32 nr = 0;

	bpf_probe_read_kernel(&nr, sizeof(nr), (void *)p + bpf_core_field_offset(struct pid, numbers) +
		(level & 31) * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr));
	return nr;
}

/*
 * FAR reads a member through the helper even where the verifier would allow a plain load: for each
 * of those it searches all of the kernel's types several times (about a millisecond), to learn
 * whether the member can be trusted, which nobody asks here.
 */
#define FAR(t, ...) BPF_CORE_READ(t, __VA_ARGS__)

/* tid_of is t's thread id as descry sees it; 0 where t is outside descry's pid namespace. */
static __always_inline __u32 tid_of(struct task_struct *t)
{
	struct pid *p;

	if (ns_level == 0)
		return BPF_CORE_READ(t, pid);
	p = BPF_CORE_READ(t, thread_pid);
	if (!p || BPF_CORE_READ(p, level) < ns_level)
		return 0;
	return nr_at(p, ns_level);
}

/*
 * A node's subjects: every container is one. Set by the Go side before load; where it is 0, there is
 * one tree of one subject, and what is for nodes alone is never reached.
 */
volatile const __u32 node = 0;
/* Programs that are attached do their work as long as their generation is the state's. */
volatile const __u64 generation = 0;

enum {
	NODE_GENERATION,
	NODE_SUBJECTS, /* numbers given so far; atomic */
	NODE_ADOPTING, /* while Set.Adopt looks for what runs, and what it does */
	NODE_LOOK,     /* what Set.Look asks for */
	NODE_STATES = 8,
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NODE_STATES);
	__type(key, __u32);
	__type(value, __u64);
} node_state SEC(".maps");

#define SUBJECT_PATH 384

/* Key: the subject's number. */
struct subject {
	__u64 cgroup;     /* cgroup_key of the one that made it */
	__u64 unified;    /* id of its cgroup of version 2; 0: it has none, so that its packets are not known */
	__u64 name;       /* see struct place */
	__u32 procs;      /* processes in it; once it comes to 0 it stays there; atomic */
	__u32 main;       /* what the runtime started, else the first process, as descry sees it */
	__u32 main_known; /* it has run the command */
	__u32 look;       /* system calls are looked at */
	__u32 hierarchy;
	__u32 path_len;
	__u64 main_start; /* of main, while Set.Adopt looks for it */
	__u32 held;       /* Set.Adopt is counted as one of procs */
	__u32 pad;
	char path[SUBJECT_PATH]; /* names of its cgroup and those above, each with its NUL, the innermost first */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct subject);
} subjects SEC(".maps");

static __always_inline bool awake(void)
{
	__u32 key = NODE_GENERATION;
	__u64 *now;

	if (!node)
		return true;
	now = bpf_map_lookup_elem(&node_state, &key);
	return now && *now == generation;
}

/* tree_of is the tree's entry of a process, or NULL. */
static __always_inline struct proc *tree_of(__u32 tgid)
{
	if (!awake())
		return NULL;
	return bpf_map_lookup_elem(&tree, &tgid);
}

/* mine is the tree's entry of the current process, or NULL. */
static __always_inline struct proc *mine(void)
{
	return tree_of(bpf_get_current_pid_tgid() >> 32);
}

/*
 * The subject's cgroup: packets and timers run in no process's context, and only the socket's cgroup
 * says whose they are. Of a node, also cgroups of version 1: there the key has the hierarchy's number in
 * its upper 16 bits, see cgroup_key.
 */
struct leaf {
	__u32 subject;
	__u32 pid; /* of the subject's main process, as descry sees it; of a node, it stands in subjects */
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct leaf);
} leaves SEC(".maps");

/* Whose something is: the subject's number above, its main process's pid below; 0: nobody's. */
#define OWNER(subject, pid) ((__u64)(subject) << 32 | (pid))
#define OWNER_PID(o) ((__u32)(o))
#define OWNER_SUBJECT(o) ((__u32)((o) >> 32))

/* leaf_at is the owner of a cgroup's id, 0 where it has none. */
static __always_inline __u64 leaf_at(__u64 id)
{
	struct leaf *l = bpf_map_lookup_elem(&leaves, &id);
	struct subject *s;
	__u32 subject;

	if (!l)
		return 0;
	if (!node)
		return OWNER(l->subject, l->pid);
	subject = l->subject;
	s = bpf_map_lookup_elem(&subjects, &subject);
	return s ? OWNER(subject, s->main) : 0;
}

/* plain reads a parameter as a number, which global functions want in place of a pointer. */
static __always_inline __u64 plain(unsigned long long *param)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), param);
	return value;
}

/*
 * owner_of is the OWNER of a socket, 0 where it is a stranger's. A program may make cgroups below its
 * leaf, two in each other at most.
 */
__noinline __u64 owner_of(__u64 socket)
{
	struct sock *sk = (struct sock *)socket;
	struct cgroup *g = FAR(sk, sk_cgrp_data.cgroup); /* never NULL; above the root is NULL, which reads as zeros */
	__u64 owner;

	if (!awake())
		return 0;
	owner = leaf_at(FAR(g, kn, id));
	if (!owner) {
		g = FAR(g, self.parent, cgroup);
		owner = leaf_at(FAR(g, kn, id));
	}
	if (!owner) {
		g = FAR(g, self.parent, cgroup);
		owner = leaf_at(FAR(g, kn, id));
	}
	return owner;
}

static __always_inline void count_lost(__u32 type)
{
	__u64 *n = bpf_map_lookup_elem(&lost, &type);

	if (n)
		__sync_fetch_and_add(n, 1);
}

/* fill writes the header of an event about the current thread. */
static __always_inline void fill(struct event_header *h, __u32 type, struct proc *p)
{
	h->boot_ns = bpf_ktime_get_boot_ns();
	h->type = type;
	h->pid = p->pid;
	h->tid = tid_of((struct task_struct *)bpf_get_current_task_btf());
	h->subject = p->subject;
	bpf_get_current_comm(h->comm, sizeof(h->comm));
}

/*
 * count adds one to k's counter and returns the number before it; ~0 where there was no room. As other
 * functions here it is global: the verifier looks at it once, and not with each caller, which is what
 * loading takes its time for.
 */
__noinline __u64 count(struct count_key *k, __u64 sum)
{
	struct count_value zero = {}, *v;
	struct count_key key; /* Linux 6.1 takes no key out of an argument */
	__u64 now = bpf_ktime_get_boot_ns();

	if (!k)
		return ~0ULL;
	key = *k;
	v = bpf_map_lookup_elem(&counts, &key);
	if (!v) {
		zero.first_ns = now;
		bpf_map_update_elem(&counts, &key, &zero, BPF_NOEXIST);
		v = bpf_map_lookup_elem(&counts, &key);
		if (!v) {
			count_lost(key.type);
			return ~0ULL;
		}
	}
	v->last_ns = now;
	if (sum)
		__sync_fetch_and_add(&v->sum, sum);
	return __sync_fetch_and_add(&v->n, 1);
}

#endif
