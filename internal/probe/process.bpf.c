//go:build ignore

// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The life of the tree's processes: fork, exec, exit. */
#include "descry.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = parent->tgid, new = child->tgid;
	struct proc *p, q = {};

	if (new == tgid) /* a thread */
		return 0;
	p = bpf_map_lookup_elem(&tree, &tgid);
	if (!p)
		return 0;
	q.pid = tid_of(child);
	q.root = p->root;
	bpf_map_update_elem(&tree, &new, &q, BPF_ANY);
	return 0;
}
