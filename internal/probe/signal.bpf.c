//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Signals that can end a process: who sent them, and where it stood when one did. */
#include "descry.bpf.h"
#include "memory.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SIGNAL_GROUP_EXIT 4
#define SIGNAL_UNKILLABLE 0x40
#define SIG_DFL 0
#define SIG_IGN 1
#define SIGKILL 9
#define SIGSYS 31
#define RLIMIT_STACK 3
#define SENT_WHOLE 8   /* of each process and signal; the others are counted */
#define CAUGHT_WHOLE 4
#define ARGS 128

#define BIT(n) (1ULL << ((n) - 1))
/* Signals that end nothing by default: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH. */
#define HARMLESS (BIT(17) | BIT(18) | BIT(19) | BIT(20) | BIT(21) | BIT(22) | BIT(23) | BIT(28))
/* Signals that dump core by default: QUIT, ILL, TRAP, ABRT, BUS, FPE, SEGV, XCPU, XFSZ, SYS. */
#define CORE (BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(24) | BIT(25) | BIT(31))
/* Signals whose handler is worth a note: ILL, TRAP, ABRT, BUS, FPE, SEGV, SYS. */
#define CAUGHT (BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(31))
/* Of these, those that have an address: ILL, TRAP, BUS, FPE, SEGV. */
#define TIMERS (BIT(14) | BIT(26) | BIT(27)) /* SIGALRM, SIGVTALRM, SIGPROF */
#define FAULT (BIT(4) | BIT(5) | BIT(7) | BIT(8) | BIT(11))

static __always_inline bool in(int sig, __u64 set)
{
	return sig >= 1 && sig <= 64 && (set >> ((sig - 1) & 63) & 1);
}

/* sender_is_current: the code says that a process sent it, and that is the current one. */
static __always_inline bool from_process(int code)
{
	return code == 0 /* SI_USER */ || code == -1 /* SI_QUEUE */ || code == -6 /* SI_TKILL */;
}

/* --- sent --- */

struct sent_event {
	struct event_header h;
	__s32 signal, code;
	__s32 sender, sender_parent; /* 0: the kernel; -1: a process outside descry's pid namespace */
	__u32 in_tree, ignored;
	__u64 n;
	char comm[COMM_LEN];
	__u32 args;
	__u32 pad;
	char arg[ARGS];
};
EVENT(sent_event)

static __always_inline __s32 pid_or_outside(struct task_struct *leader)
{
	__u32 pid = tid_of(leader);

	return pid ? pid : -1;
}

SEC("tp_btf/signal_generate")
int BPF_PROG(on_signal_generate, int sig, struct kernel_siginfo *info, struct task_struct *task, int group, int result)
{
	struct count_key k = {.type = EV_SIGNAL_SENT};
	struct task_struct *me, *leader;
	__u32 tgid, flags;
	struct sent_event *e;
	struct proc *p, *q;
	int code;
	__u64 n;

	if (in(sig, HARMLESS) || sig < 1 || sig > 64 || (result != 0 && result != 1 && result != 4))
		return 0;
	tgid = FAR(task, tgid);
	p = tree_of(tgid);
	if (!p)
		return 0;
	flags = FAR(task, signal, flags);
	if (result == 1 && (flags & SIGNAL_GROUP_EXIT)) /* it is dying already */
		return 0;
	/* 0 and 1 stand for signals of the kernel: 0 on behalf of the current process, as SIGPIPE. */
	code = 0x80;
	if ((__u64)info > 1)
		code = BPF_CORE_READ(info, si_code);
	me = (struct task_struct *)bpf_get_current_task_btf();
	leader = FAR(me, group_leader);
	/* result: 0 delivered, 1 ignored, 4 delivered without its info. */
	if (result != 1 && !p->doom && (flags & SIGNAL_GROUP_EXIT) && (FAR(task, signal, group_exit_code) & 0x7f) == sig) {
		/* It is decided: the threads get a SIGKILL in its place. */
		p->doom = sig;
		p->doom_code = code;
		p->doom_sender = from_process(code) ? pid_or_outside(leader) : 0;
		if (FAR(me, tgid) == tgid && (from_process(code) || (__u64)info == 0))
			p->doom_tid = tid_of(me);
	}
	k.pid = p->pid;
	k.subject = p->subject;
	k.nr = sig;
	n = count(&k, 0);
	if (n >= SENT_WHOLE)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		count_lost(EV_SIGNAL_SENT);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	fill(&e->h, EV_SIGNAL_SENT, p);
	e->h.tid = group ? 0 : tid_of(task);
	BPF_CORE_READ_INTO(&e->h.comm, task, group_leader, comm);
	e->signal = sig;
	e->code = code;
	e->ignored = result == 1;
	e->n = n + 1;
	if (from_process(code)) {
		e->sender = pid_or_outside(leader);
		e->sender_parent = pid_or_outside(BPF_CORE_READ(leader, real_parent, group_leader));
		BPF_CORE_READ_INTO(&e->comm, leader, comm);
		q = mine();
		e->in_tree = q && q->subject == p->subject;
		if (FAR(me, mm)) {
			__u64 start = BPF_CORE_READ(me, mm, arg_start), len = BPF_CORE_READ(me, mm, arg_end) - start;

			if (len > ARGS)
				len = ARGS;
			if (!bpf_probe_read_user(e->arg, len, (void *)start))
				e->args = len;
		}
	}
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* --- delivered --- */

#if defined(__TARGET_ARCH_x86)
#define REGS 21
#else
#define REGS 34
#endif

struct signal_event {
	struct event_header h;
	__u64 id; /* of the mappings and paths that came before; 0: no context */
	__u64 address;
	__u64 sp, pc;
	__u64 stack_limit;
	__u64 error; /* of the processor: page fault's error code, exception syndrome */
	__u64 n;     /* caught ones up to now */
	__u64 heap_lo, heap_hi;
	__u64 stack_at; /* address of the first byte of stack, in the page of the stack pointer or above it */
	__s32 signal, code;
	__s32 sender;
	__u32 self;
	__u32 nr; /* system call of a SIGSYS */
	__u32 stack_bytes;
	__u64 regs[34];
	/* The mapping or gap of the address, its neighbours where it is a gap, and those of the stack pointer. */
	struct area at, below, above, stack, stack_above;
	/* Of the file that is mapped at the address, with SIGBUS. */
	__u64 file_size, fs_magic;
	__u32 mode, nlink; /* 0: none */
};
EVENT(signal_event)

struct mappings_event {
	struct event_header h;
	__u64 id;
	__u32 n;
	__u32 pad;
	struct area all[MAPPINGS];
};
EVENT(mappings_event)

struct fault {
	struct lookup l;
	struct mappings_event maps;
	struct signal_event e;
	char stack[STACK_PAGES * PAGE]; /* goes out behind e */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct fault);
} faults SEC(".maps");

