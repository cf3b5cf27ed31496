/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the parts of syscall.bpf.c share: the table of calls, arguments, registers, stacks. */
#ifndef SYSCALL_BPF_H
#define SYSCALL_BPF_H

#include "descry.bpf.h"

enum { EPERM = 1, ENOENT = 2, ESRCH = 3, EINTR = 4, EIO = 5, EAGAIN = 11, ENOMEM = 12, EACCES = 13, ENFILE = 23, EMFILE = 24, ENOSPC = 28,
       EROFS = 30, EPROTOTYPE = 91, EADDRINUSE = 98, EADDRNOTAVAIL = 99, ENETDOWN = 100, ENETUNREACH = 101, ECONNABORTED = 103, ECONNRESET = 104,
       ETIMEDOUT = 110, ECONNREFUSED = 111, EHOSTDOWN = 112, EHOSTUNREACH = 113, EALREADY = 114, EINPROGRESS = 115, EDQUOT = 122,
       ERESTART = 512 /* this and above never reach the program */ };
#define O_NONBLOCK 04000

#define MAX_CALLS 512
#define IO_URING_ENTER 426 /* on both architectures */

/*
 * What is to be known of a system call by its number, from the table in syscall.go. One word, so
 * that the way that most calls take is one load and one comparison.
 */
enum call_class {           /* what a call's success can mean */
	C_NONE,
	C_ALLOC,            /* returns a descriptor */
	C_FCNTL,            /* likewise, if its command is F_DUPFD or F_DUPFD_CLOEXEC */
	C_CLOSE,
	C_DUP2,
	C_WRITE,            /* descriptor, buffer, length */
	C_WRITEV,           /* descriptor, iovec, number */
	C_SENDMSG,          /* descriptor, msghdr */
	C_SELECT,
	C_PIPE,             /* two descriptors at the first argument */
	C_SOCKETPAIR,       /* two descriptors at the fourth argument */
	C_CLOSE_RANGE,
	C_NOISE,            /* futex: neither success nor failure tells anything */
	C_MOVED,            /* sendfile, splice, tee: from one descriptor to another */
};
#define CALL_CLASS(c)   ((c) & 0xf)
#define CALL_PATH(c)    ((c) >> 4 & 7)      /* which argument is a path or an address, from 1; 0: none */
#define CALL_SOCKADDR   (1 << 7)            /* it is an address, and the argument behind it its length */
#define CALL_ARG(c)     ((c) >> 8 & 7)      /* which argument is worth keeping, from 1; 0: none */
#define CALL_FD         (1 << 11)           /* the first argument is a descriptor */
#define CALL_TABLE      (1 << 12)           /* EMFILE speaks of the descriptor table, and of nothing else */
#define CALL_EAGAIN     (1 << 13)           /* EAGAIN is news */
#define CALL_ADDRESS    (1 << 14)           /* bind, listen, connect */
#define CALL_WRITES     (1 << 15)           /* writes to its first argument */
#define CALL_EXEC       (1 << 16)
#define CALL_MESSAGE    (1 << 17)           /* receives descriptors in messages */
#define CALL_INOTIFY    (1 << 18)
#define CALL_DUP        (1 << 19)           /* makes a copy of a descriptor that there is */
#define CALL_CONNECT    (CALL_ADDRESS | CALL_SOCKADDR | CALL_EAGAIN) /* all of them: connect, of which EAGAIN is news */
#define CALL_FILE       (1 << 20)           /* works on files: by name, else by its first descriptor, else (mmap) by its fifth argument */
#define CALL_OUT3       (1 << 21)           /* writes to the descriptor in its third argument */
#define CALL_SPAWN      (1 << 22)           /* makes a process or a thread */
#define CALL_MEMORY     (1 << 23)           /* asks for memory */
#define CALL_QUIET(c)   ((c) >> 24)         /* the error of it that is no news, 0: none */

volatile const __u32 calls[MAX_CALLS];
volatile const __u32 by_functions; /* attached to functions, alloc_fd among them; else to sys_exit */
volatile const __u32 ret_at = 1;   /* where a program finds the call's result; its registers stand first */

/* What the function that all calls go through has made of one: its result, or the register it left it in. */
#if defined(__TARGET_ARCH_x86)
#define RESULT(ctx) (ctx)[2]
#else
#define RESULT(ctx) ((struct pt_regs *)(ctx)[0])->user_regs.regs[0]
#endif

/* CALL_END begins a program at the end of system calls, whatever it is attached to. */
#define CALL_END(name, regs, ret)                                                                  \
	static __always_inline int name##_at(unsigned long long *ctx, void *regs, long ret);       \
	SEC("tp_btf/sys_exit") int name(unsigned long long *ctx)                                   \
	{                                                                                          \
		void *r = (void *)ctx[0];                                                          \
		long v;                                                                            \
		if (ret_at == 1) {                                                                 \
			v = ctx[1];                                                                \
			asm volatile("" : "+r"(v));                                                \
		} else {                                                                           \
			v = RESULT(ctx);                                                           \
			asm volatile("" : "+r"(v));                                                \
		}                                                                                  \
		return name##_at(ctx, r, v);                                                       \
	}                                                                                          \
	static __always_inline int name##_at(unsigned long long *ctx, void *regs, long ret)

#define NOT_DECODED 0xffff /* the number of a call of a 32-bit task */

