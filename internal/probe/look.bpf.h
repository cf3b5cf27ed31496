/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Looking closer at one of a node's subjects: its processes are flagged, and only theirs are the system
 * calls that are looked at. */
#ifndef LOOK_BPF_H
#define LOOK_BPF_H

#include "stdio.bpf.h"

struct look_row {
	__u32 type, size;
	__u32 subject;
	__u32 procs; /* flagged */
};
enum { ROW_LOOKED = 1 };

/* Set.Look asks for subject << 1 | on. What comes into the tree meanwhile sees the subject's own flag. */
SEC("iter/task")
int on_look(struct bpf_iter__task *ctx)
{
	__u32 key = NODE_LOOK, tgid, subject;
	struct task_struct *t = ctx->task;
	struct look_row r = {.type = ROW_LOOKED, .size = sizeof(r)};
	struct stdio_is is = {};
	struct subject *s;
	struct proc *p;
	__u64 *asked;

	asked = bpf_map_lookup_elem(&node_state, &key);
	if (!asked)
		return 0;
	subject = *asked >> 1;
	s = bpf_map_lookup_elem(&subjects, &subject);
	if (!s)
		return 0;
	s->look = *asked & 1;
	if (!t) { /* the last call */
		r.subject = subject;
		r.procs = s->procs;
		bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
		return 0;
	}
	tgid = FAR(t, tgid);
	if (FAR(t, pid) != tgid)
		return 0;
	p = bpf_map_lookup_elem(&tree, &tgid);
	if (!p || p->subject != subject)
		return 0;
	if (!(*asked & 1)) {
		__sync_fetch_and_and(&p->flags, ~PROC_LOOKED);
		bpf_map_delete_elem(&stdio, &tgid);
		return 0;
	}
	/* What its descriptors are now is what it started with, as far as is known. */
#pragma unroll
	for (int i = 0; i < 3; i++)
		kind_of(&is.fd[i], file_at(FAR(t, files, fdt), i));
	bpf_map_update_elem(&stdio, &tgid, &is, BPF_NOEXIST);
	__sync_fetch_and_or(&p->flags, PROC_LOOKED);
	return 0;
}

#endif