static __always_inline struct fault *fault_at(__u32 slot)
{
	return bpf_map_lookup_elem(&faults, &slot);
}

struct word_walk {
	__u64 mm;
	__u32 slot;
	__u32 from; /* bytes of the first page that lie below the stack pointer */
};

/* same_step stops at a mapping that is kept already. */
static long same_step(__u32 i, struct fault **at)
{
	struct fault *f = *at;

	if (i >= f->maps.n || i >= MAPPINGS)
		return 1;
	if (f->maps.all[i].lo == f->l.lo) {
		f->l.done = 2;
		return 1;
	}
	return 0;
}

/* add_mapping keeps the executable mapping that an address lies in. */
__noinline int add_mapping(__u32 slot, __u64 mm, __u64 v)
{
	struct fault *f = fault_at(slot);
	struct vm_area_struct *vma;
	struct area_range *c;
	struct area *a;
	__u32 n;

	if (!f || v < 0x10000 || v >> 56)
		return 0;
	c = &f->l.cache[(v >> 16 ^ v >> 24) & (AREA_CACHE - 1)];
	if (v >= c->lo && v <= c->hi)
		return 0;
	if (!look_up(&f->l, mm, v))
		return 0;
	c->lo = f->l.lo;
	c->hi = f->l.hi;
	vma = (void *)f->l.entry; /* a copy: BPF_CORE_READ would relocate f's own member */
	if (!vma || !(BPF_CORE_READ(vma, vm_flags) & VM_EXEC))
		return 0;
	bpf_loop(MAPPINGS, same_step, &f, 0);
	n = f->maps.n;
	if (f->l.done == 2 || n >= MAPPINGS)
		return 0;
	a = &f->maps.all[n];
	__builtin_memset(a, 0, sizeof(*a));
	describe_area(a, &f->l, slot);
	f->maps.n = n + 1;
	return 0;
}

/* word_step looks at one word of the stack. */
static long word_step(__u32 i, struct word_walk *c)
{
	struct fault *f = fault_at(c->slot);
	__u32 off = c->from + i * 8;

	if (!f || f->maps.n >= MAPPINGS || off >= f->e.stack_bytes || off > sizeof(f->stack) - 8)
		return 1;
	add_mapping(c->slot, c->mm, *(__u64 *)&f->stack[off]);
	return 0;
}

/* keep_stack copies the stack from the page of the stack pointer upward; where that one has run out
 * of the stack, from the stack's lowest page. */
