//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What is seen at system calls.
 *
 * One program looks at the end of every call, in one of two ways: at the tracepoint sys_exit, which
 * taxes every system call of the machine, or, where programs can be attached to functions, at the
 * end of the functions of the calls that matter (__x64_sys_openat and so on). Both hand the program
 * the same two things, the caller's registers and the result, so it is the same program: in the
 * second way it is loaded once for each function, and therefore small. What is worth more than a
 * look is left to the programs in slow, by tail call.
 */
#include "file.bpf.h"
#include "failures.bpf.h"
#include "stdio.bpf.h"
#include "refused.bpf.h"
#include "select.bpf.h"
#include "write.bpf.h"
#include "written.bpf.h"
#include "execfail.bpf.h"
#include "address.bpf.h"
#include "limit.bpf.h"
#include "file_refused.bpf.h"
#include "look.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

CALL_END(syscall_end, regs, ret)
{
	__u32 nr = call_nr(regs), c, class, then;
	struct proc *p;

	if (nr >= MAX_CALLS)
		return 0;
	c = calls[nr];
	class = CALL_CLASS(c);
	if (ret < 0 && class != C_SELECT) {
		__u32 err = -ret;

		if (err >= ERESTART || err == CALL_QUIET(c) || class == C_NOISE)
			return 0;
		if (err == EAGAIN && !(c & CALL_EAGAIN) && !(c & CALL_WRITES && of_output(arg1(regs))))
			return 0;
		if (err == EINTR || err == EINPROGRESS || err == EALREADY)
			return 0;
		p = looked();
		if (!p || (!started(p) && !(c & CALL_EXEC)))
			return 0;
		bpf_tail_call(ctx, &slow, S_FAILED);
		return 0;
	}
	switch (class) {
	case C_FCNTL:
		if (arg2(regs) != 0 && arg2(regs) != 1030) /* F_DUPFD, F_DUPFD_CLOEXEC */
			return 0;
		/* fallthrough */
	case C_ALLOC:
		if (ret > 2 && ret < 64 && !(c & (CALL_DUP | CALL_FILE)))
			return 0;
		p = looked();
		if (!p || !started(p))
			return 0;
		if (c & (CALL_DUP | CALL_FILE))
			mark_copy(p, ret);
		if (ret > 2 && ret <= p->highest && ret < p->next_mark)
			return 0;
		bpf_tail_call(ctx, &slow, S_ALLOC);
		return 0;
	case C_CLOSE:
	case C_CLOSE_RANGE:
		if ((__u32)arg1(regs) > 2)
			return 0;
		then = S_STDIO;
		break;
	case C_DUP2:
		p = looked();
		if (!p || !started(p))
			return 0;
		mark_copy(p, ret);
		if ((__u32)arg2(regs) > 2 && ret < 64)
			return 0;
		then = ret > 2 ? S_ALLOC : S_STDIO;
		break;
	case C_WRITE:
		if (!(c & CALL_FILE)) { /* sendto */
			if (!of_output(arg1(regs)) || ret >= arg3(regs))
				return 0;
			then = S_SHORT;
			break;
		}
		/* fallthrough */
	case C_WRITEV:
	case C_MOVED:
		p = looked();
		if (!p || !started(p))
			return 0;
		then = target_of(regs, c);
		if (!of_output(then) && !(p->flags & PROC_COPY))
			return 0;
		if (is_output(p, then))
			bpf_tail_call(ctx, &slow, S_WRITTEN);
		else if (of_output(then) && maybe_short(regs, class, ret))
			bpf_tail_call(ctx, &slow, S_SHORT);
		return 0;
	case C_SENDMSG:
		if (!of_output(arg1(regs)))
			return 0;
		then = S_SHORT;
		break;
	case C_SELECT:
		p = looked();
		if (!p || !started(p))
			return 0;
		__sync_fetch_and_add(&p->select_calls, 1);
		if (ret >= 0 && (__s32)arg1(regs) < FD_SETSIZE)
			return 0;
		bpf_tail_call(ctx, &slow, S_SELECT);
		return 0;
	case C_PIPE:
	case C_SOCKETPAIR:
		then = S_PAIR;
		break;
	default:
		return 0;
	}
	p = looked();
	if (p && started(p))
		bpf_tail_call(ctx, &slow, then);
	return 0;
}