/* What the head of the program leaves to others; index into slow. */
enum { S_FAILED, S_ALLOC, S_STDIO, S_SELECT, S_SHORT, S_PAIR, S_LIMIT, S_FILE, S_WRITTEN, S_MAX };

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, S_MAX);
	__uint(key_size, 4);
	__uint(value_size, 4);
} slow SEC(".maps");

struct syscall_total {
	__u64 not_decoded; /* failed or otherwise telling calls of 32-bit tasks */
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct syscall_total);
} syscall_totals SEC(".maps");

/*
 * The registers of the call, as user space knows them: their place never changes, so this needs no
 * relocation, and what looks at nothing else can be loaded many times at little cost.
 */
#if defined(__TARGET_ARCH_x86)
#define NREGS 21
struct call_regs {
	__u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#define call_nr(regs) ((__u32)((struct call_regs *)(regs))->orig_ax)
#define arg1(regs) (((struct call_regs *)(regs))->di)
#define arg2(regs) (((struct call_regs *)(regs))->si)
#define arg3(regs) (((struct call_regs *)(regs))->dx)
#define arg4(regs) (((struct call_regs *)(regs))->r10)
#define arg5(regs) (((struct call_regs *)(regs))->r8)
#else
#define NREGS 34
struct call_regs {
	__u64 x[31], sp, pc, pstate;
	__u64 orig_x0;
	__s32 nr;
};
#define call_nr(regs) ((__u32)((struct call_regs *)(regs))->nr)
#define arg1(regs) (((struct call_regs *)(regs))->orig_x0)
#define arg2(regs) (((struct call_regs *)(regs))->x[1])
#define arg3(regs) (((struct call_regs *)(regs))->x[2])
#define arg4(regs) (((struct call_regs *)(regs))->x[3])
#define arg5(regs) (((struct call_regs *)(regs))->x[4])
#endif
#define user_sp(regs) (((struct call_regs *)(regs))->sp)

static __always_inline __u64 arg(void *regs, __u32 n)
{
	switch (n) {
	case 1: return arg1(regs);
	case 2: return arg2(regs);
	case 3: return arg3(regs);
	case 4: return arg4(regs);
	case 5: return arg5(regs);
	}
	return 0;
}

static __always_inline __u32 call_of(__u32 nr)
{
	__u64 i = nr;

	if (nr >= MAX_CALLS)
		return 0;
	asm volatile("%0 &= 511" : "+r"(i)); /* the verifier does not follow the comparison everywhere */
	return calls[i];
}

/* compat says whether the current call is a 32-bit one, whose numbers mean other calls. */
static __always_inline bool compat(void)
{
	struct task_struct___sys *t = (void *)bpf_get_current_task_btf();
	struct syscall_total *n;
	__u32 zero = 0;

#if defined(__TARGET_ARCH_x86)
	if (!(BPF_CORE_READ(t, thread_info.status) & 2)) /* TS_COMPAT */
		return false;
#else
	if (!(BPF_CORE_READ(t, thread_info.flags) >> 22 & 1)) /* TIF_32BIT */
		return false;
#endif
	n = bpf_map_lookup_elem(&syscall_totals, &zero);
	if (n)
		n->not_decoded++;
	return true;
}

/* looked is the tree's entry of the current process, NULL where its system calls are not to be looked at. */
static __always_inline struct proc *looked(void)
{
	struct proc *p = mine();

	if (node && p && !(p->flags & PROC_LOOKED))
		return NULL;
	return p;
}

/* of_output says whether fd is standard output or error. */
static __always_inline bool of_output(__u64 fd) { return (__u32)fd - 1 <= 1; }

/*
 * started says whether p is worth watching: what the subject's first process does before its
 * first exec is its launcher's doing, not its own.
 */
static __always_inline bool started(struct proc *p)
{
	return node ? !(p->flags & PROC_LAUNCH) : p->flags & PROC_EXECED || p->pid != p->root;
}

/* The registers at the call, and the stack from the start of its page on: page-wise, so that a
 * page that is missing cuts off no more than what is behind it. */
#define PAGE 4096
struct user_context {
	__u64 regs[NREGS];
	__u64 stack_at; /* address of the stack's first byte here; below the stack pointer */
	__u32 stack_len;
	__u32 present;
};

#define copy_context(to, stack, pages, r)                                                          \
	do {                                                                                       \
		bpf_probe_read_kernel((to)->regs, sizeof((to)->regs), r);                          \
		(to)->stack_at = user_sp(r) & ~(PAGE - 1ULL);                                      \
		(to)->present = 1;                                                                 \
		(to)->stack_len = 0;                                                               \
		_Pragma("unroll") for (int i_ = 0; i_ < (pages); i_++) {                           \
			if (bpf_probe_read_user((stack) + i_ * PAGE, PAGE,                         \
						(void *)((to)->stack_at + i_ * PAGE)))             \
				break;                                                             \
			(to)->stack_len += PAGE;                                                   \
		}                                                                                  \
	} while (0)

/* read_path reads the path of a call that takes one; an empty string where it does not. */
static __always_inline void read_path(char *to, __u32 size, void *regs, __u32 c)
{
	to[0] = 0;
	if (CALL_PATH(c) && !(c & CALL_SOCKADDR))
		bpf_probe_read_user_str(to, size, (void *)arg(regs, CALL_PATH(c)));
}

#endif