static __always_inline void keep_stack(struct fault *f)
{
	__u64 base = f->e.sp & ~(PAGE - 1ULL);

	if (!(f->e.stack.flags & VM_WRITE) && (f->e.stack_above.flags & VM_WRITE))
		base = f->e.stack_above.lo;
	f->e.stack_at = base;
#pragma unroll
	for (int i = 0; i < STACK_PAGES; i++) {
		if (bpf_probe_read_user(f->stack + i * PAGE, PAGE, (void *)base + i * PAGE))
			break;
		f->e.stack_bytes += PAGE;
	}
}

/* keep_file keeps how long the file is whose mapping was found. */
static __always_inline void keep_file(struct fault *f)
{
	struct vm_area_struct *vma = (void *)f->l.entry;
	struct file *file = vma ? BPF_CORE_READ(vma, vm_file) : NULL;

	if (!file)
		return;
	f->e.mode = BPF_CORE_READ(file, f_inode, i_mode);
	f->e.file_size = BPF_CORE_READ(file, f_inode, i_size);
	f->e.fs_magic = BPF_CORE_READ(file, f_inode, i_sb, s_magic);
	f->e.nlink = BPF_CORE_READ(file, f_inode, i_nlink);
}

/* neighbours describes where an address lies. */
static __always_inline void neighbours(struct fault *f, __u32 slot, __u64 mm)
{
	__u64 lo, hi;

	if (!look_up(&f->l, mm, f->e.address))
		return;
	describe_area(&f->e.at, &f->l, slot);
	if (f->e.signal == 7)
		keep_file(f);
	lo = f->e.at.lo;
	hi = f->e.at.hi;
	if (lo && look_up(&f->l, mm, lo - 1))
		describe_area(&f->e.below, &f->l, slot);
	if (hi != ~0ULL && look_up(&f->l, mm, hi + 1))
		describe_area(&f->e.above, &f->l, slot);
}

/* keep_context fills in registers, stack and mappings. */
static __always_inline void keep_context(struct fault *f, __u32 slot, struct task_struct *t, int sig)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(t);
	__u64 mm = (__u64)BPF_CORE_READ(t, mm);
	struct word_walk c = {.mm = mm, .slot = slot};

	f->e.sp = PT_REGS_SP_CORE(regs);
	f->e.pc = PT_REGS_IP_CORE(regs);
	bpf_probe_read_kernel(f->e.regs, REGS * 8, regs);
#if defined(__TARGET_ARCH_x86)
	f->e.error = BPF_CORE_READ(t, thread.error_code);
#else
	f->e.error = BPF_CORE_READ(t, thread.fault_code);
#endif
	f->e.stack_limit = BPF_CORE_READ(t, signal, rlim[RLIMIT_STACK].rlim_cur);
	f->e.heap_lo = BPF_CORE_READ(t, mm, start_brk);
	f->e.heap_hi = BPF_CORE_READ(t, mm, brk);
	__builtin_memset(f->l.cache, 0, sizeof(f->l.cache));
	f->maps.n = 0;
	if (look_up(&f->l, mm, f->e.sp)) {
		describe_area(&f->e.stack, &f->l, slot);
		if (f->e.stack.hi != ~0ULL && !(f->e.stack.flags & VM_WRITE) && look_up(&f->l, mm, f->e.stack.hi + 1))
			describe_area(&f->e.stack_above, &f->l, slot);
	}
	keep_stack(f);
	if (f->e.code > 0 && (sig == 11 || sig == 7))
		neighbours(f, slot, mm);
	add_mapping(slot, mm, f->e.pc);
#if defined(__TARGET_ARCH_arm64)
	add_mapping(slot, mm, f->e.regs[30]);
#endif
	if (f->e.sp > f->e.stack_at)
		c.from = (f->e.sp - f->e.stack_at) & (PAGE - 8);
	bpf_loop(STACK_PAGES * PAGE / 8, word_step, &c, 0);
}

static __always_inline void emit_context(struct fault *f, __u32 slot, struct proc *p)
{
	struct walk *w = walk_at(slot);
	__u32 n = f->maps.n;

	if (!w)
		return;
	f->e.id = bpf_ktime_get_boot_ns() << 4 | (slot & 15);
	f->maps.id = w->paths.id = f->e.id;
	if (n > MAPPINGS)
		n = MAPPINGS;
	n = n * sizeof(struct area) + sizeof(f->maps) - sizeof(f->maps.all);
	fill(&f->maps.h, EV_MAPPINGS, p);
	if (bpf_ringbuf_output(&events, &f->maps, n, 0))
		count_lost(EV_MAPPINGS);
	w->paths.extra = 0;
	n = (w->paths.n & (WALK_PATHS - 1)) + sizeof(w->paths) - sizeof(w->paths.bytes);
	fill(&w->paths.h, EV_FD_PATHS, p);
	if (bpf_ringbuf_output(&events, &w->paths, n, 0))
		count_lost(EV_FD_PATHS);
}