/* A call of the tree failed, and that is news. */
CALL_END(syscall_failed, regs, ret)
{
	__u32 nr = call_nr(regs), c = call_of(nr), err = -ret;
	struct count_key all = {.type = EV_FAILURES};
	struct thread *t;
	bool counted = false;
	struct proc *p;

	if (ret >= 0 || err >= ERESTART) /* only where it stands by itself */
		return 0;
	p = looked();
	if (!p || (!started(p) && !(c & CALL_EXEC)) || compat())
		return 0;
	all.pid = p->root;
	all.subject = p->subject;
	count(&all, 0);
	t = this_thread(p);
	if (t) {
		note(t, regs, nr, c, err);
		counted = t->refused == nr + 1; /* by alloc_fd, a moment ago */
		t->refused = 0;
	}
	if (err == EMFILE || err == ENFILE) {
		if (counted)
			return 0;
		/* EMFILE has other meanings, too: the user's inotify instances, the size of message queues… */
		if (err == ENFILE || c & CALL_TABLE || (!by_functions && table_full()))
			refuse(p, regs, EV_REFUSED, nr, err, false);
		else if (c & CALL_INOTIFY)
			refuse(p, regs, EV_INOTIFY, nr, err, false);
		return 0;
	}
	if (err == ENOSPC && c & CALL_INOTIFY)
		refuse(p, regs, EV_INOTIFY, nr, err, false);
	else if (c & CALL_EXEC)
		exec_failed(p, regs, nr, c, err);
	else if (c & CALL_WRITES && of_output(arg1(regs)))
		write_failed(p, regs, nr, c, err, 0);
	else if (c & CALL_ADDRESS && (err == EADDRINUSE || err == EADDRNOTAVAIL))
		address_refused(p, regs, nr, c, err);
	else if ((c & CALL_CONNECT) == CALL_CONNECT)
		connect_failed(p, regs, nr, c, err);
	else if (of_limit(c, err) && !(err == EPERM && c & CALL_FILE && (__s32)arg5(regs) >= 0)) /* mmap of a file */
		bpf_tail_call(ctx, &slow, S_LIMIT);
	if (c & CALL_FILE && of_file(err))
		bpf_tail_call(ctx, &slow, S_FILE);
	return 0;
}

CALL_END(syscall_select, regs, ret)
{
	struct proc *p = looked();

	if (!p || compat())
		return 0;
	if ((__s32)arg1(regs) >= FD_SETSIZE)
		look_at_sets(p, regs);
	if (ret < 0 && -ret < ERESTART && -ret != EINTR)
		bpf_tail_call(ctx, &slow, S_FAILED);
	return 0;
}

#define SIGNAL_GROUP_EXIT 4
#define YOUNG 10000000000ULL /* nanoseconds */

/* Beside each process's threads: the last one that ended alone, by the process's id. */
#define ENDED_ALONE (1U << 31)

static __always_inline bool young(struct thread *t, __u64 now)
{
	return t->n && now - t->ring[(t->n - 1) & (RING - 1)].boot_ns < YOUNG;
}

static __always_inline void send_failures(struct thread *t, __u64 now)
{
	t->h.boot_ns = now;
	t->h.type = EV_FAILURES;
	if (bpf_ringbuf_output(&events, t, offsetof(struct thread, next), 0))
		count_lost(EV_FAILURES);
}

/*
 * At the end of a thread whose process ends, its failures go out if they can have to do with it:
 * the first thread's always, others' if they are young. Of those that end alone the last one's are
 * kept: runtimes (Java) end their main thread first, and then the process from another.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(syscall_thread_exit, struct task_struct *task)
{
	__u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_boot_ns();
	__u32 tid = id, tgid = id >> 32, alone = tgid | ENDED_ALONE;
	struct thread *t = bpf_map_lookup_elem(&threads, &tid), *before;
	struct signal_struct *s = BPF_CORE_READ(task, signal);
	bool last = BPF_CORE_READ(s, live.counter) == 0;

	if (last) {
		bpf_map_delete_elem(&stdio, &tgid);
		before = bpf_map_lookup_elem(&threads, &alone);
		if (before) {
			if (young(before, now))
				send_failures(before, now);
			bpf_map_delete_elem(&threads, &alone);
		}
	}
	if (!t)
		return 0;
	if (t->n)
		bpf_get_current_comm(t->h.comm, sizeof(t->h.comm));
	if (last || BPF_CORE_READ(s, flags) & SIGNAL_GROUP_EXIT) {
		if (t->n && (tid == tgid || young(t, now)))
			send_failures(t, now);
	} else if (t->n) {
		bpf_map_update_elem(&threads, &alone, t, BPF_ANY);
	}
	bpf_map_delete_elem(&threads, &tid);
	return 0;
}

/* A new program: what it starts with, and the end of what its thread met in the one before. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(syscall_exec, struct task_struct *task, pid_t old_pid)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32, tid = old_pid, alone = tgid | ENDED_ALONE;
	struct proc *p = tree_of(tgid);
	struct stdio_is s = {};

	if (!p)
		return 0;
	p->flags |= PROC_EXECED;
	if (node && !(p->flags & PROC_LOOKED))
		return 0;
	stdio_now(&s);
	bpf_map_update_elem(&stdio, &tgid, &s, BPF_ANY);
	bpf_map_delete_elem(&threads, &tgid);
	bpf_map_delete_elem(&threads, &alone);
	if (tid != tgid) /* another thread than the first ran exec; it has the first one's id now */
		bpf_map_delete_elem(&threads, &tid);
	return 0;
}