/* delivered emits a signal that has reached the current thread. */
static __always_inline int delivered(struct proc *p, __u32 type, int sig, struct kernel_siginfo *info, __u64 n)
{
	struct task_struct *t = (struct task_struct *)bpf_get_current_task_btf();
	bool context = true;
	struct fault *f;
	struct walk *w;
	__u32 slot, size;

	if (!p)
		return 0;
	slot = walk_claim(bpf_get_smp_processor_id());
	f = fault_at(slot);
	w = walk_at(slot);
	if (!f || !w) {
		count_lost(type);
		return 0;
	}
	w->root = BPF_CORE_READ(t, fs, root.dentry);
	w->root_mnt = BPF_CORE_READ(t, fs, root.mnt);
	w->paths.n = 0;
	__builtin_memset(&f->e, 0, sizeof(f->e));
	f->e.signal = sig;
	f->e.n = n;
	if ((__u64)info > 1) {
		f->e.code = BPF_CORE_READ(info, si_code);
		if (from_process(f->e.code)) {
			struct pid *pid = BPF_CORE_READ(t, group_leader, thread_pid);
			__u32 level = BPF_CORE_READ(pid, level), from = BPF_CORE_READ(info, _sifields._kill._pid);

			/* si_pid is as the receiver sees it. */
			f->e.self = nr_at(pid, level) == from;
			if (f->e.self)
				f->e.sender = p->pid;
			else if (level == ns_level)
				f->e.sender = from;
		} else if (in(sig, FAULT)) {
			f->e.address = (__u64)BPF_CORE_READ(info, _sifields._sigfault._addr);
		} else if (sig == SIGSYS) {
			f->e.address = (__u64)BPF_CORE_READ(info, _sifields._sigsys._call_addr);
			f->e.nr = BPF_CORE_READ(info, _sifields._sigsys._syscall);
		}
	} else { /* the SIGKILL that stands for the signal that was sent */
		f->e.code = p->doom_code;
		f->e.sender = p->doom_sender;
		f->e.self = p->doom_tid && from_process(f->e.code);
		/* Where a timer's signal met the only thread tells what it hung in. */
		context = p->doom_tid || (in(sig, TIMERS) && FAR(t, signal, nr_threads) == 1);
	}
	if (context && FAR(t, mm)) {
		keep_context(f, slot, t, sig);
		emit_context(f, slot, p);
	}
	size = f->e.stack_bytes;
	if (size > sizeof(f->stack))
		size = sizeof(f->stack);
	size += sizeof(f->e);
	fill(&f->e.h, type, p);
	if (!context)
		f->e.h.tid = 0;
	if (bpf_ringbuf_output(&events, &f->e, size, 0))
		count_lost(type);
	walk_release(slot);
	return 0;
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(on_signal_deliver, int sig, struct kernel_siginfo *info, struct k_sigaction *ka)
{
	struct count_key k = {.type = EV_SIGNAL_CAUGHT};
	struct task_struct *t;
	__u64 handler, n = 0;
	__u32 flags, me, type = EV_SIGNAL_FATAL;
	struct proc *p;

	if (in(sig, HARMLESS))
		return 0;
	handler = (__u64)FAR(ka, sa.sa_handler);
	if (handler == SIG_IGN || (handler != SIG_DFL && !in(sig, CAUGHT)))
		return 0;
	p = mine();
	if (!p)
		return 0;
	t = (struct task_struct *)bpf_get_current_task_btf();
	me = tid_of(t);
	flags = FAR(t, signal, flags);
	if (handler != SIG_DFL) {
		k.pid = p->pid;
		k.subject = p->subject;
	k.subject = p->subject;
		k.nr = sig;
		n = count(&k, 0);
		__sync_fetch_and_add(&p->faults, 1);
		if (n >= CAUGHT_WHOLE)
			return 0;
		n++;
		type = EV_SIGNAL_CAUGHT;
	} else if (sig == SIGKILL && (__u64)info <= 1) {
		/* All threads of a process that ends get this: by exit_group, by exec, or by a signal
		 * whose place it takes. */
		if (!(flags & SIGNAL_GROUP_EXIT))
			return 0;
		sig = FAR(t, signal, group_exit_code) & 0x7f;
		if (!sig || in(sig, CORE) || p->fatal)
			return 0;
		if (p->doom_tid && p->doom_tid != me)
			return 0;
		if (__sync_val_compare_and_swap(&p->fatal, 0, sig))
			return 0;
		if (p->doom_tid)
			p->ender = me;
	} else {
		if ((flags & SIGNAL_UNKILLABLE) && sig != SIGKILL)
			return 0;
		if (__sync_val_compare_and_swap(&p->fatal, 0, sig))
			return 0;
		p->ender = me;
	}
	delivered(p, type, sig, info, n);
	return 0;
}
